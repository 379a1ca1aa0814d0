//! One loaded graph. Threads do not spin, one run takes one thread, and runs of several threads overlap without a lock of
//! ours: that is why this is the C interface, since `ort`'s own session is borrowed mutably by a run.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

use ort_sys::{OrtSession, OrtSessionOptions, OrtStatusPtr, OrtValue};

use crate::runtime::{Runtime, RuntimeError};

/// Adds operators to a session's options.
pub(crate) type Register<'a> = &'a dyn Fn(*mut OrtSessionOptions) -> OrtStatusPtr;

const SETTINGS: [(&CStr, &CStr); 2] =
    [(c"session.intra_op.allow_spinning", c"0"), (c"session.inter_op.allow_spinning", c"0")];

const SEVERE: i32 = 3;

/// A graph that onnxruntime holds.
pub(crate) struct Session {
    raw: *mut OrtSession,
    runtime: &'static Runtime,
}

// SAFETY: onnxruntime allows runs of one session from several threads at once.
unsafe impl Send for Session {}
// SAFETY: as above.
unsafe impl Sync for Session {}

impl Session {
    /// Loads a graph; `register` may add operators to the session's options.
    pub(crate) fn new(runtime: &'static Runtime, model: &[u8], register: Register) -> Result<Self, RuntimeError> {
        let (api, mut options) = (runtime.api(), null_mut());
        // SAFETY: one pointer is written.
        runtime.check(unsafe { (api.CreateSessionOptions)(&raw mut options) })?;
        let made = Self::made(runtime, model, options, register);
        // SAFETY: the options are ours, and a session keeps none of them.
        unsafe { (api.ReleaseSessionOptions)(options) };
        made
    }

    fn made(
        runtime: &'static Runtime,
        model: &[u8],
        options: *mut OrtSessionOptions,
        register: Register,
    ) -> Result<Self, RuntimeError> {
        let (api, mut raw) = (runtime.api(), null_mut());
        // SAFETY: options and environment are valid; texts end with a zero; the model is read while this runs only.
        unsafe {
            runtime.check((api.SetIntraOpNumThreads)(options, 1))?;
            runtime.check((api.SetInterOpNumThreads)(options, 1))?;
            runtime.check((api.SetSessionLogSeverityLevel)(options, SEVERE))?;
            for (key, value) in SETTINGS {
                runtime.check((api.AddSessionConfigEntry)(options, key.as_ptr(), value.as_ptr()))?;
            }
            runtime.check(register(options))?;
            let (data, size) = (model.as_ptr().cast(), model.len());
            runtime.check((api.CreateSessionFromArray)(runtime.env(), data, size, options, &raw mut raw))?;
        }
        Ok(Self { raw, runtime })
    }

    pub(crate) fn runtime(&self) -> &'static Runtime {
        self.runtime
    }

    /// Runs the graph from tensors to tensors, both in the order of their names.
    #[inline]
    pub(crate) fn run(
        &self,
        names: &Names,
        inputs: &[*const OrtValue],
        outputs: &mut [*mut OrtValue],
    ) -> Result<(), RuntimeError> {
        debug_assert_eq!((names.inputs.len(), names.outputs.len()), (inputs.len(), outputs.len()));
        // SAFETY: there are as many names as tensors, and all live through the call.
        self.runtime.check(unsafe {
            (self.runtime.api().Run)(
                self.raw,
                null(),
                names.inputs.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                names.outputs.as_ptr(),
                outputs.len(),
                outputs.as_mut_ptr(),
            )
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session is ours and released once.
        unsafe { (self.runtime.api().ReleaseSession)(self.raw) };
    }
}

/// Names of a graph's inputs and outputs, as onnxruntime wants them.
pub(crate) struct Names {
    inputs: Vec<*const c_char>,
    outputs: Vec<*const c_char>,
    _texts: Vec<CString>,
}

// SAFETY: the pointers lead into the texts beside them, which never change.
unsafe impl Send for Names {}
// SAFETY: as above.
unsafe impl Sync for Names {}

impl Names {
    pub(crate) fn new<'a>(inputs: impl Iterator<Item = &'a str>, outputs: impl Iterator<Item = &'a str>) -> Self {
        let text = |name: &str| CString::new(name).unwrap_or_default();
        let (inputs, outputs): (Vec<CString>, Vec<CString>) = (inputs.map(text).collect(), outputs.map(text).collect());
        let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr().cast()).collect();
        let (first, second) = (pointers(&inputs), pointers(&outputs));
        Self { inputs: first, outputs: second, _texts: inputs.into_iter().chain(outputs).collect() }
    }
}
