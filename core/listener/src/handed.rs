//! Calls that the other side answers: this side moves bytes, and tells it what happens to the call.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderName, HeaderValue};

use crate::body::{Body, Broken};
use crate::bridge::{Command, Commands, Event};
use crate::call::{Head, end};
use crate::grpc::{self, Status};
use crate::shared::Shared;

/// Hands over a unary call whose message has come.
pub(crate) fn unary(shared: &Arc<Shared>, head: Head, message: Bytes, respond: SendResponse<Bytes>) {
    begin(shared, head, Some(message), None, respond);
}

/// Hands over a stream.
pub(crate) fn stream(shared: &Arc<Shared>, head: Head, body: Body, respond: SendResponse<Bytes>) {
    begin(shared, head, None, Some(body), respond);
}

fn begin(shared: &Arc<Shared>, head: Head, message: Option<Bytes>, body: Option<Body>, respond: SendResponse<Bytes>) {
    let commands = shared.bridge.open();
    let id = commands.id;
    let metadata = head.headers.iter().filter_map(text).collect();
    let left = head.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    shared.bridge.tell(Event::Call { id, path: head.path, message, peer: head.peer, metadata, left, paid: head.paid });
    let handed = Handed { shared: Arc::clone(shared), id, body, respond, out: None, reading: false };
    head.home.spawn(handed.converse(commands));
}

/// Metadata that is text.
fn text((name, value): (&HeaderName, &HeaderValue)) -> Option<(String, String)> {
    let is_text = !name.as_str().ends_with("-bin");
    is_text.then(|| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))?
}

struct Handed {
    shared: Arc<Shared>,
    id: u64,
    body: Option<Body>,
    respond: SendResponse<Bytes>,
    out: Option<SendStream<Bytes>>,
    reading: bool,
}

enum Next {
    Command(Option<Command>),
    Message(Result<Option<Bytes>, Broken>),
    Gone,
}

impl Handed {
    async fn converse(mut self, mut commands: Commands) {
        loop {
            match self.next(&mut commands).await {
                Next::Command(Some(Command::Read)) => self.reading = true,
                Next::Command(Some(Command::Write(message))) => {
                    if !self.write(&message).await {
                        break self.shared.bridge.tell(Event::Gone(self.id));
                    }
                    // Only a stream waits for that before it says more.
                    if self.body.is_some() {
                        self.shared.bridge.tell(Event::Written(self.id));
                    }
                }
                Next::Command(Some(Command::Finish(status))) => break self.finish(status.as_ref()),
                Next::Command(Some(Command::Answers(_)) | None) => break,
                Next::Message(Ok(message)) => {
                    self.reading = false;
                    self.shared.bridge.tell(Event::Message(self.id, message));
                }
                Next::Message(Err(Broken::Refused(status))) => {
                    self.finish(Some(&status));
                    break self.shared.bridge.tell(Event::Gone(self.id));
                }
                Next::Message(Err(Broken::Gone)) | Next::Gone => break self.shared.bridge.tell(Event::Gone(self.id)),
            }
        }
    }

    async fn next(&mut self, commands: &mut Commands) -> Next {
        poll_fn(|context| {
            if let Poll::Ready(command) = commands.poll(context) {
                return Poll::Ready(Next::Command(command));
            }
            if let (true, Some(body)) = (self.reading, &mut self.body)
                && let Poll::Ready(found) = body.poll(context)
            {
                return Poll::Ready(Next::Message(found));
            }
            gone(&mut self.respond, self.out.as_mut(), context).map(|()| Next::Gone)
        })
        .await
    }

    async fn write(&mut self, message: &[u8]) -> bool {
        if self.out.is_none() {
            self.out = self.respond.send_response(grpc::head(), false).ok();
        }
        match &mut self.out {
            Some(out) => write_all(out, grpc::framed(message)).await,
            None => false,
        }
    }

    fn finish(&mut self, status: Option<&Status>) {
        end(&mut self.respond, self.out.as_mut(), status);
    }
}

/// Whether the caller has gone. Once there are headers, only what writes behind them can tell.
pub(crate) fn gone(
    respond: &mut SendResponse<Bytes>,
    out: Option<&mut SendStream<Bytes>>,
    context: &mut Context<'_>,
) -> Poll<()> {
    let reset = match out {
        Some(out) => out.poll_reset(context),
        None => respond.poll_reset(context),
    };
    reset.map(|_| ())
}

/// Writes as fast as the caller reads; false when it has gone.
pub(crate) async fn write_all(out: &mut SendStream<Bytes>, mut bytes: Bytes) -> bool {
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len());
        let room = match poll_fn(|context| out.poll_capacity(context)).await {
            Some(Ok(room)) => room.min(bytes.len()),
            _ => return false,
        };
        if out.send_data(bytes.split_to(room), false).is_err() {
            return false;
        }
    }
    true
}
