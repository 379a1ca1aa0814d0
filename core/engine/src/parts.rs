//! Decoding and encoding without a graph, with the inputs and rules of `hpc-runtime`, for tests, fuzzing and benchmarks.

use crate::admission::{Declared, admit, fill};
use crate::answer::{Encoder, Levels, put_request_id};
use crate::column::{Column, Kind};
use crate::graph::{Input, Output};
use crate::infer::Request;
use crate::job::Bounds;
use crate::jobs::{Single, fill_jobs, fill_rest};
use crate::rules::Rule;
use crate::split;

/// Most rows of a request with tensors.
const MOST_ROWS: usize = 10_000;
/// Highest value of a whole number of 32 bits.
const WHOLE: f64 = 2_147_483_647.0;
const LONGEST: usize = 256;
const QUANTILES: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975];

/// Columns, and what may fill them.
pub struct Parts {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    rules: Vec<Rule>,
    bounds: Bounds,
    encoder: Encoder,
    columns: Vec<Column>,
}

impl Default for Parts {
    fn default() -> Self {
        let (inputs, rules): (Vec<_>, Vec<_>) = declared().into_iter().unzip();
        let output = |name: &str, width| Output { name: name.to_owned(), tail: vec![width] };
        let levels = Levels { levels: QUANTILES.to_vec(), interval: (1, 7), limit: 7, version: "1".to_owned() };
        let Some(encoder) = Encoder::new(&levels) else { unreachable!("there are nine levels") };
        let numbers = [(1.0, WHOLE), (1.0, WHOLE), (0.0, f64::MAX), (5e-324, f64::MAX), (0.0, WHOLE)];
        Self {
            columns: inputs.iter().map(|input| Column::of(input.kind)).collect(),
            inputs,
            outputs: vec![output("quantiles", 9), output("point", 1)],
            rules,
            bounds: Bounds { numbers, lengths: [LONGEST; 5], times: (0, i64::MAX) },
            encoder,
        }
    }
}

impl Parts {
    /// Reads a `PredictRequest` into the columns, at `now` in Unix seconds; the rows, or `None` where Python answers.
    pub fn predict(&mut self, request: &[u8], now: i64) -> Option<usize> {
        self.clear();
        Single::read(request, &self.bounds)?.job.push(&mut self.columns, now);
        fill_rest(&self.inputs, &mut self.columns, 1);
        Some(1)
    }

    /// Reads a piece of a `PredictBatchRequest` in the same way.
    pub fn batch(&mut self, piece: &[u8], now: i64) -> Option<usize> {
        self.clear();
        let (rows, _) = fill_jobs(piece, &self.bounds, &mut self.columns, now)?;
        fill_rest(&self.inputs, &mut self.columns, rows);
        Some(rows)
    }

    /// Reads a `ModelInferRequest` in the same way, whichever model it names.
    pub fn infer(&mut self, message: &[u8]) -> Option<usize> {
        self.clear();
        let request = Request::read(message)?;
        let _ = (request.name(message)?, request.version(message)?);
        let (inputs, outputs, rules) = (&*self.inputs, &*self.outputs, &*self.rules);
        let declared = Declared { inputs, outputs, rules, most_rows: MOST_ROWS };
        let admitted = admit(declared, message, &request)?;
        fill(declared, message, &admitted, &mut self.columns)?;
        Some(admitted.rows())
    }

