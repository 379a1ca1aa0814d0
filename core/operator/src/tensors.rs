//! Tensors of a call, of every type that a program has.

use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};

use jobcast_feature::{Kind, Program};
use ort_sys::{
    ONNXTensorElementDataType, OrtKernelContext, OrtKernelInfo, OrtStatusPtr, OrtTensorTypeAndShapeInfo, OrtTypeInfo,
    OrtValue,
};

use crate::api::{Api, Message};

/// Most dimensions of a tensor.
const MOST: usize = 8;

/// An input of a call.
pub(crate) struct Input {
    pub raw: *const OrtValue,
    pub rows: usize,
    kind: Option<Kind>,
    dims: [i64; MOST],
    rank: usize,
}

impl Input {
    /// Whether it is `[rows, dims]`.
    pub(crate) fn is(&self, kind: Kind, rows: usize, dims: &[usize]) -> bool {
        let same = |(&found, &wanted): (&i64, &usize)| usize::try_from(found) == Ok(wanted);
        self.kind == Some(kind)
            && self.rank == dims.len() + 1
            && self.rows == rows
            && self.dims[1..self.rank].iter().zip(dims).all(same)
    }
}

fn kind_of(code: ONNXTensorElementDataType) -> Option<Kind> {
    match code {
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT => Some(Kind::Float),
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE => Some(Kind::Double),
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 => Some(Kind::Long),
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL => Some(Kind::Bool),
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING => Some(Kind::Text),
        _ => None,
    }
}

impl Api {
    /// An input with its type and shape.
    ///
    /// # Safety
    /// `context` is the one of the call at hand.
    #[inline]
    pub(crate) unsafe fn input(self, context: *mut OrtKernelContext, index: usize) -> Result<Input, Message> {
        let (mut raw, mut shape): (*const OrtValue, *mut OrtTensorTypeAndShapeInfo) = (null(), null_mut());
        let (mut rank, mut dims, mut code) =
            (0, [0_i64; MOST], ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED);
        // SAFETY: the context is valid; the shape is released, whatever it holds.
        unsafe {
            self.check((self.raw().KernelContext_GetInput)(context, index, &raw mut raw))?;
            if raw.is_null() {
                return Err(format!("input {index} is not there"));
            }
            self.check((self.raw().GetTensorTypeAndShape)(raw, &raw mut shape))?;
            let got = self
                .check((self.raw().GetDimensionsCount)(shape, &raw mut rank))
                .and_then(|()| self.check((self.raw().GetDimensions)(shape, dims.as_mut_ptr(), rank.min(MOST))))
                .and_then(|()| self.check((self.raw().GetTensorElementType)(shape, &raw mut code)));
            (self.raw().ReleaseTensorTypeAndShapeInfo)(shape);
            got?;
        }
        let rows = usize::try_from(dims[0]).ok().filter(|_| (1..=MOST).contains(&rank));
        let rows = rows.ok_or_else(|| format!("input {index} must have rows"))?;
        Ok(Input { raw, rows, kind: kind_of(code), dims, rank })
    }

    /// The elements of a tensor.
    ///
    /// # Safety
    /// The tensor has `size` elements of type `T` and lives as long as the call.
    #[inline]
    pub(crate) unsafe fn elements<'a, T>(self, value: *const OrtValue, size: usize) -> Result<&'a [T], Message> {
        // SAFETY: the caller's promise.
        Ok(unsafe { self.elements_mut(value.cast_mut(), size)? })
    }

    /// The elements of a tensor that nobody else has.
    ///
    /// # Safety
    /// As for `elements`.
    #[inline]
    pub(crate) unsafe fn elements_mut<'a, T>(self, value: *mut OrtValue, size: usize) -> Result<&'a mut [T], Message> {
        let mut data: *mut c_void = null_mut();
        // SAFETY: the tensor is valid, and as large as the caller says.
        unsafe {
            self.check((self.raw().GetTensorMutableData)(value, &raw mut data))?;
            Ok(if size == 0 { &mut [] } else { std::slice::from_raw_parts_mut(data.cast(), size) })
        }
    }

    /// Copies the texts of a tensor: all of them, and where each starts.
    ///
    /// # Safety
    /// The tensor has `size` texts.
    #[inline]
    pub(crate) unsafe fn texts(
        self,
        value: *const OrtValue,
        size: usize,
        bytes: &mut Vec<u8>,
        starts: &mut Vec<usize>,
    ) -> Result<(), Message> {
        let mut length = 0;
        starts.resize(size, 0);
        // SAFETY: there is as much room as the runtime asked for.
        unsafe {
            self.check((self.raw().GetStringTensorDataLength)(value, &raw mut length))?;
            bytes.resize(length, 0);
            let (to, places) = (bytes.as_mut_ptr().cast(), starts.as_mut_ptr());
            self.check((self.raw().GetStringTensorContent)(value, to, length, places, size))
        }
    }

