//! The engine for Python: bytes in and bytes out with the interpreter let go, `None` for what the Python engine is to
//! answer, and the seconds that each step took beside every answer.

use std::collections::HashSet;
use std::sync::Arc;

use jobcast_engine as engine;
use jobcast_operator as operator;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList};

create_exception!(
    jobcast_core._core,
    Panicked,
    PyException,
    "The engine failed on a request, which is a fault of ours."
);

/// Decode, compute and encode.
type Seconds = (f64, f64, f64);

/// Bounds of numbers, longest texts, bounds of times, quantile levels, places of the interval's ends, place of the limit.
type Contract = ([(f64, f64); 5], [usize; 5], (i64, i64), Vec<f64>, (usize, usize), usize);

#[derive(FromPyObject)]
enum Rule {
    Text(bool, Option<usize>, Option<HashSet<Vec<u8>>>, Vec<u8>),
    Double(f64, f64, bool, Option<f64>, f64),
    Long(i64, i64, Option<i64>),
}

impl Rule {
    fn kind(&self) -> engine::Kind {
        match self {
            Self::Text(..) => engine::Kind::Text,
            Self::Double(..) => engine::Kind::Double,
            Self::Long(..) => engine::Kind::Long,
        }
    }
}

impl From<Rule> for engine::Rule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Text(required, longest, closed, default) => Self::Text { required, longest, closed, default },
            Rule::Double(low, high, optional, missing, default) => {
                Self::Double { low, high, optional, missing, default }
            }
            Rule::Long(low, high, default) => Self::Long { low, high, default },
        }
    }
}

/// A column as Python has it.
#[derive(FromPyObject)]
enum Column {
    Numbers(PyBackedBytes),
    Texts(Vec<PyBackedStr>),
}

impl Column {
    fn values(&self) -> engine::Values<'_> {
        match self {
            Self::Numbers(raw) => engine::Values::Numbers(raw),
            Self::Texts(texts) => engine::Values::Texts(texts.iter().map(|text| &**text).collect()),
        }
    }
}

/// Requests of one bundle, answered without Python in between.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Engine {
    pub(crate) inner: Arc<engine::Engine>,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(
        py: Python<'_>,
        model: &[u8],
        inputs: Vec<(String, Rule, Vec<i64>)>,
        outputs: Vec<(String, Vec<i64>)>,
        version: String,
        max_rows: usize,
        contract: Option<Contract>,
    ) -> PyResult<Self> {
        let (mut declared, mut rules) = (Vec::new(), Vec::new());
        for (name, rule, tail) in inputs {
            declared.push(engine::Input { name, kind: rule.kind(), tail });
            rules.push(rule.into());
        }
        let outputs = outputs.into_iter().map(|(name, tail)| engine::Output { name, tail }).collect();
        let graph = py.detach(|| load(model, declared, outputs)).map_err(PyValueError::new_err)?;
        let graph = Arc::new(graph);
        let jobs = match contract {
            None => None,
            Some((numbers, lengths, times, levels, interval, limit)) => {
                let levels = engine::Levels { levels, interval, limit, version: version.clone() };
                let made = engine::Jobs::new(Arc::clone(&graph), engine::Bounds { numbers, lengths, times }, &levels);
                Some(made.ok_or_else(|| PyValueError::new_err("the graph does not answer the contract"))?)
            }
        };
        let tensors = engine::Tensors::new(Arc::clone(&graph), rules, max_rows, version);
        let tensors = tensors.ok_or_else(|| PyValueError::new_err("rules must fit the inputs"))?;
        Ok(Self { inner: Arc::new(engine::Engine { graph, jobs, tensors }) })
    }

    fn predict<'py>(&self, py: Python<'py>, request: &[u8]) -> PyResult<Option<(Bound<'py, PyBytes>, Seconds)>> {
        let passed = py.detach(|| self.inner.jobs.as_ref().map_or(Ok(None), |jobs| jobs.predict(request)));
        Ok(told(passed)?.map(|passed| (PyBytes::new(py, &passed.answer), seconds(&passed))))
    }

    #[allow(clippy::type_complexity, reason = "the stub says what it is")]
    fn predict_many<'py>(
        &self,
        py: Python<'py>,
        requests: &Bound<'py, PyList>,
    ) -> PyResult<Option<(Vec<Option<Bound<'py, PyBytes>>>, Seconds)>> {
        let requests: Vec<Bound<'py, PyBytes>> = requests.extract()?;
        let contents: Vec<&[u8]> = requests.iter().map(PyBytesMethods::as_bytes).collect();
        let passed = py.detach(|| self.inner.jobs.as_ref().map_or(Ok(None), |jobs| jobs.predict_many(&contents)));
        Ok(told(passed)?.map(|passed| {
            let bytes = |answer: &Option<Vec<u8>>| answer.as_ref().map(|answer| PyBytes::new(py, answer));
            (passed.answer.iter().map(bytes).collect(), seconds(&passed))
        }))
    }

    #[allow(clippy::type_complexity, reason = "the stub says what it is")]
    fn part<'py>(
        &self,
        py: Python<'py>,
        piece: &[u8],
        most: usize,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, String, usize, Seconds)>> {
        let passed = py.detach(|| self.inner.jobs.as_ref().map_or(Ok(None), |jobs| jobs.part(piece, most)));
        Ok(told(passed)?.map(|passed| {
            let times = seconds(&passed);
            (PyBytes::new(py, &passed.answer.answers), passed.answer.batch_id, passed.rows, times)
        }))
    }

    fn run<'py>(
        &self,
        py: Python<'py>,
        rows: usize,
        columns: &Bound<'py, PyList>,
    ) -> PyResult<Option<(Vec<Bound<'py, PyBytes>>, Seconds)>> {
        let columns: Vec<Column> = columns.extract()?;
        let values = columns.iter().map(Column::values).collect::<Vec<_>>();
        let passed = told(py.detach(|| self.inner.graph.compute(rows, &values)))?;
        Ok(passed.map(|passed| {
            let bytes = |output: &Vec<f32>| {
                let raw: Vec<u8> = output.iter().flat_map(|value| value.to_le_bytes()).collect();
                PyBytes::new(py, &raw)
            };
            (passed.answer.iter().map(bytes).collect(), seconds(&passed))
        }))
    }

    fn admit(&self, py: Python<'_>, request: Py<InferRequest>) -> Option<Admitted> {
        let read = request.get();
        let message = read.message.as_bytes(py);
        let found = py.detach(|| self.inner.tensors.admit(message, &read.request))?;
        Some(Admitted { rows: found.rows(), request, found })
    }

    fn infer<'py>(
        &self,
        py: Python<'py>,
        requests: &Bound<'py, PyList>,
    ) -> PyResult<Option<(Vec<Bound<'py, PyBytes>>, Seconds)>> {
        let requests: Vec<Bound<'py, Admitted>> = requests.extract()?;
        let parts: Vec<(&[u8], &engine::Request, &engine::Admitted)> = requests
            .iter()
            .map(|admitted| {
                let (found, read) = (&admitted.get().found, admitted.get().request.get());
                (read.message.as_bytes(py), &read.request, found)
            })
            .collect();
        let passed = told(py.detach(|| self.inner.tensors.infer(&parts)))?;
        Ok(passed
            .map(|passed| (passed.answer.iter().map(|answer| PyBytes::new(py, answer)).collect(), seconds(&passed))))
    }
}

