//! From nodes, one after the other in their order, to a program.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::node::Node;
use crate::program::{Fold, Scalar, Slot, Table, Wide};
use crate::refusal::Refusal;
use crate::tensor::{Data, Kind, Tensor};

mod finish;
mod row;
mod shape;
mod text;
mod wide;

/// Most columns of a value.
const MOST_COLUMNS: usize = 4096;

/// A column: a number for each row.
pub(crate) type Register = usize;

/// Where a column comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Input { input: usize, column: usize },
    Constant(Scalar),
    Computed,
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `[N, dims]`, by its columns.
    Columns { kind: Kind, dims: Vec<usize>, columns: Vec<Register> },
    /// The same for every row.
    Constant(Arc<Tensor>),
    /// `[N, dims, most pieces of a text]`: texts that are cut.
    Pieces { dims: Vec<usize>, texts: Vec<Register>, delimiter: Arc<[u8]>, split: usize },
    /// Labels of the pieces, and perhaps one label more for each text.
    Marks { dims: Vec<usize>, texts: Vec<Register>, delimiter: Arc<[u8]>, table: Arc<Table>, extra: Vec<Register> },
}

impl Value {
    fn kind(&self) -> Kind {
        match self {
            Self::Columns { kind, .. } => *kind,
            Self::Constant(tensor) => tensor.kind(),
            Self::Pieces { .. } => Kind::Text,
            Self::Marks { .. } => Kind::Float,
        }
    }
}

/// A column of an operator over columns: its place in the row, what it becomes and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub place: usize,
    pub out: Register,
    pub args: [Register; 3],
}

/// What is to be computed, in columns.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wide { op: Wide, arity: usize, columns: Vec<Column> },
    Pick { index: Register, table: Arc<Tensor>, width: usize, height: usize, picks: Vec<(usize, Register)> },
    Label { text: Register, table: Arc<Table>, out: Register },
    Match { text: Register, pattern: Arc<crate::pattern::Pattern>, out: Register },
    SameText { one: Register, other: Register, out: Register },
    Join { one: Register, other: Register, out: Register },
    Either { condition: Register, one: Register, other: Register, out: Register },
    Pieces { text: Register, delimiter: Arc<[u8]>, picks: Vec<(usize, Register)>, split: usize },
    Count { text: Register, delimiter: Arc<[u8]>, out: Register },
    Largest { text: Register, delimiter: Arc<[u8]>, table: Arc<Table>, extra: Register, out: Register },
    Number { text: Register, kind: Kind, out: Register },
    Fold { fold: Fold, kind: Kind, row: Vec<Register>, group: usize, groups: usize, out: Register },
    Best { kind: Kind, row: Vec<Register>, largest: bool, values: Vec<Register>, places: Vec<Register> },
    Running { kind: Kind, row: Vec<Register>, outs: Vec<Register> },
    Least { kind: Kind, row: Vec<Register>, out: Register },
    Choose { kind: Kind, row: Vec<Register>, index: Register, out: Register },
}

/// Makes a program.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    values: HashMap<String, Value>,
    inputs: Vec<Slot>,
    registers: Vec<(Kind, Origin)>,
    shared: HashMap<(usize, usize), Register>,
    steps: Vec<Step>,
    /// Number of the values that are cut.
    splits: usize,
    /// The least label that a column may hold, where they are known and none is NaN.
    least: HashMap<Register, f32>,
    /// Columns that say whether a text is a number of digits, with that text.
    digits: HashMap<Register, Register>,
    /// Texts that are numbers of digits, or `nan`.
    numbers: HashSet<Register>,
}

