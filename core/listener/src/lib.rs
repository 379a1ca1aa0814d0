//! The gRPC port without Python: connections, the hot methods from bytes to bytes, and everything else handed over.
//!
//! The law: this side answers only what is plainly valid and says only what costs too much to say elsewhere (no place, no
//! such method, a message too long). Whatever else a call is, the other side gets it with the same bytes, so that there
//! is one implementation of every method, rule and error.

mod batch;
mod body;
mod bridge;
mod call;
mod connection;
mod counts;
mod gate;
mod gather;
mod grpc;
mod handed;
mod listener;
mod models;
mod places;
mod rates;
mod shared;
mod stream;
mod tls;
mod traced;
mod workers;

pub use bridge::Event;
pub use counts::{Counter, Histogram, Line, Passes};
pub use gate::Print;
pub use grpc::Status;
pub use listener::{Listener, Setup};
pub use models::{Model, Models, Statistics};
pub use places::{Most, Places};
pub use rates::Rate;
pub use shared::{Kind, Limits, Meters, Method, Texts};
