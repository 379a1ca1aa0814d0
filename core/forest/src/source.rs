//! The flat arrays of an `ai.onnx.ml.TreeEnsembleRegressor`, and the rules they must keep to be compiled.

use std::collections::HashMap;

use crate::error::Error;
use crate::tree::{LEAF, Node, Trees};

/// What a node asks of its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Asks nothing: the row ends here.
    Leaf,
    /// `x <= t`
    Leq,
    /// `x < t`
    Lt,
    /// `x >= t`
    Gte,
    /// `x > t`
    Gt,
}

impl Mode {
    /// The mode that ONNX writes so; `None` for `BRANCH_EQ`, `BRANCH_NEQ` and unknown words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "LEAF" => Self::Leaf,
            "BRANCH_LEQ" => Self::Leq,
            "BRANCH_LT" => Self::Lt,
            "BRANCH_GTE" => Self::Gte,
            "BRANCH_GT" => Self::Gt,
            _ => return None,
        })
    }
}

/// The operator's attributes under their own names (version 3, float32), with `SUM` and no transform afterwards.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the names are the operator's, documented there")]
pub struct Attributes {
    pub nodes_treeids: Vec<i64>,
    pub nodes_nodeids: Vec<i64>,
    pub nodes_featureids: Vec<i64>,
    pub nodes_modes: Vec<Mode>,
    pub nodes_values: Vec<f32>,
    pub nodes_truenodeids: Vec<i64>,
    pub nodes_falsenodeids: Vec<i64>,
    pub nodes_missing_value_tracks_true: Vec<i64>,
    pub target_treeids: Vec<i64>,
    pub target_nodeids: Vec<i64>,
    pub target_ids: Vec<i64>,
    pub target_weights: Vec<f32>,
    pub base_values: Vec<f32>,
    pub n_targets: i64,
}

impl Attributes {
    /// Checks the arrays and orders the nodes of each tree from its root down.
    ///
    /// # Errors
    /// A rule is broken; the message names the attribute, the node and the value.
    pub fn trees(&self) -> Result<Trees, Error> {
        self.check_lengths()?;
        let outputs = usize::try_from(self.n_targets)
            .ok()
            .filter(|count| (1..=4096).contains(count))
            .ok_or_else(|| Error::new(format!("n_targets must be 1 to 4096, got {}", self.n_targets)))?;
        let base = match self.base_values.len() {
            0 => vec![0.0; outputs],
            count if count == outputs => self.base_values.clone(),
            count => {
                return Err(Error::new(format!("base_values must be none or {outputs}, got {count}")));
            }
        };
        let index = Index::of(self)?;
        let weights = self.weights(&index, outputs)?;
        let mut trees = Trees::new(outputs, base);
        let mut last = None;
        let mut seen = vec![false; self.nodes_treeids.len()];
        for (root, &tree) in self.nodes_treeids.iter().enumerate() {
            if last != Some(tree) {
                trees.start_tree();
                self.descend(root, &index, &weights, &mut seen, &mut trees)?;
            }
            last = Some(tree);
        }
        trees.check_base()?;
        Ok(trees)
    }

    fn check_lengths(&self) -> Result<(), Error> {
        let nodes = self.nodes_treeids.len();
        let missing = self.nodes_missing_value_tracks_true.len();
        for (name, length) in [
            ("nodes_nodeids", self.nodes_nodeids.len()),
            ("nodes_featureids", self.nodes_featureids.len()),
            ("nodes_modes", self.nodes_modes.len()),
            ("nodes_values", self.nodes_values.len()),
            ("nodes_truenodeids", self.nodes_truenodeids.len()),
            ("nodes_falsenodeids", self.nodes_falsenodeids.len()),
            ("nodes_missing_value_tracks_true", if missing == 0 { nodes } else { missing }),
        ] {
            if length != nodes {
                return Err(Error::new(format!("{name} must have {nodes} values like nodes_treeids, has {length}")));
            }
        }
        let targets = self.target_treeids.len();
        for (name, length) in [
            ("target_nodeids", self.target_nodeids.len()),
            ("target_ids", self.target_ids.len()),
            ("target_weights", self.target_weights.len()),
        ] {
            if length != targets {
                return Err(Error::new(format!("{name} must have {targets} values like target_treeids, has {length}")));
            }
        }
        if nodes == 0 || nodes > (u32::MAX >> 1) as usize || targets > (u32::MAX >> 1) as usize {
            return Err(Error::new(format!("nodes_treeids must have 1 to 2^31 - 1 values, has {nodes}")));
        }
        Ok(())
    }

