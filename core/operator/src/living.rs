//! The forests and compiled features that sessions of this process hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jobcast_forest::Report;

use crate::features;
use crate::kernel::Node;

static MADE: AtomicU64 = AtomicU64::new(0);
static NODES: Mutex<Vec<Weak<Node>>> = Mutex::new(Vec::new());
static FEATURES: Mutex<Vec<Weak<features::Node>>> = Mutex::new(Vec::new());

/// A node of a session.
#[derive(Clone, Debug)]
pub struct Living {
    /// Numbers nodes in the order of their making, from 1.
    pub serial: u64,
    /// Name of the node in its graph.
    pub node: String,
    /// How it computes.
    pub report: Report,
}

/// A `jobcast.Features` node of a session.
#[derive(Clone, Debug)]
pub struct LivingFeatures {
    /// Numbers nodes in the order of their making, from 1, together with forests.
    pub serial: u64,
    /// Name of the node in its graph.
    pub node: String,
    /// Operators of the graph that it computes, those that cost nothing included.
    pub operators: usize,
    /// Instructions of its program.
    pub instructions: usize,
}

/// The `jobcast.Features` nodes of all sessions, in the order of their making.
#[must_use]
pub fn living_features() -> Vec<LivingFeatures> {
    let nodes = FEATURES.lock().unwrap_or_else(PoisonError::into_inner);
    let nodes = nodes.iter().filter_map(Weak::upgrade).map(|node| LivingFeatures {
        serial: node.serial,
        node: node.name.clone(),
        operators: node.operators,
        instructions: node.program.instructions(),
    });
    nodes.collect()
}

/// The forests of all sessions, in the order of their making.
#[must_use]
pub fn living() -> Vec<Living> {
    let nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    let nodes = nodes.iter().filter_map(Weak::upgrade);
    nodes.map(|node| Living { serial: node.serial, node: node.name.clone(), report: node.forest.report() }).collect()
}

/// A number that no other node has.
pub(crate) fn serial() -> u64 {
    MADE.fetch_add(1, Ordering::Relaxed) + 1
}

pub(crate) fn note_features(node: &Arc<features::Node>) {
    let mut nodes = FEATURES.lock().unwrap_or_else(PoisonError::into_inner);
    nodes.retain(|node| node.strong_count() > 0);
    nodes.push(Arc::downgrade(node));
}

pub(crate) fn note(node: &Arc<Node>) {
    let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    nodes.retain(|node| node.strong_count() > 0);
    nodes.push(Arc::downgrade(node));
}
