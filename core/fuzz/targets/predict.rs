//! `PredictRequest`: what is taken keeps every rule.
#![no_main]

use jobcast_engine::parts::Parts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    let mut parts = Parts::default();
    if let Some(rows) = parts.predict(request, 1_700_000_000) {
        parts.assert_kept(rows);
    }
});
