//! The forests that sessions of this process hold.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use jobcast_forest::Report;

use crate::kernel::Node;

static NODES: Mutex<Vec<Weak<Node>>> = Mutex::new(Vec::new());

/// A node of a session.
#[derive(Clone, Debug)]
pub struct Living {
    /// Name of the node in its graph.
    pub node: String,
    /// How it computes.
    pub report: Report,
}

/// The nodes of all sessions, in the order of their making.
#[must_use]
pub fn living() -> Vec<Living> {
    let nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    let nodes = nodes.iter().filter_map(Weak::upgrade);
    nodes.map(|node| Living { node: node.name.clone(), report: node.forest.report() }).collect()
}

pub(crate) fn note(node: &Arc<Node>) {
    let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    nodes.retain(|node| node.strong_count() > 0);
    nodes.push(Arc::downgrade(node));
}
