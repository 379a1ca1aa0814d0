//! What a graph is compiled to: registers of five types and instructions over runs of consecutive registers.

use std::sync::Arc;

use crate::labels::Labels;
use crate::order::Tie;
use crate::pattern::Pattern;
use crate::tensor::{Kind, Tensor};

/// An input or output of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Type of its elements.
    pub kind: Kind,
    /// Its shape without the rows.
    pub dims: Vec<usize>,
}

impl Slot {
    /// Elements in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }
}

/// An operator that computes a column from one column of each operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wide {
    Add(Kind),
    Sub(Kind),
    Mul(Kind),
    Div(Kind),
    Mod(Kind),
    Min(Kind, Tie),
    Max(Kind, Tie),
    Equal(Kind),
    Less(Kind),
    LessOrEqual(Kind),
    And,
    Or,
    Xor,
    Not,
    IsNan(Kind),
    IsInf(Kind, bool, bool),
    Abs(Kind),
    Neg(Kind),
    Sqrt(Kind),
    Reciprocal(Kind),
    Floor(Kind),
    Ceil(Kind),
    Where(Kind),
    Cast(Kind, Kind),
    /// Bounds that are neither zero nor NaN.
    Clip(Kind),
}

/// How a row is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fold {
    Sum,
    Mean,
    Max,
    Min,
}

/// What a text is looked up in.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    Longs(Labels<i64>),
    Floats(Labels<f32>),
}

/// Consecutive registers; a step of 0 stays at the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub first: usize,
    pub step: usize,
}

/// One instruction; registers are numbers within the file of their type.
#[derive(Clone, Debug)]
pub(crate) enum Instruction {
    Wide {
        op: Wide,
        out: usize,
        count: usize,
        column: usize,
        args: [Run; 3],
    },
    /// Elements of the table's row that an index names; `picks` are places in the row with registers.
    Pick {
        index: usize,
        table: Arc<Tensor>,
        width: usize,
        height: i64,
        picks: Vec<(usize, usize)>,
    },
    Label {
        text: usize,
        table: Arc<Table>,
        out: usize,
    },
    Match {
        text: usize,
        pattern: Arc<Pattern>,
        out: usize,
    },
    SameText {
        one: usize,
        other: usize,
        out: usize,
    },
    /// One text behind the other.
    Join {
        one: usize,
        other: usize,
        out: usize,
    },
    /// One of two texts.
    Either {
        condition: usize,
        one: usize,
        other: usize,
        out: usize,
    },
    /// Pieces of a text by their places; `split` numbers the value that is cut, for the most pieces of all its texts.
    Pieces {
        text: usize,
        delimiter: Arc<[u8]>,
        picks: Vec<(usize, usize)>,
        split: usize,
    },
    /// The number of pieces.
    Count {
        text: usize,
        delimiter: Arc<[u8]>,
        out: usize,
    },
    /// The largest label of all pieces and of one more.
    Largest {
        text: usize,
        delimiter: Arc<[u8]>,
        table: Arc<Table>,
        extra: usize,
        out: usize,
    },
    /// A number of digits, or NaN.
    Number {
        text: usize,
        kind: Kind,
        out: usize,
    },
    Fold {
        fold: Fold,
        kind: Kind,
        row: Vec<usize>,
        group: usize,
        groups: usize,
        out: usize,
    },
    Best {
        kind: Kind,
        row: Vec<usize>,
        largest: bool,
        values: Vec<usize>,
        places: Vec<Option<usize>>,
    },
    /// Running sums from the first on.
    Running {
        kind: Kind,
        row: Vec<usize>,
        outs: Vec<usize>,
    },
    /// The place of the first least value.
    Least {
        kind: Kind,
        row: Vec<usize>,
        out: usize,
    },
    /// The element that an index names.
    Choose {
        kind: Kind,
        row: Vec<usize>,
        index: usize,
        out: usize,
    },
}

/// Columns of a tensor and registers that belong together, both consecutive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub tensor: usize,
    pub column: usize,
    pub register: usize,
    pub count: usize,
}

/// The value that a register always has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Float(f32),
    Double(f64),
    Long(i64),
    Bool(bool),
    Text(Vec<u8>),
}

/// A compiled graph. It never changes; each thread runs it with a [`crate::Space`] of its own.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    pub(crate) loads: Vec<Move>,
    pub(crate) stores: Vec<Move>,
    pub(crate) registers: [usize; 5],
    /// For each value that is cut, the most pieces that are asked for.
    pub(crate) splits: Vec<usize>,
    pub(crate) constants: Vec<(usize, Scalar)>,
    pub(crate) instructions: Vec<Instruction>,
}

impl Program {
    /// Its inputs.
    #[must_use]
    pub fn inputs(&self) -> &[Slot] {
        &self.inputs
    }

    /// Its outputs.
    #[must_use]
    pub fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    /// Number of its instructions.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.instructions.len()
    }

    /// Number of its registers.
    #[must_use]
    pub fn registers(&self) -> usize {
        self.registers.iter().sum()
    }
}
