//! Streams of predictions: every message answered, in order, many in flight. What has come when the engine is free is one
//! pass; a caller that does not read its answers is not read any further.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::SendStream;
use h2::server::SendResponse;
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use crate::body::{Body, Broken};
use crate::bridge::{Command, Event};
use crate::call::{Head, end};
use crate::gate::Pass;
use crate::gather::{MOST_ROWS, told};
use crate::grpc::{self, Code, Status, put_frame};
use crate::handed::{self, write_all};
use crate::places::Place;
use crate::shared::{Phase, Shared};

/// Time between two looks at whether a stream that is slowed down is still wanted.
const LOOK: Duration = Duration::from_millis(500);

const REVOKED: &str = "the key of this stream is not valid any more";

/// Passes for what a caller had sent when the server began to drain; one that goes on sending is not waited for.
const LAST_PASSES: usize = 8;

/// Answers a stream until the caller half-closes, vanishes, or the server drains.
pub(crate) async fn converse(
    shared: Arc<Shared>,
    head: Head,
    body: Body,
    respond: SendResponse<Bytes>,
    pass: Option<Pass>,
) {
    if shared.places.draining() {
        return handed::stream(&shared, head, body, respond);
    }
    let Some(place) = Place::stream(&shared.places) else { return handed::stream(&shared, head, body, respond) };
    let deadline = head.deadline;
    let last_passes = LAST_PASSES;
    let mut stream =
        Stream { shared: Arc::clone(&shared), body, respond, pass, out: None, ended: None, last_passes, unpaid: true };
    let status = match deadline {
        None => stream.run().await,
        Some(deadline) => match timeout_at(deadline.into(), stream.run()).await {
            Ok(status) => status,
            Err(_) => Some(Some(Status::new(Code::DeadlineExceeded, "Deadline Exceeded"))),
        },
    };
    drop(place);
    if let Some(status) = status {
        stream.finish(status.as_ref());
    }
}

struct Stream {
    shared: Arc<Shared>,
    body: Body,
    respond: SendResponse<Bytes>,
    pass: Option<Pass>,
    out: Option<SendStream<Bytes>>,
    /// How the messages ended, once they have.
    ended: Option<Result<(), Broken>>,
    last_passes: usize,
    /// Whether no message was counted yet.
    unpaid: bool,
}

