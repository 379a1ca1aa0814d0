//! What an answer must be to count: not empty, and the one that was expected where there is one.

use bytes::Bytes;

use crate::failure::Failure;
use crate::frame::PREFIX;

/// Answers by the request they belong to.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Frames, one for each request.
    pub answers: Vec<Bytes>,
    /// Whether only their lengths are compared, since some field tells the time.
    pub lengths: bool,
}

/// Holds an answer to what is expected of it.
///
/// # Errors
/// The failure that it is.
pub fn check(expected: Option<&Expected>, request: usize, answer: &[u8]) -> Result<(), Failure> {
    if answer.is_empty() {
        return Err(Failure::new(Failure::EMPTY, "success with a message of no bytes"));
    }
    let Some(expected) = expected else { return Ok(()) };
    let wanted = &expected.answers[request][PREFIX..];
    if wanted.len() != answer.len() {
        let told = format!("message {request}: {} bytes expected, {} answered", wanted.len(), answer.len());
        return Err(Failure::new(Failure::WRONG, told));
    }
    if expected.lengths {
        return Ok(());
    }
    match wanted.iter().zip(answer).position(|(one, other)| one != other) {
        None => Ok(()),
        Some(place) => {
            let told = format!(
                "message {request}: byte {place} of {} is {}, {} expected",
                wanted.len(),
                answer[place],
                wanted[place]
            );
            Err(Failure::new(Failure::WRONG, told))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, check};
    use crate::frame::framed;

    fn verdict(lengths: bool, request: usize, answer: &[u8]) -> &'static str {
        let expected = Expected { answers: vec![framed(b"abc"), framed(b"")], lengths };
        check(Some(&expected), request, answer).err().map_or("right", |failure| failure.name)
    }

    #[test]
    fn an_answer_is_held_to_its_own_request() {
        assert_eq!(verdict(false, 0, b"abc"), "right");
        assert_eq!(verdict(false, 0, b"abd"), "WRONG_ANSWER");
        assert_eq!(verdict(false, 0, b"ab"), "WRONG_ANSWER");
        assert_eq!(verdict(false, 1, b"abc"), "WRONG_ANSWER");
        assert_eq!(verdict(true, 0, b"xyz"), "right");
        assert_eq!(verdict(true, 0, b"wxyz"), "WRONG_ANSWER");
    }

    #[test]
    fn nothing_is_no_answer() {
        assert_eq!(verdict(false, 1, b""), "EMPTY_ANSWER");
        assert_eq!(check(None, 0, b"").unwrap_err().name, "EMPTY_ANSWER");
        assert_eq!(check(None, 0, b"x"), Ok(()));
    }
}
