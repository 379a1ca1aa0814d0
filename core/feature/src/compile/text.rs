//! Operators on texts.

use std::sync::Arc;

use super::wide::kind_of;
use super::{Builder, Register, Step, Value, axis, columns, constant, constant_longs, exactly, width};
use crate::labels::Labels;
use crate::node::{Attribute, Node};
use crate::pattern::Pattern;
use crate::program::Table;
use crate::refusal::Refusal;
use crate::tensor::Kind;

/// Most digits of a number that is read from a text: as many as a float of 64 bits holds.
const MOST_DIGITS: u32 = 15;

impl Builder {
    pub(super) fn labels(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["keys_strings", "values_int64s", "values_floats", "default_int64", "default_float"])?;
        let [value] = exactly(node, operands)?;
        let (kind, dims, texts) = match value {
            Value::Pieces { dims, texts, .. } => (Kind::Text, &dims[..], &texts[..]),
            _ => columns(node, value)?,
        };
        let keys = match node.attributes.get("keys_strings") {
            Some(Attribute::Texts(keys)) if kind == Kind::Text => keys,
            _ => return Err(node.refused("only texts are looked up")),
        };
        let twice = || node.refused("a key is there twice");
        let (kind, table) = match (node.attributes.get("values_int64s"), node.attributes.get("values_floats")) {
            (Some(Attribute::Ints(values)), None) if values.len() == keys.len() => {
                let other = node.int("default_int64")?.unwrap_or(-1);
                (Kind::Long, Table::Longs(Labels::new(keys, values, other).ok_or_else(twice)?))
            }
            (None, Some(Attribute::Floats(values))) if values.len() == keys.len() => {
                let other = match node.attributes.get("default_float") {
                    None => -0.0,
                    Some(Attribute::Float(other)) => *other,
                    Some(_) => return Err(node.refused("default_float must be a float")),
                };
                (Kind::Float, Table::Floats(Labels::new(keys, values, other).ok_or_else(twice)?))
            }
            _ => return Err(node.refused("only integers or floats are found")),
        };
        let table = Arc::new(table);
        if let Value::Pieces { dims, texts, delimiter, .. } = value {
            let (dims, texts, delimiter) = (dims.clone(), texts.clone(), delimiter.clone());
            return Ok(vec![Value::Marks { dims, texts, delimiter, table, extra: Vec::new() }]);
        }
        let least = least(&table);
        let mut outs = Vec::new();
        for &text in texts {
            let out = self.computed(kind);
            self.steps.push(Step::Label { text, table: table.clone(), out });
            self.least.extend(least.map(|least| (out, least)));
            outs.push(out);
        }
        Ok(vec![Value::Columns { kind, dims: dims.to_vec(), columns: outs }])
    }

    pub(super) fn matches(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&["pattern"])?;
        let [value] = exactly(node, operands)?;
        let (kind, dims, texts) = columns(node, value)?;
        let pattern = node.text("pattern")?.ok_or_else(|| node.refused("it must have a pattern"))?;
        if kind != Kind::Text {
            return Err(node.refused("only texts match"));
        }
        let digits = is_digits(pattern);
        let pattern = Arc::new(Pattern::new(pattern)?);
        let mut outs = Vec::new();
        for &text in texts {
            let out = self.computed(Kind::Bool);
            self.steps.push(Step::Match { text, pattern: pattern.clone(), out });
            if digits {
                self.digits.insert(out, text);
            }
            outs.push(out);
        }
        Ok(vec![Value::Columns { kind: Kind::Bool, dims: dims.to_vec(), columns: outs }])
    }

    pub(super) fn join(&mut self, node: &Node, operands: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
        node.knows(&[])?;
        let [one, other] = exactly(node, operands)?;
        if one.kind() != Kind::Text || other.kind() != Kind::Text {
            return Err(node.refused("only texts are joined"));
        }
        let (dims, columns) = self.spread_columns(node, &[one, other])?;
        let mut outs = Vec::new();
        for (&one, &other) in columns[0].iter().zip(&columns[1]) {
            let out = self.computed(Kind::Text);
            self.steps.push(Step::Join { one, other, out });
            outs.push(out);
        }
        Ok(vec![Value::Columns { kind: Kind::Text, dims, columns: outs }])
    }

    pub(super) fn either(&mut self, dims: Vec<usize>, columns: &[Vec<Register>]) -> Value {
        let mut outs = Vec::new();
        for ((&condition, &one), &other) in columns[0].iter().zip(&columns[1]).zip(&columns[2]) {
            let out = self.computed(Kind::Text);
            self.steps.push(Step::Either { condition, one, other, out });
            if self.digits.get(&condition) == Some(&one) && self.is_nan(other) {
                self.numbers.insert(out);
            }
            outs.push(out);
        }
        Value::Columns { kind: Kind::Text, dims, columns: outs }
    }

    fn is_nan(&self, register: Register) -> bool {
        matches!(&self.registers[register].1, super::Origin::Constant(crate::program::Scalar::Text(text)) if text == b"nan")
    }

    /// A number from a text, where the graph has seen to it that it is one.
    pub(super) fn number(&mut self, node: &Node, value: &Value) -> Result<Value, Refusal> {
        let (_, dims, texts) = columns(node, value)?;
        let to = node.int("to")?.and_then(kind_of).filter(|kind| matches!(kind, Kind::Float | Kind::Double));
        let kind = to.ok_or_else(|| node.refused("the type is not compiled"))?;
        if texts.iter().any(|text| !self.numbers.contains(text)) {
            return Err(node.refused("a text may be no number"));
        }
        let mut outs = Vec::new();
        for &text in texts {
            let out = self.computed(kind);
            self.steps.push(Step::Number { text, kind, out });
            outs.push(out);
        }
        Ok(Value::Columns { kind, dims: dims.to_vec(), columns: outs })
    }

    /// Pieces by constant places.
    pub(super) fn pieces(
        &mut self,
        node: &Node,
        data: &Value,
        places: &Value,
        asked: i64,
    ) -> Result<Vec<Value>, Refusal> {
        let Value::Pieces { dims, texts, delimiter, split } = data else { return Err(node.refused("no pieces")) };
        let shape = &constant(node, places)?.dims;
        let places = constant_longs(node, places)?.iter().map(|&place| usize::try_from(place));
        let places: Vec<usize> = places.collect::<Result<_, _>>().map_err(|_| node.refused("an index is negative"))?;
        if axis(node, asked, dims.len() + 1)? != dims.len() {
            return Err(node.refused("only the pieces are gathered"));
        }
        let made = [&dims[..], shape].concat();
        width(&made)?;
        let mut outs = Vec::new();
        for &text in texts {
            let picks: Vec<_> = places.iter().map(|&place| (place, self.computed(Kind::Text))).collect();
            outs.extend(picks.iter().map(|(_, out)| *out));
            self.steps.push(Step::Pieces { text, delimiter: delimiter.clone(), picks, split: *split });
        }
        Ok(vec![Value::Columns { kind: Kind::Text, dims: made, columns: outs }])
    }

    /// The largest label of pieces and of one more. Rows with fewer pieces are filled up with empty ones, as many as the
    /// other rows say: that makes no difference where no label is less than that of an empty piece.
    pub(super) fn largest(&mut self, node: &Node, value: &Value, axes: &[i64]) -> Result<Vec<Value>, Refusal> {
        let Value::Marks { dims, texts, delimiter, table, extra } = value else {
            return Err(node.refused("no labels"));
        };
        let last = matches!(axes, [asked] if axis(node, *asked, dims.len() + 1)? == dims.len());
        let Table::Floats(labels) = &**table else { return Err(node.refused("only floats are compiled")) };
        let (empty, lowest) = (labels.of(b""), least(table));
        let harmless = |least: f32| empty <= least;
        let known = extra.iter().all(|register| self.least.get(register).copied().is_some_and(harmless));
        if !last || extra.len() != texts.len() || !known || !lowest.is_some_and(harmless) {
            return Err(node.refused("a label may be less than that of an empty piece"));
        }
        let mut outs = Vec::new();
        for (&text, &extra) in texts.iter().zip(extra) {
            let out = self.computed(Kind::Float);
            let (delimiter, table) = (delimiter.clone(), table.clone());
            self.steps.push(Step::Largest { text, delimiter, table, extra, out });
            outs.push(out);
        }
        let mut made = dims.clone();
        if node.int("keepdims")?.unwrap_or(1) != 0 {
            made.push(1);
        }
        Ok(vec![Value::Columns { kind: Kind::Float, dims: made, columns: outs }])
    }
}