/// A request of the Open Inference Protocol whose structure is plain.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct InferRequest {
    message: Py<PyBytes>,
    request: engine::Request,
    #[pyo3(get)]
    model_name: String,
    #[pyo3(get)]
    model_version: String,
}

/// Such a request that keeps every rule of a bundle.
#[pyclass(frozen, module = "jobcast_core._core")]
pub struct Admitted {
    request: Py<InferRequest>,
    found: engine::Admitted,
    #[pyo3(get)]
    rows: usize,
}

#[pyfunction]
pub fn read_infer(py: Python<'_>, request: Py<PyBytes>) -> Option<InferRequest> {
    let message = request.as_bytes(py);
    let read = py.detach(|| engine::Request::read(message))?;
    let (model_name, model_version) = (read.name(message)?.to_owned(), read.version(message)?.to_owned());
    Some(InferRequest { message: request, request: read, model_name, model_version })
}

#[pyfunction]
pub fn split<'py>(py: Python<'py>, request: &[u8], rows: usize) -> Vec<(Bound<'py, PyBytes>, usize)> {
    let mut start = 0;
    let pieces = py.detach(|| engine::split(request, rows)).into_iter().map(|(end, count)| {
        let piece = PyBytes::new(py, &request[start..end]);
        start = end;
        (piece, count)
    });
    pieces.collect()
}

/// Loads a graph into the runtime that Python uses, with the core's operators.
fn load(model: &[u8], inputs: Vec<engine::Input>, outputs: Vec<engine::Output>) -> Result<engine::Graph, String> {
    let base = operator::host();
    if base.is_null() {
        return Err("onnxruntime did not register the core's library yet".to_owned());
    }
    // SAFETY: the table is the one that onnxruntime registered this library with.
    let runtime = unsafe { engine::Runtime::of(base) }.map_err(|error| error.to_string())?;
    let register = |options: *mut operator::SessionOptions| {
        // SAFETY: options and table are of this runtime.
        unsafe { operator::RegisterCustomOps(options, base) }
    };
    engine::Graph::new(runtime, model, &register, inputs, outputs).map_err(|error| error.to_string())
}

fn told<T>(passed: Result<T, engine::Panicked>) -> PyResult<T> {
    passed.map_err(|panicked| Panicked::new_err(panicked.to_string()))
}

fn seconds<T>(passed: &engine::Passed<T>) -> Seconds {
    (passed.decode, passed.compute, passed.encode)
}
