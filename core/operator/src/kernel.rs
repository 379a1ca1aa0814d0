//! One node of a session: a compiled forest. Made and freed by onnxruntime, called by its threads, all at once.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Arc;

use jobcast_forest::{Attributes, Forest, Mode};
use ort_sys::{OrtApi, OrtCustomOp, OrtKernelContext, OrtKernelInfo, OrtStatusPtr};

use crate::api::{Api, Message};
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
            let attributes = attributes(api, info)?;
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

/// # Safety
/// `info` is the one of the call at hand.
unsafe fn attributes(api: Api, info: *const OrtKernelInfo) -> Result<Attributes, Message> {
    // SAFETY: the caller's promise.
    unsafe {
        let codes = api.integers(info, c"nodes_mode_codes")?;
        let modes = codes.iter().map(|&code| Mode::of_code(code).ok_or_else(|| format!("nodes_mode_codes: {code}")));
        Ok(Attributes {
            nodes_treeids: api.integers(info, c"nodes_treeids")?,
            nodes_nodeids: api.integers(info, c"nodes_nodeids")?,
            nodes_featureids: api.integers(info, c"nodes_featureids")?,
            nodes_modes: modes.collect::<Result<_, _>>()?,
            nodes_values: api.floats(info, c"nodes_values")?,
            nodes_truenodeids: api.integers(info, c"nodes_truenodeids")?,
            nodes_falsenodeids: api.integers(info, c"nodes_falsenodeids")?,
            nodes_missing_value_tracks_true: api.integers(info, c"nodes_missing_value_tracks_true")?,
            target_treeids: api.integers(info, c"target_treeids")?,
            target_nodeids: api.integers(info, c"target_nodeids")?,
            target_ids: api.integers(info, c"target_ids")?,
            target_weights: api.floats(info, c"target_weights")?,
            base_values: api.floats(info, c"base_values")?,
            n_targets: api.integer(info, c"n_targets")?,
        })
    }
}
