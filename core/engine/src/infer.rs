//! `ModelInferRequest` with raw contents: where its parts lie. Parameters and typed contents are not plain.

use std::ops::Range;

use crate::wire::{BYTES, Reader, VARINT, tag};

const FIRST: u8 = tag(1, BYTES);
const SECOND: u8 = tag(2, BYTES);
const THIRD: u8 = tag(3, BYTES);
const INPUT: u8 = tag(5, BYTES);
const OUTPUT: u8 = tag(6, BYTES);
const RAW: u8 = tag(7, BYTES);
const SHAPE_ITEM: u8 = tag(3, VARINT);

/// Part of a message.
pub(crate) type Span = Range<usize>;

/// What a tensor is said to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tensor {
    pub name: Span,
    pub datatype: Span,
    pub shape: Vec<i64>,
}

/// A request, by places in its bytes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    name: Span,
    version: Span,
    pub(crate) id: Span,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Span>,
    pub(crate) raws: Vec<Span>,
}

impl Request {
    /// Reads the structure of a request; `None` when it is not plain.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut made = Self::default();
        let mut reader = Reader::new(message);
        while let Some(found) = reader.tag() {
            match found {
                FIRST => made.name = text(message, &mut reader)?,
                SECOND => made.version = text(message, &mut reader)?,
                THIRD => made.id = text(message, &mut reader)?,
                INPUT => made.inputs.push(tensor(message, reader.bytes()?)?),
                OUTPUT => made.outputs.push(output(message, reader.bytes()?)?),
                RAW => {
                    let bytes = reader.bytes()?;
                    made.raws.push(span(message, bytes));
                }
                _ => return None,
            }
        }
        (!made.raws.is_empty() && made.raws.len() == made.inputs.len()).then_some(made)
    }

    /// Name of the model in the request's bytes.
    #[must_use]
    pub fn name<'a>(&self, message: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(message.get(self.name.clone())?).ok()
    }

    /// Version of the model in the request's bytes, empty when it names none.
    #[must_use]
    pub fn version<'a>(&self, message: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(message.get(self.version.clone())?).ok()
    }
}

fn text(message: &[u8], reader: &mut Reader) -> Option<Span> {
    Some(span(message, reader.text()?))
}

/// Place of a part of a message in it.
fn span(message: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr().addr() - message.as_ptr().addr();
    start..start + part.len()
}

fn tensor(message: &[u8], part: &[u8]) -> Option<Tensor> {
    let mut made = Tensor::default();
    let mut reader = Reader::new(part);
    while let Some(found) = reader.tag() {
        match found {
            FIRST => made.name = text(message, &mut reader)?,
            SECOND => made.datatype = text(message, &mut reader)?,
            SHAPE_ITEM => made.shape.push(i64::try_from(reader.varint()?).ok()?),
            THIRD => {
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    made.shape.push(i64::try_from(packed.varint()?).ok()?);
                }
            }
            _ => return None,
        }
    }
    Some(made)
}

fn output(message: &[u8], part: &[u8]) -> Option<Span> {
    let mut name = 0..0;
    let mut reader = Reader::new(part);
    while let Some(found) = reader.tag() {
        match found {
            FIRST => name = text(message, &mut reader)?,
            _ => return None,
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::put_bytes;

    fn message(names: &[String], raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, b"toy");
        for name in names {
            let mut tensor = Vec::new();
            put_bytes(&mut tensor, 1, name.as_bytes());
            put_bytes(&mut tensor, 2, b"FP64");
            put_bytes(&mut tensor, 3, &[1, 1]);
            put_bytes(&mut out, 5, &tensor);
            put_bytes(&mut out, 7, raw);
        }
        out
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Request::read(&bytes);
        }

        #[test]
        fn a_damaged_request_keeps_its_parts_inside(
            names in vec("[a-z]{1,8}", 1..6), raw in vec(any::<u8>(), 0..20),
            at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = message(&names, &raw);
            let read = Request::read(&bytes).unwrap();
            prop_assert_eq!(read.name(&bytes), Some("toy"));
            for ((tensor, part), name) in read.inputs.iter().zip(&read.raws).zip(&names) {
                prop_assert_eq!(&bytes[tensor.name.clone()], name.as_bytes());
                prop_assert_eq!(&bytes[part.clone()], &raw[..]);
                prop_assert_eq!(&tensor.shape, &[1, 1]);
            }
            let _ = Request::read(&bytes[..cut.index(bytes.len())]);
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if let Some(read) = Request::read(&bytes) {
                prop_assert!(read.raws.iter().all(|part| part.end <= bytes.len()));
            }
        }
    }

    #[test]
    fn parameters_and_typed_contents_are_not_plain() {
        let plain = message(&["x".to_owned()], &[0; 8]);
        assert!(Request::read(&plain).is_some());
        for number in [4, 8] {
            let mut more = plain.clone();
            put_bytes(&mut more, number, b"");
            assert!(Request::read(&more).is_none());
        }
    }
}
