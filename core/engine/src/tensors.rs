//! The Open Inference Protocol: requests with raw tensors, several of them in one pass.

use std::sync::Arc;

use crate::column::{Column, Kind};
use crate::fault::Panicked;
use crate::graph::{Graph, Output, Passed};
use crate::infer::{Request, Span};
use crate::rules::Rule;
use crate::wire::{is_text, put_bytes, put_varint};

/// The protocol's engine for one bundle.
pub struct Tensors {
    graph: Arc<Graph>,
    rules: Vec<Rule>,
    most_rows: usize,
    version: String,
}

/// How a request fills the columns, all of whose values keep the rules.
#[derive(Clone, Debug)]
pub struct Admitted {
    rows: usize,
    columns: Vec<Option<Span>>,
    wanted: Vec<usize>,
}

impl Admitted {
    /// Rows of the request.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl Tensors {
    /// An engine with one rule for each input of the graph; `None` when they do not fit each other.
    #[must_use]
    pub fn new(graph: Arc<Graph>, rules: Vec<Rule>, most_rows: usize, version: String) -> Option<Self> {
        let kinds = rules.iter().map(|rule| match rule {
            Rule::Double { .. } => Kind::Double,
            Rule::Long { .. } => Kind::Long,
            Rule::Text { .. } => Kind::Text,
        });
        let fits = graph.inputs().iter().map(|input| input.kind).eq(kinds);
        fits.then_some(Self { graph, rules, most_rows, version })
    }

    /// Checks structure and values of a request; `None` when it is not plainly valid for this bundle.
    #[must_use]
    pub fn admit(&self, message: &[u8], request: &Request) -> Option<Admitted> {
        let rows = usize::try_from(*request.inputs.first()?.shape.first()?).ok()?;
        if rows == 0 || rows > self.most_rows {
            return None;
        }
        let inputs = self.graph.inputs();
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
        let wanted = self.wanted(message, request)?;
        for ((rule, input), raw) in self.rules.iter().zip(inputs).zip(&columns) {
            let values = rows.checked_mul(input.width())?;
            match raw {
                Some(raw) => each(rule, message.get(raw.clone())?, values, &mut |_| {})?,
                None => drop(left_out(rule)?),
            }
        }
        Some(Admitted { rows, columns, wanted })
    }

    fn wanted(&self, message: &[u8], request: &Request) -> Option<Vec<usize>> {
        let outputs = self.graph.outputs();
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

    /// Answers requests in one pass, in order.
    ///
    /// # Errors
    /// One of them made the engine panic.
    pub fn infer(&self, requests: &[(&[u8], &Request, &Admitted)]) -> Result<Option<Passed<Vec<Vec<u8>>>>, Panicked> {
        let single = matches!(requests, [(_, _, admitted)] if admitted.rows == 1);
        let fill = |columns: &mut [Column]| {
            for (message, _, admitted) in requests {
                self.fill(message, admitted, columns)?;
            }
            Some(requests.iter().map(|(_, _, admitted)| admitted.rows).sum())
        };
        self.graph.pass(single, fill, |outputs| {
            let mut first = 0;
            requests
                .iter()
                .map(|(message, request, admitted)| {
                    let answer = self.answer(message, request, admitted, outputs, first);
                    first += admitted.rows;
                    answer
                })
                .collect()
        })
    }

    fn fill(&self, message: &[u8], admitted: &Admitted, columns: &mut [Column]) -> Option<()> {
        let declared = self.rules.iter().zip(self.graph.inputs());
        for ((column, raw), (rule, input)) in columns.iter_mut().zip(&admitted.columns).zip(declared) {
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

    /// The answer to one request, whose rows begin with row `first` of the outputs.
    fn answer(
        &self,
        message: &[u8],
        request: &Request,
        admitted: &Admitted,
        outputs: &[Vec<f32>],
        first: usize,
    ) -> Option<Vec<u8>> {
        let promised = self.graph.outputs();
        let data: usize = admitted.wanted.iter().map(|&place| promised[place].width() * 4 * admitted.rows).sum();
        let mut out = Vec::with_capacity(data + 64 * (admitted.wanted.len() + 1) + request.id.len());
        for (number, text) in [(1, request.name(message)?), (2, &*self.version)] {
            if !text.is_empty() {
                put_bytes(&mut out, number, text.as_bytes());
            }
        }
        for &place in &admitted.wanted {
            put_bytes(&mut out, 5, &described(&promised[place], admitted.rows));
        }
        if !request.id.is_empty() {
            put_bytes(&mut out, 3, message.get(request.id.clone())?);
        }
        for &place in &admitted.wanted {
            let width = promised[place].width();
            let values = outputs[place].get(first * width..(first + admitted.rows) * width)?;
            out.push(crate::wire::tag(6, crate::wire::BYTES));
            put_varint(&mut out, values.len() as u64 * 4);
            for value in values {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        Some(out)
    }
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

/// An `InferOutputTensor` without data.
fn described(output: &Output, rows: usize) -> Vec<u8> {
    let (mut out, mut shape) = (Vec::with_capacity(48), Vec::new());
    put_bytes(&mut out, 1, output.name.as_bytes());
    put_bytes(&mut out, 2, b"FP32");
    put_varint(&mut shape, rows as u64);
    for &size in &output.tail {
        put_varint(&mut shape, size.cast_unsigned());
    }
    put_bytes(&mut out, 3, &shape);
    out
}
