//! Up to 64 trees that are walked side by side, one lane each, for one row at a time.
//!
//! A general group has the first four levels of its trees as complete trees, level by level, so that a level is read
//! without looking up who is where; deeper nodes are reached by their index:
//!
//! ```text
//! levels[0..15]   [test of lane 0, lane 1, ... 63]  for each place of a complete tree of depth 4, breadth first
//! nodes           index 16 * lane + path: the node below;   then pairs (true child, false child)
//! a node          bits 31..16: half the index of its true child    15..8: cut    7..0: column
//! a leaf          leads to itself: its half index is its own, at an even index its test holds, at an odd one not
//! payloads        by index of the leaf
//! ```
//!
//! An oblivious group (all nodes of a level ask the same) has one test for each lane and level; the path is the index:
//!
//! ```text
//! levels[d]       [test of lane 0, lane 1, ... 63]          payloads   index lane << depth | path
//! ```

use crate::ranks::{Ranks, Test};
use crate::tree::{LEAF, Trees};

/// Trees of a group.
pub(crate) const LANES: usize = 64;
/// Levels that are complete in a general group.
pub(crate) const TOP: usize = 4;

const ENTRIES: usize = LANES << TOP;
const LARGEST: usize = 1 << 17;
const DEEPEST_OBLIVIOUS: usize = 10;
const HOLDS: u8 = u8::MAX;

/// `cut << 8 | column` for each lane.
pub(crate) type Level = [u16; LANES];

pub(crate) struct Group {
    pub trees: Vec<usize>,
    pub oblivious: bool,
    /// The last one is only there to be read past the one before it.
    pub levels: Vec<Level>,
    /// Steps below the complete levels until every lane is at a leaf.
    pub steps: usize,
    pub nodes: Vec<u32>,
    pub payloads: Vec<u32>,
    /// More than 128 columns are in use.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "only kernels with registers of ranks ask")
    )]
    pub wide: bool,
}

/// How one tree will be laid out.
struct Shape {
    tree: usize,
    depth: usize,
    /// Tests by level when the tree is oblivious.
    levels: Option<Vec<Test>>,
    /// Nodes below the complete levels, at most.
    below: usize,
}

#[allow(clippy::cast_possible_truncation, reason = "a group has at most 2^17 nodes")]
impl Group {
    /// Lays out the trees of a segment; `payload` gives what a leaf leads to. Trees too large are returned.
    pub(crate) fn of(
        trees: &Trees,
        members: &[usize],
        ranks: &Ranks,
        payload: &dyn Fn(usize, u32) -> u32,
    ) -> (Vec<Group>, Vec<usize>) {
        let wide = ranks.columns() > 128;
        let shapes = members.iter().map(|&tree| Shape::of(trees, tree, ranks));
        let (large, mut shapes): (Vec<Shape>, Vec<Shape>) = shapes.partition(|shape| shape.below > LARGEST - ENTRIES);
        shapes.sort_by_key(|shape| (shape.levels.is_some(), std::cmp::Reverse(shape.depth)));
        let mut groups: Vec<Group> = Vec::new();
        let mut rest = shapes.as_slice();
        while let Some(first) = rest.first() {
            let mut below = 0;
            let count = rest
                .iter()
                .take(LANES)
                .take_while(|shape| {
                    below += shape.below;
                    below <= LARGEST - ENTRIES
                        && shape.levels.is_some() == first.levels.is_some()
                        && (shape.levels.is_none() || shape.depth == first.depth)
                })
                .count();
            let (now, later) = rest.split_at(count);
            groups.push(if first.levels.is_some() {
                Group::oblivious(trees, now, wide, payload)
            } else {
                Group::general(trees, now, ranks, wide, payload)
            });
            rest = later;
        }
        (groups, large.iter().map(|shape| shape.tree).collect())
    }

    fn oblivious(trees: &Trees, shapes: &[Shape], wide: bool, payload: &dyn Fn(usize, u32) -> u32) -> Self {
        let depth = shapes[0].depth;
        let mut levels = vec![[0; LANES]; depth + 1];
        let mut payloads = vec![0; LANES << depth];
        for (lane, shape) in shapes.iter().enumerate() {
            for (level, test) in levels.iter_mut().zip(shape.levels.as_deref().unwrap_or_default()) {
                level[lane] = test.packed();
            }
            let mut open = vec![(trees.roots[shape.tree], 0)];
            while let Some((at, path)) = open.pop() {
                let node = trees.nodes[at as usize];
                if node.feature == LEAF {
                    payloads[lane << depth | path] = payload(shape.tree, node.yes);
                } else {
                    open.extend([(node.yes, path << 1), (node.no, path << 1 | 1)]);
                }
            }
        }
        let trees = shapes.iter().map(|shape| shape.tree).collect();
        Self { trees, oblivious: true, levels, steps: 0, nodes: Vec::new(), payloads, wide }
    }

