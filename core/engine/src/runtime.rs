//! onnxruntime, as much of it as the engine calls.
//!
//! It is the very runtime that Python uses: its table of functions comes from the call with which it registers a library
//! of operators. The shared library that the wheel ships beside it is a second copy, with pools and settings of its own.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::ptr::null_mut;
use std::sync::OnceLock;

use ort_sys::{
    ONNXTensorElementDataType, ORT_API_VERSION, OrtAllocator, OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv,
    OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtStatusPtr, OrtValue,
};

static RUNTIME: OnceLock<Result<Runtime, RuntimeError>> = OnceLock::new();

/// What onnxruntime said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeError(pub String);

impl fmt::Display for RuntimeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for RuntimeError {}

/// The runtime of this process.
pub struct Runtime {
    api: &'static OrtApi,
    env: *mut OrtEnv,
    memory: *mut OrtMemoryInfo,
    allocator: *mut OrtAllocator,
}

// SAFETY: the environment, the description of memory and the default allocator may be used by all threads at once.
unsafe impl Send for Runtime {}
// SAFETY: as above.
unsafe impl Sync for Runtime {}

impl Runtime {
    /// The runtime behind `base`; the first call of the process makes it.
    ///
    /// # Errors
    /// It is too old, or refuses.
    ///
    /// # Safety
    /// `base` comes from onnxruntime.
    pub unsafe fn of(base: *const OrtApiBase) -> Result<&'static Self, RuntimeError> {
        // SAFETY: the caller's promise.
        RUNTIME.get_or_init(|| unsafe { Self::make(base) }).as_ref().map_err(Clone::clone)
    }

    unsafe fn make(base: *const OrtApiBase) -> Result<Self, RuntimeError> {
        // SAFETY: the caller's promise; onnxruntime's tables are static.
        let api = unsafe { base.as_ref().and_then(|base| (base.GetApi)(ORT_API_VERSION).as_ref()) };
        let api = api.ok_or_else(|| RuntimeError("onnxruntime is too old for this core".to_owned()))?;
        let (mut env, mut memory, mut allocator) = (null_mut(), null_mut(), null_mut());
        // SAFETY: each call writes one pointer that stays valid as long as the process; the environment is the one that
        // Python's sessions live in.
        unsafe {
            let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR;
            check(api, (api.CreateEnv)(level, c"jobcast".as_ptr(), &raw mut env))?;
            check(api, (api.DisableTelemetryEvents)(env))?;
            let (kind, place) = (OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeDefault);
            check(api, (api.CreateCpuMemoryInfo)(kind, place, &raw mut memory))?;
            check(api, (api.GetAllocatorWithDefaultOptions)(&raw mut allocator))?;
        }
        Ok(Self { api, env, memory, allocator })
    }

    pub(crate) fn api(&self) -> &'static OrtApi {
        self.api
    }

    pub(crate) fn env(&self) -> *mut OrtEnv {
        self.env
    }

    /// Takes over a status.
    pub(crate) fn check(&self, status: OrtStatusPtr) -> Result<(), RuntimeError> {
        check(self.api, status)
    }

    /// A tensor over memory of ours.
    ///
    /// # Safety
    /// The memory stays where it is as long as the tensor lives, and nobody else writes to it during a run.
    pub(crate) unsafe fn over<T: Element>(&'static self, data: &mut [T], shape: &[i64]) -> Result<Value, RuntimeError> {
        let mut value = null_mut();
        let pointer: *mut c_void = data.as_mut_ptr().cast();
        // SAFETY: the memory is as large as said, and the caller keeps it.
        self.check(unsafe {
            (self.api.CreateTensorWithDataAsOrtValue)(
                self.memory,
                pointer,
                size_of_val(data),
                shape.as_ptr(),
                shape.len(),
                T::KIND,
                &raw mut value,
            )
        })?;
        Ok(Value { raw: value, runtime: self })
    }

    /// A tensor of empty texts.
    pub(crate) fn texts(&'static self, shape: &[i64]) -> Result<Value, RuntimeError> {
        let (mut value, kind) = (null_mut(), ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
        // SAFETY: the allocator is onnxruntime's own.
        self.check(unsafe {
            (self.api.CreateTensorAsOrtValue)(self.allocator, shape.as_ptr(), shape.len(), kind, &raw mut value)
        })?;
        Ok(Value { raw: value, runtime: self })
    }
}

/// A type of number that tensors hold.
pub(crate) trait Element {
    const KIND: ONNXTensorElementDataType;
}

impl Element for f64 {
    const KIND: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
}

impl Element for f32 {
    const KIND: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

impl Element for i64 {
    const KIND: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}

/// A tensor.
pub(crate) struct Value {
    raw: *mut OrtValue,
    runtime: &'static Runtime,
}

// SAFETY: a tensor is used by one thread at a time, whichever it is.
unsafe impl Send for Value {}

impl Value {
    pub(crate) fn raw(&self) -> *mut OrtValue {
        self.raw
    }

    /// Writes one text of a tensor of texts.
    #[inline]
    pub(crate) fn set_text(&mut self, index: usize, text: &[u8]) -> Result<(), RuntimeError> {
        let mut buffer = null_mut();
        // SAFETY: onnxruntime checks the index and gives room for as many bytes as asked for.
        unsafe {
            let resize = self.runtime.api.GetResizedStringTensorElementBuffer;
            self.runtime.check(resize(self.raw, index, text.len(), &raw mut buffer))?;
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), text.len());
        }
        Ok(())
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the tensor is ours and released once.
        unsafe { (self.runtime.api.ReleaseValue)(self.raw) };
    }
}

fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<(), RuntimeError> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: a status that is not null is ours to read and release.
    unsafe {
        let message = CStr::from_ptr((api.GetErrorMessage)(status.0)).to_string_lossy().into_owned();
        (api.ReleaseStatus)(status.0);
        Err(RuntimeError(message))
    }
}
