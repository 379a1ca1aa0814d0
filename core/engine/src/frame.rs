//! Memory for one pass, used again and again: columns, outputs, and the tensors over both, which cost more to make than
//! one row costs to compute. They are made anew only when the number of rows changes or a column moved.

use ort_sys::OrtValue;

use crate::column::Column;
use crate::graph::{Input, Output};
use crate::runtime::{Runtime, RuntimeError, Value};
use crate::session::{Names, Session};

/// One pass at a time.
pub(crate) struct Frame {
    pub columns: Vec<Column>,
    pub outputs: Vec<Vec<f32>>,
    tensors: Option<Tensors>,
}

impl Frame {
    pub(crate) fn new(inputs: &[Input], outputs: usize) -> Self {
        let columns = inputs.iter().map(|input| Column::of(input.kind)).collect();
        Self { columns, outputs: vec![Vec::new(); outputs], tensors: None }
    }

    pub(crate) fn clear(&mut self) {
        for column in &mut self.columns {
            column.clear();
        }
    }

    /// Computes the outputs of `rows` rows.
    pub(crate) fn run(
        &mut self,
        session: &Session,
        names: &Names,
        rows: usize,
        inputs: &[Input],
        outputs: &[Output],
    ) -> Result<(), RuntimeError> {
        let fits = self.tensors.as_ref().is_some_and(|made| made.fits(rows, &self.columns));
        if !fits {
            self.tensors = None;
            for (values, output) in self.outputs.iter_mut().zip(outputs) {
                values.clear();
                values.resize(rows * output.width(), 0.0);
            }
            let made = Tensors::new(session.runtime(), rows, &mut self.columns, &mut self.outputs, (inputs, outputs))?;
            self.tensors = Some(made);
        }
        let Some(tensors) = self.tensors.as_mut() else { return Ok(()) };
        tensors.write_texts(&self.columns)?;
        session.run(names, &tensors.raw_inputs, &mut tensors.raw_outputs)
    }
}

/// Tensors over the columns and outputs of a frame.
struct Tensors {
    rows: usize,
    places: Vec<usize>,
    inputs: Vec<Value>,
    _outputs: Vec<Value>,
    raw_inputs: Vec<*const OrtValue>,
    raw_outputs: Vec<*mut OrtValue>,
}

// SAFETY: the pointers are of the tensors beside them, and a frame is used by one thread at a time.
unsafe impl Send for Tensors {}

impl Tensors {
    fn new(
        runtime: &'static Runtime,
        rows: usize,
        columns: &mut [Column],
        outputs: &mut [Vec<f32>],
        (declared, promised): (&[Input], &[Output]),
    ) -> Result<Self, RuntimeError> {
        let shape = |tail: &[i64]| [&[i64::try_from(rows).unwrap_or(i64::MAX)], tail].concat();
        let mut made = Vec::with_capacity(columns.len());
        for (column, input) in columns.iter_mut().zip(declared) {
            let shape = shape(&input.tail);
            // SAFETY: `fits` sees to it that no tensor is used once its column moved, and the frame owns both.
            made.push(unsafe {
                match column {
                    Column::Doubles(values) => runtime.over(values, &shape)?,
                    Column::Longs(values) => runtime.over(values, &shape)?,
                    Column::Texts(_) => runtime.texts(&shape)?,
                }
            });
        }
        let mut written = Vec::with_capacity(outputs.len());
        for (values, output) in outputs.iter_mut().zip(promised) {
            // SAFETY: the frame owns the memory, which only changes its size together with these tensors.
            written.push(unsafe { runtime.over(values, &shape(&output.tail))? });
        }
        Ok(Self {
            rows,
            places: columns.iter().map(Column::place).collect(),
            raw_inputs: made.iter().map(|value| value.raw().cast_const()).collect(),
            raw_outputs: written.iter().map(Value::raw).collect(),
            inputs: made,
            _outputs: written,
        })
    }

    #[inline]
    fn fits(&self, rows: usize, columns: &[Column]) -> bool {
        self.rows == rows && self.places.iter().zip(columns).all(|(&place, column)| place == column.place())
    }

    #[inline]
    fn write_texts(&mut self, columns: &[Column]) -> Result<(), RuntimeError> {
        for (value, column) in self.inputs.iter_mut().zip(columns) {
            if let Column::Texts(texts) = column {
                for (index, text) in texts.iter().enumerate() {
                    value.set_text(index, text)?;
                }
            }
        }
        Ok(())
    }
}
