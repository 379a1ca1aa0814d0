//! `jobcast.Forest`, an operator that onnxruntime runs in the place of a `TreeEnsembleRegressor`, and `jobcast.Features`,
//! which it runs in the place of the plain operators below and above the trees. Their law: the file on disk stays standard ONNX; a graph is rewritten in memory, and whatever cannot be rewritten with the same answers is
//! refused with the reason.
//!
//! The library links no onnxruntime: whoever loads it hands in the table of functions of the runtime in the process.

mod api;
mod declared;
mod features;
mod fuse;
mod group;
mod host;
mod kernel;
mod living;
mod node;
mod onnx;
mod register;
mod rewrite;
mod tensors;
mod wire;

pub use host::host;
pub use living::{Living, LivingFeatures, living, living_features};
pub use ort_sys::{OrtApiBase as ApiBase, OrtSessionOptions as SessionOptions, OrtStatusPtr as Status};
pub use register::RegisterCustomOps;
pub use rewrite::{Refusal, fuse, rewrite};

/// Domain of the operators.
pub const DOMAIN: &str = "jobcast";
/// Name of the operator for trees.
pub const OPERATOR: &str = "Forest";
/// Name of the operator for everything plain.
pub const FEATURES: &str = "Features";
/// Least version of onnxruntime's C interface that has all that is called.
pub const API_VERSION: u32 = ort_sys::ORT_API_VERSION;
