//! Features as bytes. A row's feature becomes its rank, the number of thresholds below it, so that
//!
//! ```text
//! x <= t_k   is   rank(x) < k + 1        rank(x) = #{t : t < x},   t_0 < t_1 < ... < t_253
//! ```
//!
//! is one byte compared with another. Where NaN goes is decided by the column and not by the node: a feature has a column
//! whose NaN has the least rank (the test holds) and one whose NaN has the greatest (it does not), as its nodes need.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{LEAF, Trees};

/// Thresholds of one feature at most, so that a cut of 255 always holds.
pub(crate) const THRESHOLDS: usize = 254;
/// Columns at most: a column's number is a byte.
pub(crate) const COLUMNS: usize = 256;
/// Bytes from one row's ranks to the next; kernels may read 3 bytes beyond the last row.
pub(crate) const STRIDE: usize = COLUMNS;

const TABLE: usize = 256;
const PIVOTS: usize = 16;

/// A test as bytes: `rank < cut` of a column.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub column: u8,
    pub cut: u8,
}

struct Feature {
    input: u32,
    columns: [u8; 2],
    missing: [u8; 2],
}

/// Trees whose thresholds and columns together fit into bytes.
#[derive(Default)]
pub(crate) struct Segment {
    pub trees: Vec<usize>,
    thresholds: BTreeMap<u32, BTreeSet<Ordered>>,
    columns: BTreeSet<(u32, bool)>,
}

/// Sorts as float32 does; zeros are one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ordered(i32);

impl Ordered {
    fn of(value: f32) -> Self {
        let bits = if value == 0.0 { 0 } else { value.to_bits().cast_signed() };
        Self(if bits < 0 { bits ^ i32::MAX } else { bits })
    }

    fn value(self) -> f32 {
        f32::from_bits((if self.0 < 0 { self.0 ^ i32::MAX } else { self.0 }).cast_unsigned())
    }
}

impl Segment {
    /// Takes the tree in, unless it does not fit.
    pub(crate) fn take(&mut self, trees: &Trees, tree: usize) -> bool {
        let mut fresh: BTreeMap<u32, BTreeSet<Ordered>> = BTreeMap::new();
        let mut columns = BTreeSet::new();
        for node in trees.nodes[trees.span(tree)].iter().filter(|node| node.feature != LEAF) {
            let threshold = Ordered::of(node.threshold);
            if !self.thresholds.get(&node.feature).is_some_and(|known| known.contains(&threshold)) {
                fresh.entry(node.feature).or_default().insert(threshold);
            }
            let column = (node.feature, node.missing_yes);
            if !self.columns.contains(&column) {
                columns.insert(column);
            }
        }
        let fits = |(feature, new): (&u32, &BTreeSet<_>)| {
            self.thresholds.get(feature).map_or(0, BTreeSet::len) + new.len() <= THRESHOLDS
        };
        if self.columns.len() + columns.len() > COLUMNS || !fresh.iter().all(fits) {
            return false;
        }
        for (feature, new) in fresh {
            self.thresholds.entry(feature).or_default().extend(new);
        }
        self.columns.extend(columns);
        self.trees.push(tree);
        true
    }

    /// Assigns trees to as few segments as a first fit needs, and returns those that fit none.
    pub(crate) fn cover(trees: &Trees) -> (Vec<Segment>, Vec<usize>) {
        let (mut segments, mut rest) = (Vec::<Segment>::new(), Vec::new());
        for tree in 0..trees.len() {
            if segments.iter_mut().rev().any(|segment| segment.take(trees, tree)) {
                continue;
            }
            let mut segment = Segment::default();
            if segment.take(trees, tree) {
                segments.push(segment);
            } else {
                rest.push(tree);
            }
        }
        (segments, rest)
    }

    #[allow(clippy::cast_possible_truncation, reason = "a segment has at most 256 columns")]
    pub(crate) fn ranks(&self) -> Ranks {
        let column: BTreeMap<(u32, bool), u8> =
            self.columns.iter().enumerate().map(|(at, &key)| (key, at as u8)).collect();
        let mut ranks = Ranks { column, ..Ranks::default() };
        for (&input, thresholds) in &self.thresholds {
            let mut table = [f32::INFINITY; TABLE];
            for (place, threshold) in table.iter_mut().zip(thresholds) {
                *place = threshold.value();
            }
            ranks.pivots.extend((0..PIVOTS).map(|block| table[block * PIVOTS + PIVOTS - 1]));
            ranks.thresholds.extend(table);
            ranks.cuts.insert(input, thresholds.iter().zip(1..).map(|(&threshold, cut)| (threshold, cut)).collect());
            let ways: Vec<(u8, u8)> = [(true, 0), (false, THRESHOLDS as u8)]
                .into_iter()
                .filter_map(|(way, missing)| ranks.column.get(&(input, way)).map(|&column| (column, missing)))
                .collect();
            let (first, last) = (ways[0], ways[ways.len() - 1]);
            ranks.features.push(Feature { input, columns: [first.0, last.0], missing: [first.1, last.1] });
        }
        ranks
    }
}

