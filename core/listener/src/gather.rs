//! Natural batching: what arrived while the engine was busy, or with the same reads of the sockets, is one pass.
//!
//! Each thread gathers its own calls. The pass is a task behind all those that are ready, so that every connection with
//! bytes to read adds its calls first; there is no timer, and a call that is alone waits for nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jobcast_engine::{Admitted, Panicked, Passed, Request, guarded};
use tokio::sync::Notify;

use crate::batch;
use crate::call::Call;
use crate::models::Model;
use crate::shared::Shared;

/// Rows of a pass of calls that came together.
pub(crate) const MOST_ROWS: usize = 32;

/// What a call asks.
pub(crate) enum Asked {
    Predict,
    /// A batch that is small enough to be answered at once.
    Batch,
    /// Tensors, and the seconds that reading them took.
    Infer(Request, Admitted, f64),
}

impl Asked {
    fn rows(&self) -> usize {
        match self {
            Self::Predict => 1,
            Self::Batch => MOST_ROWS,
            Self::Infer(_, admitted, _) => admitted.rows(),
        }
    }

    fn shares(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Predict, Self::Predict) | (Self::Infer(..), Self::Infer(..)))
    }
}

/// A call that waits for its pass.
pub(crate) struct Waiting {
    pub call: Call,
    pub model: Arc<Model>,
    pub asked: Asked,
    pub since: Instant,
}

/// Calls of one thread.
#[derive(Default)]
pub(crate) struct Gather {
    waiting: Mutex<VecDeque<Waiting>>,
    bell: Notify,
}

impl Gather {
    pub(crate) fn add(&self, waiting: Waiting) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(waiting);
        self.bell.notify_one();
    }

    /// Answers whatever comes, for ever.
    pub(crate) async fn run(&self, shared: Arc<Shared>) {
        loop {
            let taken = self.take(shared.limits.together);
            if taken.is_empty() {
                self.bell.notified().await;
            } else {
                // What panics ends its own calls; the calls behind them still want answers.
                let _ = guarded(|| answer(&shared, taken));
                // Answers leave and calls come in before the next pass.
                tokio::task::yield_now().await;
            }
        }
    }

    /// The oldest call, and those behind it that can share its pass.
    fn take(&self, together: bool) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = waiting.pop_front() else { return Vec::new() };
        let mut rows = first.asked.rows();
        let mut taken = vec![first];
        while together && let Some(next) = waiting.front() {
            rows += next.asked.rows();
            let shares = next.asked.shares(&taken[0].asked) && Arc::ptr_eq(&next.model, &taken[0].model);
            if !shares || rows > MOST_ROWS {
                break;
            }
            taken.extend(waiting.pop_front());
        }
        taken
    }
}

fn answer(shared: &Arc<Shared>, taken: Vec<Waiting>) {
    let (late, taken): (Vec<_>, Vec<_>) = taken.into_iter().partition(|waiting| waiting.call.head.late());
    for waiting in late {
        waiting.call.hand_over(shared);
    }
    match taken.first().map(|first| &first.asked) {
        None => {}
        Some(Asked::Predict) => predict(shared, taken),
        Some(Asked::Infer(..)) => infer(shared, taken),
        Some(Asked::Batch) => {
            for waiting in taken {
                batch::at_once(shared, waiting.call, &waiting.model);
            }
        }
    }
}

fn predict(shared: &Arc<Shared>, mut taken: Vec<Waiting>) {
    let began = Instant::now();
    let model = Arc::clone(&taken[0].model);
    let Some(jobs) = &model.engine.jobs else {
        return taken.into_iter().for_each(|waiting| waiting.call.hand_over(shared));
    };
    if taken.len() == 1 {
        let Some(waiting) = taken.pop() else { return };
        return match jobs.predict(&waiting.call.message) {
            Ok(Some(passed)) => {
                told(shared, &model, &passed, 1, 0.0);
                predicted(shared, waiting, began, &passed.answer);
            }
            Ok(None) => waiting.call.hand_over(shared),
            Err(fault) => waiting.call.fail(&shared.meters.predict, Some(&model.statistics), &fault.to_string()),
        };
    }
    let messages: Vec<&[u8]> = taken.iter().map(|waiting| &*waiting.call.message).collect();
    match jobs.predict_many(&messages) {
        Ok(Some(passed)) => {
            told(shared, &model, &passed, passed.rows as u64, 0.0);
            for (waiting, answer) in taken.into_iter().zip(passed.answer) {
                match answer {
                    Some(answer) => predicted(shared, waiting, began, &answer),
                    None => waiting.call.hand_over(shared),
                }
            }
        }
        Ok(None) => taken.into_iter().for_each(|waiting| waiting.call.hand_over(shared)),
        // Whose fault it is shows when each is answered alone.
        Err(Panicked) => taken.into_iter().for_each(|waiting| predict(shared, vec![waiting])),
    }
}

fn predicted(shared: &Shared, waiting: Waiting, began: Instant, answer: &[u8]) {
    let (meters, seconds) = (&shared.meters, waiting.call.seconds());
    waiting.model.statistics.queue.observe((began - waiting.since).as_secs_f64(), 1);
    waiting.model.statistics.success.observe(seconds, 1);
    meters.batch_size.observe(1.0, 1);
    meters.served.add(1);
    meters.predict.success.add(1);
    meters.predict.seconds.observe(seconds, 1);
    waiting.call.answer(answer);
}

fn infer(shared: &Arc<Shared>, taken: Vec<Waiting>) {
    let began = Instant::now();
    let model = Arc::clone(&taken[0].model);
    let mut parsing = 0.0;
    let mut parts: Vec<(&[u8], &Request, &Admitted)> = Vec::with_capacity(taken.len());
    for waiting in &taken {
        if let Asked::Infer(request, admitted, seconds) = &waiting.asked {
            parts.push((&waiting.call.message, request, admitted));
            parsing += seconds;
        }
    }
    match model.engine.tensors.infer(&parts) {
        Ok(Some(passed)) => {
            let requests = parts.len();
            #[allow(clippy::cast_precision_loss, reason = "requests are few")]
            told(shared, &model, &passed, requests as u64, parsing / requests as f64);
            for (waiting, answer) in taken.into_iter().zip(passed.answer) {
                inferred(shared, waiting.call, &model, (began - waiting.since).as_secs_f64(), &answer);
            }
        }
        Ok(None) => taken.into_iter().for_each(|waiting| waiting.call.hand_over(shared)),
        Err(fault) if taken.len() == 1 => taken
            .into_iter()
            .for_each(|waiting| waiting.call.fail(&shared.meters.infer, Some(&model.statistics), &fault.to_string())),
        Err(Panicked) => taken.into_iter().for_each(|waiting| infer(shared, vec![waiting])),
    }
}

/// Ends a `ModelInfer` that waited for `queued` seconds.
pub(crate) fn inferred(shared: &Shared, call: Call, model: &Model, queued: f64, answer: &[u8]) {
    let seconds = call.seconds();
    model.statistics.queue.observe(queued, 1);
    model.statistics.success.observe(seconds, 1);
    shared.meters.infer.success.add(1);
    shared.meters.infer.seconds.observe(seconds, 1);
    call.answer(answer);
}

/// Counts a pass for `requests` requests, whose reading before it took `parsing` seconds each.
pub(crate) fn told<T>(shared: &Shared, model: &Model, passed: &Passed<T>, requests: u64, parsing: f64) {
    shared.meters.prediction.observe(passed.compute, 1);
    model.statistics.passed(passed.rows, requests, [passed.decode + parsing, passed.compute, passed.encode]);
}
