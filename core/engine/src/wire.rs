//! Protocol buffers' wire format, as much of it as a plain message has. What is damaged, and what a plain sender never
//! writes, is `None` alike.

/// Wire type of a varint.
pub(crate) const VARINT: u64 = 0;
/// Wire type of eight bytes.
pub(crate) const FIXED64: u64 = 1;
/// Wire type of bytes behind their length.
pub(crate) const BYTES: u64 = 2;

/// Reads a message from its begin.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and wire type; none at the end of the message.
    ///
    /// Every field of the messages here has a number below 16, so that a tag beyond one byte is of none of them.
    #[inline]
    pub(crate) fn tag(&mut self) -> Option<u8> {
        let (&tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(tag)
    }

    /// A varint of at most ten bytes that fits 64 bits.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.rest.split_first()?;
        if first < 0x80 {
            self.rest = rest;
            return Some(u64::from(first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = *self.rest.get(place)?;
            if place == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Some(value);
            }
        }
        None
    }

    /// Eight bytes as a float.
    #[inline]
    pub(crate) fn double(&mut self) -> Option<f64> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    /// Bytes behind their length.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Text behind its length; none with a zero byte in it, which no sender means.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let bytes = self.bytes()?;
        is_text(bytes).then_some(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Whether the bytes are UTF-8 without a zero.
#[inline]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
}

/// The byte that begins a field.
pub(crate) const fn tag(number: u64, wire_type: u64) -> u8 {
    #[allow(clippy::cast_possible_truncation, reason = "numbers are below 16")]
    {
        (number << 3 | wire_type) as u8
    }
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
    out.push(tag(number, BYTES));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_comes_back(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Some(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn a_varint_cut_short_is_none(value in 128_u64.., cut in 1_usize..10) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            out.truncate(out.len().saturating_sub(cut).max(1));
            prop_assume!(out.last().is_some_and(|&byte| byte >= 0x80));
            prop_assert_eq!(Reader::new(&out).varint(), None);
        }
    }

    #[test]
    fn more_than_64_bits_is_none() {
        assert_eq!(Reader::new(&[0xff; 10]).varint(), None);
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint(), None);
    }
}
