//! Counters of the core for Python, which counts into the same ones.

use std::sync::Arc;

use jobcast_listener as listener;
use pyo3::prelude::*;

/// A number that only grows.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Counter(pub(crate) Arc<listener::Counter>);

#[pymethods]
impl Counter {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    #[pyo3(signature = (times=1))]
    fn inc(&self, times: u64) {
        self.0.add(times);
    }

    fn value(&self) -> u64 {
        self.0.value()
    }
}

/// Values by bound.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Histogram(pub(crate) Arc<listener::Histogram>);

#[pymethods]
impl Histogram {
    #[new]
    fn new(bounds: Vec<f64>) -> Self {
        Self(Arc::new(listener::Histogram::new(bounds)))
    }

    #[pyo3(signature = (value, times=1))]
    fn observe(&self, value: f64, times: u64) {
        self.0.observe(value, times);
    }

    fn counts(&self) -> (Vec<u64>, f64) {
        self.0.read()
    }
}

/// Passes by rows.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Passes(pub(crate) Arc<listener::Passes>);

#[pymethods]
impl Passes {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    fn add(&self, rows: usize, decode: f64, compute: f64, encode: f64) {
        self.0.add(rows, [decode, compute, encode]);
    }

    fn lines(&self) -> Vec<(usize, u64, f64, f64, f64)> {
        let line = |(rows, count, [decode, compute, encode]): listener::Line| (rows, count, decode, compute, encode);
        self.0.lines().into_iter().map(line).collect()
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }

    #[getter]
    fn last(&self) -> i64 {
        self.0.last()
    }
}

/// Work in hand, on both sides together.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Places(pub(crate) Arc<listener::Places>);

#[pymethods]
impl Places {
    #[new]
    fn new(calls: usize, streams: usize, rows: usize) -> Self {
        Self(Arc::new(listener::Places::new(listener::Most { calls, streams, rows })))
    }

    fn take_call(&self) -> bool {
        self.0.take_call()
    }

    fn leave_call(&self) {
        self.0.leave_call();
    }

    fn take_stream(&self) -> bool {
        self.0.take_stream()
    }

    fn leave_stream(&self) {
        self.0.leave_stream();
    }

    fn take_rows(&self, rows: usize) -> bool {
        self.0.take_rows(rows)
    }

    fn leave_rows(&self, rows: usize) {
        self.0.leave_rows(rows);
    }

    #[getter]
    fn calls(&self) -> usize {
        self.0.held().0
    }

    #[getter]
    fn streams(&self) -> usize {
        self.0.held().1
    }

    #[getter]
    fn rows(&self) -> usize {
        self.0.held().2
    }
}

/// How often somebody may call.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Rate(pub(crate) Arc<listener::Rate>);

#[pymethods]
impl Rate {
    #[new]
    fn new(per_second: f64, burst: f64) -> Self {
        Self(Arc::new(listener::Rate::new(per_second, burst)))
    }

    fn take(&self) -> bool {
        self.0.take()
    }
}