impl Stream {
    /// How the stream ends: none when the caller has gone, else the status, none when it is well.
    async fn run(&mut self) -> Option<Option<Status>> {
        let mut phase = self.shared.phase.subscribe();
        loop {
            let taken = self.take(&mut phase).await;
            if taken.is_empty() {
                return match self.ended.take() {
                    Some(Ok(())) => Some(None),
                    Some(Err(Broken::Refused(status))) => Some(Some(status)),
                    Some(Err(Broken::Gone)) => None,
                    None => {
                        self.shared.meters.stream.rejected.add(1);
                        Some(Some(Status::new(Code::Unavailable, &*self.shared.texts.draining)))
                    }
                };
            }
            if !self.paid(taken.len()).await? {
                return Some(Some(Status::new(Code::Unauthenticated, REVOKED)));
            }
            let answers = match self.answers(taken).await {
                Ok(answers) => answers,
                Err(status) => return Some(Some(status)),
            };
            if self.out.is_none() {
                self.out = self.respond.send_response(grpc::head(), false).ok();
            }
            if !write_all(self.out.as_mut()?, answers).await {
                return None;
            }
            // Other calls of this thread take their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Counts messages for the rate of the stream's key, as slowly as that allows; false when the key is valid no more,
    /// none when the caller has gone meanwhile.
    ///
    /// The stream's own call counted for the first one. A server that drains does not wait for rates.
    async fn paid(&mut self, messages: usize) -> Option<bool> {
        let Some(pass) = &self.pass else { return Some(true) };
        let due = messages - usize::from(std::mem::take(&mut self.unpaid));
        for _ in 0..due {
            while self.shared.gate.holds(pass) && !self.shared.places.draining() && !pass.rate.take() {
                let reset = poll_fn(|context| handed::gone(&mut self.respond, self.out.as_mut(), context));
                if timeout(pass.rate.gap().min(LOOK), reset).await.is_ok() {
                    return None;
                }
            }
        }
        Some(self.shared.gate.holds(pass))
    }

    /// The messages that have come, at least one; none when no more will come, or the server drains.
    async fn take(&mut self, phase: &mut watch::Receiver<Phase>) -> Vec<Bytes> {
        let mut taken = Vec::new();
        if *phase.borrow() != Phase::Serving {
            let Some(left) = self.last_passes.checked_sub(1) else { return taken };
            self.last_passes = left;
        }
        if self.ended.is_none() {
            let mut drains = std::pin::pin!(phase.wait_for(|phase| *phase != Phase::Serving));
            let first = poll_fn(|context| match self.body.poll(context) {
                Poll::Ready(found) => Poll::Ready(Some(found)),
                Poll::Pending => drains.as_mut().poll(context).map(|_| None),
            })
            .await;
            self.note(first, &mut taken);
        }
        let mut context = Context::from_waker(Waker::noop());
        // A pass holds no more than one message may have, and the message that goes beyond it: small ones may unpack to much.
        let room = self.shared.limits.message_bytes;
        while !taken.is_empty() && taken.len() < MOST_ROWS && self.ended.is_none() {
            if taken.iter().map(Bytes::len).sum::<usize>() >= room {
                break;
            }
            let Poll::Ready(found) = self.body.poll(&mut context) else { break };
            self.note(Some(found), &mut taken);
        }
        taken
    }

    fn note(&mut self, found: Option<Result<Option<Bytes>, Broken>>, taken: &mut Vec<Bytes>) {
        match found {
            None => {}
            Some(Ok(Some(message))) => taken.push(message),
            Some(Ok(None)) => self.ended = Some(Ok(())),
            Some(Err(broken)) => self.ended = Some(Err(broken)),
        }
    }

    /// Answers behind their prefixes.
    async fn answers(&self, taken: Vec<Bytes>) -> Result<Bytes, Status> {
        let answers = match self.predictions(&taken) {
            Some(answers) => answers,
            None => self.elsewhere(taken).await?,
        };
        let mut out = BytesMut::new();
        for answer in &answers {
            put_frame(&mut out, answer);
        }
        Ok(out.freeze())
    }

    /// Answers to messages all of which are plainly valid.
    fn predictions(&self, taken: &[Bytes]) -> Option<Vec<Vec<u8>>> {
        let began = Instant::now();
        let models = self.shared.models.load();
        let model = models.contract()?;
        let messages: Vec<&[u8]> = taken.iter().map(|message| &**message).collect();
        // A fault is found again by the other side, which tells it in the answer to the message that has it.
        let passed = model.engine.jobs.as_ref()?.predict_many(&messages).ok()??;
        if passed.rows < taken.len() {
            return None;
        }
        told(&self.shared, model, &passed, passed.rows as u64, 0.0);
        let count = taken.len() as u64;
        #[allow(clippy::cast_precision_loss, reason = "messages are few")]
        let (messages, each) = (count as f64, began.elapsed().as_secs_f64() / count as f64);
        let (meters, statistics) = (&self.shared.meters, &model.statistics);
        statistics.queue.observe(0.0, count);
        statistics.success.observe(each, count);
        meters.stream.seconds.observe(each, count);
        meters.stream.success.add(count);
        meters.batch_size.observe(messages, 1);
        meters.served.add(count);
        passed.answer.into_iter().collect()
    }

    /// Answers of the other side, one to each message.
    async fn elsewhere(&self, taken: Vec<Bytes>) -> Result<Vec<Vec<u8>>, Status> {
        let bridge = &self.shared.bridge;
        let mut commands = bridge.open();
        bridge.tell(Event::Predictions(commands.id, taken));
        match poll_fn(|context| commands.poll(context)).await {
            Some(Command::Answers(answers)) => Ok(answers),
            Some(Command::Finish(Some(status))) => Err(status),
            _ => Err(Status::new(Code::Internal, "messages of the stream were not answered")),
        }
    }

    fn finish(&mut self, status: Option<&Status>) {
        end(&mut self.respond, self.out.as_mut(), status);
    }
}
