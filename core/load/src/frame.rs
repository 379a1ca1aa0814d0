//! gRPC's framing: a byte that says whether the message is compressed, four bytes of its length, the message.
//!
//! Files of messages have the same framing, so that a file with one message is the body of one call.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before a message.
pub const PREFIX: usize = 5;

/// Most bytes of one message.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The first byte is not 0: compressed, which was not offered, or no frame at all.
    Flag(u8),
    /// The message is longer than [`MOST_BYTES`].
    Length(usize),
    /// The bytes end within a frame.
    Short {
        /// Bytes of the frame that are missing; of its prefix when that is cut.
        missing: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(out, "a frame must begin with byte 0 (not compressed), got {flag}"),
            Self::Length(length) => write!(out, "a message has at most {MOST_BYTES} bytes, this one {length}"),
            Self::Short { missing } => write!(out, "the last frame lacks {missing} bytes"),
        }
    }
}

/// A message in its frame.
///
/// # Panics
/// When it has 4 GiB or more.
#[must_use]
pub fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a message is shorter than 4 GiB");
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// The frames of a file, each with its prefix.
///
/// # Errors
/// When a frame is damaged or cut.
pub fn frames(content: impl Into<Bytes>) -> Result<Vec<Bytes>, FrameError> {
    let mut rest = content.into();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length =
            PREFIX + message_length(&rest)?.ok_or_else(|| FrameError::Short { missing: PREFIX - rest.len() })?;
        if rest.len() < length {
            return Err(FrameError::Short { missing: length - rest.len() });
        }
        found.push(rest.split_to(length));
    }
    Ok(found)
}

/// Messages out of data that arrives in pieces of any size.
#[derive(Debug, Default)]
pub struct Messages {
    rest: BytesMut,
}

impl Messages {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next whole message, without its prefix; none until more has arrived.
    ///
    /// # Errors
    /// When the frame is damaged; what follows cannot be told apart then.
    pub fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = message_length(&self.rest)? else { return Ok(None) };
        if self.rest.len() < PREFIX + length {
            self.rest.reserve(PREFIX + length - self.rest.len());
            return Ok(None);
        }
        self.rest.advance(PREFIX);
        Ok(Some(self.rest.split_to(length).freeze()))
    }

    /// Bytes of a message that is not whole, or of one that was not taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Forgets what is left.
    pub fn clear(&mut self) {
        self.rest.clear();
    }
}

fn message_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(&flag) = bytes.first() else { return Ok(None) };
    if flag != 0 {
        return Err(FrameError::Flag(flag));
    }
    let Some(&length) = bytes.get(1..PREFIX).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MOST_BYTES { Err(FrameError::Length(length)) } else { Ok(Some(length)) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{FrameError, MOST_BYTES, Messages, framed, frames};

    fn sent() -> (Vec<Bytes>, Vec<u8>) {
        let messages: Vec<Bytes> = [0, 1, 300, 70_000, 0, 7].map(|length| vec![9; length].into()).into();
        let wire = messages.iter().flat_map(|message| framed(message)).collect();
        (messages, wire)
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let (messages, wire) = sent();
        for size in [1, 2, 3, 5, 7, 16_384, wire.len()] {
            let (mut reader, mut found) = (Messages::default(), Vec::new());
            for piece in wire.chunks(size) {
                reader.feed(piece);
                while let Some(message) = reader.take().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, messages, "pieces of {size}");
            assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn a_part_of_a_message_is_none() {
        let mut reader = Messages::default();
        reader.feed(&framed(b"abc")[..7]);
        assert_eq!((reader.take(), reader.left()), (Ok(None), 7));
    }

    #[test]
    fn a_file_is_split_into_frames_with_their_prefix() {
        let (messages, wire) = sent();
        let found = frames(wire).unwrap();
        assert_eq!(found, messages.iter().map(|message| framed(message)).collect::<Vec<_>>());
        assert_eq!(frames(Bytes::new()), Ok(Vec::new()));
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(frames(&[0, 0, 0, 0, 2, 1][..]), Err(FrameError::Short { missing: 1 }));
        assert_eq!(frames(&[0, 0, 0][..]), Err(FrameError::Short { missing: 2 }));
        assert_eq!(frames(&[0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0][..]), Err(FrameError::Flag(1)));
        assert_eq!(frames(&[0, 255, 0, 0, 0][..]), Err(FrameError::Length(255 << 24)));
        let mut reader = Messages::default();
        reader.feed(&[1]);
        assert_eq!(reader.take(), Err(FrameError::Flag(1)));
        assert!(FrameError::Length(MOST_BYTES + 1).to_string().contains("67108865"));
    }
}