    fn general(
        trees: &Trees,
        shapes: &[Shape],
        ranks: &Ranks,
        wide: bool,
        payload: &dyn Fn(usize, u32) -> u32,
    ) -> Self {
        let always = Test { column: 0, cut: HOLDS };
        let mut group = Self {
            trees: shapes.iter().map(|shape| shape.tree).collect(),
            oblivious: false,
            levels: vec![[always.packed(); LANES]; 1 << TOP],
            steps: shapes.iter().map(|shape| shape.depth.saturating_sub(TOP)).max().unwrap_or(0),
            nodes: (0..ENTRIES).map(leaf_at).collect(),
            payloads: vec![0; ENTRIES],
            wide,
        };
        for (lane, shape) in shapes.iter().enumerate() {
            // (node, level, path) above the entries
            let mut open = vec![(trees.roots[shape.tree], 0, 0)];
            while let Some((at, level, path)) = open.pop() {
                let node = trees.nodes[at as usize];
                if level == TOP || node.feature == LEAF {
                    group.below(trees, ranks, shape.tree, at, lane << TOP | path << (TOP - level), payload);
                } else {
                    let test = ranks.test(node.feature, node.threshold, node.missing_yes);
                    group.levels[(1 << level) - 1 + path][lane] = test.packed();
                    open.extend([(node.yes, level + 1, path << 1), (node.no, level + 1, path << 1 | 1)]);
                }
            }
        }
        group
    }

    /// Puts a node at an index and what is below it after all others, true children first.
    fn below(
        &mut self,
        trees: &Trees,
        ranks: &Ranks,
        tree: usize,
        at: u32,
        index: usize,
        payload: &dyn Fn(usize, u32) -> u32,
    ) {
        let mut open = vec![(at, index)];
        while let Some((at, index)) = open.pop() {
            let node = trees.nodes[at as usize];
            if node.feature == LEAF {
                self.nodes[index] = leaf_at(index);
                self.payloads[index] = payload(tree, node.yes);
                continue;
            }
            let child = self.nodes.len();
            let test = ranks.test(node.feature, node.threshold, node.missing_yes);
            self.nodes[index] = (child as u32 / 2) << 16 | u32::from(test.packed());
            self.nodes.extend([0; 2]);
            self.payloads.extend([0; 2]);
            open.extend([(node.no, child + 1), (node.yes, child)]);
        }
    }
}

impl Test {
    fn packed(self) -> u16 {
        u16::from(self.cut) << 8 | u16::from(self.column)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a group has at most 2^17 nodes")]
fn leaf_at(index: usize) -> u32 {
    let cut = if index.is_multiple_of(2) { u32::from(HOLDS) } else { 0 };
    (index as u32 / 2) << 16 | cut << 8
}

impl Shape {
    fn of(trees: &Trees, tree: usize, ranks: &Ranks) -> Self {
        let depth = trees.depth(tree);
        let levels = oblivious_levels(trees, tree, depth, ranks);
        let below = if levels.is_some() { 0 } else { trees.span(tree).len() };
        Self { tree, depth, levels, below }
    }
}

/// The tests of an oblivious tree by level; None for any other tree.
fn oblivious_levels(trees: &Trees, tree: usize, depth: usize, ranks: &Ranks) -> Option<Vec<Test>> {
    if depth == 0 || depth > DEEPEST_OBLIVIOUS || trees.span(tree).len() != (2 << depth) - 1 {
        return None;
    }
    let mut level = vec![trees.roots[tree]];
    let mut tests = Vec::with_capacity(depth);
    for _ in 0..depth {
        let first = trees.nodes[level[0] as usize];
        let same = |&at: &u32| {
            let node = trees.nodes[at as usize];
            (node.feature, node.threshold.to_bits(), node.missing_yes)
                == (first.feature, first.threshold.to_bits(), first.missing_yes)
        };
        if first.feature == LEAF || !level.iter().all(same) {
            return None;
        }
        tests.push(ranks.test(first.feature, first.threshold, first.missing_yes));
        let children = level.iter().flat_map(|&at| [trees.nodes[at as usize].yes, trees.nodes[at as usize].no]);
        level = children.collect();
    }
    Some(tests)
}
