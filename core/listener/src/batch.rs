//! Many rows in one call: in pieces, each a step of a worker thread, so that no single prediction waits for the whole.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use jobcast_engine::{Admitted, Request, batch_id, batch_tail, guarded, split};

use crate::call::Call;
use crate::gather::{Asked, Gather, MOST_ROWS, Waiting, inferred, told};
use crate::grpc::{PREFIX, prefix};
use crate::models::Model;
use crate::places::Rows;
use crate::shared::Shared;
use crate::workers::Step;

/// A batch of at most so many bytes, and of few jobs, is answered at once.
const SMALL_BYTES: usize = 16 * 1024;

/// Answers a batch at once, or puts it to work.
pub(crate) fn begin(shared: &Arc<Shared>, gather: &Gather, call: Call, model: Arc<Model>) {
    let pieces = match guarded(|| split(&call.message, shared.limits.piece_rows)) {
        Ok(pieces) => pieces,
        Err(fault) => return call.fail(&shared.meters.batch, Some(&model.statistics), &fault.to_string()),
    };
    let rows: usize = pieces.iter().map(|&(_, rows)| rows).sum();
    if rows <= MOST_ROWS && call.message.len() <= SMALL_BYTES {
        return gather.add(Waiting { call, model, asked: Asked::Batch, since: Instant::now() });
    }
    if rows == 0 || rows > shared.limits.batch_rows {
        return call.hand_over(shared);
    }
    let Some(rows) = Rows::take(&shared.places, rows) else { return call.hand_over(shared) };
    let asked = Instant::now();
    let answers = BytesMut::zeroed(PREFIX);
    let (start, next, done, name) = (0, 0, 0, String::new());
    let batch =
        Batch { shared: Arc::clone(shared), call, model, pieces, rows, asked, answers, start, next, done, name };
    shared.workers.add(Box::new(batch));
}

/// Answers a small batch.
pub(crate) fn at_once(shared: &Arc<Shared>, call: Call, model: &Model) {
    let Some(jobs) = &model.engine.jobs else { return call.hand_over(shared) };
    match jobs.part(&call.message, shared.limits.batch_rows) {
        Ok(Some(passed)) => {
            told(shared, model, &passed, 1, 0.0);
            let mut answers = BytesMut::zeroed(PREFIX);
            answers.extend_from_slice(&passed.answer.answers);
            finish(shared, call, model, answers, &passed.answer.batch_id, passed.rows);
        }
        Ok(None) => call.hand_over(shared),
        Err(fault) => call.fail(&shared.meters.batch, Some(&model.statistics), &fault.to_string()),
    }
}

/// A batch at work.
struct Batch {
    shared: Arc<Shared>,
    call: Call,
    model: Arc<Model>,
    /// Ends of the pieces and their jobs.
    pieces: Vec<(usize, usize)>,
    rows: Rows,
    asked: Instant,
    answers: BytesMut,
    start: usize,
    next: usize,
    done: usize,
    name: String,
}

impl Step for Batch {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Step>> {
        let (Some(&(end, count)), Some(jobs)) = (self.pieces.get(self.next), &self.model.engine.jobs) else {
            return self.hand_over();
        };
        // Nobody waits any more for what is late, and the other side says so.
        if self.call.head.late() || gone(&mut self.call) {
            return self.hand_over();
        }
        if count == 0 {
            return self.tail();
        }
        let began = Instant::now();
        let most = self.shared.limits.batch_rows.saturating_sub(self.done);
        match jobs.part(&self.call.message[self.start..end], most) {
            Ok(Some(passed)) => {
                if self.next == 0 {
                    self.model.statistics.queue.observe((began - self.asked).as_secs_f64(), 1);
                }
                told(&self.shared, &self.model, &passed, 1, 0.0);
                self.answers.extend_from_slice(&passed.answer.answers);
                self.done += passed.rows;
                if !passed.answer.batch_id.is_empty() {
                    self.name = passed.answer.batch_id;
                }
                self.start = end;
                self.next += 1;
                if self.next < self.pieces.len() { Some(self) } else { self.finish() }
            }
            Ok(None) => self.hand_over(),
            Err(fault) => {
                let Self { shared, call, model, .. } = *self;
                call.fail(&shared.meters.batch, Some(&model.statistics), &fault.to_string());
                None
            }
        }
    }
}

impl Batch {
    /// What is behind the jobs: the batch's name, or anything else, which is not for this side.
    fn tail(mut self: Box<Self>) -> Option<Box<dyn Step>> {
        let rest = &self.call.message[self.start..];
        let Some(name) = batch_id(rest) else { return self.hand_over() };
        if !name.is_empty() {
            name.clone_into(&mut self.name);
        }
        self.finish()
    }

    fn finish(self: Box<Self>) -> Option<Box<dyn Step>> {
        let Self { shared, call, model, rows, answers, done, name, .. } = *self;
        drop(rows);
        finish(&shared, call, &model, answers, &name, done);
        None
    }

    fn hand_over(self: Box<Self>) -> Option<Box<dyn Step>> {
        let Self { shared, call, rows, .. } = *self;
        drop(rows);
        call.hand_over(&shared);
        None
    }
}

/// Ends a batch, whose answers are behind room for the prefix.
fn finish(shared: &Shared, call: Call, model: &Model, mut answers: BytesMut, batch_id: &str, rows: usize) {
    let (meters, seconds) = (&shared.meters, call.seconds());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time that passed is not negative")]
    let milliseconds = (seconds * 1000.0).round_ties_even() as u64;
    answers.extend_from_slice(&batch_tail(batch_id, rows, milliseconds));
    let length = answers.len() - PREFIX;
    answers[..PREFIX].copy_from_slice(&prefix(length));
    model.statistics.success.observe(seconds, 1);
    #[allow(clippy::cast_precision_loss, reason = "rows are few")]
    meters.batch_size.observe(rows as f64, 1);
    meters.served.add(rows as u64);
    meters.batch.success.add(1);
    meters.batch.seconds.observe(seconds, 1);
    call.answer_framed(answers);
}

/// A request of the Open Inference Protocol of more rows than are answered at once.
pub(crate) struct Tensors {
    pub shared: Arc<Shared>,
    pub call: Call,
    pub model: Arc<Model>,
    pub rows: Rows,
    pub request: Request,
    pub admitted: Admitted,
    pub parsing: f64,
    pub asked: Instant,
}

impl Step for Tensors {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Step>> {
        let queued = self.asked.elapsed().as_secs_f64();
        let stale = self.call.head.late() || gone(&mut self.call);
        let Self { shared, call, model, rows, request, admitted, parsing, .. } = *self;
        if stale {
            drop(rows);
            call.hand_over(&shared);
            return None;
        }
        let passed = model.engine.tensors.infer(&[(&call.message, &request, &admitted)]);
        drop(rows);
        match passed {
            Ok(Some(passed)) => {
                told(&shared, &model, &passed, 1, parsing);
                inferred(&shared, call, &model, queued, &passed.answer[0]);
            }
            Ok(None) => call.hand_over(&shared),
            Err(fault) => call.fail(&shared.meters.infer, Some(&model.statistics), &fault.to_string()),
        }
        None
    }
}

/// Whether the caller has reset the call.
fn gone(call: &mut Call) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    call.respond.poll_reset(&mut context).is_ready()
}
