//! Operators that only rearrange: they cost nothing.

use super::{Builder, Value, axis, columns, constant, constant_longs, exactly, width};
use crate::node::Node;
use crate::refusal::Refusal;

pub(super) fn identity(node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    node.knows(&[])?;
    let [value] = exactly(node, operands)?;
    Ok(vec![value.clone()])
}

/// Numbers of `dims`' elements before and behind a place.
pub(super) fn around(dims: &[usize], place: usize) -> (usize, usize) {
    (dims[..place].iter().product(), dims[place + 1..].iter().product())
}

pub(super) fn concat(node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    node.knows(&["axis"])?;
    let parts: Option<Vec<&Value>> = operands.iter().map(Option::as_ref).collect();
    let parts = parts.filter(|parts| !parts.is_empty()).ok_or_else(|| node.refused("an input is left out"))?;
    if let [Value::Marks { .. }, _] = parts[..] {
        return super::text::one_more(node, parts[0], parts[1]);
    }
    let parts = parts.into_iter().map(|part| columns(node, part)).collect::<Result<Vec<_>, _>>()?;
    let (kind, first, _) = parts[0];
    let asked = node.int("axis")?.ok_or_else(|| node.refused("it must have an axis"))?;
    let place = axis(node, asked, first.len())?;
    let mut dims = first.to_vec();
    dims[place] = 0;
    for (other, shape, _) in &parts {
        let fits = shape.len() == dims.len() && (0..dims.len()).all(|at| at == place || shape[at] == dims[at]);
        if *other != kind || !fits {
            return Err(node.refused("inputs do not fit each other"));
        }
        dims[place] += shape[place];
    }
    width(&dims)?;
    let (before, behind) = around(&dims, place);
    let mut joined = Vec::new();
    for at in 0..before {
        for (_, shape, columns) in &parts {
            let size = shape[place] * behind;
            joined.extend_from_slice(&columns[at * size..(at + 1) * size]);
        }
    }
    Ok(vec![Value::Columns { kind, dims, columns: joined }])
}

impl Builder {
    /// Columns by constant places, or rows of a constant table by computed ones.
    pub(super) fn gather(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["axis"])?;
        let [data, places] = exactly(node, operands)?;
        let asked = node.int("axis")?.unwrap_or(0);
        if matches!(data, Value::Constant(_)) {
            return self.pick(node, data, places, asked);
        }
        if matches!(data, Value::Pieces { .. }) {
            return self.pieces(node, data, places, asked);
        }
        let (kind, dims, columns) = columns(node, data)?;
        let place = axis(node, asked, dims.len())?;
        let tensor = constant(node, places)?;
        let longs = constant_longs(node, places)?;
        let size = i64::try_from(dims[place]).unwrap_or(i64::MAX);
        let named = longs.iter().map(|&at| {
            let found = usize::try_from(if at < 0 { at + size } else { at }).ok();
            found.filter(|&at| at < dims[place]).ok_or_else(|| node.refused(&format!("index {at} of {size}")))
        });
        let named = named.collect::<Result<Vec<_>, _>>()?;
        let made = [&dims[..place], &tensor.dims, &dims[place + 1..]].concat();
        width(&made)?;
        let (before, behind) = around(dims, place);
        let mut picked = Vec::new();
        for at in 0..before {
            for &from in &named {
                let start = (at * dims[place] + from) * behind;
                picked.extend_from_slice(&columns[start..start + behind]);
            }
        }
        Ok(vec![Value::Columns { kind, dims: made, columns: picked }])
    }
}

pub(super) fn reshape(node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    node.knows(&["allowzero"])?;
    let [value, target] = exactly(node, operands)?;
    let (kind, dims, columns) = columns(node, value)?;
    if node.int("allowzero")?.unwrap_or(0) != 0 {
        return Err(node.refused("allowzero is not compiled"));
    }
    let target = constant_longs(node, target)?;
    let refused = || node.refused(&format!("to {target:?} from {dims:?}"));
    let (&rows, rest) = target.split_first().ok_or_else(refused)?;
    let mut made = Vec::with_capacity(rest.len());
    let mut open = None;
    for (at, &size) in rest.iter().enumerate() {
        made.push(match size {
            0 => *dims.get(at).ok_or_else(refused)?,
            -1 if open.is_none() && rows != -1 => {
                open = Some(at);
                1
            }
            _ => usize::try_from(size).map_err(|_| refused())?,
        });
    }
    let known = width(&made)?;
    if let Some(at) = open {
        made[at] = columns.len() / known;
    }
    if !matches!(rows, 0 | -1) || made.iter().product::<usize>() != columns.len() {
        return Err(refused());
    }
    Ok(vec![Value::Columns { kind, dims: made, columns: columns.to_vec() }])
}

pub(super) fn unsqueeze(node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    node.knows(&[])?;
    let [value, axes] = exactly(node, operands)?;
    let (kind, dims, columns) = columns(node, value)?;
    let axes = constant_longs(node, axes)?;
    let rank = dims.len() + axes.len();
    let mut places = axes.iter().map(|&asked| axis(node, asked, rank)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(node.refused("an axis is there twice"));
    }
    let mut made = dims.to_vec();
    // Ascending and none twice, so that each is at most one beyond the last.
    for place in places {
        made.insert(place, 1);
    }
    Ok(vec![Value::Columns { kind, dims: made, columns: columns.to_vec() }])
}

pub(super) fn squeeze(node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    node.knows(&[])?;
    let [value, axes] = exactly(node, operands)?;
    let (kind, dims, columns) = columns(node, value)?;
    let axes = constant_longs(node, axes)?;
    let places = axes.iter().map(|&asked| axis(node, asked, dims.len())).collect::<Result<Vec<_>, _>>()?;
    if places.iter().any(|&place| dims[place] != 1) {
        return Err(node.refused("an axis is longer than 1"));
    }
    let kept = dims.iter().enumerate().filter(|(at, _)| !places.contains(at));
    let dims = kept.map(|(_, &size)| size).collect();
    Ok(vec![Value::Columns { kind, dims, columns: columns.to_vec() }])
}

pub(super) fn transpose(node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    node.knows(&["perm"])?;
    let [value] = exactly(node, operands)?;
    let (kind, dims, columns) = columns(node, value)?;
    let order = node.ints("perm")?.ok_or_else(|| node.refused("it must have perm"))?;
    if order.first() != Some(&0) || order.len() != dims.len() + 1 {
        return Err(node.refused("rows must stay first"));
    }
    let order = order[1..].iter().map(|&from| axis(node, from, dims.len())).collect::<Result<Vec<_>, _>>()?;
    if (0..dims.len()).any(|from| !order.contains(&from)) {
        return Err(node.refused("perm must name every axis"));
    }
    let made: Vec<usize> = order.iter().map(|&from| dims[from]).collect();
    let strides: Vec<usize> = order.iter().map(|&from| around(dims, from).1).collect();
    let moved = (0..columns.len()).map(|flat| {
        let (mut rest, mut from) = (flat, 0);
        for (size, stride) in made.iter().zip(&strides).rev() {
            from += rest % size * stride;
            rest /= size;
        }
        columns[from]
    });
    let columns = moved.collect();
    Ok(vec![Value::Columns { kind, dims: made, columns }])
}
