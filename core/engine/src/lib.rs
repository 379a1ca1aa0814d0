//! Request bytes in, answer bytes out, with one loaded graph.
//!
//! The law: this engine answers only what is plainly valid, with the very bytes that the Python engine would give. It has
//! no error messages: whatever breaks a rule, is rare, or looks odd is `None`, and the caller hands the same bytes to the
//! Python engine, so that there is one implementation of every error.

mod admission;
mod answer;
mod column;
mod engine;
mod fault;
mod frame;
mod graph;
mod infer;
mod job;
mod jobs;
#[cfg(feature = "parts")]
pub mod parts;
mod rules;
mod runtime;
mod session;
mod split;
mod tensors;
mod wire;

pub use admission::Admitted;
pub use answer::{Levels, batch_tail};
pub use column::Kind;
pub use engine::Engine;
pub use fault::{Panicked, guarded};
pub use graph::{Graph, Input, Output, Passed, Values};
pub use infer::Request;
pub use job::Bounds;
pub use jobs::{Jobs, Part};
pub use rules::Rule;
pub use runtime::{Runtime, RuntimeError};
pub use split::{batch_id, split};
pub use tensors::Tensors;
