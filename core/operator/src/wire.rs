//! Protocol buffers' wire format, as much of it as a pass over a message needs: fields one by one, and their bytes.

/// What is wrong with bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One field of a message.
pub(crate) struct Field<'a> {
    pub number: u64,
    pub value: Value<'a>,
    /// Key and value as they lie in the message.
    pub bytes: &'a [u8],
}

/// A field's value by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed) }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}

/// The fields of a message, in order; ends after the first error.
pub(crate) struct Fields<'a>(&'a [u8]);

/// Reads the fields of a message.
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let found = take_field(self.0);
        self.0 = found.as_ref().map_or(&[], |field| &self.0[field.bytes.len()..]);
        Some(found)
    }
}

fn take_field(message: &[u8]) -> Result<Field<'_>, Malformed> {
    let mut rest = message;
    let key = varint(&mut rest)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(&mut rest)?),
        1 => {
            take(&mut rest, 8)?;
            Value::Fixed64
        }
        2 => {
            let length = varint(&mut rest)?;
            Value::Bytes(take(&mut rest, usize::try_from(length).map_err(|_| Malformed)?)?)
        }
        5 => {
            let bytes = take(&mut rest, 4)?.first_chunk().ok_or(Malformed)?;
            Value::Fixed32(u32::from_le_bytes(*bytes))
        }
        _ => return Err(Malformed),
    };
    let bytes = &message[..message.len() - rest.len()];
    if key >> 3 == 0 { Err(Malformed) } else { Ok(Field { number: key >> 3, value, bytes }) }
}

/// Takes a varint of at most ten bytes off the front.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

pub(crate) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "seven bits are left")]
    out.push(value as u8);
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field that is a number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}
