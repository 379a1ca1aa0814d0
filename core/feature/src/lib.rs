//! The plain operators of a graph, compiled to one program. Its law: the same bits as onnxruntime's kernels, the order of
//! their sums and their choice between the two zeros included; only the sign and payload of NaN are not promised.
//! Whatever is not known to come out so is refused.
//!
//! A value of the graph is `[N, ...]`. At compile time it falls apart into its columns, each one number for each row, so
//! that operators that only rearrange cost nothing, broadcasting is resolved, and what nobody reads is not computed.

mod columnwise;
mod compile;
mod labels;
mod node;
mod order;
mod pattern;
mod program;
mod refusal;
mod rowwise;
mod run;
mod split;
mod tensor;

pub use compile::Builder;
pub use node::{Attribute, Node};
pub use program::{Program, Slot};
pub use refusal::Refusal;
pub use run::{Fault, In, Out, Space};
pub use tensor::{Data, Kind, Tensor};
