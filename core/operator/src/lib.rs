//! `jobcast.Forest`, an operator that onnxruntime runs in the place of a `TreeEnsembleRegressor`. Its law: the file on
//! disk stays standard ONNX; a graph is rewritten in memory, and whatever cannot be rewritten with the same answers is
//! refused with the reason.
//!
//! The library links no onnxruntime: whoever loads it hands in the table of functions of the runtime in the process.

mod api;
mod host;
mod kernel;
mod living;
mod node;
mod register;
mod rewrite;
mod wire;

pub use host::host;
pub use living::{Living, living};
pub use ort_sys::{OrtApiBase as ApiBase, OrtSessionOptions as SessionOptions, OrtStatusPtr as Status};
pub use register::RegisterCustomOps;
pub use rewrite::{Refusal, rewrite};

/// Domain of the operator.
pub const DOMAIN: &str = "jobcast";
/// Name of the operator.
pub const OPERATOR: &str = "Forest";
/// Least version of onnxruntime's C interface that has all that is called.
pub const API_VERSION: u32 = ort_sys::ORT_API_VERSION;
