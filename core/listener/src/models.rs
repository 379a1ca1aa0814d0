//! Which versions answer at this moment. The other side changes them all in one step; a call keeps the one it began with.

use std::sync::Arc;

use jobcast_engine::Engine;

use crate::counts::{Counter, Histogram, Passes};

/// What one version did: seconds per request, rows per pass, passes.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Answered requests, from arrival to answer.
    pub success: Arc<Histogram>,
    /// The others.
    pub failure: Arc<Histogram>,
    /// Waiting for a pass.
    pub queue: Arc<Histogram>,
    /// Reading and checking.
    pub decode: Arc<Histogram>,
    /// Running the graph.
    pub compute: Arc<Histogram>,
    /// Writing.
    pub encode: Arc<Histogram>,
    /// Rows per pass.
    pub batch: Arc<Histogram>,
    /// Failures that are faults of ours.
    pub errors: Arc<Counter>,
    /// Passes by rows.
    pub passes: Arc<Passes>,
}

impl Statistics {
    /// Counts a pass over `rows` rows of `requests` requests with its times in seconds.
    pub(crate) fn passed(&self, rows: usize, requests: u64, [decode, compute, encode]: [f64; 3]) {
        self.decode.observe(decode, requests);
        self.compute.observe(compute, requests);
        self.encode.observe(encode, requests);
        #[allow(clippy::cast_precision_loss, reason = "rows are few")]
        self.batch.observe(rows as f64, 1);
        self.passes.add(rows, [decode, compute, encode]);
    }
}

/// A loaded version.
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What answers.
    pub engine: Arc<Engine>,
    /// What it did.
    pub statistics: Statistics,
    /// Whether it answers for the name alone.
    pub serving: bool,
}

/// Versions that answer.
#[derive(Default)]
pub struct Models {
    all: Vec<Arc<Model>>,
    contract: Option<Arc<Model>>,
}

impl Models {
    /// Versions that answer, of which the one that serves `contract` answers `rtpredictor.v1`.
    #[must_use]
    pub fn new(all: Vec<Model>, contract: &str) -> Self {
        let all: Vec<Arc<Model>> = all.into_iter().map(Arc::new).collect();
        let answers = |model: &&Arc<Model>| model.serving && model.name == contract && model.engine.jobs.is_some();
        let contract = all.iter().find(answers).cloned();
        Self { all, contract }
    }

    /// What answers `rtpredictor.v1`.
    pub(crate) fn contract(&self) -> Option<&Arc<Model>> {
        self.contract.as_ref()
    }

    /// What answers for a name, or a version of it.
    pub(crate) fn find(&self, name: &str, version: &str) -> Option<&Arc<Model>> {
        let is_it = |model: &&Arc<Model>| {
            model.name == name && if version.is_empty() { model.serving } else { model.version == version }
        };
        self.all.iter().find(is_it)
    }
}