/// The tables of one segment.
#[derive(Default)]
pub(crate) struct Ranks {
    features: Vec<Feature>,
    pivots: Vec<f32>,
    thresholds: Vec<f32>,
    column: BTreeMap<(u32, bool), u8>,
    cuts: BTreeMap<u32, BTreeMap<Ordered, u8>>,
}

impl Ranks {
    /// Number of columns in use.
    pub(crate) fn columns(&self) -> usize {
        self.column.len()
    }

    /// The test of a node of the segment's trees.
    pub(crate) fn test(&self, feature: u32, threshold: f32, missing_yes: bool) -> Test {
        Test { column: self.column[&(feature, missing_yes)], cut: self.cuts[&feature][&Ordered::of(threshold)] }
    }

    /// Forgets what only compiling needs.
    pub(crate) fn seal(&mut self) {
        self.cuts.clear();
    }

    /// Writes the ranks of one row to its `STRIDE` bytes.
    pub(crate) fn portable(&self, row: &[f32], out: &mut [u8]) {
        for (feature, table) in self.features.iter().zip(self.thresholds.as_chunks::<TABLE>().0) {
            let x = row[feature.input as usize];
            let mut rank = 0;
            for step in [128, 64, 32, 16, 8, 4, 2, 1] {
                rank += if table[rank + step - 1] < x { step } else { 0 };
            }
            feature.write(x, rank, out);
        }
    }

    /// As `portable`: the pivot's block of 16 first, then the place in it.
    ///
    /// # Safety
    /// The processor has AVX-512F and popcnt.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    pub(crate) unsafe fn avx512(&self, row: &[f32], out: &mut [u8]) {
        use std::arch::x86_64::{_CMP_LT_OQ, _mm512_cmp_ps_mask, _mm512_loadu_ps, _mm512_set1_ps};
        let tables = self.pivots.as_chunks::<PIVOTS>().0.iter().zip(self.thresholds.as_chunks::<TABLE>().0);
        for (feature, (pivots, table)) in self.features.iter().zip(tables) {
            let x = row[feature.input as usize];
            let wide = _mm512_set1_ps(x);
            // SAFETY: 16 floats are read from arrays of 16 and 256, the latter from at most 15 * 16: the last pivot is
            // +inf, which is below nothing.
            let rank = unsafe {
                let pivots = _mm512_loadu_ps(pivots.as_ptr());
                let block = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(pivots, wide).count_ones() as usize * PIVOTS;
                let within = _mm512_loadu_ps(table.as_ptr().add(block));
                block + _mm512_cmp_ps_mask::<_CMP_LT_OQ>(within, wide).count_ones() as usize
            };
            feature.write(x, rank, out);
        }
    }

    /// As `avx512`, four registers for sixteen places.
    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon")]
    pub(crate) fn neon(&self, row: &[f32], out: &mut [u8]) {
        let tables = self.pivots.as_chunks::<PIVOTS>().0.iter().zip(self.thresholds.as_chunks::<TABLE>().0);
        for (feature, (pivots, table)) in self.features.iter().zip(tables) {
            let x = row[feature.input as usize];
            let blocks = table.as_chunks::<PIVOTS>().0;
            // The last pivot is +inf, which is below nothing.
            let block = below(pivots, x);
            feature.write(x, block * PIVOTS + below(&blocks[block], x), out);
        }
    }
}

/// How many of sixteen are below x.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn below(values: &[f32; PIVOTS], x: f32) -> usize {
    use std::arch::aarch64::{vaddq_u32, vaddvq_u32, vcltq_f32, vdupq_n_f32, vdupq_n_u32, vld1q_f32, vshrq_n_u32};
    let (wide, mut count) = (vdupq_n_f32(x), vdupq_n_u32(0));
    for four in values.as_chunks::<4>().0 {
        // SAFETY: four floats are read.
        let four = unsafe { vld1q_f32(four.as_ptr()) };
        count = vaddq_u32(count, vshrq_n_u32::<31>(vcltq_f32(four, wide)));
    }
    vaddvq_u32(count) as usize
}

impl Feature {
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a rank is at most 254")]
    fn write(&self, x: f32, rank: usize, out: &mut [u8]) {
        let missing = x.is_nan();
        for (column, least) in self.columns.iter().zip(self.missing) {
            out[*column as usize] = if missing { least } else { rank as u8 };
        }
    }
}
