//! Loads a gRPC server over loopback and says how quickly it answered.
//!
//! The law of this crate: nothing counts as answered but a whole message behind `grpc-status` 0, every other end of a
//! call is counted under its name, and an open loop counts latency from the moment a call was due, so that neither a
//! stalled server nor a late client hides waiting time.

pub mod answer;
pub mod arrivals;
pub mod call;
pub mod clock;
pub mod closed;
pub mod connection;
pub mod failure;
pub mod frame;
pub mod machine;
pub mod open;
pub mod options;
pub mod plan;
pub mod report;
pub mod run;
pub mod stream;
pub mod tally;
pub mod timer;
pub mod window;
