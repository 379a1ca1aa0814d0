//! The stream: one call with many messages, so many of them waiting for an answer at a time. Latency counts from the
//! write; answers belong to messages in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::call::{Answer, Caller, late};
use crate::clock::{nanoseconds, now};
use crate::failure::Failure;
use crate::frame::Messages;
use crate::window::{Ticket, Window};

/// Drives `streams` streams on each connection until the window ends.
pub async fn streams(window: &Arc<Window>, connections: &[Caller], streams: usize, in_flight: usize) {
    let mut running = JoinSet::new();
    for connection in connections {
        for _ in 0..streams {
            let stream = Stream { window: Arc::clone(window), in_flight, waiting: VecDeque::new(), writing: true };
            running.spawn(stream.drive(connection.clone()));
        }
    }
    running.join_all().await;
}

struct Stream {
    window: Arc<Window>,
    in_flight: usize,
    waiting: VecDeque<Ticket>,
    writing: bool,
}

impl Stream {
    async fn drive(mut self, mut caller: Caller) {
        let ended = self.exchange(&mut caller).await;
        let unanswered = self.waiting.len() as u64;
        match ended {
            Err(failure) => self.window.failed(unanswered.max(1), failure),
            Ok(()) if unanswered > 0 => {
                let told = "the stream ended with success before its messages were answered";
                self.window.failed(unanswered, Failure::new(Failure::UNANSWERED, told));
            }
            Ok(()) => {}
        }
    }

    async fn exchange(&mut self, caller: &mut Caller) -> Result<(), Failure> {
        let deadline = caller.deadline();
        let (response, mut body) = timeout(deadline, caller.begin()).await.map_err(|_| late(deadline))??;
        // Some servers send their headers with the first answer.
        self.write(&mut body);
        let mut answer = timeout(deadline, Answer::of(response)).await.map_err(|_| late(deadline))??;
        let mut messages = Messages::default();
        while timeout(self.patience(deadline), answer.read(&mut messages)).await.map_err(|_| late(deadline))?? {
            while let Some(message) = take(&mut messages)? {
                match self.waiting.pop_front() {
                    Some(ticket) => self.window.settle(ticket, Ok(message)),
                    None => return Err(Failure::new(Failure::UNASKED, "an answer that no message waited for")),
                }
            }
            self.write(&mut body);
        }
        timeout(deadline, answer.end(&messages)).await.map_err(|_| late(deadline))?
    }

    /// Writes as many messages as may wait, or the end of them. Why a stream takes no more, its answers tell.
    fn write(&mut self, body: &mut SendStream<Bytes>) {
        while self.writing && self.waiting.len() < self.in_flight {
            let sent = if let Some(ticket) = self.window.ticket() {
                self.waiting.push_back(ticket);
                body.send_data(self.window.frame(ticket), false)
            } else {
                self.writing = false;
                body.send_data(Bytes::new(), true)
            };
            self.writing &= sent.is_ok();
        }
    }

    /// What is left of the deadline for the message that has waited longest.
    fn patience(&self, deadline: Duration) -> Duration {
        let Some(oldest) = self.waiting.front() else { return deadline };
        let left = oldest.since.saturating_add(nanoseconds(deadline)).saturating_sub(now());
        Duration::from_nanos(left)
    }
}

fn take(messages: &mut Messages) -> Result<Option<Bytes>, Failure> {
    messages.take().map_err(|error| Failure::new(Failure::BROKEN, error.to_string()))
}
