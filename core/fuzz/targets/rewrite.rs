//! A model's bytes: what is rewritten has nothing left to rewrite.
#![no_main]

use jobcast_operator::rewrite;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|model: &[u8]| {
    if let Ok(rewritten) = rewrite(model) {
        assert_eq!(rewrite(&rewritten).as_ref(), Ok(&rewritten), "once is enough");
    }
});
