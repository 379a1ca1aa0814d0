//! Operators that work element by element, with broadcasting as numpy has it.

use super::{Builder, Column, MOST_COLUMNS, Register, Step, Value, exactly, unknown};
use crate::node::Node;
use crate::order::Tie;
use crate::program::Wide;
use crate::refusal::Refusal;
use crate::tensor::{Data, Kind};

/// `onnx.TensorProto.DataType`.
pub(super) fn kind_of(code: i64) -> Option<Kind> {
    match code {
        1 => Some(Kind::Float),
        7 => Some(Kind::Long),
        9 => Some(Kind::Bool),
        11 => Some(Kind::Double),
        _ => None,
    }
}

/// Operands brought to one shape: their columns.
struct Spread {
    dims: Vec<usize>,
    columns: Vec<Vec<Register>>,
}

impl Builder {
    pub(super) fn wide(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        match node.operator.as_str() {
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" | "Equal" | "Less" | "LessOrEqual" | "Greater"
            | "GreaterOrEqual" | "And" | "Or" | "Xor" => self.binary(node, operands),
            "Not" | "IsNaN" | "IsInf" | "Abs" | "Neg" | "Sqrt" | "Reciprocal" | "Floor" | "Ceil" | "Cast" => {
                self.unary(node, operands)
            }
            "Where" => self.select(node, operands),
            "Clip" => self.clip(node, operands),
            _ => unknown(node),
        }
    }

    fn binary(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(if node.operator == "Mod" { &["fmod"] } else { &[] })?;
        let [mut one, mut other] = exactly(node, operands)?;
        let kind = one.kind();
        if other.kind() != kind {
            return Err(node.refused("inputs are of different types"));
        }
        let float = matches!(kind, Kind::Float | Kind::Double);
        let number = float || kind == Kind::Long;
        let (op, made) = match node.operator.as_str() {
            "Add" if number => (Wide::Add(kind), kind),
            "Sub" if number => (Wide::Sub(kind), kind),
            "Mul" if number => (Wide::Mul(kind), kind),
            "Div" if float || divides(other) => (Wide::Div(kind), kind),
            "Mod" if float && node.int("fmod")? == Some(1) => (Wide::Mod(kind), kind),
            "Mod" if divides(other) && node.int("fmod")?.unwrap_or(0) == 0 => (Wide::Mod(kind), kind),
            "Min" if float => (Wide::Min(kind, tie(node, one, other)?), kind),
            "Max" if float => (Wide::Max(kind, tie(node, one, other)?), kind),
            "Equal" if kind == Kind::Text => return self.same_texts(node, operands),
            "Equal" => (Wide::Equal(kind), Kind::Bool),
            "Less" if number => (Wide::Less(kind), Kind::Bool),
            "LessOrEqual" if number => (Wide::LessOrEqual(kind), Kind::Bool),
            "Greater" if number => {
                (one, other) = (other, one);
                (Wide::Less(kind), Kind::Bool)
            }
            "GreaterOrEqual" if number => {
                (one, other) = (other, one);
                (Wide::LessOrEqual(kind), Kind::Bool)
            }
            "And" if kind == Kind::Bool => (Wide::And, kind),
            "Or" if kind == Kind::Bool => (Wide::Or, kind),
            "Xor" if kind == Kind::Bool => (Wide::Xor, kind),
            _ => return Err(node.refused(&format!("{kind:?} is not compiled"))),
        };
        let spread = self.spread(node, &[one, other])?;
        Ok(vec![self.columnwise(op, made, spread)])
    }

