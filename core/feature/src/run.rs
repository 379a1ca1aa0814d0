//! Running a program over rows, a block at a time; a single row has a block of its own.

use std::fmt;

use crate::program::{Move, Program, Scalar};
use crate::rowwise::step;
use crate::tensor::Kind;

/// Rows of a block.
const BLOCK: usize = 32;

/// What is wrong with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// An input, row by row.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are the kinds")]
pub enum In<'a> {
    Float(&'a [f32]),
    Double(&'a [f64]),
    Long(&'a [i64]),
    /// Bytes; other than zero is true.
    Bool(&'a [u8]),
    /// All texts one behind the other, and where each starts.
    Text(&'a [u8], &'a [usize]),
}

/// An output, row by row.
#[derive(Debug)]
#[allow(missing_docs, reason = "they are the kinds")]
pub enum Out<'a> {
    Float(&'a mut [f32]),
    Double(&'a mut [f64]),
    Long(&'a mut [i64]),
    Bool(&'a mut [u8]),
}

impl In<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Float(_) => Kind::Float,
            Self::Double(_) => Kind::Double,
            Self::Long(_) => Kind::Long,
            Self::Bool(_) => Kind::Bool,
            Self::Text(..) => Kind::Text,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Long(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(_, starts) => starts.len(),
        }
    }
}

impl Out<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Float(_) => Kind::Float,
            Self::Double(_) => Kind::Double,
            Self::Long(_) => Kind::Long,
            Self::Bool(_) => Kind::Bool,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Long(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }
}

/// A program's registers, for blocks of one size.
#[derive(Clone, Debug)]
pub struct Space {
    pub(crate) stride: usize,
    pub(crate) floats: Vec<f32>,
    pub(crate) doubles: Vec<f64>,
    pub(crate) longs: Vec<i64>,
    pub(crate) bools: Vec<u8>,
    pub(crate) texts: Vec<(usize, usize)>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kept: usize,
    pub(crate) splits: Vec<usize>,
    pub(crate) float_row: Vec<f32>,
    pub(crate) double_row: Vec<f64>,
    pub(crate) places: Vec<usize>,
}

/// The rows at hand.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) stride: usize,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) all: usize,
}

impl Space {
    /// Room for one row at a time, or for many.
    #[must_use]
    pub fn new(program: &Program, single: bool) -> Self {
        let stride = if single { 1 } else { BLOCK };
        let [floats, doubles, longs, bools, texts] = program.registers.map(|count| count * stride);
        let mut made = Self {
            stride,
            floats: vec![0.0; floats],
            doubles: vec![0.0; doubles],
            longs: vec![0; longs],
            bools: vec![0; bools],
            texts: vec![(0, 0); texts],
            bytes: Vec::new(),
            kept: 0,
            splits: vec![0; program.splits.len()],
            float_row: Vec::new(),
            double_row: Vec::new(),
            places: Vec::new(),
        };
        for (register, scalar) in &program.constants {
            let place = register * stride..(register + 1) * stride;
            match scalar {
                Scalar::Float(value) => made.floats[place].fill(*value),
                Scalar::Double(value) => made.doubles[place].fill(*value),
                Scalar::Long(value) => made.longs[place].fill(*value),
                Scalar::Bool(value) => made.bools[place].fill(u8::from(*value)),
                Scalar::Text(text) => {
                    let start = made.bytes.len();
                    made.bytes.extend_from_slice(text);
                    made.texts[place].fill((start, made.bytes.len()));
                }
            }
        }
        made.kept = made.bytes.len();
        made
    }

    pub(crate) fn text(&self, register: usize, row: usize) -> &[u8] {
        let (start, end) = self.texts[register * self.stride + row];
        &self.bytes[start..end]
    }
}

impl Program {
    /// Computes the outputs of rows.
    ///
    /// # Errors
    /// An index is out of its table, or inputs and outputs do not fit.
    pub fn run(&self, rows: usize, inputs: &[In], outputs: &mut [Out], space: &mut Space) -> Result<(), Fault> {
        let given = inputs.iter().map(|value| (value.kind(), value.len()));
        let wanted = self.inputs.iter().map(|slot| (slot.kind, slot.width() * rows));
        let room = outputs.iter().map(|value| (value.kind(), value.len()));
        let made = self.outputs.iter().map(|slot| (slot.kind, slot.width() * rows));
        let sound = inputs.iter().all(|input| match input {
            In::Text(bytes, starts) => starts.is_sorted() && starts.last().is_none_or(|&last| last <= bytes.len()),
            _ => true,
        });
        if !given.eq(wanted) || !room.eq(made) || !sound {
            return Err(Fault("inputs and outputs do not fit the program".to_owned()));
        }
        space.splits.fill(0);
        for first in (0..rows).step_by(space.stride) {
            let count = space.stride.min(rows - first);
            let rows = Rows { stride: space.stride, first, count, all: rows };
            space.bytes.truncate(space.kept);
            for part in &self.loads {
                load(space, part, &inputs[part.tensor], self.inputs[part.tensor].width(), rows);
            }
            for instruction in &self.instructions {
                step(space, instruction, rows)?;
            }
            for part in &self.stores {
                store(space, part, &mut outputs[part.tensor], self.outputs[part.tensor].width(), rows);
            }
        }
        // A piece that no row has is an error, one that only this row lacks is empty.
        match space.splits.iter().zip(&self.splits).find(|(most, asked)| rows > 0 && most < asked) {
            Some((most, asked)) => Err(Fault(format!("index {} is out of {most} pieces", asked - 1))),
            None => Ok(()),
        }
    }
}

fn load(space: &mut Space, part: &Move, input: &In, width: usize, rows: Rows) {
    fn into<T: Copy>(file: &mut [T], values: &[T], part: &Move, width: usize, rows: Rows) {
        let to = &mut file[part.register * rows.stride..];
        if rows.stride == 1 {
            to[..part.count].copy_from_slice(&values[rows.first * width + part.column..][..part.count]);
            return;
        }
        for (row, values) in values[rows.first * width..].chunks_exact(width).take(rows.count).enumerate() {
            for (at, &value) in values[part.column..][..part.count].iter().enumerate() {
                to[at * rows.stride + row] = value;
            }
        }
    }
    match input {
        In::Float(values) => into(&mut space.floats, values, part, width, rows),
        In::Double(values) => into(&mut space.doubles, values, part, width, rows),
        In::Long(values) => into(&mut space.longs, values, part, width, rows),
        In::Bool(values) => {
            into(&mut space.bools, values, part, width, rows);
            let end = (part.register + part.count) * rows.stride;
            for value in &mut space.bools[part.register * rows.stride..end] {
                *value = u8::from(*value != 0);
            }
        }
        In::Text(bytes, starts) => {
            for row in 0..rows.count {
                for at in 0..part.count {
                    let place = (rows.first + row) * width + part.column + at;
                    let text = &bytes[starts[place]..starts.get(place + 1).copied().unwrap_or(bytes.len())];
                    let start = space.bytes.len();
                    space.bytes.extend_from_slice(text);
                    space.texts[(part.register + at) * rows.stride + row] = (start, space.bytes.len());
                }
            }
        }
    }
}

fn store(space: &Space, part: &Move, output: &mut Out, width: usize, rows: Rows) {
    fn from<T: Copy>(file: &[T], values: &mut [T], part: &Move, width: usize, rows: Rows) {
        let from = &file[part.register * rows.stride..];
        if rows.stride == 1 {
            values[rows.first * width + part.column..][..part.count].copy_from_slice(&from[..part.count]);
            return;
        }
        for (row, values) in values[rows.first * width..].chunks_exact_mut(width).take(rows.count).enumerate() {
            for (at, value) in values[part.column..][..part.count].iter_mut().enumerate() {
                *value = from[at * rows.stride + row];
            }
        }
    }
    match output {
        Out::Float(values) => from(&space.floats, values, part, width, rows),
        Out::Double(values) => from(&space.doubles, values, part, width, rows),
        Out::Long(values) => from(&space.longs, values, part, width, rows),
        Out::Bool(values) => from(&space.bools, values, part, width, rows),
    }
}
