//! The runtime that loaded this library: whoever wants the same one later asks here.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use ort_sys::OrtApiBase;

static BASE: AtomicPtr<OrtApiBase> = AtomicPtr::new(null_mut());

pub(crate) fn note(base: *const OrtApiBase) {
    BASE.store(base.cast_mut(), Ordering::Release);
}

/// The table of the onnxruntime that called `RegisterCustomOps` last; null before the first call.
#[must_use]
pub fn host() -> *const OrtApiBase {
    BASE.load(Ordering::Acquire)
}
