//! A large batch is cut between its jobs, exactly where the Python engine cuts it.

use crate::wire::{BYTES, Reader, VARINT, tag};

const JOB_TAG: u8 = 0x0a;

/// Ends of the pieces of a `PredictBatchRequest`, each with its number of jobs, at most `rows`.
///
/// Cutting stops at the first thing that is not a job; the rest is the last piece, with 0 jobs counted.
#[must_use]
pub fn split(request: &[u8], rows: usize) -> Vec<(usize, usize)> {
    let (mut position, mut count, mut pieces) = (0, 0, Vec::new());
    while request.get(position) == Some(&JOB_TAG) {
        let Some(after) = skip(request, position + 1) else { break };
        position = after;
        count += 1;
        if count == rows {
            pieces.push((position, count));
            count = 0;
        }
    }
    if count > 0 {
        pieces.push((position, count));
    }
    if position < request.len() || request.is_empty() {
        pieces.push((request.len(), 0));
    }
    pieces
}

/// The batch's name in what is behind its jobs, empty when there is none; `None` when anything else is there.
#[must_use]
pub fn batch_id(rest: &[u8]) -> Option<&str> {
    const BATCH_ID: u8 = tag(2, BYTES);
    const MAX_PARALLEL: u8 = tag(3, VARINT);
    let (mut name, mut reader) = ("", Reader::new(rest));
    while let Some(found) = reader.tag() {
        match found {
            BATCH_ID => name = std::str::from_utf8(reader.text()?).ok()?,
            MAX_PARALLEL => drop(reader.varint()?),
            _ => return None,
        }
    }
    Some(name)
}

/// Position after a value behind its length; none when it is cut short or its length is damaged.
fn skip(request: &[u8], mut position: usize) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = *request.get(position)?;
        position += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return position.checked_add(length).filter(|&end| end <= request.len());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_may_have_a_name_behind_its_jobs_and_nothing_else() {
        assert_eq!(batch_id(&[]), Some(""));
        assert_eq!(batch_id(&[0x12, 2, b'a', b'b', 0x18, 4]), Some("ab"));
        for damaged in [&[0x12, 2, b'a'][..], &[0x0a, 0], &[0x22, 0], &[0x12, 1, 0xff], &[0x18]] {
            assert_eq!(batch_id(damaged), None);
        }
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_request(bytes in vec(prop_oneof![Just(JOB_TAG), 0_u8..6, any::<u8>()], 0..80), rows in 1_usize..5) {
            let pieces = split(&bytes, rows);
            prop_assert_eq!(pieces.last().map(|&(end, _)| end), Some(bytes.len()));
            prop_assert!(pieces.is_sorted_by_key(|&(end, _)| end));
            prop_assert!(pieces.iter().all(|&(_, count)| count <= rows));
        }
    }
}
