//! gRPC over HTTP/2: the frame of a message, headers, statuses and deadlines, as its specification of the wire has them.

use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD;
use bytes::{Buf, Bytes, BytesMut};
use flate2::read::{GzDecoder, ZlibDecoder};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// Bytes before a message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const OK: HeaderValue = HeaderValue::from_static("0");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity, deflate, gzip");

/// Numbers of the statuses that this side gives by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Code {
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// How a call ends otherwise than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Number of the status.
    pub code: u16,
    /// What it says.
    pub message: String,
    /// Trailing metadata.
    pub metadata: Vec<(String, Vec<u8>)>,
}

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as u16, message: message.into(), metadata: Vec::new() }
    }
}

/// Headers of an answer that has messages.
pub(crate) fn head() -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(ACCEPTED, ENCODINGS);
    response
}

/// Trailers of an answer that is well.
pub(crate) fn trailers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(STATUS, OK);
    headers
}

/// Trailers of any end.
pub(crate) fn trailers_of(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, status);
    headers
}

/// An answer that is its status alone.
pub(crate) fn alone(status: &Status) -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    if status.code == Code::Unimplemented as u16 {
        // Its reason may be how the caller compresses.
        response.headers_mut().insert(ACCEPTED, ENCODINGS);
    }
    put(response.headers_mut(), status);
    response
}

/// The answer to what is no gRPC at all.
pub(crate) fn foreign() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn put(headers: &mut HeaderMap, status: &Status) {
    headers.insert(STATUS, HeaderValue::from(status.code));
    if let Ok(message) = HeaderValue::from_str(&escaped(&status.message))
        && !message.is_empty()
    {
        headers.insert(MESSAGE, message);
    }
    for (name, value) in &status.metadata {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let value = if name.as_str().ends_with("-bin") {
            HeaderValue::from_str(&STANDARD_NO_PAD.encode(value))
        } else {
            HeaderValue::from_bytes(value)
        };
        if let Ok(value) = value {
            headers.append(name, value);
        }
    }
}

/// Percent-encodes all but printable ASCII, and the percent sign.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Whether a request is of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long the caller waits: at most eight digits and a unit. What is damaged is no limit.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// How a caller's messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

impl Encoding {
    /// None when it is not known.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        match headers.get(ENCODING).map_or(&b"identity"[..], HeaderValue::as_bytes) {
            b"identity" => Ok(Self::Identity),
            b"gzip" => Ok(Self::Gzip),
            b"deflate" => Ok(Self::Deflate),
            other => {
                let other = String::from_utf8_lossy(&other[..other.len().min(40)]);
                let known = "identity, deflate and gzip are";
                Err(Status::new(Code::Unimplemented, format!("grpc-encoding: {other} is not known; {known}")))
            }
        }
    }
}

/// A message behind its prefix.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + message.len());
    put_frame(&mut out, message);
    out.freeze()
}

/// Appends a message behind its prefix.
pub(crate) fn put_frame(out: &mut BytesMut, message: &[u8]) {
    out.extend_from_slice(&prefix(message.len()));
    out.extend_from_slice(message);
}

/// What stands before a message of so many bytes.
///
/// A message longer than a prefix can say never comes here: answers are in memory many times over before that.
pub(crate) fn prefix(length: usize) -> [u8; PREFIX] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, a, b, c, d]
}

/// Takes messages out of the bytes of a body, however they were cut on their way.
pub(crate) struct Frames {
    held: BytesMut,
    whole: Option<Bytes>,
    encoding: Encoding,
    longest: usize,
}

impl Frames {
    pub(crate) fn new(encoding: Encoding, longest: usize) -> Self {
        Self { held: BytesMut::new(), whole: None, encoding, longest }
    }

    /// Adds bytes of the body.
    pub(crate) fn add(&mut self, bytes: Bytes) {
        match self.whole.take() {
            None if self.held.is_empty() => self.whole = Some(bytes),
            before => {
                if let Some(before) = before {
                    self.held.extend_from_slice(&before);
                }
                self.held.extend_from_slice(&bytes);
            }
        }
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.whole.as_ref().is_none_or(Bytes::is_empty)
    }

    /// The next message, when it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let seen = self.whole.as_deref().unwrap_or(&self.held);
        let Some((&[packed, a, b, c, d], rest)) = seen.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.longest {
            let text = format!("SERVER: Received message larger than max ({length} vs. {})", self.longest);
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let message = if let Some(whole) = &mut self.whole {
            whole.advance(PREFIX);
            whole.split_to(length)
        } else {
            self.held.advance(PREFIX);
            self.held.split_to(length).freeze()
        };
        if self.whole.as_ref().is_some_and(Bytes::is_empty) {
            self.whole = None;
        }
        match packed {
            0 => Ok(Some(message)),
            1 => self.unpacked(&message).map(Some),
            _ => Err(Status::new(Code::Internal, format!("Bad GRPC frame type 0x{packed:02x}"))),
        }
    }