impl Builder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input `[N, dims]`.
    ///
    /// # Errors
    /// The name is there already, or it has no columns or too many.
    pub fn input(&mut self, name: &str, kind: Kind, dims: &[usize]) -> Result<(), Refusal> {
        let width = width(dims)?;
        let input = self.inputs.len();
        let columns = (0..width).map(|column| self.register(kind, Origin::Input { input, column })).collect();
        self.inputs.push(Slot { kind, dims: dims.to_vec() });
        self.define(name, Value::Columns { kind, dims: dims.to_vec(), columns })
    }

    /// Adds a constant.
    ///
    /// # Errors
    /// The name is there already, or the shape does not fit the elements.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Result<(), Refusal> {
        if !tensor.is_sound() {
            return Err(Refusal::new(format!("{name}: the shape does not fit the elements")));
        }
        self.define(name, Value::Constant(Arc::new(tensor)))
    }

    /// Adds a node. A node that is refused leaves nothing behind.
    ///
    /// # Errors
    /// It is not compiled, with the reason.
    pub fn node(&mut self, node: &Node) -> Result<(), Refusal> {
        let (registers, steps) = (self.registers.len(), self.steps.len());
        let made = self.made(node).and_then(|values| {
            let wanted = node.outputs.iter().filter(|name| !name.is_empty());
            if wanted.clone().any(|name| self.values.contains_key(name)) {
                return Err(node.refused("an output is there already"));
            }
            if node.outputs.len() > values.len() {
                return Err(node.refused("it has more outputs than are compiled"));
            }
            for (name, value) in node.outputs.iter().zip(values).filter(|(name, _)| !name.is_empty()) {
                self.define(name, value)?;
            }
            Ok(())
        });
        if made.is_err() {
            self.registers.truncate(registers);
            self.steps.truncate(steps);
            self.shared.retain(|_, register| *register < registers);
            self.least.retain(|register, _| *register < registers);
            self.digits.retain(|register, _| *register < registers);
            self.numbers.retain(|register| *register < registers);
        }
        made
    }

    /// Type and shape of a value `[N, dims]`; none for a constant or one that is not there.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<Slot> {
        match self.values.get(name)? {
            Value::Columns { kind, dims, .. } => Some(Slot { kind: *kind, dims: dims.clone() }),
            _ => None,
        }
    }

    /// Whether a value is the same for every row.
    #[must_use]
    pub fn is_constant(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Constant(_)))
    }

    fn define(&mut self, name: &str, value: Value) -> Result<(), Refusal> {
        if self.values.insert(name.to_owned(), value).is_some() {
            return Err(Refusal::new(format!("{name} is defined twice")));
        }
        Ok(())
    }

    fn register(&mut self, kind: Kind, origin: Origin) -> Register {
        self.registers.push((kind, origin));
        self.registers.len() - 1
    }

    fn computed(&mut self, kind: Kind) -> Register {
        self.register(kind, Origin::Computed)
    }

    /// The register of an element of a constant.
    fn element(&mut self, tensor: &Arc<Tensor>, at: usize) -> Register {
        let key = (Arc::as_ptr(tensor).addr(), at);
        if let Some(&known) = self.shared.get(&key) {
            return known;
        }
        let scalar = match &tensor.data {
            Data::Float(values) => Scalar::Float(values[at]),
            Data::Double(values) => Scalar::Double(values[at]),
            Data::Long(values) => Scalar::Long(values[at]),
            Data::Bool(values) => Scalar::Bool(values[at]),
            Data::Text(values) => Scalar::Text(values[at].clone()),
        };
        let made = self.register(tensor.kind(), Origin::Constant(scalar));
        self.shared.insert(key, made);
        made
    }

    fn made(&mut self, node: &Node) -> Result<Vec<Value>, Refusal> {
        let operands = self.operands(node)?;
        let constant = operands.iter().flatten().all(|value| matches!(value, Value::Constant(_)));
        if constant && node.operator != "Identity" {
            return Err(node.refused("it is the same for every row"));
        }
        let operands = &operands[..];
        if node.domain == "ai.onnx.ml" {
            return if node.operator == "LabelEncoder" { self.labels(node, operands) } else { unknown(node) };
        }
        if !node.domain.is_empty() {
            return unknown(node);
        }
        match node.operator.as_str() {
            "Identity" => shape::identity(node, operands),
            "Concat" => shape::concat(node, operands),
            "Reshape" => shape::reshape(node, operands),
            "Unsqueeze" => shape::unsqueeze(node, operands),
            "Squeeze" => shape::squeeze(node, operands),
            "Transpose" => shape::transpose(node, operands),
            "Gather" => self.gather(node, operands),
            "GatherElements" => self.gather_elements(node, operands),
            "RegexFullMatch" => self.matches(node, operands),
            "StringConcat" => self.join(node, operands),
            "StringSplit" => text::split(node, operands, self),
            "ReduceSum" => self.reduce(node, operands, Fold::Sum),
            "ReduceMean" => self.reduce(node, operands, Fold::Mean),
            "ReduceMax" => self.reduce(node, operands, Fold::Max),
            "ReduceMin" => self.reduce(node, operands, Fold::Min),
            "TopK" => self.top(node, operands),
            "CumSum" => self.running(node, operands),
            "ArgMin" => self.least(node, operands),
            _ => self.wide(node, operands),
        }
    }

    fn operands(&self, node: &Node) -> Result<Vec<Option<Value>>, Refusal> {
        let found = node.inputs.iter().map(|name| {
            if name.is_empty() {
                return Ok(None);
            }
            self.values.get(name).cloned().map(Some).ok_or_else(|| node.refused(&format!("{name} is not known")))
        });
        found.collect()
    }
}

