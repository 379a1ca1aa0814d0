//! A forest that answers: compiled once, shared by threads, with scratch memory for each thread.

use std::cell::RefCell;

use crate::choice::{Choice, Plan, Report, measure};
use crate::error::Error;
use crate::group::{Group, LANES};
use crate::kernel::Kernel;
use crate::ranks::{Ranks, STRIDE, Segment};
use crate::source::Attributes;
use crate::sum::{Payloads, Sums};
use crate::tree::{LEAF, Trees};

/// A compiled forest.
pub struct Forest {
    parts: Vec<Part>,
    /// Walked as they came: tree and payload of each of their leaves.
    plain: Vec<usize>,
    plain_payloads: Vec<u32>,
    trees: Trees,
    sums: Sums,
    slots: usize,
    features: usize,
    choices: Option<(Choice, Choice)>,
}

/// A segment's ranks and groups, with the first slot of each group.
struct Part {
    ranks: Ranks,
    groups: Vec<(usize, Group)>,
}

#[derive(Default)]
struct Scratch {
    ranks: Vec<u8>,
    payloads: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Forest {
    /// Compiles a forest and measures which kernel suits it.
    ///
    /// # Errors
    /// The arrays break a rule of `Attributes::trees`.
    pub fn compile(attributes: &Attributes) -> Result<Self, Error> {
        let mut forest = Self::of(attributes.trees()?);
        forest.choices = Some(measure(&forest));
        if forest.plain.is_empty() {
            forest.trees.forget();
        }
        Ok(forest)
    }

    #[allow(clippy::cast_possible_truncation, reason = "fewer than 2^31 trees, checked where they come in")]
    fn of(trees: Trees) -> Self {
        let payloads = Payloads::of(&trees);
        let payload = |_tree: usize, leaf: u32| payloads.payload(&trees, leaf);
        let (segments, mut plain) = Segment::cover(&trees);
        let (mut parts, mut slots) = (Vec::new(), 0);
        let mut slot_of = vec![0_u32; trees.len()];
        for segment in segments {
            let mut ranks = segment.ranks();
            let (groups, large) = Group::of(&trees, &segment.trees, &ranks, &payload);
            ranks.seal();
            plain.extend(large);
            let mut placed = Vec::with_capacity(groups.len());
            for group in groups {
                for (lane, &tree) in group.trees.iter().enumerate() {
                    slot_of[tree] = (slots + lane) as u32;
                }
                placed.push((slots, group));
                slots += LANES;
            }
            parts.push(Part { ranks, groups: placed });
        }
        for &tree in &plain {
            slot_of[tree] = slots as u32;
            slots += 1;
        }
        let leaves = trees.nodes.iter().filter(|node| node.feature == LEAF);
        let plain_payloads =
            if plain.is_empty() { Vec::new() } else { leaves.map(|leaf| payload(0, leaf.yes)).collect() };
        let (features, sums) = (trees.features(), payloads.sums(&trees, &slot_of));
        Self { parts, plain, plain_payloads, trees, sums, slots, features, choices: None }
    }

    /// Number of features that a row must have at least.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.trees.outputs()
    }

    /// What was compiled and chosen.
    #[must_use]
    pub fn report(&self) -> Report {
        let groups = self.parts.iter().flat_map(|part| &part.groups);
        let oblivious = groups.filter(|(_, group)| group.oblivious).map(|(_, group)| group.trees.len()).sum();
        let fallback = Choice { plan: Plan { kernel: Kernel::Portable, block: 1 }, row_ns: f64::NAN };
        let (single, batch) = self.choices.unwrap_or((fallback, fallback));
        Report {
            trees: self.trees.len(),
            oblivious,
            plain: self.plain.len(),
            outputs: self.outputs(),
            segments: self.parts.len(),
            single,
            batch,
        }
    }

