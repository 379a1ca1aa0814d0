//! A node of a graph as it comes.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// An attribute of a node.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Text(Vec<u8>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<Vec<u8>>),
    /// Something else.
    Other,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its operator, `Add` for one.
    pub operator: String,
    /// The operator's domain, empty for ONNX's own.
    pub domain: String,
    /// Names of its inputs; an empty one is left out.
    pub inputs: Vec<String>,
    /// Names of its outputs; an empty one is not wanted.
    pub outputs: Vec<String>,
    /// Its attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Node {
    pub(crate) fn refused(&self, reason: &str) -> Refusal {
        Refusal::new(format!("{}: {reason}", self.operator))
    }

    /// Sees to it that no other attributes are there.
    pub(crate) fn knows(&self, names: &[&str]) -> Result<(), Refusal> {
        match self.attributes.keys().find(|name| !names.contains(&name.as_str())) {
            Some(other) => Err(self.refused(&format!("attribute {other} is not compiled"))),
            None => Ok(()),
        }
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(*value)),
            Some(_) => Err(self.refused(&format!("{name} must be an integer"))),
        }
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&[i64]>, Refusal> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(self.refused(&format!("{name} must be integers"))),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&[u8]>, Refusal> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Text(value)) => Ok(Some(value)),
            Some(_) => Err(self.refused(&format!("{name} must be a text"))),
        }
    }
}
