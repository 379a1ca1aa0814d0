//! Leaves to outputs. Each output is a chain of float32 additions in the order of the trees, from 0, the base value last;
//! chains of several outputs and rows run beside each other, which changes no bit of any.

use crate::tree::Trees;

/// Floats that may be read before the first and after the last leaf.
const MARGIN: usize = 32;

/// Rows that are summed beside each other.
const ABREAST: usize = 8;

/// Where a tree's payload lies in a row of slots, and which outputs its leaves have.
#[derive(Clone, Copy)]
struct Term {
    slot: u32,
    outputs: u32,
}

/// How leaves are stored.
enum Leaves {
    /// One output: a payload is the bits of the value.
    One,
    /// At most 32 outputs: a payload is the place where output 0 of its leaf would lie.
    Packed(Vec<f32>),
    /// A payload is the number of the leaf.
    Listed(Box<Trees>),
}

pub(crate) struct Sums {
    terms: Vec<Term>,
    base: Vec<f32>,
    leaves: Leaves,
}

/// The payloads of leaves, before anything knows its slot.
pub(crate) struct Payloads {
    leaves: Leaves,
    outputs: Vec<u32>,
    offsets: Vec<u32>,
}

#[allow(clippy::cast_possible_truncation, reason = "there are less than 2^31 weights, checked where they come in")]
impl Payloads {
    pub(crate) fn of(trees: &Trees) -> Self {
        match trees.outputs() {
            1 => Self { leaves: Leaves::One, outputs: vec![1; trees.len()], offsets: Vec::new() },
            2..=32 => Self::pack(trees),
            _ => Self {
                leaves: Leaves::Listed(Box::new(trees.clone())),
                outputs: vec![0; trees.len()],
                offsets: Vec::new(),
            },
        }
    }

    /// Each leaf has a float for every output from the least to the greatest that its tree has.
    fn pack(trees: &Trees) -> Self {
        let (mut values, mut offsets, mut outputs) = (vec![0.0; MARGIN], Vec::new(), Vec::new());
        for tree in 0..trees.len() {
            let listed = |leaf| trees.leaf_weights(leaf).iter().map(|&(output, _)| output);
            let mask = trees.leaves(tree).flat_map(listed).fold(0_u32, |mask, output| mask | 1 << output);
            let first = mask.trailing_zeros();
            let width = (32 - mask.leading_zeros() - first) as usize;
            for leaf in trees.leaves(tree) {
                let at = values.len();
                values.resize(at + width, 0.0);
                for &(output, weight) in trees.leaf_weights(leaf) {
                    values[at + (output - first) as usize] = weight;
                }
                // Leaves of all trees are numbered in this order.
                offsets.push(at as u32 - first);
            }
            outputs.push(mask);
        }
        values.resize(values.len() + MARGIN, 0.0);
        Self { leaves: Leaves::Packed(values), outputs, offsets }
    }

    /// What a kernel is to return for a leaf.
    pub(crate) fn payload(&self, trees: &Trees, leaf: u32) -> u32 {
        match &self.leaves {
            Leaves::One => trees.leaf_weights(leaf)[0].1.to_bits(),
            Leaves::Packed(_) => self.offsets[leaf as usize],
            Leaves::Listed(_) => leaf,
        }
    }

    /// `slots`: by tree.
    pub(crate) fn sums(self, trees: &Trees, slots: &[u32]) -> Sums {
        let terms = slots.iter().zip(&self.outputs).map(|(&slot, &outputs)| Term { slot, outputs }).collect();
        Sums { terms, base: trees.base.clone(), leaves: self.leaves }
    }
}

impl Sums {
    /// Sums rows of `stride` payloads to rows of outputs.
    pub(crate) fn add(&self, payloads: &[u32], stride: usize, out: &mut [f32], wide: bool) {
        let width = self.base.len();
        let rows = payloads.chunks(stride * ABREAST).zip(out.chunks_mut(width * ABREAST));
        for (payloads, out) in rows {
            match &self.leaves {
                Leaves::One if out.len() == ABREAST => self.one::<ABREAST>(payloads, stride, out),
                Leaves::One => {
                    for (payloads, out) in payloads.chunks(stride).zip(out.chunks_mut(1)) {
                        self.one::<1>(payloads, stride, out);
                    }
                }
                Leaves::Packed(values) => {
                    for (payloads, out) in payloads.chunks(stride * 4).zip(out.chunks_mut(width * 4)) {
                        self.packed(values, payloads, stride, out, wide);
                    }
                }
                Leaves::Listed(trees) => {
                    for (payloads, out) in payloads.chunks(stride).zip(out.chunks_mut(width)) {
                        self.listed(trees, payloads, out);
                    }
                }
            }
        }
        for row in out.chunks_exact_mut(width) {
            for (sum, base) in row.iter_mut().zip(&self.base) {
                *sum += base;
            }
        }
    }

