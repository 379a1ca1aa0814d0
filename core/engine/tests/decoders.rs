//! Calls of real clients, whole and damaged: a decoder takes what keeps every rule, gives back everything else, and
//! reads the same in whatever pieces it comes.

mod recorded;

use jobcast_engine::parts::{Parts, assert_pieces};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use recorded::{Call, recorded};

const NOW: i64 = 1_700_000_000;

/// One thing that happens to a message.
#[derive(Clone, Debug)]
enum Damage {
    Byte(Index, u8),
    Bit(Index, u8),
    Cut(Index),
    Without(Index, usize),
    Twice(Index, usize),
    With(Index, Vec<u8>),
    /// Part of another call.
    Grafted(Index, Index, Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let telling = prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)];
    prop_oneof![
        (any::<Index>(), telling).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 1_usize..40).prop_map(|(at, count)| Damage::Without(at, count)),
        (any::<Index>(), 1_usize..200).prop_map(|(at, count)| Damage::Twice(at, count)),
        (any::<Index>(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::With(at, bytes)),
        (any::<Index>(), any::<Index>(), any::<Index>(), 1_usize..200)
            .prop_map(|(at, call, from, count)| Damage::Grafted(at, call, from, count)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage], calls: &[Call]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match damage {
            Damage::Byte(at, byte) => bytes[at.index(length)] = *byte,
            Damage::Bit(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Without(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + count));
            }
            Damage::Twice(at, count) => {
                let at = at.index(length);
                let part = bytes[at..length.min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
            Damage::With(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Grafted(at, call, from, count) => {
                let other = &calls[call.index(calls.len())].bytes;
                let from = from.index(other.len().max(1));
                let part = other.get(from..other.len().min(from + count)).unwrap_or_default();
                let at = at.index(length);
                bytes.splice(at..at, part.iter().copied());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_predict(call: Index, damages in vec(damage(), 0..5)) {
        let calls = recorded("Predict");
        let bytes = damaged(calls[call.index(calls.len())].bytes.clone(), &damages, &calls);
        let mut parts = Parts::default();
        if let Some(rows) = parts.predict(&bytes, NOW) {
            parts.assert_kept(rows);
        }
    }

    #[test]
    fn a_damaged_tensor(call: Index, damages in vec(damage(), 0..5)) {
        let calls = recorded("ModelInfer");
        let bytes = damaged(calls[call.index(calls.len())].bytes.clone(), &damages, &calls);
        let mut parts = Parts::default();
        if let Some(rows) = parts.infer(&bytes) {
            parts.assert_kept(rows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_batch(call: Index, damages in vec(damage(), 0..5), rows in 1_usize..300) {
        let calls = recorded("PredictBatch");
        let bytes = damaged(calls[call.index(calls.len())].bytes.clone(), &damages, &calls);
        let mut parts = Parts::default();
        if let Some(rows) = parts.batch(&bytes, NOW) {
            parts.assert_kept(rows);
        }
        assert_pieces(&bytes, rows);
    }

    #[test]
    fn any_outputs_are_an_answer_or_none(quantiles in vec(any::<f32>(), 0..12), point: f32, now: i64, id in "[a-z]{0,300}") {
        let parts = Parts::default();
        let answer = parts.answer(&quantiles, point, now, id.as_bytes());
        prop_assert!(answer.is_none_or(|answer| answer.ends_with(id.as_bytes())));
    }
}

#[test]
fn plain_calls_are_taken() {
    let mut parts = Parts::default();
    let singles = recorded("Predict").iter().filter(|call| parts.predict(&call.bytes, NOW).is_some()).count();
    let batches = recorded("PredictBatch").iter().filter(|call| parts.batch(&call.bytes, NOW).is_some()).count();
    let tensors = recorded("ModelInfer").iter().filter(|call| parts.infer(&call.bytes).is_some()).count();
    assert!(singles >= 5 && batches >= 2 && tensors >= 5, "{singles} {batches} {tensors}");
}
