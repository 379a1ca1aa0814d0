//! A span of time in which calls are made and counted.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::answer::check;
use crate::clock::now;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::tally::Tally;

/// A call that may be made.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Which message it sends.
    pub request: usize,
    /// When it was sent, or due.
    pub since: u64,
}

/// A window of one thread's share.
#[derive(Debug)]
pub struct Window {
    plan: Arc<Plan>,
    begin: u64,
    end: u64,
    tally: Mutex<Tally>,
}

impl Window {
    /// A window that begins now and takes calls for `duration` nanoseconds.
    #[must_use]
    pub fn new(plan: Arc<Plan>, duration: u64) -> Self {
        let begin = now();
        Self { plan, begin, end: begin.saturating_add(duration), tally: Mutex::default() }
    }

    /// When it began.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The next call of a closed loop, sent now; none when the window has ended.
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket_at(now())
    }

    /// The call that is due so long after the begin; none when the window will have ended.
    pub fn due(&self, offset: u64) -> Option<Ticket> {
        self.ticket_at(self.begin.saturating_add(offset))
    }

    fn ticket_at(&self, since: u64) -> Option<Ticket> {
        self.change(|tally| {
            if since >= self.end || tally.sent >= self.plan.calls {
                return None;
            }
            let request = usize::try_from(tally.sent).unwrap_or(0) % self.plan.messages.len();
            tally.sent += 1;
            Some(Ticket { request, since })
        })
    }

    /// The frame that a call sends.
    #[must_use]
    pub fn frame(&self, ticket: Ticket) -> Bytes {
        self.plan.messages[ticket.request].clone()
    }

    /// Counts the end of a call.
    pub fn settle(&self, ticket: Ticket, outcome: Result<Bytes, Failure>) {
        let now = now();
        let right = outcome.and_then(|answer| {
            check(self.plan.expected.as_deref(), ticket.request, &answer)?;
            Ok(answer)
        });
        match right {
            Ok(answer) => self.change(|tally| {
                tally.answered(ticket.since, now, ticket.request, &answer, self.plan.keep);
            }),
            Err(failure) => self.failed(1, failure),
        }
    }

    /// Counts so many calls that failed alike.
    pub fn failed(&self, count: u64, failure: Failure) {
        self.change(|tally| tally.failed(count, failure));
    }

    /// Counts how late a call of an open loop goes out.
    pub fn lagged(&self, ticket: Ticket) {
        let lag = now().saturating_sub(ticket.since);
        self.change(|tally| tally.lagged(lag));
    }

    /// What was seen.
    #[must_use]
    pub fn into_tally(self: Arc<Self>) -> Tally {
        self.change(std::mem::take)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