    /// (output, weight) pairs of every node, in the order of outputs.
    fn weights(&self, index: &Index, outputs: usize) -> Result<Weights, Error> {
        let mut nodes = Vec::with_capacity(self.target_treeids.len());
        let mut starts = vec![0_usize; self.nodes_treeids.len() + 1];
        for at in 0..self.target_treeids.len() {
            let key = (self.target_treeids[at], self.target_nodeids[at]);
            let node = index
                .node(self, key)
                .ok_or_else(|| Error::new(format!("target {at}: tree {} has no node {}", key.0, key.1)))?;
            if usize::try_from(self.target_ids[at]).ok().is_none_or(|output| output >= outputs) {
                let most = outputs - 1;
                return Err(Error::new(format!("target_ids must be 0 to {most}, got {}", self.target_ids[at])));
            }
            if self.nodes_modes[node] != Mode::Leaf {
                return Err(Error::new(format!("target {at}: tree {} node {} is no leaf", key.0, key.1)));
            }
            starts[node + 1] += 1;
            nodes.push(node);
        }
        for node in 1..starts.len() {
            starts[node] += starts[node - 1];
        }
        let mut next = starts.clone();
        let mut pairs = vec![(0, 0.0); nodes.len()];
        for (at, &node) in nodes.iter().enumerate() {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 4096, checked above")]
            let output = self.target_ids[at] as u32;
            pairs[next[node]] = (output, self.target_weights[at]);
            next[node] += 1;
        }
        let weights = Weights { starts, pairs };
        weights.ordered(self)
    }

    /// Adds the tree below `root` to `trees`, true branch first.
    fn descend(
        &self,
        root: usize,
        index: &Index,
        weights: &Weights,
        seen: &mut [bool],
        trees: &mut Trees,
    ) -> Result<(), Error> {
        // (node here, place of the parent's link to it)
        let mut open = vec![(root, None)];
        while let Some((at, link)) = open.pop() {
            let (tree, id) = (self.nodes_treeids[at], self.nodes_nodeids[at]);
            if std::mem::replace(&mut seen[at], true) {
                return Err(Error::new(format!("tree {tree}: node {id} is the child of two nodes")));
            }
            let place = if self.nodes_modes[at] == Mode::Leaf {
                if weights.of(at).is_empty() {
                    return Err(Error::new(format!("tree {tree}: leaf {id} has no weight")));
                }
                trees.leaf(weights.of(at))
            } else {
                trees.split(self.node(at)?)
            };
            if let Some((parent, yes)) = link {
                trees.link(parent, yes, place);
            }
            if self.nodes_modes[at] != Mode::Leaf {
                let swapped = matches!(self.nodes_modes[at], Mode::Gt | Mode::Gte);
                for (child, yes) in [(self.nodes_falsenodeids[at], swapped), (self.nodes_truenodeids[at], !swapped)] {
                    let found = index
                        .node(self, (tree, child))
                        .ok_or_else(|| Error::new(format!("tree {tree}: node {id} has no child {child}")))?;
                    open.push((found, Some((place, yes))));
                }
            }
        }
        Ok(())
    }

