//! The Open Inference Protocol: requests with raw tensors, several of them in one pass.

use std::sync::Arc;

use crate::admission::{Admitted, Declared, admit, fill};
use crate::column::{Column, Kind};
use crate::fault::Panicked;
use crate::graph::{Graph, Output, Passed};
use crate::infer::Request;
use crate::rules::Rule;
use crate::wire::{put_bytes, put_varint};

/// The protocol's engine for one bundle.
pub struct Tensors {
    graph: Arc<Graph>,
    rules: Vec<Rule>,
    most_rows: usize,
    version: String,
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
        admit(self.declared(), message, request)
    }

    fn declared(&self) -> Declared<'_> {
        let (inputs, outputs) = (self.graph.inputs(), self.graph.outputs());
        Declared { inputs, outputs, rules: &self.rules, most_rows: self.most_rows }
    }

    /// Answers requests in one pass, in order.
    ///
    /// # Errors
    /// One of them made the engine panic.
    pub fn infer(&self, requests: &[(&[u8], &Request, &Admitted)]) -> Result<Option<Passed<Vec<Vec<u8>>>>, Panicked> {
        let single = matches!(requests, [(_, _, admitted)] if admitted.rows == 1);
        let fill = |columns: &mut [Column]| {
            for (message, _, admitted) in requests {
                fill(self.declared(), message, admitted, columns)?;
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
