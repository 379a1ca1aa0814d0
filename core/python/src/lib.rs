//! `jobcast_core._core`: the native core for Python. The same file is the library of operators that onnxruntime loads.

use pyo3::prelude::*;

mod counts;
mod engine;
mod listener;

// The entry is called by onnxruntime alone, so that something has to hold it in the library.
#[used]
static ENTRY: unsafe extern "C" fn(
    *mut jobcast_operator::SessionOptions,
    *const jobcast_operator::ApiBase,
) -> jobcast_operator::Status = jobcast_operator::RegisterCustomOps;

#[pymodule(gil_used = false)]
mod _core {
    use jobcast_operator as operator;
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    /// Raised by one whenever the server calls this core in a way that older ones do not know.
    #[pymodule_export]
    const INTERFACE: u32 = 2;

    #[pymodule_export]
    use crate::counts::{Counter, Histogram, Passes, Places, Rate};
    #[pymodule_export]
    use crate::engine::{Admitted, Engine, InferRequest, Panicked, read_infer, split};
    #[pymodule_export]
    use crate::listener::Listener;

    /// A forest that a session of this process holds: what it is and how it computes.
    #[pyclass(frozen, get_all, module = "jobcast_core._core")]
    #[allow(clippy::struct_field_names, reason = "the names are what Python sees")]
    struct Kernel {
        serial: u64,
        node: String,
        trees: usize,
        oblivious: usize,
        plain: usize,
        outputs: usize,
        segments: usize,
        single_kernel: &'static str,
        single_us: f64,
        batch_kernel: &'static str,
        batch_block: usize,
        batch_row_us: f64,
        text: String,
    }

    /// Operators of a graph that a session of this process holds as one.
    #[pyclass(frozen, get_all, module = "jobcast_core._core")]
    struct Features {
        serial: u64,
        node: String,
        operators: usize,
        instructions: usize,
        text: String,
    }

    #[pymethods]
    impl Features {
        fn __str__(&self) -> &str {
            &self.text
        }
    }

    #[pymethods]
    impl Kernel {
        fn __str__(&self) -> &str {
            &self.text
        }
    }

    #[pyfunction]
    fn library_path(py: Python<'_>) -> PyResult<String> {
        py.import("jobcast_core._core")?.getattr("__file__")?.extract()
    }

    #[pyfunction]
    fn rewrite<'py>(py: Python<'py>, model: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let rewritten = py.detach(|| operator::rewrite(model));
        match rewritten {
            Ok(bytes) => Ok(PyBytes::new(py, &bytes)),
            Err(refusal) => Err(PyValueError::new_err(refusal.to_string())),
        }
    }

    #[pyfunction]
    fn fuse<'py>(py: Python<'py>, model: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let fused = py.detach(|| operator::fuse(model));
        match fused {
            Ok(bytes) => Ok(PyBytes::new(py, &bytes)),
            Err(refusal) => Err(PyValueError::new_err(refusal.to_string())),
        }
    }

    #[pyfunction]
    fn features() -> Vec<Features> {
        let made = operator::living_features().into_iter().map(|living| {
            let (operators, instructions) = (living.operators, living.instructions);
            let text = format!("{operators} operators of the graph in {instructions} instructions");
            Features { serial: living.serial, node: living.node, operators, instructions, text }
        });
        made.collect()
    }

    #[pyfunction]
    fn versions() -> [(&'static str, String); 3] {
        [
            ("jobcast_core", env!("CARGO_PKG_VERSION").to_owned()),
            ("onnxruntime_api", operator::API_VERSION.to_string()),
            ("processor", available()),
        ]
    }

    #[pyfunction]
    fn kernels() -> Vec<Kernel> {
        operator::living()
            .into_iter()
            .map(|living| {
                let report = living.report;
                let (single, batch) = (report.single, report.batch);
                Kernel {
                    serial: living.serial,
                    node: living.node,
                    trees: report.trees,
                    oblivious: report.oblivious,
                    plain: report.plain,
                    outputs: report.outputs,
                    segments: report.segments,
                    single_kernel: single.plan.kernel.name(),
                    single_us: single.row_ns / 1e3,
                    batch_kernel: batch.plan.kernel.name(),
                    batch_block: batch.plan.block,
                    batch_row_us: batch.row_ns / 1e3,
                    text: report.to_string(),
                }
            })
            .collect()
    }

    fn available() -> String {
        let kernels: Vec<&str> = jobcast_forest::Kernel::available().iter().map(|kernel| kernel.name()).collect();
        kernels.join(" ")
    }
}
