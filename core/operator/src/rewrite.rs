//! A model's bytes with the core's operators in the place of onnxruntime's; whatever else is in them is copied as it lies.

use std::fmt;

use crate::node::{self, ENSEMBLE, OUTPUTS};
use crate::wire::{Field, Malformed, fields, put_bytes, put_number};
use crate::{DOMAIN, OPERATOR};

const STOCK_DOMAIN: &str = "ai.onnx.ml";
const STOCK_OPERATOR: &str = "TreeEnsembleRegressor";

/// Numbers of fields of `onnx.ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto` and `OperatorSetIdProto`.
mod number {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const MODEL_OPSETS: u64 = 8;
    pub(super) const GRAPH_NODES: u64 = 1;
    pub(super) const NODE_OPERATOR: u64 = 4;
    pub(super) const NODE_ATTRIBUTES: u64 = 5;
    pub(super) const NODE_DOMAIN: u64 = 7;
    pub(super) const ATTRIBUTE_NAME: u64 = 1;
    pub(super) const ATTRIBUTE_INT: u64 = 3;
    pub(super) const ATTRIBUTE_STRING: u64 = 4;
    pub(super) const ATTRIBUTE_TYPE: u64 = 20;
    pub(super) const OPSET_DOMAIN: u64 = 1;
    pub(super) const OPSET_VERSION: u64 = 2;
}

/// `onnx.AttributeProto.INT` and `STRING`.
const TYPE_INT: u64 = 2;
const TYPE_STRING: u64 = 3;

/// Why a model is not rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::new("the bytes are no ONNX model")
    }
}

/// Puts `jobcast.Forest` in the place of every `TreeEnsembleRegressor`; a model without a tree ensemble comes back as it is.
///
/// # Errors
/// The bytes are no model, or a tree ensemble asks for something that the operator does not do.
pub fn rewrite(model: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(model.len() + 64);
    let mut replaced = 0;
    for field in fields(model) {
        let Field { number, value, bytes } = field?;
        if number == number::MODEL_GRAPH {
            let (graph, count) = graph(value.bytes()?)?;
            put_bytes(&mut out, number, &graph);
            replaced += count;
        } else {
            out.extend_from_slice(bytes);
        }
    }
    if replaced == 0 {
        return Ok(model.to_vec());
    }
    put_opset(&mut out);
    Ok(out)
}

/// Replaces the plain operators of a model by `jobcast.Features` where that leaves its answers as they are; a model in
/// which nothing can be replaced comes back as it is.
///
/// # Errors
/// The bytes are no model, or the model is of a kind in which no node is replaced.
pub fn fuse(model: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Some(fused) = crate::fuse::fuse(model)? else { return Ok(model.to_vec()) };
    let (mut out, mut known) = (Vec::with_capacity(model.len()), false);
    for field in fields(model) {
        let Field { number, value, bytes } = field?;
        match number {
            number::MODEL_GRAPH => put_bytes(&mut out, number, &fused),
            _ => out.extend_from_slice(bytes),
        }
        known |= number == number::MODEL_OPSETS && is_ours(value.bytes()?)?;
    }
    if !known {
        put_opset(&mut out);
    }
    Ok(out)
}

fn is_ours(opset: &[u8]) -> Result<bool, Refusal> {
    for field in fields(opset) {
        let Field { number, value, .. } = field?;
        if number == number::OPSET_DOMAIN {
            return Ok(value.text()? == DOMAIN);
        }
    }
    Ok(false)
}

fn put_opset(out: &mut Vec<u8>) {
    let mut opset = Vec::new();
    put_bytes(&mut opset, number::OPSET_DOMAIN, DOMAIN.as_bytes());
    put_number(&mut opset, number::OPSET_VERSION, 1);
    put_bytes(out, number::MODEL_OPSETS, &opset);
}

/// The graph, and how many of its nodes are new.
fn graph(graph: &[u8]) -> Result<(Vec<u8>, usize), Refusal> {
    let (mut out, mut replaced) = (Vec::with_capacity(graph.len()), 0);
    for field in fields(graph) {
        let Field { number, value, bytes } = field?;
        if number == number::GRAPH_NODES && is_ensemble(value.bytes()?)? {
            put_bytes(&mut out, number, &node(value.bytes()?)?);
            replaced += 1;
        } else {
            out.extend_from_slice(bytes);
        }
    }
    Ok((out, replaced))
}

fn is_ensemble(node: &[u8]) -> Result<bool, Refusal> {
    let (mut operator, mut domain) = ("", "");
    for field in fields(node) {
        let Field { number, value, .. } = field?;
        match number {
            number::NODE_OPERATOR => operator = value.text()?,
            number::NODE_DOMAIN => domain = value.text()?,
            _ => {}
        }
    }
    Ok(operator == STOCK_OPERATOR && domain == STOCK_DOMAIN)
}

/// The node with all its attributes as one of bytes, and the number of its outputs beside it: onnxruntime keeps a node's
/// attributes as long as its session, eight bytes for each integer.
fn node(node: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (mut out, mut ensemble) = (Vec::new(), Vec::with_capacity(node.len()));
    for field in fields(node) {
        let Field { number, bytes, .. } = field?;
        match number {
            number::NODE_OPERATOR | number::NODE_DOMAIN => {}
            number::NODE_ATTRIBUTES => ensemble.extend_from_slice(bytes),
            _ => out.extend_from_slice(bytes),
        }
    }
    let attributes = node::attributes(&ensemble)?;
    attributes.trees().map_err(|error| Refusal::new(error.to_string()))?;
    let (mut all, mut outputs) = (Vec::with_capacity(ensemble.len() + 32), Vec::new());
    put_bytes(&mut all, number::ATTRIBUTE_NAME, ENSEMBLE.to_bytes());
    put_bytes(&mut all, number::ATTRIBUTE_STRING, &ensemble);
    put_number(&mut all, number::ATTRIBUTE_TYPE, TYPE_STRING);
    put_bytes(&mut outputs, number::ATTRIBUTE_NAME, OUTPUTS.as_bytes());
    put_number(&mut outputs, number::ATTRIBUTE_INT, attributes.n_targets.cast_unsigned());
    put_number(&mut outputs, number::ATTRIBUTE_TYPE, TYPE_INT);
    for attribute in [all, outputs] {
        put_bytes(&mut out, number::NODE_ATTRIBUTES, &attribute);
    }
    put_bytes(&mut out, number::NODE_OPERATOR, OPERATOR.as_bytes());
    put_bytes(&mut out, number::NODE_DOMAIN, DOMAIN.as_bytes());
    Ok(out)
}
