//! `rtpredictor.v1`: single predictions, several of them in one pass, and pieces of batches.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::answer::{Encoder, Levels, put_request_id};
use crate::column::{Column, Kind};
use crate::fault::Panicked;
use crate::graph::{Graph, Input, Passed};
use crate::job::{Bounds, FILLED, Job};
use crate::wire::{BYTES, Reader, VARINT, tag};

/// The contract's engine for one bundle.
pub struct Jobs {
    graph: Arc<Graph>,
    bounds: Bounds,
    encoder: Encoder,
}

/// Answers to consecutive jobs of a batch, all of them good.
#[derive(Clone, Debug)]
pub struct Part {
    /// Framed answers, in order.
    pub answers: Vec<u8>,
    /// What the caller calls the batch.
    pub batch_id: String,
}

/// A `PredictRequest`.
pub(crate) struct Single<'a> {
    pub job: Job<'a>,
    pub request_id: &'a [u8],
}

impl<'a> Single<'a> {
    #[inline]
    pub(crate) fn read(request: &'a [u8], bounds: &Bounds) -> Option<Self> {
        const FEATURES: u8 = tag(1, BYTES);
        const REQUEST_ID: u8 = tag(2, BYTES);
        let (mut features, mut request_id) = (None, &[][..]);
        let mut reader = Reader::new(request);
        while let Some(found) = reader.tag() {
            match found {
                // A second one would have to be merged with the first.
                FEATURES if features.is_none() => features = Some(reader.bytes()?),
                REQUEST_ID => request_id = reader.text()?,
                _ => return None,
            }
        }
        Some(Self { job: Job::read(features?, bounds)?, request_id })
    }
}

impl Jobs {
    /// An engine over a graph whose first inputs are those of the contract; `None` when they are not, or a place is not
    /// among the levels.
    #[must_use]
    pub fn new(graph: Arc<Graph>, bounds: Bounds, levels: &Levels) -> Option<Self> {
        let encoder = Encoder::new(levels)?;
        let mut expected = vec![(Kind::Double, 1); 5];
        expected.push((Kind::Long, 1));
        expected.extend([(Kind::Text, 1); 5]);
        expected.push((Kind::Double, 10));
        let (known, rest) = graph.inputs().split_at_checked(FILLED)?;
        let fits = known.iter().map(|input| (input.kind, input.width())).eq(expected)
            && rest.iter().all(|input| input.kind == Kind::Double)
            && graph.outputs().iter().map(crate::Output::width).eq([encoder.levels(), 1]);
        fits.then_some(Self { graph, bounds, encoder })
    }

    /// Answers a `PredictRequest`.
    ///
    /// # Errors
    /// It made the engine panic.
    pub fn predict(&self, request: &[u8]) -> Result<Option<Passed<Vec<u8>>>, Panicked> {
        let now = now();
        let mut request_id = &[][..];
        let fill = |columns: &mut [Column]| {
            let single = Single::read(request, &self.bounds)?;
            single.job.push(columns, now);
            request_id = single.request_id;
            fill_rest(self.graph.inputs(), columns, 1);
            Some(1)
        };
        let passed = self.graph.pass(true, fill, |outputs| {
            let mut out = Vec::with_capacity(self.encoder.room());
            self.encoder.write(&mut out, &outputs[0], outputs[1][0], now)?;
            Some(out)
        })?;
        Ok(passed.map(|mut passed| {
            put_request_id(&mut passed.answer, request_id);
            passed
        }))
    }

