//! The entry that onnxruntime looks for in a library of operators.

use std::ffi::{c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::PoisonError;

use ort_sys::{
    ONNXTensorElementDataType, OrtApiBase, OrtCustomOp, OrtCustomOpDomain, OrtCustomOpInputOutputCharacteristic,
    OrtMemType, OrtSessionOptions, OrtStatusPtr,
};

use crate::API_VERSION;
use crate::api::{Api, Message};
use crate::features;
use crate::host;
use crate::kernel::{compute, create, destroy, guarded};

/// The domain, made once: sessions refer to it as long as they live.
static DOMAIN: Mutex<Option<Domain>> = Mutex::new(None);

struct Domain(*mut OrtCustomOpDomain);

// SAFETY: onnxruntime only reads a domain once it is made.
unsafe impl Send for Domain {}

/// Adds `jobcast.Forest` and `jobcast.Features` to the operators that a session's options know.
///
/// # Safety
/// Called by onnxruntime, with its own table and options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RegisterCustomOps(options: *mut OrtSessionOptions, base: *const OrtApiBase) -> OrtStatusPtr {
    // SAFETY: the caller's promise.
    unsafe {
        let api = base.as_ref().and_then(|base| Api::of((base.GetApi)(API_VERSION)));
        let Some(api) = api else { return OrtStatusPtr(null_mut()) };
        host::note(base);
        guarded(api, "RegisterCustomOps", || {
            let mut made = DOMAIN.lock().unwrap_or_else(PoisonError::into_inner);
            let domain = if let Some(domain) = made.as_ref() { domain.0 } else { made.insert(make(api)?).0 };
            api.check((api.raw().AddCustomOpDomain)(options, domain))
        })
    }
}

fn make(api: Api) -> Result<Domain, Message> {
    let mut domain = null_mut();
    // SAFETY: the name ends with a zero, the operator is static.
    unsafe {
        api.check((api.raw().CreateCustomOpDomain)(c"jobcast".as_ptr(), &raw mut domain))?;
        api.check((api.raw().CustomOpDomain_Add)(domain, &raw const FOREST))?;
        api.check((api.raw().CustomOpDomain_Add)(domain, &raw const FEATURES))?;
    }
    Ok(Domain(domain))
}

/// One input and one output, both of float32.
static FOREST: OrtCustomOp = OrtCustomOp {
    version: API_VERSION,
    CreateKernel: None,
    GetName: Some(name),
    GetExecutionProviderType: Some(provider),
    GetInputType: Some(float),
    GetInputTypeCount: Some(one),
    GetOutputType: Some(float),
    GetOutputTypeCount: Some(one),
    KernelCompute: None,
    KernelDestroy: Some(destroy),
    GetInputCharacteristic: Some(required),
    GetOutputCharacteristic: Some(required),
    GetInputMemoryType: Some(memory),
    GetVariadicInputMinArity: Some(none),
    GetVariadicInputHomogeneity: Some(none),
    GetVariadicOutputMinArity: Some(none),
    GetVariadicOutputHomogeneity: Some(none),
    CreateKernelV2: Some(create),
    KernelComputeV2: Some(compute),
    InferOutputShapeFn: None,
    GetStartVersion: Some(first_version),
    GetEndVersion: Some(last_version),
};

/// Any number of inputs and outputs of any types; those of the outputs are declared in the graph.
static FEATURES: OrtCustomOp = OrtCustomOp {
    GetName: Some(features_name),
    GetInputType: Some(any),
    GetOutputType: Some(any),
    KernelDestroy: Some(features::destroy),
    GetInputCharacteristic: Some(variadic),
    GetOutputCharacteristic: Some(variadic),
    GetVariadicInputMinArity: Some(first_version),
    GetVariadicOutputMinArity: Some(first_version),
    CreateKernelV2: Some(features::create),
    KernelComputeV2: Some(features::compute),
    ..FOREST
};

unsafe extern "system" fn features_name(_op: *const OrtCustomOp) -> *const c_char {
    c"Features".as_ptr()
}

unsafe extern "system" fn any(_op: *const OrtCustomOp, _index: usize) -> ONNXTensorElementDataType {
    ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED
}

unsafe extern "system" fn variadic(_op: *const OrtCustomOp, _index: usize) -> OrtCustomOpInputOutputCharacteristic {
    OrtCustomOpInputOutputCharacteristic::INPUT_OUTPUT_VARIADIC
}

unsafe extern "system" fn name(_op: *const OrtCustomOp) -> *const c_char {
    c"Forest".as_ptr()
}

unsafe extern "system" fn provider(_op: *const OrtCustomOp) -> *const c_char {
    null()
}

unsafe extern "system" fn float(_op: *const OrtCustomOp, _index: usize) -> ONNXTensorElementDataType {
    ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
}

unsafe extern "system" fn one(_op: *const OrtCustomOp) -> usize {
    1
}

unsafe extern "system" fn required(_op: *const OrtCustomOp, _index: usize) -> OrtCustomOpInputOutputCharacteristic {
    OrtCustomOpInputOutputCharacteristic::INPUT_OUTPUT_REQUIRED
}

unsafe extern "system" fn memory(_op: *const OrtCustomOp, _index: usize) -> OrtMemType {
    OrtMemType::OrtMemTypeDefault
}

unsafe extern "system" fn none(_op: *const OrtCustomOp) -> c_int {
    0
}

unsafe extern "system" fn first_version(_op: *const OrtCustomOp) -> c_int {
    1
}

unsafe extern "system" fn last_version(_op: *const OrtCustomOp) -> c_int {
    c_int::MAX
}