    /// Writes the answer to one job; `None` for outputs that no answer can hold.
    #[must_use]
    pub fn answer(&self, quantiles: &[f32], point: f32, now: i64, request_id: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.encoder.room());
        self.encoder.write(&mut out, quantiles, point, now)?;
        put_request_id(&mut out, request_id);
        Some(out)
    }

    /// The law of every decoder: what was taken fills each column with exactly its rows, and every value keeps its rule.
    ///
    /// # Panics
    /// It is broken.
    pub fn assert_kept(&self, rows: usize) {
        for ((column, input), rule) in self.columns.iter().zip(&self.inputs).zip(&self.rules) {
            let name = &input.name;
            assert_eq!(column.len(), rows * input.width(), "{name}: a value for each row");
            match column {
                Column::Doubles(values) => {
                    assert!(values.iter().all(|&value| rule.double(value).is_some()), "{name}: {values:?}");
                }
                Column::Longs(values) => {
                    assert!(values.iter().all(|&value| rule.long(value).is_some()), "{name}: {values:?}");
                }
                Column::Texts(texts) => {
                    let good = |text: &[u8]| rule.text(text).is_some() && crate::wire::is_text(text);
                    assert!(texts.iter().all(good), "{name}: a text breaks its rule");
                }
            }
        }
    }

    /// Bits of all columns, to compare two ways of filling them.
    #[must_use]
    pub fn bits(&self) -> Vec<Vec<u8>> {
        let of = |column: &Column| match column {
            Column::Doubles(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Column::Longs(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Column::Texts(texts) => texts.iter().flat_map(|text| [text, b"\0"].concat()).collect(),
        };
        self.columns.iter().map(of).collect()
    }

    fn clear(&mut self) {
        for column in &mut self.columns {
            column.clear();
        }
    }
}

/// The law of cutting: the pieces of a batch are the batch, and are read as the whole is.
///
/// # Panics
/// It is broken.
pub fn assert_pieces(bytes: &[u8], rows: usize) {
    let (mut parts, now) = (Parts::default(), 1);
    let whole = parts.batch(bytes, now).map(|count| (count, parts.bits()));
    let (mut start, mut read) = (0, Some((0, vec![Vec::new(); parts.bits().len()])));
    for (end, count) in split(bytes, rows) {
        assert!(start <= end && end <= bytes.len() && count <= rows, "{start}..{end} of {count} jobs");
        let taken = parts.batch(&bytes[start..end], now);
        read = read.zip(taken).map(|((known, columns), more)| {
            let longer = columns.into_iter().zip(parts.bits()).map(|(column, more)| [column, more].concat());
            (known + more, longer.collect())
        });
        start = end;
    }
    assert_eq!(start, bytes.len(), "the pieces are the batch");
    // A job that another field follows may be cut from it, which changes nothing that is read.
    if whole.is_some() {
        assert_eq!(read, whole, "pieces of {rows} jobs");
    }
}

/// Inputs in the order of the contract's bundle, and their rules.
fn declared() -> Vec<(Input, Rule)> {
    let input = |name: &str, kind, width| Input { name: name.to_owned(), kind, tail: vec![width] };
    let number = |name: &str, low: f64, high: f64| {
        let rule = Rule::Double { low, high, optional: false, missing: None, default: f64::NAN };
        (input(name, Kind::Double, 1), rule)
    };
    let unknown = |name: &str, width, high: f64, missing| {
        let rule = Rule::Double { low: 0.0, high, optional: true, missing, default: f64::NAN };
        (input(name, Kind::Double, width), rule)
    };
    let text = |name: &str, required| {
        let rule = Rule::Text { required, longest: Some(LONGEST), closed: None, default: Vec::new() };
        (input(name, Kind::Text, 1), rule)
    };
    vec![
        number("processors_req", 1.0, WHOLE),
        number("nodes_req", 1.0, WHOLE),
        unknown("mem_req", 1, f64::MAX, Some(0.0)),
        number("wallclock_req", 5e-324, f64::MAX),
        unknown("gpus_req", 1, WHOLE, None),
        (input("submit_time", Kind::Long, 1), Rule::Long { low: 0, high: i64::MAX, default: None }),
        text("partition", true),
        text("qos", true),
        text("user", false),
        text("account", false),
        text("job_name", false),
        unknown("recent_runtimes", 10, f64::MAX, None),
        unknown("similar_runtimes", 10, f64::MAX, None),
        unknown("named_runtimes", 10, f64::MAX, None),
        unknown("running_elapsed", 5, f64::MAX, None),
        unknown("since_last", 4, f64::MAX, None),
    ]
}