    /// Answers several `PredictRequest` in one pass; those that are not plainly valid have no answer and are not in it.
    ///
    /// # Errors
    /// One of them made the engine panic.
    #[allow(clippy::type_complexity, reason = "each level is said above")]
    pub fn predict_many(&self, requests: &[&[u8]]) -> Result<Option<Passed<Vec<Option<Vec<u8>>>>>, Panicked> {
        let now = now();
        let mut ids: Vec<Option<&[u8]>> = Vec::with_capacity(requests.len());
        let fill = |columns: &mut [Column]| {
            for request in requests {
                let single = Single::read(request, &self.bounds);
                if let Some(single) = &single {
                    single.job.push(columns, now);
                }
                ids.push(single.map(|single| single.request_id));
            }
            let rows = ids.iter().flatten().count();
            fill_rest(self.graph.inputs(), columns, rows);
            Some(rows)
        };
        let passed = self.graph.pass(false, fill, |outputs| {
            let (quantiles, points) = (&outputs[0], &outputs[1]);
            quantiles
                .chunks_exact(self.encoder.levels())
                .zip(points)
                .map(|(row, &point)| {
                    let mut out = Vec::with_capacity(self.encoder.room());
                    self.encoder.write(&mut out, row, point, now)?;
                    Some(out)
                })
                .collect::<Option<Vec<_>>>()
        })?;
        Ok(passed.map(|passed| {
            let mut rows = passed.answer.into_iter();
            let answers = ids.iter().map(|id| {
                let id = (*id)?;
                let mut answer = rows.next()?;
                put_request_id(&mut answer, id);
                Some(answer)
            });
            Passed {
                answer: answers.collect(),
                rows: passed.rows,
                decode: passed.decode,
                compute: passed.compute,
                encode: passed.encode,
            }
        }))
    }

    /// Answers a piece of a batch of at most `most` jobs, none of which breaks a rule.
    ///
    /// # Errors
    /// It made the engine panic.
    pub fn part(&self, piece: &[u8], most: usize) -> Result<Option<Passed<Part>>, Panicked> {
        let now = now();
        let mut batch_id = "";
        let fill = |columns: &mut [Column]| {
            let rows;
            (rows, batch_id) = fill_jobs(piece, &self.bounds, columns, now)?;
            fill_rest(self.graph.inputs(), columns, rows);
            (rows <= most).then_some(rows)
        };
        let passed = self.graph.pass(false, fill, |outputs| {
            let (quantiles, points) = (&outputs[0], &outputs[1]);
            let mut out = Vec::with_capacity(points.len() * self.encoder.room());
            for (row, &point) in quantiles.chunks_exact(self.encoder.levels()).zip(points) {
                self.encoder.write_framed(&mut out, row, point, now)?;
            }
            Some(out)
        })?;
        Ok(passed.map(|passed| Passed {
            answer: Part { answers: passed.answer, batch_id: batch_id.to_owned() },
            rows: passed.rows,
            decode: passed.decode,
            compute: passed.compute,
            encode: passed.encode,
        }))
    }
}

/// Fills columns with the jobs of a piece of a batch: how many, and what the caller calls the batch.
pub(crate) fn fill_jobs<'a>(
    piece: &'a [u8],
    bounds: &Bounds,
    columns: &mut [Column],
    now: i64,
) -> Option<(usize, &'a str)> {
    const JOB: u8 = tag(1, BYTES);
    const BATCH_ID: u8 = tag(2, BYTES);
    const MAX_PARALLEL: u8 = tag(3, VARINT);
    let (mut rows, mut batch_id) = (0, "");
    let mut reader = Reader::new(piece);
    while let Some(found) = reader.tag() {
        match found {
            JOB => {
                Job::read(reader.bytes()?, bounds)?.push(columns, now);
                rows += 1;
            }
            BATCH_ID => batch_id = std::str::from_utf8(reader.text()?).ok()?,
            MAX_PARALLEL => drop(reader.varint()?),
            _ => return None,
        }
    }
    Some((rows, batch_id))
}

/// Nothing is known of the inputs that the contract has no field for.
#[inline]
pub(crate) fn fill_rest(inputs: &[Input], columns: &mut [Column], rows: usize) {
    for (column, input) in columns[FILLED..].iter_mut().zip(&inputs[FILLED..]) {
        column.doubles().resize(rows * input.width(), f64::NAN);
    }
}

/// Unix seconds.
fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
}
