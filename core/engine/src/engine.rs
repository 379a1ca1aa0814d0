//! What answers for one bundle.

use std::sync::Arc;

use crate::graph::Graph;
use crate::jobs::Jobs;
use crate::tensors::Tensors;

/// The engines of a bundle over its one graph.
pub struct Engine {
    /// The graph.
    pub graph: Arc<Graph>,
    /// `rtpredictor.v1`; none for a bundle that does not answer it.
    pub jobs: Option<Jobs>,
    /// The Open Inference Protocol.
    pub tensors: Tensors,
}
