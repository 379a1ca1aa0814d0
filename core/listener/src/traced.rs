//! Which calls are traced: the other side has the spans, so that it gets these calls, however plain they are.

use http::{HeaderMap, HeaderName, HeaderValue};

const PARENT: &str = "traceparent";

/// Tells the other side that a call without a trace of its own was picked.
const PICKED: HeaderName = HeaderName::from_static("jobcast-sampled");

/// Whether a call is traced: its caller says so, or it says nothing and is one of a share of `ratio`.
pub(crate) fn traced(headers: &mut HeaderMap, ratio: f64) -> bool {
    headers.remove(PICKED);
    match headers.get(PARENT).and_then(|parent| sampled(parent.as_bytes())) {
        Some(sampled) => sampled,
        None if fastrand::f64() < ratio => {
            headers.insert(PICKED, HeaderValue::from_static("1"));
            true
        }
        None => false,
    }
}

/// The flag of a W3C trace context: version, trace, parent and flags in hexadecimal; none when it is no such thing.
fn sampled(parent: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(parent).ok()?;
    let mut parts = text.split('-');
    let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let fits = [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2];
    let flags = u8::from_str_radix(flags, 16).ok()?;
    fits.then_some(flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

    fn is_traced(parent: &str, ratio: f64) -> (bool, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(PICKED, HeaderValue::from_static("1"));
        if !parent.is_empty() {
            headers.insert(PARENT, HeaderValue::from_str(parent).unwrap());
        }
        (traced(&mut headers, ratio), headers.contains_key(PICKED))
    }

    #[test]
    fn what_the_caller_says_goes_before_the_share() {
        assert_eq!(is_traced(&format!("{TRACE}-01"), 0.0), (true, false));
        assert_eq!(is_traced(&format!("{TRACE}-00"), 1.0), (false, false));
    }

    #[test]
    fn a_call_that_says_nothing_good_is_picked_by_its_share() {
        for parent in ["", "00", "00-1-2-01", "zz", &format!("{TRACE}-zz")] {
            assert_eq!(is_traced(parent, 1.0), (true, true), "{parent}");
            assert_eq!(is_traced(parent, 0.0), (false, false), "{parent}");
        }
    }
}
