//! The native listener for Python: it serves a socket on threads of its own, and hands over what Python answers.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use jobcast_listener as listener;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyTuple};

use crate::counts::{Counter, Histogram, Passes, Places, Rate};
use crate::engine::Engine;

/// Success, error, rejected, seconds.
type Method<'py> = (PyRef<'py, Counter>, PyRef<'py, Counter>, PyRef<'py, Counter>, PyRef<'py, Histogram>);

/// Number, text and trailing metadata.
type Status = (u16, String, Vec<(String, Vec<u8>)>);

/// Bounds by name.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Limits {
    message_bytes: usize,
    header_bytes: u32,
    concurrent_streams: u32,
    pending_resets: usize,
    batch_rows: usize,
    piece_rows: usize,
    together: bool,
    connections: usize,
    trace_ratio: Option<f64>,
    handshake_s: f64,
    message_s: f64,
    keepalive_s: f64,
    keepalive_timeout_s: f64,
}

/// What is counted, by name.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Meters<'py> {
    predict: Method<'py>,
    batch: Method<'py>,
    stream: Method<'py>,
    infer: Method<'py>,
    batch_size: PyRef<'py, Histogram>,
    prediction: PyRef<'py, Histogram>,
    served: PyRef<'py, Counter>,
}

/// What a version did, by name.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Statistics<'py> {
    success: PyRef<'py, Histogram>,
    failure: PyRef<'py, Histogram>,
    queue: PyRef<'py, Histogram>,
    decode: PyRef<'py, Histogram>,
    compute: PyRef<'py, Histogram>,
    encode: PyRef<'py, Histogram>,
    batch: PyRef<'py, Histogram>,
    errors: PyRef<'py, Counter>,
    passes: PyRef<'py, Passes>,
}

/// A gRPC port served without Python.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Listener(listener::Listener);

