//! The few functions of onnxruntime that the operator calls, with statuses as errors.

use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};

use ort_sys::{OrtApi, OrtErrorCode, OrtKernelContext, OrtKernelInfo, OrtStatusPtr, OrtValue};

/// What onnxruntime said, or what it is to be told.
pub(crate) type Message = String;

/// The runtime's table of functions, which lives as long as the process.
#[derive(Clone, Copy)]
pub(crate) struct Api(&'static OrtApi);

impl Api {
    /// # Safety
    /// `api` comes from onnxruntime, for the version of `ort_sys`.
    pub(crate) unsafe fn of(api: *const OrtApi) -> Option<Self> {
        // SAFETY: onnxruntime's tables are static.
        unsafe { api.as_ref() }.map(Self)
    }

    pub(crate) fn raw(self) -> &'static OrtApi {
        self.0
    }

    /// The status that tells onnxruntime of an error; null when there is none.
    pub(crate) fn status(self, result: Result<(), Message>) -> OrtStatusPtr {
        let Err(message) = result else { return OrtStatusPtr(null_mut()) };
        let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
        // SAFETY: the text ends with a zero and is copied.
        unsafe { (self.0.CreateStatus)(OrtErrorCode::ORT_INVALID_ARGUMENT, message.as_ptr()) }
    }

    /// Takes over a status.
    pub(crate) fn check(self, status: OrtStatusPtr) -> Result<(), Message> {
        if status.0.is_null() {
            return Ok(());
        }
        // SAFETY: a status that is not null is ours to read and release.
        unsafe {
            let message = CStr::from_ptr((self.0.GetErrorMessage)(status.0)).to_string_lossy().into_owned();
            (self.0.ReleaseStatus)(status.0);
            Err(message)
        }
    }

    /// # Safety
    /// `info` is the one that onnxruntime gave to the call at hand.
    pub(crate) unsafe fn node_name(self, info: *const OrtKernelInfo) -> Result<String, Message> {
        let mut size = 0;
        // SAFETY: with no room given only the size is written.
        self.check(unsafe { (self.0.KernelInfo_GetNodeName)(info, null_mut(), &raw mut size) })?;
        let mut bytes = vec![0_u8; size];
        // SAFETY: there is room for `size` bytes, the last of them a zero.
        self.check(unsafe { (self.0.KernelInfo_GetNodeName)(info, bytes.as_mut_ptr().cast(), &raw mut size) })?;
        bytes.pop();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first input of a node: rows of features.
    ///
    /// # Safety
    /// `context` is the one of the call at hand, and the input is of float32; the rows live as long as the call.
    pub(crate) unsafe fn rows<'a>(self, context: *mut OrtKernelContext) -> Result<(&'a [f32], usize), Message> {
        let mut value: *const OrtValue = null();
        let (mut shape, mut rank, mut dimensions) = (null_mut(), 0, [0_i64; 2]);
        let mut data: *mut c_void = null_mut();
        // SAFETY: the context is valid; the shape is released below, whatever it holds.
        let got = unsafe {
            self.check((self.0.KernelContext_GetInput)(context, 0, &raw mut value))?;
            self.check((self.0.GetTensorTypeAndShape)(value, &raw mut shape))?;
            let got = self.check((self.0.GetDimensionsCount)(shape, &raw mut rank)).and_then(|()| {
                let known = rank.min(2);
                self.check((self.0.GetDimensions)(shape, dimensions.as_mut_ptr(), known))
            });
            (self.0.ReleaseTensorTypeAndShapeInfo)(shape);
            self.check((self.0.GetTensorMutableData)(value.cast_mut(), &raw mut data)).and(got)
        };
        got?;
        if rank != 2 {
            return Err(format!("features must have two dimensions, got {rank}"));
        }
        let [count, width] = dimensions;
        let sizes = usize::try_from(count).ok().zip(usize::try_from(width).ok());
        let (count, width) = sizes.ok_or_else(|| format!("features have the shape [{count}, {width}]"))?;
        if count * width == 0 {
            return Ok((&[], width));
        }
        // SAFETY: the tensor holds as many float32 as its shape says.
        Ok((unsafe { std::slice::from_raw_parts(data.cast(), count * width) }, width))
    }

    /// The first output of a node, made with its shape.
    ///
    /// # Safety
    /// As for `rows`.
    pub(crate) unsafe fn output<'a>(
        self,
        context: *mut OrtKernelContext,
        rows: usize,
        width: usize,
    ) -> Result<&'a mut [f32], Message> {
        let mut value: *mut OrtValue = null_mut();
        let mut data: *mut c_void = null_mut();
        let shape = [rows, width].map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        // SAFETY: the context is valid, and the tensor it makes is of float32.
        unsafe {
            self.check((self.0.KernelContext_GetOutput)(context, 0, shape.as_ptr(), shape.len(), &raw mut value))?;
            self.check((self.0.GetTensorMutableData)(value, &raw mut data))?;
            if rows * width == 0 {
                return Ok(&mut []);
            }
            Ok(std::slice::from_raw_parts_mut(data.cast(), rows * width))
        }
    }
}
