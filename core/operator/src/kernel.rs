//! One node of a session: a compiled forest. Made and freed by onnxruntime, called by its threads, all at once.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Arc;

use jobcast_forest::Forest;
use ort_sys::{OrtApi, OrtCustomOp, OrtKernelContext, OrtKernelInfo, OrtStatusPtr};

use crate::api::{Api, Message};
use crate::node::{ENSEMBLE, attributes};
use crate::{DOMAIN, OPERATOR, living};

/// What onnxruntime holds for a node.
pub(crate) struct Node {
    pub serial: u64,
    pub name: String,
    pub forest: Forest,
    api: Api,
}

/// Runs `work` of an operator, so that what it says goes with its name, and a panic becomes an error and never reaches the
/// caller's frames.
pub(crate) fn guarded(api: Api, operator: &str, work: impl FnOnce() -> Result<(), Message>) -> OrtStatusPtr {
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("internal error".to_owned()));
    api.status(done.map_err(|error| format!("{DOMAIN}.{operator}: {error}")))
}

/// # Safety
/// Called by onnxruntime.
pub(crate) unsafe extern "system" fn create(
    _op: *const OrtCustomOp,
    api: *const OrtApi,
    info: *const OrtKernelInfo,
    kernel: *mut *mut c_void,
) -> OrtStatusPtr {
    // SAFETY: the table and the pointers are onnxruntime's.
    unsafe {
        let Some(api) = Api::of(api) else { return OrtStatusPtr(null_mut()) };
        guarded(api, OPERATOR, || {
            let ensemble = api.text(info, ENSEMBLE)?;
            let attributes = attributes(&ensemble).map_err(|refusal| refusal.to_string())?;
            let forest = Forest::compile(&attributes).map_err(|error| error.to_string())?;
            let node = Arc::new(Node { serial: living::serial(), name: api.node_name(info)?, forest, api });
            living::note(&node);
            *kernel = Arc::into_raw(node).cast_mut().cast();
            Ok(())
        })
    }
}

/// # Safety
/// Called by onnxruntime with what `create` made.
pub(crate) unsafe extern "system" fn compute(kernel: *mut c_void, context: *mut OrtKernelContext) -> OrtStatusPtr {
    // SAFETY: the node lives until `destroy`; nothing changes in it.
    let node = unsafe { &*kernel.cast::<Node>() };
    guarded(node.api, OPERATOR, || {
        let outputs = node.forest.outputs();
        // SAFETY: the context is this call's, and the operator is declared for float32.
        let (rows, out, width) = unsafe {
            let (rows, width) = node.api.rows(context)?;
            let count = rows.len().checked_div(width).unwrap_or(0);
            (rows, node.api.output(context, count, outputs)?, width)
        };
        if rows.is_empty() {
            return Ok(());
        }
        node.forest.predict(rows, width, out).map_err(|error| error.to_string())
    })
}

/// # Safety
/// Called by onnxruntime once with what `create` made.
pub(crate) unsafe extern "system" fn destroy(kernel: *mut c_void) {
    // SAFETY: `create` gave one count of the node away, this takes it back.
    drop(unsafe { Arc::from_raw(kernel.cast::<Node>()) });
}