#[pymethods]
impl Listener {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "each is of its own kind")]
    fn new(
        limits: Limits,
        places: &Places,
        meters: Meters,
        overload: String,
        draining: String,
        methods: HashMap<String, bool>,
        threads: usize,
        workers: usize,
        echo: bool,
    ) -> PyResult<Self> {
        let kind = |streams| if streams { listener::Kind::Stream } else { listener::Kind::Unary };
        let setup = listener::Setup {
            limits: limits.into(),
            places: Arc::clone(&places.0),
            meters: meters.into(),
            texts: listener::Texts { overload, draining },
            methods: methods.into_iter().map(|(path, streams)| (path, kind(streams))).collect(),
            threads,
            workers,
            echo,
        };
        Ok(Self(listener::Listener::new(setup)?))
    }

    /// Takes the descriptor of a socket that listens.
    fn start(&self, descriptor: i32) -> PyResult<()> {
        if descriptor < 0 {
            return Err(PyOSError::new_err(format!("descriptor: must be >= 0, got {descriptor}")));
        }
        // SAFETY: whoever calls detached it from its socket for this.
        let socket = TcpListener::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        Ok(self.0.start(socket)?)
    }

    #[allow(clippy::needless_pass_by_value, reason = "Python gives lists")]
    fn serve(&self, models: Vec<(String, String, PyRef<Engine>, Statistics, bool)>, contract: &str) {
        let loaded = models.into_iter().map(|(name, version, engine, statistics, serving)| listener::Model {
            name,
            version,
            engine: Arc::clone(&engine.inner),
            statistics: statistics.into(),
            serving,
        });
        self.0.serve(listener::Models::new(loaded.collect(), contract));
    }

    fn admit(&self, keys: Option<Vec<(listener::Print, PyRef<Rate>)>>) {
        let table = |keys: Vec<(listener::Print, PyRef<Rate>)>| {
            keys.into_iter().map(|(print, rate)| (print, Arc::clone(&rate.0))).collect()
        };
        self.0.admit(keys.map(table));
    }

    #[pyo3(signature = (chain, key, clients=None))]
    fn secure(&self, chain: &[u8], key: &[u8], clients: Option<&[u8]>) -> PyResult<()> {
        self.0.secure(chain, key, clients).map_err(PyValueError::new_err)
    }

    fn fileno(&self) -> i32 {
        self.0.ear()
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.0.events().into_iter().map(|event| told(py, event)).collect()
    }

    fn read(&self, id: u64) {
        self.0.read(id);
    }

    fn write(&self, id: u64, message: &[u8]) {
        self.0.write(id, message.to_vec());
    }

    #[pyo3(signature = (id, status=None))]
    fn finish(&self, id: u64, status: Option<Status>) {
        let status = status.map(|(code, message, metadata)| listener::Status { code, message, metadata });
        self.0.finish(id, status);
    }

    #[allow(clippy::needless_pass_by_value, reason = "Python gives lists")]
    fn answer(&self, id: u64, answers: Vec<PyBackedBytes>) {
        self.0.answer(id, answers.iter().map(|answer| answer.to_vec()).collect());
    }

    fn drain(&self) {
        self.0.drain();
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

/// An event's name and what belongs to it.
fn told(py: Python<'_>, event: listener::Event) -> PyResult<Bound<'_, PyTuple>> {
    let bytes = |message: &[u8]| PyBytes::new(py, message);
    match event {
        listener::Event::Call { id, path, message, peer, metadata, left, paid } => {
            let message = message.map(|message| bytes(&message));
            let (peer, left) = (peer.map(named), left.map(|left| left.as_secs_f64()));
            ("call", id, path, message, peer, metadata, left, paid).into_pyobject(py)
        }
        listener::Event::Message(id, message) => ("message", id, message.map(|found| bytes(&found))).into_pyobject(py),
        listener::Event::Written(id) => ("written", id).into_pyobject(py),
        listener::Event::Gone(id) => ("gone", id).into_pyobject(py),
        listener::Event::Predictions(id, messages) => {
            let messages: Vec<_> = messages.iter().map(|message| bytes(message)).collect();
            ("predictions", id, messages).into_pyobject(py)
        }
    }
}

/// An address as gRPC names it.
fn named(peer: SocketAddr) -> String {
    match peer {
        SocketAddr::V4(peer) => format!("ipv4:{peer}"),
        SocketAddr::V6(peer) => format!("ipv6:%5B{}%5D:{}", peer.ip(), peer.port()),
    }
}

impl From<Limits> for listener::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            message_bytes: limits.message_bytes,
            header_bytes: limits.header_bytes,
            concurrent_streams: limits.concurrent_streams,
            pending_resets: limits.pending_resets,
            batch_rows: limits.batch_rows,
            piece_rows: limits.piece_rows,
            together: limits.together,
            connections: limits.connections,
            trace_ratio: limits.trace_ratio,
            handshake: Duration::from_secs_f64(limits.handshake_s),
            message: Duration::from_secs_f64(limits.message_s),
            keepalive: Duration::from_secs_f64(limits.keepalive_s),
            keepalive_timeout: Duration::from_secs_f64(limits.keepalive_timeout_s),
        }
    }
}

impl From<Meters<'_>> for listener::Meters {
    fn from(meters: Meters) -> Self {
        let method = |(success, error, rejected, seconds): Method| listener::Method {
            success: Arc::clone(&success.0),
            error: Arc::clone(&error.0),
            rejected: Arc::clone(&rejected.0),
            seconds: Arc::clone(&seconds.0),
        };
        Self {
            predict: method(meters.predict),
            batch: method(meters.batch),
            stream: method(meters.stream),
            infer: method(meters.infer),
            batch_size: Arc::clone(&meters.batch_size.0),
            prediction: Arc::clone(&meters.prediction.0),
            served: Arc::clone(&meters.served.0),
        }
    }
}

impl From<Statistics<'_>> for listener::Statistics {
    fn from(statistics: Statistics) -> Self {
        Self {
            success: Arc::clone(&statistics.success.0),
            failure: Arc::clone(&statistics.failure.0),
            queue: Arc::clone(&statistics.queue.0),
            decode: Arc::clone(&statistics.decode.0),
            compute: Arc::clone(&statistics.compute.0),
            encode: Arc::clone(&statistics.encode.0),
            batch: Arc::clone(&statistics.batch.0),
            errors: Arc::clone(&statistics.errors.0),
            passes: Arc::clone(&statistics.passes.0),
        }
    }
}
