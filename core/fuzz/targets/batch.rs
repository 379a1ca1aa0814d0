//! `PredictBatchRequest`: what is taken keeps every rule, and is the same whole and in pieces.
#![no_main]

use jobcast_engine::parts::{Parts, assert_pieces};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    let mut parts = Parts::default();
    if let Some(rows) = parts.batch(request, 1_700_000_000) {
        parts.assert_kept(rows);
    }
    for rows in [1, 2, 256] {
        assert_pieces(request, rows);
    }
});
