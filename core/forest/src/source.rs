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

    /// The number that stands for the mode where words cannot be stored.
    #[must_use]
    pub fn code(self) -> i64 {
        self as i64
    }

    /// The mode of a number.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        [Self::Leaf, Self::Leq, Self::Lt, Self::Gte, Self::Gt].into_iter().find(|mode| mode.code() == code)
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
        let index = self.index()?;
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

    fn index(&self) -> Result<HashMap<(i64, i64), usize>, Error> {
        let mut index = HashMap::with_capacity(self.nodes_treeids.len());
        for (at, key) in self.nodes_treeids.iter().copied().zip(self.nodes_nodeids.iter().copied()).enumerate() {
            if index.insert(key, at).is_some() {
                return Err(Error::new(format!("tree {}: node {} is there twice", key.0, key.1)));
            }
        }
        Ok(index)
    }

    /// (output, weight) pairs of every node, in the order of outputs.
    fn weights(&self, index: &HashMap<(i64, i64), usize>, outputs: usize) -> Result<Vec<Vec<(u32, f32)>>, Error> {
        let mut weights = vec![Vec::new(); self.nodes_treeids.len()];
        for at in 0..self.target_treeids.len() {
            let key = (self.target_treeids[at], self.target_nodeids[at]);
            let node = *index
                .get(&key)
                .ok_or_else(|| Error::new(format!("target {at}: tree {} has no node {}", key.0, key.1)))?;
            let output =
                u32::try_from(self.target_ids[at]).ok().filter(|&output| (output as usize) < outputs).ok_or_else(
                    || Error::new(format!("target_ids must be 0 to {}, got {}", outputs - 1, self.target_ids[at])),
                )?;
            if self.nodes_modes[node] != Mode::Leaf {
                return Err(Error::new(format!("target {at}: tree {} node {} is no leaf", key.0, key.1)));
            }
            weights[node].push((output, self.target_weights[at]));
        }
        for (node, listed) in weights.iter_mut().enumerate() {
            listed.sort_by_key(|&(output, _)| output);
            if listed.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                let (tree, id) = (self.nodes_treeids[node], self.nodes_nodeids[node]);
                return Err(Error::new(format!("tree {tree} leaf {id}: lists an output twice")));
            }
        }
        Ok(weights)
    }

    /// Adds the tree below `root` to `trees`, true branch first.
    fn descend(
        &self,
        root: usize,
        index: &HashMap<(i64, i64), usize>,
        weights: &[Vec<(u32, f32)>],
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
                if weights[at].is_empty() {
                    return Err(Error::new(format!("tree {tree}: leaf {id} has no weight")));
                }
                trees.leaf(&weights[at])
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
                        .get(&(tree, child))
                        .ok_or_else(|| Error::new(format!("tree {tree}: node {id} has no child {child}")))?;
                    open.push((*found, Some((place, yes))));
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
