//! A loaded graph with memory for its passes. Any thread may compute, several at once; none waits for another.

use std::time::Instant;

use crossbeam_queue::ArrayQueue;

use crate::column::{Column, Kind};
use crate::fault::{Panicked, guarded};
use crate::frame::Frame;
use crate::runtime::{Runtime, RuntimeError};
use crate::session::{Names, Register, Session};

/// Frames that are kept for later passes, of single rows and of more.
const KEPT: usize = 16;

/// One input of a graph.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its shape without the rows.
    pub tail: Vec<i64>,
}

impl Input {
    /// Values in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        width(&self.tail)
    }
}

/// One output of a graph; all are float32.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its shape without the rows.
    pub tail: Vec<i64>,
}

impl Output {
    /// Values in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        width(&self.tail)
    }
}

fn width(tail: &[i64]) -> usize {
    tail.iter().map(|&size| usize::try_from(size).unwrap_or(0)).product()
}

/// What a pass gave, and what it took in seconds.
#[derive(Clone, Debug)]
pub struct Passed<T> {
    /// What was written.
    pub answer: T,
    /// Rows of the pass.
    pub rows: usize,
    /// Reading and checking the requests.
    pub decode: f64,
    /// Running the graph.
    pub compute: f64,
    /// Writing the answers.
    pub encode: f64,
}

/// A session and its memory.
pub struct Graph {
    session: Session,
    names: Names,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    single: ArrayQueue<Frame>,
    several: ArrayQueue<Frame>,
}

impl Graph {
    /// Loads a graph; `register` may add operators to the session's options.
    ///
    /// # Errors
    /// onnxruntime refuses the graph.
    pub fn new(
        runtime: &'static Runtime,
        model: &[u8],
        register: Register,
        inputs: Vec<Input>,
        outputs: Vec<Output>,
    ) -> Result<Self, RuntimeError> {
        let session = Session::new(runtime, model, register)?;
        let names = Names::new(inputs.iter().map(|input| &*input.name), outputs.iter().map(|output| &*output.name));
        let (single, several) = (ArrayQueue::new(KEPT), ArrayQueue::new(KEPT));
        Ok(Self { session, names, inputs, outputs, single, several })
    }

    /// Its inputs.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Its outputs.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// One pass: `fill` puts rows into empty columns and says how many, `write` makes the answer from the outputs.
    ///
    /// `None` when either gives up, or onnxruntime does.
    pub(crate) fn pass<T>(
        &self,
        single: bool,
        fill: impl FnOnce(&mut [Column]) -> Option<usize>,
        write: impl FnOnce(&[Vec<f32>]) -> Option<T>,
    ) -> Result<Option<Passed<T>>, Panicked> {
        let frames = if single { &self.single } else { &self.several };
        guarded(|| {
            let start = Instant::now();
            let mut frame = frames.pop().unwrap_or_else(|| Frame::new(&self.inputs, self.outputs.len()));
            frame.clear();
            let passed = self.filled(&mut frame, start, fill, write);
            // A frame too many is dropped; one that saw a panic never comes here.
            drop(frames.push(frame));
            passed
        })
    }

    fn filled<T>(
        &self,
        frame: &mut Frame,
        start: Instant,
        fill: impl FnOnce(&mut [Column]) -> Option<usize>,
        write: impl FnOnce(&[Vec<f32>]) -> Option<T>,
    ) -> Option<Passed<T>> {
        let rows = fill(&mut frame.columns)?;
        let complete =
            frame.columns.iter().zip(&self.inputs).all(|(column, input)| column.len() == rows * input.width());
        if rows == 0 || !complete {
            return None;
        }
        let decoded = Instant::now();
        frame.run(&self.session, &self.names, rows, &self.inputs, &self.outputs).ok()?;
        let computed = Instant::now();
        let answer = write(&frame.outputs)?;
        Some(Passed {
            answer,
            rows,
            decode: (decoded - start).as_secs_f64(),
            compute: (computed - decoded).as_secs_f64(),
            encode: computed.elapsed().as_secs_f64(),
        })
    }
}

/// Values of one input as they come from Python, row by row.
pub enum Values<'a> {
    /// Numbers, eight bytes each.
    Numbers(&'a [u8]),
    /// Texts.
    Texts(Vec<&'a str>),
}

impl Graph {
    /// Computes rows that somebody else read and checked; `None` when they do not fit the inputs or onnxruntime refuses.
    ///
    /// # Errors
    /// They made the engine panic.
    pub fn compute(&self, rows: usize, values: &[Values]) -> Result<Option<Passed<Vec<Vec<f32>>>>, Panicked> {
        let fill = |columns: &mut [Column]| {
            if values.len() != columns.len() {
                return None;
            }
            for (column, values) in columns.iter_mut().zip(values) {
                match (column, values) {
                    (Column::Doubles(doubles), Values::Numbers(raw)) => {
                        doubles.extend(raw.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)));
                    }
                    (Column::Longs(longs), Values::Numbers(raw)) => {
                        longs.extend(raw.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value)));
                    }
                    (Column::Texts(texts), Values::Texts(values)) => {
                        for text in values {
                            texts.push(text.as_bytes());
                        }
                    }
                    _ => return None,
                }
            }
            Some(rows)
        };
        self.pass(rows == 1, fill, |outputs| Some(outputs.to_vec()))
    }
}
