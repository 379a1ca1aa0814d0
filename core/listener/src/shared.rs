//! What all threads of a listener share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::bridge::Bridge;
use crate::counts::{Counter, Histogram};
use crate::gate::Gate;
use crate::grpc::Status;
use crate::models::Models;
use crate::places::Places;
use crate::tls::Tls;
use crate::workers::Workers;

/// How a method's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One message, one answer.
    Unary,
    /// Any number of both.
    Stream,
}

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a message, once decompressed.
    pub message_bytes: usize,
    /// Bytes of all headers of a call.
    pub header_bytes: u32,
    /// Calls in flight over one connection.
    pub concurrent_streams: u32,
    /// Calls that a caller may have reset before they were looked at; more end the connection.
    pub pending_resets: usize,
    /// Jobs of a batch.
    pub batch_rows: usize,
    /// Rows of one step of a large request.
    pub piece_rows: usize,
    /// Whether requests that come together are answered in one pass.
    pub together: bool,
    /// Open connections.
    pub connections: usize,
    /// Share of calls to trace; none when nothing is traced.
    pub trace_ratio: Option<f64>,
    /// Time for a connection's first bytes.
    pub handshake: Duration,
    /// Time for the message of a unary call.
    pub message: Duration,
    /// A caller that says nothing is asked after this time whether it lives.
    pub keepalive: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
}

/// What is counted for one method.
#[derive(Clone, Debug)]
pub struct Method {
    /// Answered well.
    pub success: Arc<Counter>,
    /// Faults of ours.
    pub error: Arc<Counter>,
    /// Refused for want of a place.
    pub rejected: Arc<Counter>,
    /// Seconds of each.
    pub seconds: Arc<Histogram>,
}

/// What is counted for all models together.
#[derive(Clone, Debug)]
pub struct Meters {
    /// `Predict`.
    pub predict: Method,
    /// `PredictBatch`.
    pub batch: Method,
    /// `PredictStream`, by message.
    pub stream: Method,
    /// `ModelInfer`.
    pub infer: Method,
    /// Rows of a request.
    pub batch_size: Arc<Histogram>,
    /// Seconds of a pass.
    pub prediction: Arc<Histogram>,
    /// Predictions answered.
    pub served: Arc<Counter>,
}

/// Texts that both sides say alike.
#[derive(Clone, Debug)]
pub struct Texts {
    /// There is no place for a call.
    pub overload: String,
    /// A stream of predictions ends, since the server does.
    pub draining: String,
}

/// Where the server is in its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Streams of predictions end.
    Draining,
    /// Connections end when their calls have.
    Stopping,
}

pub(crate) struct Shared {
    pub models: ArcSwap<Models>,
    pub places: Arc<Places>,
    pub meters: Meters,
    pub limits: Limits,
    pub texts: Texts,
    pub methods: HashMap<String, Kind>,
    pub bridge: Arc<Bridge>,
    pub gate: Gate,
    pub tls: Tls,
    pub workers: Workers,
    pub phase: watch::Sender<Phase>,
    pub echo: bool,
}

impl Shared {
    pub(crate) fn overload(&self) -> Status {
        Status::new(crate::grpc::Code::ResourceExhausted, &*self.texts.overload)
    }
}