/// `StringSplit`: the pieces, and how many there are.
pub(super) fn split(node: &Node, operands: &[Option<Value>], into: &mut Builder) -> Result<Vec<Value>, Refusal> {
    node.knows(&["delimiter"])?;
    let [value] = exactly(node, operands)?;
    let (kind, dims, texts) = columns(node, value)?;
    let delimiter = node.text("delimiter")?.filter(|delimiter| !delimiter.is_empty());
    let (Some(delimiter), Kind::Text) = (delimiter, kind) else {
        return Err(node.refused("only texts at a delimiter are compiled"));
    };
    let delimiter: Arc<[u8]> = Arc::from(delimiter);
    let mut counts = Vec::new();
    for &text in texts {
        let out = into.computed(Kind::Long);
        into.steps.push(Step::Count { text, delimiter: delimiter.clone(), out });
        counts.push(out);
    }
    let (dims, texts) = (dims.to_vec(), texts.to_vec());
    let pieces = Value::Pieces { dims: dims.clone(), texts, delimiter, split: into.splits };
    into.splits += 1;
    Ok(vec![pieces, Value::Columns { kind: Kind::Long, dims, columns: counts }])
}

/// The least number that may be found; none when it may be NaN or a negative zero.
fn least(table: &Table) -> Option<f32> {
    let Table::Floats(labels) = table else { return None };
    let plain = labels.all().all(|label| !label.is_nan() && (label != 0.0 || label.is_sign_positive()));
    plain.then(|| labels.all().fold(f32::INFINITY, f32::min))
}

/// Whether what matches is a number of few digits.
fn is_digits(pattern: &[u8]) -> bool {
    let most = std::str::from_utf8(pattern).ok().and_then(|it| it.strip_prefix("[0-9]{1,")?.strip_suffix('}'));
    most.and_then(|most| most.parse::<u32>().ok()).is_some_and(|most| most <= MOST_DIGITS)
}

/// Labels of pieces, and one label more.
pub(super) fn one_more(node: &Node, marks: &Value, more: &Value) -> Result<Vec<Value>, Refusal> {
    let (_, shape, extra) = columns(node, more)?;
    let Value::Marks { dims, texts, delimiter, table, extra: before } = marks else {
        return Err(node.refused("no labels"));
    };
    let asked = node.int("axis")?.ok_or_else(|| node.refused("it must have an axis"))?;
    let last = axis(node, asked, dims.len() + 1)? == dims.len();
    if !last || !before.is_empty() || shape != [&dims[..], &[1]].concat() || more.kind() != Kind::Float {
        return Err(node.refused("only one label more is compiled"));
    }
    let (dims, texts, delimiter, table) = (dims.clone(), texts.clone(), delimiter.clone(), table.clone());
    Ok(vec![Value::Marks { dims, texts, delimiter, table, extra: extra.to_vec() }])
}