    /// An output `[rows, dims]`, made with its shape.
    ///
    /// # Safety
    /// As for `input`.
    #[inline]
    pub(crate) unsafe fn output_value(
        self,
        context: *mut OrtKernelContext,
        index: usize,
        rows: usize,
        dims: &[usize],
    ) -> Result<*mut OrtValue, Message> {
        let (mut value, mut shape) = (null_mut(), [0_i64; MOST]);
        let rank = dims.len() + 1;
        if rank > MOST {
            return Err(format!("output {index} has too many dimensions"));
        }
        for (to, size) in shape.iter_mut().zip([&[rows], dims].into_iter().flatten()) {
            *to = i64::try_from(*size).unwrap_or(i64::MAX);
        }
        // SAFETY: the context is valid.
        self.check(unsafe {
            (self.raw().KernelContext_GetOutput)(context, index, shape.as_ptr(), rank, &raw mut value)
        })?;
        if value.is_null() { Err(format!("output {index} is not wanted")) } else { Ok(value) }
    }

    /// A text attribute.
    ///
    /// # Safety
    /// `info` is the one that onnxruntime gave to the call at hand.
    pub(crate) unsafe fn text(self, info: *const OrtKernelInfo, name: &CStr) -> Result<Vec<u8>, Message> {
        let get = self.raw().KernelInfoGetAttribute_string;
        let mut size = 0;
        // SAFETY: with no room given only the size is written, then there is as much room.
        unsafe {
            self.check(get(info, name.as_ptr(), null_mut(), &raw mut size))?;
            let mut bytes = vec![0_u8; size];
            self.check(get(info, name.as_ptr(), bytes.as_mut_ptr().cast(), &raw mut size))?;
            bytes.pop(); // a zero at the end
            Ok(bytes)
        }
    }

    /// Sees to it that the node has the inputs and outputs of its program, of the same types.
    ///
    /// # Safety
    /// As for `text`.
    pub(crate) unsafe fn fits(self, info: *const OrtKernelInfo, program: &Program) -> Result<(), Message> {
        let (mut inputs, mut outputs) = (0, 0);
        let api = self.raw();
        // SAFETY: the caller's promise.
        unsafe {
            self.check((api.KernelInfo_GetInputCount)(info, &raw mut inputs))?;
            self.check((api.KernelInfo_GetOutputCount)(info, &raw mut outputs))?;
        }
        let mut same = (inputs, outputs) == (program.inputs().len(), program.outputs().len()) && inputs > 0;
        let slots = [program.inputs(), program.outputs()];
        for (slots, get) in slots.into_iter().zip([api.KernelInfo_GetInputTypeInfo, api.KernelInfo_GetOutputTypeInfo]) {
            for (index, slot) in slots.iter().enumerate().filter(|_| same).collect::<Vec<_>>() {
                // SAFETY: the caller's promise.
                same = unsafe { self.type_at(info, index, get)? } == Some(slot.kind);
            }
        }
        if same { Ok(()) } else { Err("jobcast.Features: the node does not fit its graph".to_owned()) }
    }

    /// # Safety
    /// As for `text`.
    unsafe fn type_at(
        self,
        info: *const OrtKernelInfo,
        index: usize,
        get: unsafe extern "system" fn(*const OrtKernelInfo, usize, *mut *mut OrtTypeInfo) -> OrtStatusPtr,
    ) -> Result<Option<Kind>, Message> {
        let mut found: *mut OrtTypeInfo = null_mut();
        let mut tensor: *const OrtTensorTypeAndShapeInfo = null();
        let mut code = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        // SAFETY: the caller's promise; the type is released, and the tensor's part of it is read before.
        unsafe {
            self.check(get(info, index, &raw mut found))?;
            let got = self.check((self.raw().CastTypeInfoToTensorInfo)(found, &raw mut tensor)).and_then(|()| {
                if tensor.is_null() {
                    return Ok(());
                }
                self.check((self.raw().GetTensorElementType)(tensor, &raw mut code))
            });
            (self.raw().ReleaseTypeInfo)(found);
            got?;
        }
        Ok(kind_of(code))
    }
}