    fn unary(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        let [value] = exactly(node, operands)?;
        let kind = value.kind();
        let float = matches!(kind, Kind::Float | Kind::Double);
        let known: &[&str] = match node.operator.as_str() {
            "IsInf" => &["detect_negative", "detect_positive"],
            "Cast" => &["to", "saturate"],
            _ => &[],
        };
        node.knows(known)?;
        let (op, made) = match node.operator.as_str() {
            "Not" if kind == Kind::Bool => (Wide::Not, kind),
            "IsNaN" if float => (Wide::IsNan(kind), Kind::Bool),
            "IsInf" if float => {
                let asked = |name| Ok::<bool, Refusal>(node.int(name)?.unwrap_or(1) != 0);
                (Wide::IsInf(kind, asked("detect_negative")?, asked("detect_positive")?), Kind::Bool)
            }
            "Abs" if float || kind == Kind::Long => (Wide::Abs(kind), kind),
            "Neg" if float || kind == Kind::Long => (Wide::Neg(kind), kind),
            "Sqrt" if float => (Wide::Sqrt(kind), kind),
            "Reciprocal" if float => (Wide::Reciprocal(kind), kind),
            "Floor" if float => (Wide::Floor(kind), kind),
            "Ceil" if float => (Wide::Ceil(kind), kind),
            "Cast" if kind == Kind::Text => return self.number(node, value).map(|value| vec![value]),
            "Cast" => {
                let to = node.int("to")?.and_then(kind_of).ok_or_else(|| node.refused("the type is not compiled"))?;
                if to == kind {
                    return Ok(vec![value.clone()]);
                }
                (Wide::Cast(kind, to), to)
            }
            _ => return Err(node.refused(&format!("{kind:?} is not compiled"))),
        };
        let spread = self.spread(node, &[value])?;
        Ok(vec![self.columnwise(op, made, spread)])
    }

    fn select(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&[])?;
        let [condition, one, other] = exactly(node, operands)?;
        let kind = one.kind();
        if [condition.kind(), kind, other.kind()] == [Kind::Bool, Kind::Text, Kind::Text] {
            let Spread { dims, columns } = self.spread(node, &[condition, one, other])?;
            return Ok(vec![self.either(dims, &columns)]);
        }
        if condition.kind() != Kind::Bool || other.kind() != kind || matches!(kind, Kind::Text | Kind::Bool) {
            return Err(node.refused("only numbers of one type are compiled"));
        }
        let spread = self.spread(node, &[condition, one, other])?;
        Ok(vec![self.columnwise(Wide::Where(kind), kind, spread)])
    }

    fn clip(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&[])?;
        let [value, low, high] = exactly(node, operands)?;
        let kind = value.kind();
        // With a bound that is zero the sign of a zero would depend on its place.
        let plain = |bound: &Value| match bound {
            Value::Constant(tensor) => match &tensor.data {
                Data::Float(values) => matches!(values[..], [bound] if bound != 0.0 && !bound.is_nan()),
                Data::Double(values) => matches!(values[..], [bound] if bound != 0.0 && !bound.is_nan()),
                _ => false,
            },
            _ => false,
        };
        if low.kind() != kind || high.kind() != kind || !plain(low) || !plain(high) {
            return Err(node.refused("only constant bounds other than zero are compiled"));
        }
        let spread = self.spread(node, &[value, low, high])?;
        Ok(vec![self.columnwise(Wide::Clip(kind), kind, spread)])
    }

    fn same_texts(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        let [one, other] = exactly(node, operands)?;
        let Spread { dims, columns } = self.spread(node, &[one, other])?;
        let mut outs = Vec::new();
        for (&one, &other) in columns[0].iter().zip(&columns[1]) {
            let out = self.computed(Kind::Bool);
            self.steps.push(Step::SameText { one, other, out });
            outs.push(out);
        }
        Ok(vec![Value::Columns { kind: Kind::Bool, dims, columns: outs }])
    }

    fn columnwise(&mut self, op: Wide, kind: Kind, spread: Spread) -> Value {
        let Spread { dims, columns } = spread;
        let (arity, size) = (columns.len(), columns[0].len());
        let mut steps = Vec::with_capacity(size);
        for place in 0..size {
            let out = self.computed(kind);
            let mut args = [columns[0][place]; 3];
            for (arg, column) in args.iter_mut().zip(&columns) {
                *arg = column[place];
            }
            steps.push(Column { place, out, args });
        }
        let outs = steps.iter().map(|column| column.out).collect();
        self.steps.push(Step::Wide { op, arity, columns: steps });
        Value::Columns { kind, dims, columns: outs }
    }

    /// The columns of operands brought to one shape.
    pub(super) fn spread_columns(
        &mut self,
        node: &Node,
        operands: &[&Value],
    ) -> Result<(Vec<usize>, Vec<Vec<Register>>), Refusal> {
        self.spread(node, operands).map(|spread| (spread.dims, spread.columns))
    }

    /// Brings operands to one shape. Rows are aligned with rows only.
    fn spread(&mut self, node: &Node, operands: &[&Value]) -> Result<Spread, Refusal> {
        let refused = || node.refused("shapes do not fit each other");
        if operands.iter().any(|value| matches!(value, Value::Pieces { .. } | Value::Marks { .. })) {
            return Err(node.refused("pieces of texts are not compiled"));
        }
        let ranks = operands.iter().filter_map(|value| match value {
            Value::Columns { dims, .. } => Some(dims.len()),
            _ => None,
        });
        let rank = ranks.clone().max().ok_or_else(refused)?;
        if ranks.into_iter().any(|other| other != rank) {
            return Err(refused());
        }
        let mut shapes: Vec<Vec<usize>> = Vec::new();
        for value in operands {
            shapes.push(match value {
                Value::Columns { dims, .. } => dims.clone(),
                Value::Constant(tensor) => {
                    let rest = tensor.dims.len().checked_sub(rank).map_or(&tensor.dims[..], |extra| {
                        let (lead, rest) = tensor.dims.split_at(extra);
                        if extra <= 1 && lead.iter().all(|&size| size == 1) { rest } else { &tensor.dims[..] }
                    });
                    let lacking = rank.checked_sub(rest.len()).ok_or_else(refused)?;
                    [&vec![1; lacking], rest].concat()
                }
                _ => return Err(refused()),
            });
        }
        let mut dims = vec![1; rank];
        for shape in &shapes {
            for (dim, &size) in dims.iter_mut().zip(shape) {
                if size != 1 && *dim != 1 && size != *dim {
                    return Err(refused());
                }
                *dim = if size == 1 { *dim } else { size };
            }
        }
        let size: usize = dims.iter().product();
        if size == 0 || size > MOST_COLUMNS {
            return Err(refused());
        }
        let mut spread = Vec::new();
        for (value, shape) in operands.iter().zip(&shapes) {
            let places = (0..size).map(|flat| place(flat, &dims, shape));
            spread.push(match value {
                Value::Columns { columns, .. } => places.map(|place| columns[place]).collect(),
                Value::Constant(tensor) => places.map(|place| self.element(tensor, place)).collect(),
                _ => return Err(refused()),
            });
        }
        Ok(Spread { dims, columns: spread })
    }
}

