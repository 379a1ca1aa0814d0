//! The attributes of a `TreeEnsembleRegressor` node, read from its bytes.

use std::ffi::CStr;

use jobcast_forest::{Attributes, Mode};

use crate::rewrite::Refusal;
use crate::wire::{Field, Malformed, Value, fields, take, varint};

/// Numbers of fields of `onnx.AttributeProto`.
mod attribute {
    pub(super) const NAME: u64 = 1;
    pub(super) const INT: u64 = 3;
    pub(super) const STRING: u64 = 4;
    pub(super) const FLOATS: u64 = 7;
    pub(super) const INTS: u64 = 8;
    pub(super) const STRINGS: u64 = 9;
}

/// One attribute, whatever it holds.
#[derive(Default)]
struct Attribute<'a> {
    name: &'a str,
    int: i64,
    string: &'a [u8],
    floats: Vec<f32>,
    ints: Vec<i64>,
    strings: Vec<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut made = Self::default();
        for field in fields(bytes) {
            let Field { number, value, .. } = field?;
            match (number, value) {
                (attribute::NAME, value) => made.name = value.text()?,
                (attribute::INT, Value::Varint(value)) => made.int = value.cast_signed(),
                (attribute::STRING, value) => made.string = value.bytes()?,
                (attribute::FLOATS, Value::Fixed32(bits)) => made.floats.push(f32::from_bits(bits)),
                (attribute::FLOATS, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        let bits = take(&mut packed, 4)?.first_chunk().ok_or(Malformed)?;
                        made.floats.push(f32::from_le_bytes(*bits));
                    }
                }
                (attribute::INTS, Value::Varint(value)) => made.ints.push(value.cast_signed()),
                (attribute::INTS, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        made.ints.push(varint(&mut packed)?.cast_signed());
                    }
                }
                (attribute::STRINGS, value) => made.strings.push(value.bytes()?),
                _ => {}
            }
        }
        Ok(made)
    }
}

/// Name of the attribute of `jobcast.Forest` that holds those of the node it stands for, as they lie in the model.
pub(crate) const ENSEMBLE: &CStr = c"ensemble";

/// Name of the attribute that says how many outputs a row has, of either operator.
pub(crate) const OUTPUTS: &str = "n_targets";

/// Reads all attributes of a node, one field of bytes each.
///
/// # Errors
/// One asks for something that the operator does not do.
pub(crate) fn attributes(ensemble: &[u8]) -> Result<Attributes, Refusal> {
    let mut made = Attributes::default();
    for field in fields(ensemble) {
        read(field?.value.bytes()?, &mut made)?;
    }
    Ok(made)
}

fn read(bytes: &[u8], into: &mut Attributes) -> Result<(), Refusal> {
    let found = Attribute::read(bytes)?;
    match found.name {
        "nodes_treeids" => into.nodes_treeids = found.ints,
        "nodes_nodeids" => into.nodes_nodeids = found.ints,
        "nodes_featureids" => into.nodes_featureids = found.ints,
        "nodes_values" => into.nodes_values = found.floats,
        "nodes_truenodeids" => into.nodes_truenodeids = found.ints,
        "nodes_falsenodeids" => into.nodes_falsenodeids = found.ints,
        "nodes_missing_value_tracks_true" => into.nodes_missing_value_tracks_true = found.ints,
        "target_treeids" => into.target_treeids = found.ints,
        "target_nodeids" => into.target_nodeids = found.ints,
        "target_ids" => into.target_ids = found.ints,
        "target_weights" => into.target_weights = found.floats,
        "base_values" => into.base_values = found.floats,
        OUTPUTS => into.n_targets = found.int,
        "nodes_hitrates" => {}
        "nodes_modes" => {
            for word in found.strings {
                let word = String::from_utf8_lossy(word);
                let mode =
                    Mode::parse(&word).ok_or_else(|| Refusal::new(format!("nodes_modes: {word} is not compiled")))?;
                into.nodes_modes.push(mode);
            }
        }
        "aggregate_function" => only(found.name, found.string, "SUM")?,
        "post_transform" => only(found.name, found.string, "NONE")?,
        name => return Err(Refusal::new(format!("attribute {name} is not compiled"))),
    }
    Ok(())
}

fn only(name: &str, found: &[u8], allowed: &str) -> Result<(), Refusal> {
    if found == allowed.as_bytes() {
        return Ok(());
    }
    Err(Refusal::new(format!("{name} must be {allowed}, got {}", String::from_utf8_lossy(found))))
}
