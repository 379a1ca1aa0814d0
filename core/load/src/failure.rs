//! How a call fails: under gRPC's name for its status, or under a name of its own where the status says success.

use std::fmt::Write;

use h2::Reason;
use http::{HeaderMap, StatusCode};

/// Names of gRPC's status codes, by code.
pub const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A call that was not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted under.
    pub name: &'static str,
    /// What was said of it.
    pub told: String,
    /// Whether the connection is of no more use.
    pub lost: bool,
}

impl Failure {
    /// No answer in time.
    pub const DEADLINE: &'static str = "DEADLINE_EXCEEDED";
    /// Success without a message, or with one of no bytes.
    pub const EMPTY: &'static str = "EMPTY_ANSWER";
    /// Success with another answer than was expected.
    pub const WRONG: &'static str = "WRONG_ANSWER";
    /// Bytes that are no gRPC answer.
    pub const BROKEN: &'static str = "BROKEN_ANSWER";
    /// A call that was due, and not sent since too many others waited.
    pub const UNSENT: &'static str = "UNSENT";
    /// A message of a stream that ended with success before it was answered.
    pub const UNANSWERED: &'static str = "UNANSWERED";
    /// An answer in a stream where no message waited for one.
    pub const UNASKED: &'static str = "UNASKED";

    /// A failure of this call alone.
    pub fn new(name: &'static str, told: impl Into<String>) -> Self {
        Self { name, told: told.into(), lost: false }
    }

    /// The failure that an HTTP/2 error is, as gRPC's specification maps it.
    #[must_use]
    pub fn of_error(error: &h2::Error) -> Self {
        let reset = if error.is_reset() { error.reason() } else { None };
        let name = match reset {
            Some(Reason::CANCEL) => "CANCELLED",
            Some(Reason::ENHANCE_YOUR_CALM) => "RESOURCE_EXHAUSTED",
            Some(Reason::INADEQUATE_SECURITY) => "PERMISSION_DENIED",
            None | Some(Reason::REFUSED_STREAM) => "UNAVAILABLE",
            Some(_) => "INTERNAL",
        };
        Self { name, told: error.to_string(), lost: reset.is_none() }
    }

    /// The failure that an answer's headers tell by themselves, if they do: an HTTP status that is not 200.
    #[must_use]
    pub fn of_http(status: StatusCode) -> Option<Self> {
        let name = match status.as_u16() {
            200 => return None,
            400 => "INTERNAL",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "UNIMPLEMENTED",
            429 | 502..=504 => "UNAVAILABLE",
            _ => "UNKNOWN",
        };
        Some(Self::new(name, format!("HTTP status {}", status.as_u16())))
    }
}

/// Whether the headers hold a status, as those of an answer without a message do.
#[must_use]
pub fn has_status(headers: &HeaderMap) -> bool {
    headers.contains_key("grpc-status")
}

/// Success, or the failure that the status in an answer's last headers names.
///
/// # Errors
/// The failure.
pub fn check_status(headers: Option<&HeaderMap>) -> Result<(), Failure> {
    let Some(status) = headers.and_then(|found| found.get("grpc-status")) else {
        return Err(Failure::new(Failure::BROKEN, "the answer ended without grpc-status"));
    };
    let code = status.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    let told = headers.and_then(|found| found.get("grpc-message")).map_or(&b""[..], |text| text.as_bytes());
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::new(CODES.get(code).copied().unwrap_or("UNKNOWN"), decoded(told))),
        None => Err(Failure::new(Failure::BROKEN, format!("grpc-status {status:?} is not a number"))),
    }
}

/// `grpc-message` without its percent encoding.
fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    let mut plain = String::with_capacity(bytes.len());
    for letter in String::from_utf8_lossy(&bytes).chars() {
        // A server's text must not move the cursor of the terminal that shows it.
        if letter.is_control() {
            let _ = write!(plain, "{}", letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{Failure, check_status};

    fn headers(status: &str, message: &str) -> HeaderMap {
        let mut made = HeaderMap::new();
        made.insert("grpc-status", HeaderValue::from_str(status).unwrap());
        made.insert("grpc-message", HeaderValue::from_str(message).unwrap());
        made
    }

    #[test]
    fn a_status_is_success_at_0_alone() {
        assert_eq!(check_status(Some(&headers("0", ""))), Ok(()));
        let wrong = |status| check_status(Some(&headers(status, "m"))).unwrap_err().name;
        assert_eq!(
            ["1", "12", "14", "16", "17", "x", "", "-1"].map(wrong),
            [
                "CANCELLED",
                "UNIMPLEMENTED",
                "UNAVAILABLE",
                "UNAUTHENTICATED",
                "UNKNOWN",
                "BROKEN_ANSWER",
                "BROKEN_ANSWER",
                "BROKEN_ANSWER",
            ]
        );
        assert_eq!(check_status(None).unwrap_err().name, Failure::BROKEN);
        assert_eq!(check_status(Some(&HeaderMap::new())).unwrap_err().name, Failure::BROKEN);
    }

    #[test]
    fn what_the_server_said_is_plain_text() {
        let told = |text| check_status(Some(&headers("3", text))).unwrap_err().told;
        assert_eq!(told("100%25 of %C3%A9%0A %zz %"), "100% of \u{e9}\\n %zz %");
        assert_eq!(told("%1b[2J"), "\\u{1b}[2J");
    }

    #[test]
    fn an_http_status_is_mapped_as_grpc_says() {
        let named = |code| Failure::of_http(StatusCode::from_u16(code).unwrap()).map(|failure| failure.name);
        assert_eq!(
            [200, 400, 401, 403, 404, 429, 500, 503].map(named),
            [
                None,
                Some("INTERNAL"),
                Some("UNAUTHENTICATED"),
                Some("PERMISSION_DENIED"),
                Some("UNIMPLEMENTED"),
                Some("UNAVAILABLE"),
                Some("UNKNOWN"),
                Some("UNAVAILABLE"),
            ]
        );
    }
}