    fn one<const ROWS: usize>(&self, payloads: &[u32], stride: usize, out: &mut [f32]) {
        let mut sums = [0.0_f32; ROWS];
        let rows: [&[u32]; ROWS] = std::array::from_fn(|row| &payloads[row * stride..(row + 1) * stride]);
        for term in &self.terms {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += f32::from_bits(row[term.slot as usize]);
            }
        }
        out.copy_from_slice(&sums);
    }

    /// One to four rows.
    fn packed(&self, values: &[f32], payloads: &[u32], stride: usize, out: &mut [f32], wide: bool) {
        let width = self.base.len();
        #[cfg(target_arch = "x86_64")]
        if wide {
            let rows = out.len() / width;
            // SAFETY: `wide` says that the processor has AVX-512.
            unsafe {
                match (rows, width > 16) {
                    (4, false) => self.masked::<4, 1>(values, payloads, stride, out),
                    (4, true) => self.masked::<4, 2>(values, payloads, stride, out),
                    (_, false) => (0..rows).for_each(|row| {
                        self.masked::<1, 1>(values, &payloads[row * stride..], stride, &mut out[row * width..]);
                    }),
                    (_, true) => (0..rows).for_each(|row| {
                        self.masked::<1, 2>(values, &payloads[row * stride..], stride, &mut out[row * width..]);
                    }),
                }
            }
            return;
        }
        let _ = wide;
        for (payloads, out) in payloads.chunks(stride).zip(out.chunks_mut(width)) {
            let mut sums = [0.0_f32; MARGIN];
            for term in &self.terms {
                let leaf = payloads[term.slot as usize] as usize;
                let (first, end) = (term.outputs.trailing_zeros() as usize, 32 - term.outputs.leading_zeros() as usize);
                // Outputs that the tree has not, within its span, add a 0, which changes no sum: none is -0.
                for (sum, value) in sums[first..end].iter_mut().zip(&values[leaf + first..leaf + end]) {
                    *sum += value;
                }
            }
            out.copy_from_slice(&sums[..width]);
        }
    }

    /// # Safety
    /// The processor has AVX-512F.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::cast_possible_truncation, reason = "sixteen outputs at a time")]
    fn masked<const ROWS: usize, const REGISTERS: usize>(
        &self,
        values: &[f32],
        payloads: &[u32],
        stride: usize,
        out: &mut [f32],
    ) {
        use std::arch::x86_64::{_mm512_mask_add_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_setzero_ps};
        let width = self.base.len();
        let mut sums = [[_mm512_setzero_ps(); REGISTERS]; ROWS];
        let rows: [&[u32]; ROWS] = std::array::from_fn(|row| &payloads[row * stride..(row + 1) * stride]);
        for term in &self.terms {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let leaf = &values[row[term.slot as usize] as usize..];
                for (register, sum) in sums.iter_mut().enumerate() {
                    let mask = (term.outputs >> (16 * register)) as u16;
                    // SAFETY: the leaf has a float wherever the mask is set, and MARGIN floats follow the last leaf.
                    let value = unsafe { _mm512_maskz_loadu_ps(mask, leaf.as_ptr().add(16 * register)) };
                    *sum = _mm512_mask_add_ps(*sum, mask, *sum, value);
                }
            }
        }
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(width)) {
            for (register, &sum) in sums.iter().enumerate() {
                let mask = (((1_u64 << width) - 1) >> (16 * register)) as u16;
                // SAFETY: the mask leaves out what lies beyond the row's outputs.
                unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr().wrapping_add(16 * register), mask, sum) };
            }
        }
    }

    fn listed(&self, trees: &Trees, payloads: &[u32], out: &mut [f32]) {
        out.fill(0.0);
        for term in &self.terms {
            for &(output, weight) in trees.leaf_weights(payloads[term.slot as usize]) {
                out[output as usize] += weight;
            }
        }
    }
}
