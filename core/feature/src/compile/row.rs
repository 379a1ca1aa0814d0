//! Operators whose columns need more than one column of an operand each.

use super::shape::around;
use super::{Builder, Register, Step, Value, axis, columns, constant, constant_longs, exactly, width};
use crate::node::Node;
use crate::order::takes_heap;
use crate::program::Fold;
use crate::refusal::Refusal;
use crate::tensor::Kind;

/// Longest row that is sorted.
const LONGEST: usize = 64;

impl Builder {
    pub(super) fn pick(
        &mut self,
        node: &Node,
        data: &Value,
        places: &Value,
        asked: i64,
    ) -> Result<Vec<Value>, Refusal> {
        let table = constant(node, data)?.clone();
        let (kind, dims, indices) = columns(node, places)?;
        if asked != 0 || kind != Kind::Long || table.dims.is_empty() || table.kind() == Kind::Text {
            return Err(node.refused("only rows of a table of numbers by integers are compiled"));
        }
        let (height, inner) = (table.dims[0], width(&table.dims[1..])?);
        let made = [dims, &table.dims[1..]].concat();
        width(&made)?;
        let mut outs = Vec::new();
        for &index in indices {
            let picks: Vec<_> = (0..inner).map(|at| (at, self.computed(table.kind()))).collect();
            outs.extend(picks.iter().map(|(_, out)| *out));
            self.steps.push(Step::Pick { index, table: table.clone(), width: inner, height, picks });
        }
        Ok(vec![Value::Columns { kind: table.kind(), dims: made, columns: outs }])
    }

    /// Rows along the last axis, which are contiguous in onnxruntime's memory.
    pub(super) fn reduce(
        &mut self,
        node: &Node,
        operands: &[Option<Value>],
        fold: Fold,
    ) -> Result<Vec<Value>, Refusal> {
        node.knows(&["keepdims", "noop_with_empty_axes"])?;
        let [value, axes] = exactly(node, operands)?;
        if matches!(value, Value::Marks { .. }) && fold == Fold::Max {
            return self.largest(node, value, constant_longs(node, axes)?);
        }
        let (kind, dims, columns) = columns(node, value)?;
        let ([asked], true) = (constant_longs(node, axes)?, matches!(kind, Kind::Float | Kind::Double)) else {
            return Err(node.refused("only one axis of floats is compiled"));
        };
        let place = axis(node, *asked, dims.len())?;
        if place + 1 != dims.len() {
            return Err(node.refused("only the last axis is compiled"));
        }
        let size = dims[place];
        let groups = columns.len() / size;
        let mut outs = Vec::new();
        for (group, row) in columns.chunks_exact(size).enumerate() {
            let out = self.computed(kind);
            self.steps.push(Step::Fold { fold, kind, row: row.to_vec(), group, groups, out });
            outs.push(out);
        }
        let mut made = dims[..place].to_vec();
        if node.int("keepdims")?.unwrap_or(1) != 0 {
            made.push(1);
        }
        Ok(vec![Value::Columns { kind, dims: made, columns: outs }])
    }

    pub(super) fn top(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["axis", "largest", "sorted"])?;
        let [value, count] = exactly(node, operands)?;
        let (kind, dims, columns) = columns(node, value)?;
        let place = axis(node, node.int("axis")?.unwrap_or(-1), dims.len())?;
        let ([count], true) = (constant_longs(node, count)?, matches!(kind, Kind::Float | Kind::Double)) else {
            return Err(node.refused("only floats are compiled"));
        };
        let size = dims[place];
        let count = usize::try_from(*count).unwrap_or(0);
        let plain = place + 1 == dims.len() && (2..=size.min(LONGEST)).contains(&count) && size <= LONGEST;
        if !plain || takes_heap(count, size) || node.int("sorted")?.unwrap_or(1) == 0 {
            return Err(node.refused(&format!("the best {count} of {size} are not compiled")));
        }
        let largest = node.int("largest")?.unwrap_or(1) != 0;
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for row in columns.chunks_exact(size) {
            let best: Vec<Register> = (0..count).map(|_| self.computed(kind)).collect();
            let at: Vec<Register> = (0..count).map(|_| self.computed(Kind::Long)).collect();
            values.extend_from_slice(&best);
            places.extend_from_slice(&at);
            self.steps.push(Step::Best { kind, row: row.to_vec(), largest, values: best, places: at });
        }
        let mut made = dims.to_vec();
        made[place] = count;
        Ok(vec![
            Value::Columns { kind, dims: made.clone(), columns: values },
            Value::Columns { kind: Kind::Long, dims: made, columns: places },
        ])
    }

    pub(super) fn running(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["exclusive", "reverse"])?;
        let [value, asked] = exactly(node, operands)?;
        let (kind, dims, columns) = columns(node, value)?;
        let plain = node.int("exclusive")?.unwrap_or(0) == 0 && node.int("reverse")?.unwrap_or(0) == 0;
        let ([asked], Kind::Float | Kind::Double, true) = (constant_longs(node, asked)?, kind, plain) else {
            return Err(node.refused("only floats from the first on are compiled"));
        };
        let place = axis(node, *asked, dims.len())?;
        let (before, behind) = around(dims, place);
        let outs: Vec<Register> = (0..columns.len()).map(|_| self.computed(kind)).collect();
        for first in 0..before {
            for last in 0..behind {
                let at = |step: usize| (first * dims[place] + step) * behind + last;
                let row = (0..dims[place]).map(|step| columns[at(step)]).collect();
                let outs = (0..dims[place]).map(|step| outs[at(step)]).collect();
                self.steps.push(Step::Running { kind, row, outs });
            }
        }
        Ok(vec![Value::Columns { kind, dims: dims.to_vec(), columns: outs }])
    }

    pub(super) fn least(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["axis", "keepdims", "select_last_index"])?;
        let [value] = exactly(node, operands)?;
        let (kind, dims, columns) = columns(node, value)?;
        let place = axis(node, node.int("axis")?.unwrap_or(0), dims.len())?;
        let last = node.int("select_last_index")?.unwrap_or(0) != 0;
        if place + 1 != dims.len() || last || !matches!(kind, Kind::Float | Kind::Double) {
            return Err(node.refused("only the first of floats along the last axis is compiled"));
        }
        let mut outs = Vec::new();
        for row in columns.chunks_exact(dims[place]) {
            let out = self.computed(Kind::Long);
            self.steps.push(Step::Least { kind, row: row.to_vec(), out });
            outs.push(out);
        }
        let mut made = dims[..place].to_vec();
        if node.int("keepdims")?.unwrap_or(1) != 0 {
            made.push(1);
        }
        Ok(vec![Value::Columns { kind: Kind::Long, dims: made, columns: outs }])
    }

    pub(super) fn gather_elements(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["axis"])?;
        let [data, places] = exactly(node, operands)?;
        let (kind, dims, values) = columns(node, data)?;
        let (index_kind, shape, indices) = columns(node, places)?;
        let place = axis(node, node.int("axis")?.unwrap_or(0), dims.len())?;
        let plain = dims.len() == 1 && shape.len() == 1 && place == 0;
        if !plain || index_kind != Kind::Long || !matches!(kind, Kind::Float | Kind::Double | Kind::Long) {
            return Err(node.refused("only [N, k] by integers is compiled"));
        }
        let mut outs = Vec::new();
        for &index in indices {
            let out = self.computed(kind);
            self.steps.push(Step::Choose { kind, row: values.to_vec(), index, out });
            outs.push(out);
        }
        Ok(vec![Value::Columns { kind, dims: shape.to_vec(), columns: outs }])
    }
}
