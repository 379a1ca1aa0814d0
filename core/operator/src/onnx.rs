//! A model's bytes as nodes, constants and values; only what fusing asks for, everything else stays bytes.

use std::collections::BTreeMap;

use jobcast_feature::{Attribute, Data, Kind, Node, Tensor};

use crate::declared::{Declared, declared, kind_of};
use crate::wire::{Field, Malformed, Value, fields, varint};

/// Numbers of fields of `onnx.GraphProto`.
pub(crate) mod graph {
    pub(crate) const NODE: u64 = 1;
    pub(crate) const INITIALIZER: u64 = 5;
    pub(crate) const INPUT: u64 = 11;
    pub(crate) const OUTPUT: u64 = 12;
    pub(crate) const VALUE: u64 = 13;
    pub(crate) const SPARSE: u64 = 15;
}

/// Numbers of fields of `onnx.NodeProto` and `AttributeProto`.
pub(crate) mod node {
    pub(crate) const INPUT: u64 = 1;
    pub(crate) const OUTPUT: u64 = 2;
    pub(crate) const NAME: u64 = 3;
    pub(crate) const OPERATOR: u64 = 4;
    pub(crate) const ATTRIBUTE: u64 = 5;
    pub(crate) const DOMAIN: u64 = 7;
    pub(super) const OVERLOAD: u64 = 8;
    pub(crate) const ATTRIBUTE_NAME: u64 = 1;
    pub(crate) const ATTRIBUTE_TEXT: u64 = 4;
    pub(crate) const ATTRIBUTE_TYPE: u64 = 20;
}

/// `onnx.AttributeProto.STRING`.
pub(crate) const TYPE_TEXT: u64 = 3;

/// A node and its bytes.
pub(crate) struct Found<'a> {
    pub node: Node,
    pub bytes: &'a [u8],
    /// The constant that a `Constant` node holds.
    pub constant: Option<Tensor>,
    /// It holds graphs, which may read any value around them.
    pub nested: bool,
}

/// A graph.
#[derive(Default)]
pub(crate) struct Graph<'a> {
    pub nodes: Vec<Found<'a>>,
    pub initializers: Vec<(&'a str, &'a [u8])>,
    pub inputs: Vec<Declared<'a>>,
    pub outputs: Vec<&'a str>,
    pub values: Vec<&'a str>,
    pub sparse: bool,
}

impl<'a> Graph<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut made = Self::default();
        for field in fields(bytes) {
            let Field { number, value, .. } = field?;
            match number {
                graph::NODE => made.nodes.push(found(value.bytes()?)?),
                graph::INITIALIZER => {
                    let bytes = value.bytes()?;
                    made.initializers.push((name_of(bytes, 8)?, bytes));
                }
                graph::INPUT => made.inputs.push(declared(value.bytes()?)?),
                graph::OUTPUT => made.outputs.push(name_of(value.bytes()?, 1)?),
                graph::VALUE => made.values.push(name_of(value.bytes()?, 1)?),
                graph::SPARSE => made.sparse = true,
                _ => {}
            }
        }
        Ok(made)
    }
}

/// A text field of a message; empty when it is not there.
fn name_of(bytes: &[u8], wanted: u64) -> Result<&str, Malformed> {
    let mut name = "";
    for field in fields(bytes) {
        let Field { number, value, .. } = field?;
        if number == wanted {
            name = value.text()?;
        }
    }
    Ok(name)
}

fn found(bytes: &[u8]) -> Result<Found<'_>, Malformed> {
    let mut made = Found { node: Node::default(), bytes, constant: None, nested: false };
    for field in fields(bytes) {
        let Field { number, value, .. } = field?;
        match number {
            node::INPUT => made.node.inputs.push(value.text()?.to_owned()),
            node::OUTPUT => made.node.outputs.push(value.text()?.to_owned()),
            node::OPERATOR => value.text()?.clone_into(&mut made.node.operator),
            node::DOMAIN => value.text()?.clone_into(&mut made.node.domain),
            node::OVERLOAD => made.nested |= !value.bytes()?.is_empty(),
            node::ATTRIBUTE => attribute(value.bytes()?, &mut made)?,
            _ => {}
        }
    }
    if (made.node.operator.as_str(), made.node.domain.as_str()) != ("Constant", "") {
        made.constant = None;
    }
    Ok(made)
}