    /// One test as `x <= threshold`: `<` asks below the next lower float32, `>` and `>=` have swapped branches.
    fn node(&self, at: usize) -> Result<Node, Error> {
        let (mode, value) = (self.nodes_modes[at], self.nodes_values[at]);
        let strict = matches!(mode, Mode::Lt | Mode::Gte);
        if value.is_nan() || (strict && value == f32::NEG_INFINITY) {
            let (tree, id) = (self.nodes_treeids[at], self.nodes_nodeids[at]);
            return Err(Error::new(format!("tree {tree}: node {id} compares with {value}, which no feature can pass")));
        }
        let feature =
            u32::try_from(self.nodes_featureids[at]).ok().filter(|&feature| feature < LEAF).ok_or_else(|| {
                Error::new(format!("nodes_featureids must not be negative, got {}", self.nodes_featureids[at]))
            })?;
        let tracks = self.nodes_missing_value_tracks_true.get(at) == Some(&1);
        Ok(Node {
            feature,
            threshold: if strict { value.next_down() } else { value },
            yes: 0,
            no: 0,
            missing_yes: tracks != matches!(mode, Mode::Gt | Mode::Gte),
        })
    }
}

/// Where the node of a tree with some number stands in the arrays.
enum Index {
    /// First node by tree: every tree's nodes stand together, numbered from 0.
    Numbered(HashMap<i64, usize>),
    Any(HashMap<(i64, i64), usize>),
}

impl Index {
    fn of(attributes: &Attributes) -> Result<Self, Error> {
        if let Some(firsts) = Self::numbered(attributes) {
            return Ok(Self::Numbered(firsts));
        }
        let mut index = HashMap::with_capacity(attributes.nodes_treeids.len());
        let keys = attributes.nodes_treeids.iter().copied().zip(attributes.nodes_nodeids.iter().copied());
        for (at, key) in keys.enumerate() {
            if index.insert(key, at).is_some() {
                return Err(Error::new(format!("tree {}: node {} is there twice", key.0, key.1)));
            }
        }
        Ok(Self::Any(index))
    }

    fn numbered(attributes: &Attributes) -> Option<HashMap<i64, usize>> {
        let (mut firsts, mut last, mut next) = (HashMap::new(), None, 0);
        for (at, (&tree, &id)) in attributes.nodes_treeids.iter().zip(&attributes.nodes_nodeids).enumerate() {
            if last != Some(tree) {
                if firsts.insert(tree, at).is_some() {
                    return None;
                }
                (last, next) = (Some(tree), 0);
            }
            if id != next {
                return None;
            }
            next += 1;
        }
        Some(firsts)
    }

    fn node(&self, attributes: &Attributes, key: (i64, i64)) -> Option<usize> {
        match self {
            Self::Any(index) => index.get(&key).copied(),
            Self::Numbered(firsts) => {
                let at = firsts.get(&key.0)?.checked_add(usize::try_from(key.1).ok()?)?;
                (attributes.nodes_treeids.get(at) == Some(&key.0)).then_some(at)
            }
        }
    }
}

/// (output, weight) pairs of all nodes, one node's behind the other's.
struct Weights {
    starts: Vec<usize>,
    pairs: Vec<(u32, f32)>,
}

impl Weights {
    fn of(&self, node: usize) -> &[(u32, f32)] {
        &self.pairs[self.starts[node]..self.starts[node + 1]]
    }

    /// Each node's pairs in the order of outputs.
    fn ordered(mut self, attributes: &Attributes) -> Result<Self, Error> {
        for node in 0..self.starts.len() - 1 {
            let listed = &mut self.pairs[self.starts[node]..self.starts[node + 1]];
            listed.sort_by_key(|&(output, _)| output);
            if listed.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                let (tree, id) = (attributes.nodes_treeids[node], attributes.nodes_nodeids[node]);
                return Err(Error::new(format!("tree {tree} leaf {id}: lists an output twice")));
            }
        }
        Ok(self)
    }
}
