//! Trees as they came, walked one row and one node at a time: what the kernels must equal, bit for bit.

use crate::error::Error;

pub(crate) const LEAF: u32 = u32::MAX;

/// `x <= threshold` goes to `yes`; a leaf has `feature` `LEAF` and its number in `yes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub feature: u32,
    pub threshold: f32,
    pub yes: u32,
    pub no: u32,
    pub missing_yes: bool,
}

/// Checked trees; the nodes of each lie between its root and the next one's, parents before children.
#[derive(Clone, Debug)]
pub struct Trees {
    pub(crate) nodes: Vec<Node>,
    pub(crate) roots: Vec<u32>,
    pub(crate) base: Vec<f32>,
    pub(crate) outputs: usize,
    starts: Vec<u32>,
    weights: Vec<(u32, f32)>,
}

#[allow(clippy::cast_possible_truncation, reason = "lengths are checked to be below 2^31 where arrays come in")]
impl Trees {
    pub(crate) fn new(outputs: usize, base: Vec<f32>) -> Self {
        Self { nodes: Vec::new(), roots: Vec::new(), base, outputs, starts: vec![0], weights: Vec::new() }
    }

    pub(crate) fn start_tree(&mut self) {
        self.roots.push(self.nodes.len() as u32);
    }

    pub(crate) fn split(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    pub(crate) fn leaf(&mut self, weights: &[(u32, f32)]) -> u32 {
        self.weights.extend_from_slice(weights);
        let number = self.starts.len() as u32 - 1;
        self.starts.push(self.weights.len() as u32);
        self.split(Node { feature: LEAF, threshold: 0.0, yes: number, no: 0, missing_yes: false })
    }

    pub(crate) fn link(&mut self, parent: u32, yes: bool, child: u32) {
        let node = &mut self.nodes[parent as usize];
        if yes {
            node.yes = child;
        } else {
            node.no = child;
        }
    }

    /// Lets go of what only compiling and plain walking need; the trees keep their number.
    pub(crate) fn forget(&mut self) {
        self.nodes = Vec::new();
        self.weights = Vec::new();
        self.starts = Vec::new();
    }

    /// Number of trees.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there is no tree.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of features that a row must have at least.
    #[must_use]
    pub fn features(&self) -> usize {
        self.nodes.iter().filter(|node| node.feature != LEAF).map(|node| node.feature as usize + 1).max().unwrap_or(0)
    }

    /// Nodes of a tree, its root first.
    pub(crate) fn span(&self, tree: usize) -> std::ops::Range<usize> {
        let end = self.roots.get(tree + 1).map_or(self.nodes.len(), |&root| root as usize);
        self.roots[tree] as usize..end
    }

    /// (output, weight) pairs of a leaf, in the order of outputs.
    pub(crate) fn leaf_weights(&self, leaf: u32) -> &[(u32, f32)] {
        let leaf = leaf as usize;
        &self.weights[self.starts[leaf] as usize..self.starts[leaf + 1] as usize]
    }

    pub(crate) fn leaves(&self, tree: usize) -> impl Iterator<Item = u32> + '_ {
        self.nodes[self.span(tree)].iter().filter(|node| node.feature == LEAF).map(|node| node.yes)
    }

    /// Longest way from the root to a leaf.
    pub(crate) fn depth(&self, tree: usize) -> usize {
        let span = self.span(tree);
        let mut depth = vec![0_usize; span.len()];
        for at in span.clone() {
            let node = self.nodes[at];
            if node.feature != LEAF {
                for child in [node.yes, node.no] {
                    depth[child as usize - span.start] = depth[at - span.start] + 1;
                }
            }
        }
        depth.into_iter().max().unwrap_or(0)
    }

    /// A base value that the operator adds only sometimes cannot be compiled: it adds none to an output to which no
    /// leaf of a row contributes.
    pub(crate) fn check_base(&self) -> Result<(), Error> {
        if self.outputs == 1 {
            return Ok(());
        }
        for (output, &base) in self.base.iter().enumerate().filter(|&(_, &base)| base != 0.0) {
            let always = (0..self.len()).any(|tree| {
                self.leaves(tree)
                    .all(|leaf| self.leaf_weights(leaf).iter().any(|&(listed, _)| listed as usize == output))
            });
            if !always {
                return Err(Error::new(format!(
                    "base_values: output {output} has {base}, and no tree lists the output in all of its leaves"
                )));
            }
        }
        Ok(())
    }

    /// The leaf that a row reaches.
    #[inline]
    pub(crate) fn walk(&self, tree: usize, row: &[f32]) -> u32 {
        let mut node = &self.nodes[self.roots[tree] as usize];
        while node.feature != LEAF {
            let x = row[node.feature as usize];
            let yes = x <= node.threshold || (node.missing_yes && x.is_nan());
            node = &self.nodes[if yes { node.yes } else { node.no } as usize];
        }
        node.yes
    }

    /// Answers of one row, the slow and plain way.
    ///
    /// # Panics
    /// The row has fewer values than `features`.
    #[must_use]
    pub fn predict(&self, row: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0_f32; self.outputs];
        for tree in 0..self.len() {
            for &(output, weight) in self.leaf_weights(self.walk(tree, row)) {
                sums[output as usize] += weight;
            }
        }
        for (sum, base) in sums.iter_mut().zip(&self.base) {
            *sum += base;
        }
        sums
    }
}