    /// Answers rows of `width` features, row by row, into rows of `outputs` values.
    ///
    /// # Errors
    /// `width` is too small, or a length does not fit.
    pub fn predict(&self, rows: &[f32], width: usize, out: &mut [f32]) -> Result<(), Error> {
        let chosen = |(single, batch): (Choice, Choice)| if rows.len() == width { single.plan } else { batch.plan };
        let plan = self.choices.map_or(Plan { kernel: Kernel::Portable, block: 1 }, chosen);
        self.predict_with(plan, rows, width, out)
    }

    /// As `predict`, by a plan of the caller's.
    ///
    /// # Errors
    /// As `predict`, or the processor cannot run the plan's kernel.
    pub fn predict_with(&self, plan: Plan, rows: &[f32], width: usize, out: &mut [f32]) -> Result<(), Error> {
        if width < self.features.max(1) {
            let least = self.features.max(1);
            return Err(Error::new(format!("rows must have at least {least} features, got {width}")));
        }
        let count = rows.len() / width;
        if count * width != rows.len() || out.len() != count * self.outputs() {
            let (given, room) = (rows.len(), out.len());
            return Err(Error::new(format!(
                "rows of {width} features and {} outputs do not fit {given} features and room for {room} outputs",
                self.outputs()
            )));
        }
        if !plan.kernel.runs_here() || plan.block == 0 {
            return Err(Error::new(format!(
                "kernel {} cannot run here in blocks of {}",
                plan.kernel.name(),
                plan.block
            )));
        }
        self.run(plan, rows, width, out);
        Ok(())
    }

    pub(crate) fn run(&self, plan: Plan, rows: &[f32], width: usize, out: &mut [f32]) {
        SCRATCH.with_borrow_mut(|scratch| {
            let block = plan.block.min(rows.len() / width).max(1);
            let grow = |have: usize, need: usize| have.max(need);
            scratch.ranks.resize(grow(scratch.ranks.len(), block * STRIDE + 3), 0);
            scratch.payloads.resize(grow(scratch.payloads.len(), block * self.slots), 0);
            for (rows, out) in rows.chunks(block * width).zip(out.chunks_mut(block * self.outputs())) {
                self.block(plan.kernel, rows, width, scratch, out);
            }
        });
    }

    fn block(&self, kernel: Kernel, rows: &[f32], width: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let count = rows.len() / width;
        let payloads = &mut scratch.payloads[..count * self.slots];
        for part in &self.parts {
            kernel.rank(&part.ranks, rows, width, &mut scratch.ranks[..count * STRIDE]);
            for (slot, group) in &part.groups {
                kernel.walk(group, &scratch.ranks, count, &mut payloads[*slot..], self.slots);
            }
        }
        if let Some(first) = self.slots.checked_sub(self.plain.len()) {
            for (row, payloads) in rows.chunks_exact(width).zip(payloads.chunks_exact_mut(self.slots)) {
                for (&tree, payload) in self.plain.iter().zip(&mut payloads[first..]) {
                    *payload = self.plain_payloads[self.trees.walk(tree, row) as usize];
                }
            }
        }
        self.sums.add(payloads, self.slots, out, kernel == Kernel::Avx512);
    }

    /// Rows whose features lie on thresholds of the forest, by a fixed sequence of pseudo-random numbers.
    pub(crate) fn sample(&self, rows: usize, width: usize) -> Vec<f32> {
        let mut thresholds = vec![vec![0.0_f32]; width];
        for node in self.trees.nodes.iter().filter(|node| node.feature != LEAF) {
            thresholds[node.feature as usize].push(node.threshold);
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut sample = Vec::with_capacity(rows * width);
        for at in 0..rows * width {
            // Xorshift64: Marsaglia, Journal of Statistical Software 8 (14), 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let known = &thresholds[at % width];
            #[allow(clippy::cast_possible_truncation, reason = "an index into a slice")]
            sample.push(known[(state >> 11) as usize % known.len()]);
        }
        sample
    }
}