fn unknown<T>(node: &Node) -> Result<T, Refusal> {
    Err(node.refused("it is not compiled"))
}

/// Operands by their number, all of them there.
fn exactly<'a, const COUNT: usize>(node: &Node, operands: &'a [Option<Value>]) -> Result<[&'a Value; COUNT], Refusal> {
    let given: Option<Vec<&Value>> = operands.iter().map(Option::as_ref).collect();
    let given = given.and_then(|given| given.try_into().ok());
    given.ok_or_else(|| node.refused(&format!("it must have {COUNT} inputs")))
}

/// The columns of a value `[N, dims]`.
fn columns<'a>(node: &Node, value: &'a Value) -> Result<(Kind, &'a [usize], &'a [Register]), Refusal> {
    match value {
        Value::Columns { kind, dims, columns } => Ok((*kind, dims, columns)),
        Value::Constant(_) => Err(node.refused("an input is the same for every row")),
        Value::Pieces { .. } | Value::Marks { .. } => Err(node.refused("pieces of texts are not compiled")),
    }
}

fn constant<'a>(node: &Node, value: &'a Value) -> Result<&'a Arc<Tensor>, Refusal> {
    match value {
        Value::Constant(tensor) => Ok(tensor),
        _ => Err(node.refused("an input must be the same for every row")),
    }
}

fn constant_longs<'a>(node: &Node, value: &'a Value) -> Result<&'a [i64], Refusal> {
    constant(node, value)?.longs().ok_or_else(|| node.refused("an input must be of integers"))
}

fn width(dims: &[usize]) -> Result<usize, Refusal> {
    let size = dims.iter().try_fold(1_usize, |size, &dim| size.checked_mul(dim));
    size.filter(|size| (1..=MOST_COLUMNS).contains(size)).ok_or_else(|| Refusal::new(format!("shape {dims:?}")))
}

/// An axis of a value `[N, dims]` as a place in `dims`; the rows are none.
fn axis(node: &Node, axis: i64, rank: usize) -> Result<usize, Refusal> {
    let whole = i64::try_from(rank + 1).unwrap_or(i64::MAX);
    let place = if axis < 0 { axis + whole } else { axis };
    let place = usize::try_from(place - 1).ok().filter(|&place| place < rank);
    place.ok_or_else(|| node.refused(&format!("axis {axis} is not compiled")))
}
