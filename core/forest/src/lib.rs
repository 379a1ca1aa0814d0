//! A compiled decision forest. Its law: every answer has the bits that onnxruntime's `TreeEnsembleRegressor` gives with
//! one thread, for every row and every batch size: the same leaf, and the leaves added in float32 in the order of the
//! trees, the base value last.
//!
//! How a row becomes leaves:
//!
//! ```text
//! float32 features ──ranks──> one byte for each (feature, way of NaN) ──walk──> leaf of each tree ──sum──> outputs
//!                   (ranks.rs)          x <= t_k  is  rank(x) < k + 1  (kernel/)              (sum.rs)
//! ```
//!
//! Trees that fit no byte ranks (a tree with more than 254 thresholds of one feature) are walked as they came.

mod choice;
mod error;
mod forest;
mod group;
mod kernel;
mod ranks;
mod source;
mod sum;
mod tree;

pub use choice::{Choice, Plan, Report};
pub use error::Error;
pub use forest::Forest;
pub use kernel::Kernel;
pub use source::{Attributes, Mode};
pub use tree::Trees;
