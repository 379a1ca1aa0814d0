//! Which requests of the Open Inference Protocol a bundle takes, and their values put into its columns.

use crate::column::{Column, Kind};
use crate::graph::{Input, Output};
use crate::infer::{Request, Span};
use crate::rules::Rule;
use crate::wire::is_text;

/// What a bundle says of itself: one rule for each input.
#[derive(Clone, Copy)]
pub(crate) struct Declared<'a> {
    pub inputs: &'a [Input],
    pub outputs: &'a [Output],
    pub rules: &'a [Rule],
    pub most_rows: usize,
}

/// How a request fills the columns, all of whose values keep the rules.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub(crate) rows: usize,
    columns: Vec<Option<Span>>,
    pub(crate) wanted: Vec<usize>,
}

impl Admitted {
    /// Rows of the request.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Checks structure and values of a request; `None` when it is not plainly valid for the bundle.
pub(crate) fn admit(declared: Declared, message: &[u8], request: &Request) -> Option<Admitted> {
    let rows = usize::try_from(*request.inputs.first()?.shape.first()?).ok()?;
    if rows == 0 || rows > declared.most_rows {
        return None;
    }
    let inputs = declared.inputs;
    let mut columns = vec![None; inputs.len()];
    for (place, tensor) in request.inputs.iter().enumerate() {
        let name = message.get(tensor.name.clone())?;
        let is_it = |index: &usize| inputs.get(*index).is_some_and(|input| input.name.as_bytes() == name);
        let index = Some(place).filter(is_it).or_else(|| (0..inputs.len()).find(|index| is_it(index)))?;
        let (input, (&told, tail)) = (&inputs[index], tensor.shape.split_first()?);
        if message.get(tensor.datatype.clone())? != datatype(input.kind)
            || usize::try_from(told).ok()? != rows
            || tail != input.tail
            || columns[index].replace(request.raws[place].clone()).is_some()
        {
            return None;
        }
    }
    let wanted = wanted(declared.outputs, message, request)?;
    for ((rule, input), raw) in declared.rules.iter().zip(inputs).zip(&columns) {
        let values = rows.checked_mul(input.width())?;
        match raw {
            Some(raw) => each(rule, message.get(raw.clone())?, values, &mut |_| {})?,
            None => drop(left_out(rule)?),
        }
    }
    Some(Admitted { rows, columns, wanted })
}

fn wanted(outputs: &[Output], message: &[u8], request: &Request) -> Option<Vec<usize>> {
    if request.outputs.is_empty() {
        return Some((0..outputs.len()).collect());
    }
    let mut wanted = Vec::with_capacity(request.outputs.len());
    for name in &request.outputs {
        let name = message.get(name.clone())?;
        let place = outputs.iter().position(|output| output.name.as_bytes() == name)?;
        if wanted.contains(&place) {
            return None;
        }
        wanted.push(place);
    }
    Some(wanted)
}

/// Adds the rows of a request to the columns.
pub(crate) fn fill(declared: Declared, message: &[u8], admitted: &Admitted, columns: &mut [Column]) -> Option<()> {
    let rules = declared.rules.iter().zip(declared.inputs);
    for ((column, raw), (rule, input)) in columns.iter_mut().zip(&admitted.columns).zip(rules) {
        let values = admitted.rows * input.width();
        if let Some(raw) = raw {
            each(rule, message.get(raw.clone())?, values, &mut |value| push(column, value))?;
        } else {
            let value = left_out(rule)?;
            for _ in 0..values {
                push(column, value);
            }
        }
    }
    Some(())
}

/// One value of a tensor.
#[derive(Clone, Copy)]
enum Value<'a> {
    Double(f64),
    Long(i64),
    Text(&'a [u8]),
}

#[inline]
fn push(column: &mut Column, value: Value) {
    match value {
        Value::Double(value) => column.doubles().push(value),
        Value::Long(value) => column.longs().push(value),
        Value::Text(text) => column.texts().push(text),
    }
}

/// Reads `count` values that keep the rule; none when there are more or fewer, or one breaks it.
#[inline]
fn each<'a>(rule: &Rule, raw: &'a [u8], count: usize, take: &mut impl FnMut(Value<'a>)) -> Option<()> {
    if matches!(rule, Rule::Text { .. }) {
        let mut rest = raw;
        for _ in 0..count {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (text, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            rest = after;
            take(Value::Text(rule.text(text).filter(|text| is_text(text))?));
        }
        return rest.is_empty().then_some(());
    }
    let (values, rest) = raw.as_chunks::<8>();
    if values.len() != count || !rest.is_empty() {
        return None;
    }
    for value in values {
        take(match rule {
            Rule::Long { .. } => Value::Long(rule.long(i64::from_le_bytes(*value))?),
            _ => Value::Double(rule.double(f64::from_le_bytes(*value))?),
        });
    }
    Some(())
}

/// What stands for an input that is left out; none when there is nothing, or it breaks the rule itself.
fn left_out(rule: &Rule) -> Option<Value<'_>> {
    Some(match rule {
        Rule::Double { default, .. } => Value::Double(rule.double(*default)?),
        Rule::Long { default, .. } => Value::Long(rule.long((*default)?)?),
        Rule::Text { default, .. } => Value::Text(rule.text(default)?),
    })
}

fn datatype(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Double => b"FP64",
        Kind::Long => b"INT64",
        Kind::Text => b"BYTES",
    }
}