    fn unpacked(&self, message: &[u8]) -> Result<Bytes, Status> {
        let limit = self.longest as u64 + 1;
        let mut out = Vec::new();
        let read = match self.encoding {
            Encoding::Gzip => GzDecoder::new(message).take(limit).read_to_end(&mut out),
            Encoding::Deflate => ZlibDecoder::new(message).take(limit).read_to_end(&mut out),
            Encoding::Identity => return Err(Status::new(Code::Internal, "a message is compressed and says not how")),
        };
        match read {
            Ok(length) if length > self.longest => {
                let text = format!("SERVER: Received message larger than max ({length} vs. {})", self.longest);
                Err(Status::new(Code::ResourceExhausted, text))
            }
            Ok(_) => Ok(out.into()),
            Err(_) => Err(Status::new(Code::Internal, "a message cannot be decompressed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn packed(encoding: Encoding, message: &[u8]) -> Vec<u8> {
        let mut out = vec![1];
        let body = if encoding == Encoding::Gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(message).unwrap();
            encoder.finish().unwrap()
        } else {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(message).unwrap();
            encoder.finish().unwrap()
        };
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    proptest! {
        #[test]
        fn messages_come_whole_however_they_were_cut(
            messages in vec(vec(any::<u8>(), 0..40), 0..8), cuts in vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let whole: Vec<u8> = messages.iter().flat_map(|message| framed(message).to_vec()).collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            places.extend([0, whole.len()]);
            places.sort_unstable();
            let mut frames = Frames::new(Encoding::Identity, 100);
            let mut found = Vec::new();
            for pair in places.windows(2) {
                frames.add(Bytes::copy_from_slice(&whole[pair[0]..pair[1]]));
                while let Some(message) = frames.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(frames.is_empty());
        }

        #[test]
        fn any_bytes_are_messages_a_refusal_or_not_yet_whole(bytes in vec(any::<u8>(), 0..200), deflate: bool) {
            let encoding = if deflate { Encoding::Deflate } else { Encoding::Gzip };
            let mut frames = Frames::new(encoding, 64);
            frames.add(bytes.into());
            while let Ok(Some(_)) = frames.next() {}
        }

        #[test]
        fn what_is_escaped_is_a_header_and_says_the_same(text: String) {
            let told = escaped(&text);
            prop_assert!(HeaderValue::from_str(&told).is_ok());
            let mut bytes = Vec::new();
            let mut rest = told.bytes();
            while let Some(byte) = rest.next() {
                if byte == b'%' {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                } else {
                    bytes.push(byte);
                }
            }
            prop_assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn compressed_messages_are_unpacked_and_bounded() {
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let mut frames = Frames::new(encoding, 100);
            frames.add(packed(encoding, &[7; 100]).into());
            assert_eq!(frames.next().unwrap().unwrap(), &[7; 100][..]);
            frames.add(packed(encoding, &[7; 101]).into());
            assert_eq!(frames.next().unwrap_err().code, Code::ResourceExhausted as u16);
        }
        let mut frames = Frames::new(Encoding::Identity, 100);
        frames.add(packed(Encoding::Gzip, b"x").into());
        assert_eq!(frames.next().unwrap_err().code, Code::Internal as u16);
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_before_it_came() {
        let mut frames = Frames::new(Encoding::Identity, 10);
        frames.add(Bytes::from_static(&[0, 0, 0, 0, 11]));
        let refused = frames.next().unwrap_err();
        assert_eq!(refused.message, "SERVER: Received message larger than max (11 vs. 10)");
    }

    #[test]
    fn timeouts_have_eight_digits_and_a_unit() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_static(text));
            timeout(&headers)
        };
        assert_eq!(of("3H"), Some(Duration::from_hours(3)));
        assert_eq!(of("2M"), Some(Duration::from_mins(2)));
        assert_eq!(of("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(of("5m"), Some(Duration::from_millis(5)));
        assert_eq!(of("6u"), Some(Duration::from_micros(6)));
        assert_eq!(of("7n"), Some(Duration::from_nanos(7)));
        for text in ["", "m", "5", "5x", "123456789S", "-1S", "1.5S"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn binary_metadata_is_base64_without_padding() {
        let metadata = vec![("detail-bin".to_owned(), vec![0xff, 0xfe, 0xfd, 0xfc])];
        let headers = trailers_of(&Status { code: 3, message: String::new(), metadata });
        assert_eq!(headers["detail-bin"], "//79/A");
    }
}