/// Place in a shape that is spread over `dims`.
fn place(flat: usize, dims: &[usize], shape: &[usize]) -> usize {
    let (mut rest, mut found, mut stride) = (flat, 0, 1);
    for (&dim, &size) in dims.iter().zip(shape).rev() {
        if size != 1 {
            found += rest % dim * stride;
        }
        rest /= dim;
        stride *= size;
    }
    found
}

/// Whether integers can be divided by a value without a fault of the processor.
fn divides(value: &Value) -> bool {
    let Value::Constant(tensor) = value else { return false };
    tensor.longs().is_some_and(|values| values.iter().all(|&value| value != 0 && value != -1))
}

/// How onnxruntime's loop goes over two operands.
fn tie(node: &Node, one: &Value, other: &Value) -> Result<Tie, Refusal> {
    let alone = |value: &Value| matches!(value, Value::Constant(tensor) if tensor.len() == 1);
    let dims = |value: &Value| match value {
        Value::Constant(tensor) => tensor.dims.clone(),
        Value::Columns { dims, .. } | Value::Pieces { dims, .. } | Value::Marks { dims, .. } => dims.clone(),
    };
    let size = |value: &Value| dims(value).iter().product::<usize>();
    let width = size(one).max(size(other));
    let made = |lone_first, by_row| Ok(Tie { lone_first, by_row, width });
    match (one, other) {
        (Value::Columns { .. }, Value::Columns { .. }) if dims(one) == dims(other) => made(false, false),
        _ if alone(other) => made(false, false),
        _ if alone(one) => made(true, false),
        _ => {
            let row = |value: &Value| match value {
                Value::Columns { dims, .. } => dims.len() == 1,
                Value::Constant(tensor) => matches!(tensor.dims[..], [_] | [1, _]),
                _ => false,
            };
            if !row(one) || !row(other) {
                return Err(node.refused("more than two dimensions of different sizes are not compiled"));
            }
            made(size(one) == 1 && size(other) > 1, true)
        }
    }
}