fn attribute(bytes: &[u8], made: &mut Found) -> Result<(), Malformed> {
    let (mut name, mut int, mut float, mut text, mut kind) = ("", None, None, None, 0);
    let (mut ints, mut floats, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields(bytes) {
        let Field { number, value, .. } = field?;
        match (number, value) {
            (1, value) => name = value.text()?,
            (2, Value::Fixed32(bits)) => float = Some(f32::from_bits(bits)),
            (3, Value::Varint(value)) => int = Some(value.cast_signed()),
            (4, value) => text = Some(value.bytes()?.to_vec()),
            (5, value) => made.constant = tensor(value.bytes()?)?,
            (6 | 11 | 21, _) => made.nested = true,
            (7, value) => read_floats(value, &mut floats)?,
            (8, value) => read_ints(value, &mut ints)?,
            (9, value) => texts.push(value.bytes()?.to_vec()),
            (20, Value::Varint(value)) => kind = value,
            _ => {}
        }
    }
    let found = match kind {
        1 => Attribute::Float(float.unwrap_or(0.0)),
        2 => Attribute::Int(int.unwrap_or(0)),
        TYPE_TEXT => Attribute::Text(text.unwrap_or_default()),
        6 => Attribute::Floats(floats),
        7 => Attribute::Ints(ints),
        8 => Attribute::Texts(texts),
        _ => Attribute::Other,
    };
    if made.node.attributes.insert(name.to_owned(), found).is_some() { Err(Malformed) } else { Ok(()) }
}

fn read_floats(value: Value, into: &mut Vec<f32>) -> Result<(), Malformed> {
    match value {
        Value::Fixed32(bits) => into.push(f32::from_bits(bits)),
        Value::Bytes(bytes) => {
            let (values, rest) = bytes.as_chunks();
            if !rest.is_empty() {
                return Err(Malformed);
            }
            into.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

fn read_ints(value: Value, into: &mut Vec<i64>) -> Result<(), Malformed> {
    match value {
        Value::Varint(value) => into.push(value.cast_signed()),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                into.push(varint(&mut packed)?.cast_signed());
            }
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

/// A constant; none when its elements are of a type that is not compiled, or lie elsewhere.
pub(crate) fn tensor(bytes: &[u8]) -> Result<Option<Tensor>, Malformed> {
    let (mut dims, mut floats, mut ints, mut longs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut texts, mut doubles, mut raw, mut kind) = (Vec::new(), Vec::new(), None, None);
    for field in fields(bytes) {
        let Field { number, value, .. } = field?;
        match (number, value) {
            (1, value) => read_ints(value, &mut dims)?,
            (2, Value::Varint(code)) => kind = kind_of(code),
            (4, value) => read_floats(value, &mut floats)?,
            (5, value) => read_ints(value, &mut ints)?,
            (6, value) => texts.push(value.bytes()?.to_vec()),
            (7, value) => read_ints(value, &mut longs)?,
            (9, value) => raw = Some(value.bytes()?),
            (10, Value::Bytes(bytes)) => {
                doubles.extend(bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)));
            }
            (10 | 13, _) | (14, Value::Varint(1..)) => return Ok(None),
            _ => {}
        }
    }
    let Some(kind) = kind else { return Ok(None) };
    let data = match (kind, raw) {
        (Kind::Float, None) => Data::Float(floats),
        (Kind::Double, None) => Data::Double(doubles),
        (Kind::Long, None) => Data::Long(longs),
        (Kind::Bool, None) => Data::Bool(ints.iter().map(|&value| value != 0).collect()),
        (Kind::Text, None) => Data::Text(texts),
        (Kind::Float, Some(raw)) => Data::Float(raw.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)).collect()),
        (Kind::Double, Some(raw)) => Data::Double(raw.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it)).collect()),
        (Kind::Long, Some(raw)) => Data::Long(raw.as_chunks().0.iter().map(|it| i64::from_le_bytes(*it)).collect()),
        (Kind::Bool, Some(raw)) => Data::Bool(raw.iter().map(|&value| value != 0).collect()),
        (Kind::Text, Some(_)) => return Ok(None),
    };
    let dims = dims.into_iter().map(usize::try_from).collect::<Result<_, _>>().map_err(|_| Malformed)?;
    Ok(Some(Tensor { dims, data }).filter(Tensor::is_sound))
}

/// What the sets of operators of a model are, by their domains.
pub(crate) fn opsets(model: &[u8]) -> Result<BTreeMap<&str, i64>, Malformed> {
    let mut found = BTreeMap::new();
    for field in fields(model) {
        let Field { number, value, .. } = field?;
        if number == 8 {
            let (mut domain, mut version) = ("", 0);
            for field in fields(value.bytes()?) {
                match field? {
                    Field { number: 1, value, .. } => domain = value.text()?,
                    Field { number: 2, value: Value::Varint(value), .. } => version = value.cast_signed(),
                    _ => {}
                }
            }
            if found.insert(domain, version).is_some() {
                return Err(Malformed);
            }
        }
    }
    Ok(found)
}
