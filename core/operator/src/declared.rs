//! What a model says of a value: its name, type and shape.

use jobcast_feature::Kind;

use crate::wire::{Field, Malformed, Value, fields, put_bytes, put_number};

/// A value: its name, and its type where that is `[N, dims]` of known elements.
pub(crate) struct Declared<'a> {
    pub name: &'a str,
    pub slot: Option<(Kind, Vec<usize>)>,
    /// What the model calls the number of its rows; empty when it does not.
    pub rows: &'a str,
}

/// `onnx.TensorProto.DataType`.
pub(crate) fn kind_of(code: u64) -> Option<Kind> {
    match code {
        1 => Some(Kind::Float),
        7 => Some(Kind::Long),
        8 => Some(Kind::Text),
        9 => Some(Kind::Bool),
        11 => Some(Kind::Double),
        _ => None,
    }
}

fn code_of(kind: Kind) -> u64 {
    match kind {
        Kind::Float => 1,
        Kind::Long => 7,
        Kind::Text => 8,
        Kind::Bool => 9,
        Kind::Double => 11,
    }
}

pub(crate) fn declared(bytes: &[u8]) -> Result<Declared<'_>, Malformed> {
    let (mut name, mut slot, mut rows) = ("", None, "");
    for field in fields(bytes) {
        let Field { number, value, .. } = field?;
        match number {
            1 => name = value.text()?,
            2 => (slot, rows) = type_of(value.bytes()?)?,
            _ => {}
        }
    }
    Ok(Declared { name, slot, rows })
}

/// The type and shape of a tensor whose first size is open and whose others are known.
type Typed = Option<(Kind, Vec<usize>)>;

/// What a `TypeProto` says, and the name of the first size.
fn type_of(bytes: &[u8]) -> Result<(Typed, &str), Malformed> {
    let (mut kind, mut sizes, mut rows, mut shaped) = (None, Vec::new(), "", false);
    for field in fields(bytes) {
        let Field { number, value, .. } = field?;
        if number != 1 {
            continue;
        }
        for field in fields(value.bytes()?) {
            let Field { number, value, .. } = field?;
            match (number, value) {
                (1, Value::Varint(code)) => kind = kind_of(code),
                (2, value) => {
                    shaped = true;
                    for field in fields(value.bytes()?) {
                        let (size, name) = size_of_dim(field?.value.bytes()?)?;
                        rows = if sizes.is_empty() { name } else { rows };
                        sizes.push(size);
                    }
                }
                _ => {}
            }
        }
    }
    let Some((None, rest)) = sizes.split_first() else { return Ok((None, rows)) };
    let rest: Option<Vec<usize>> = rest.iter().copied().collect();
    Ok((kind.zip(rest).filter(|_| shaped), rows))
}

/// A size, and the name of one that is open.
fn size_of_dim(bytes: &[u8]) -> Result<(Option<usize>, &str), Malformed> {
    let (mut size, mut name) = (None, "");
    for field in fields(bytes) {
        match field? {
            Field { number: 1, value: Value::Varint(value), .. } => {
                size = Some(usize::try_from(value).map_err(|_| Malformed)?);
            }
            Field { number: 2, value, .. } => name = value.text()?,
            _ => {}
        }
    }
    Ok((size, name))
}

/// The bytes of a `ValueInfoProto` of `[N, dims]`.
pub(crate) fn put_declared(out: &mut Vec<u8>, number: u64, name: &str, kind: Kind, dims: &[usize]) {
    let mut shape = Vec::new();
    put_bytes(&mut shape, 1, &[]);
    for &size in dims {
        let mut dim = Vec::new();
        put_number(&mut dim, 1, size as u64);
        put_bytes(&mut shape, 1, &dim);
    }
    let (mut tensor, mut kinds, mut info) = (Vec::new(), Vec::new(), Vec::new());
    put_number(&mut tensor, 1, code_of(kind));
    put_bytes(&mut tensor, 2, &shape);
    put_bytes(&mut kinds, 1, &tensor);
    put_bytes(&mut info, 1, name.as_bytes());
    put_bytes(&mut info, 2, &kinds);
    put_bytes(out, number, &info);
}
