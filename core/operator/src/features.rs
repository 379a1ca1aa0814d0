//! One node of a session: a compiled program. Made and freed by onnxruntime, called by its threads, all at once.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use jobcast_feature::{In, Kind, Out, Program, Space};
use ort_sys::{OrtApi, OrtCustomOp, OrtKernelContext, OrtKernelInfo, OrtStatusPtr};

use crate::api::{Api, Message};
use crate::fuse::compile;
use crate::kernel::guarded;
use crate::{FEATURES, living};

/// Frames that are kept for later calls, of single rows and of more.
const KEPT: usize = 16;

/// What onnxruntime holds for a node.
pub(crate) struct Node {
    pub serial: u64,
    pub name: String,
    pub operators: usize,
    pub program: Program,
    single: ArrayQueue<Frame>,
    several: ArrayQueue<Frame>,
    api: Api,
}

/// Memory of one call.
struct Frame {
    space: Space,
    texts: Vec<(Vec<u8>, Vec<usize>)>,
}

impl Node {
    fn frame(&self, single: bool) -> Frame {
        let texts = self.program.inputs().iter().filter(|slot| slot.kind == Kind::Text).count();
        Frame { space: Space::new(&self.program, single), texts: vec![<_>::default(); texts] }
    }

    /// # Safety
    /// The context is the one of the call at hand.
    unsafe fn compute(&self, context: *mut OrtKernelContext) -> Result<(), Message> {
        // SAFETY: the caller's promise.
        let first = unsafe { self.api.input(context, 0)? };
        let rows = first.rows;
        let frames = if rows == 1 { &self.single } else { &self.several };
        let mut frame = frames.pop().unwrap_or_else(|| self.frame(rows == 1));
        // SAFETY: the caller's promise.
        let done = unsafe { self.run(context, rows, &mut frame) };
        // A frame too many is dropped; one that saw a panic never comes here.
        drop(frames.push(frame));
        done
    }

    /// # Safety
    /// As for `compute`.
    unsafe fn run(&self, context: *mut OrtKernelContext, rows: usize, frame: &mut Frame) -> Result<(), Message> {
        let mut texts = frame.texts.iter_mut();
        let mut inputs = Vec::with_capacity(self.program.inputs().len());
        for (index, slot) in self.program.inputs().iter().enumerate() {
            // SAFETY: the caller's promise; the tensor's type and size are checked before its elements are read.
            unsafe {
                let value = self.api.input(context, index)?;
                if !value.is(slot.kind, rows, &slot.dims) {
                    return Err(format!("input {index} must be {:?} [{rows}, {:?}]", slot.kind, slot.dims));
                }
                let size = rows * slot.width();
                inputs.push(match slot.kind {
                    Kind::Float => In::Float(self.api.elements(value.raw, size)?),
                    Kind::Double => In::Double(self.api.elements(value.raw, size)?),
                    Kind::Long => In::Long(self.api.elements(value.raw, size)?),
                    Kind::Bool => In::Bool(self.api.elements(value.raw, size)?),
                    Kind::Text => {
                        let (bytes, starts) = texts.next().ok_or("a text too many")?;
                        self.api.texts(value.raw, size, bytes, starts)?;
                        In::Text(bytes, starts)
                    }
                });
            }
        }
        let mut outputs = Vec::with_capacity(self.program.outputs().len());
        for (index, slot) in self.program.outputs().iter().enumerate() {
            let size = rows * slot.width();
            // SAFETY: the caller's promise; onnxruntime makes the tensor with the type that the graph declares, which is
            // the program's.
            unsafe {
                let value = self.api.output_value(context, index, rows, &slot.dims)?;
                outputs.push(match slot.kind {
                    Kind::Float => Out::Float(self.api.elements_mut(value, size)?),
                    Kind::Double => Out::Double(self.api.elements_mut(value, size)?),
                    Kind::Long => Out::Long(self.api.elements_mut(value, size)?),
                    Kind::Bool => Out::Bool(self.api.elements_mut(value, size)?),
                    Kind::Text => return Err("a text is no output".to_owned()),
                });
            }
        }
        self.program.run(rows, &inputs, &mut outputs, &mut frame.space).map_err(|fault| fault.to_string())
    }
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
        guarded(api, FEATURES, || {
            let graph = api.text(info, c"graph")?;
            let (program, operators) = compile(&graph).map_err(|error| error.to_string())?;
            api.fits(info, &program)?;
            let node = Arc::new(Node {
                serial: living::serial(),
                name: api.node_name(info)?,
                operators,
                program,
                single: ArrayQueue::new(KEPT),
                several: ArrayQueue::new(KEPT),
                api,
            });
            living::note_features(&node);
            *kernel = Arc::into_raw(node).cast_mut().cast();
            Ok(())
        })
    }
}

/// # Safety
/// Called by onnxruntime with what `create` made.
pub(crate) unsafe extern "system" fn compute(kernel: *mut c_void, context: *mut OrtKernelContext) -> OrtStatusPtr {
    // SAFETY: the node lives until `destroy`; nothing changes in it but its queues.
    let node = unsafe { &*kernel.cast::<Node>() };
    // SAFETY: the context is this call's.
    guarded(node.api, FEATURES, || unsafe { node.compute(context) })
}

/// # Safety
/// Called by onnxruntime once with what `create` made.
pub(crate) unsafe extern "system" fn destroy(kernel: *mut c_void) {
    // SAFETY: `create` gave one count of the node away, this takes it back.
    drop(unsafe { Arc::from_raw(kernel.cast::<Node>()) });
}
