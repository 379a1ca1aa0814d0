//! One unary call whose message has come, and how it can end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;
use tokio::runtime::Handle;

use crate::grpc::{self, Code, Status};
use crate::handed;
use crate::models::Statistics;
use crate::places::Place;
use crate::shared::{Method, Shared};

/// What is known of a call before its message.
pub(crate) struct Head {
    pub path: String,
    pub headers: HeaderMap,
    pub started: Instant,
    pub deadline: Option<Instant>,
    /// Who calls, where that is known.
    pub peer: Option<SocketAddr>,
    /// Whether its key was checked and its rate counted.
    pub paid: bool,
    /// The thread that has the connection.
    pub home: Handle,
}

impl Head {
    pub(crate) fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A call in hand.
pub(crate) struct Call {
    pub head: Head,
    pub message: Bytes,
    pub respond: SendResponse<Bytes>,
    pub place: Place,
}

impl Call {
    pub(crate) fn seconds(&self) -> f64 {
        self.head.started.elapsed().as_secs_f64()
    }

    /// Ends it with an answer.
    pub(crate) fn answer(self, message: &[u8]) {
        let Self { mut respond, place, .. } = self;
        drop(place);
        send(&mut respond, grpc::framed(message));
    }

    /// Ends it with an answer that is behind its prefix already.
    pub(crate) fn answer_framed(self, framed: BytesMut) {
        let Self { mut respond, place, .. } = self;
        drop(place);
        send(&mut respond, framed.freeze());
    }

    /// Lets the other side answer it, which has rules and texts for everything.
    pub(crate) fn hand_over(self, shared: &Arc<Shared>) {
        let Self { head, message, respond, place } = self;
        drop(place);
        handed::unary(shared, head, message, respond);
    }

    /// Ends it with a fault of ours, of a version once that is known.
    pub(crate) fn fail(mut self, method: &Method, statistics: Option<&Statistics>, text: &str) {
        let seconds = self.seconds();
        method.error.add(1);
        method.seconds.observe(seconds, 1);
        if let Some(statistics) = statistics {
            statistics.failure.observe(seconds, 1);
            statistics.errors.add(1);
        }
        refuse(&mut self.respond, &Status::new(Code::Internal, text));
    }
}

/// Ends a call with an answer; a caller that has gone needs none.
pub(crate) fn send(respond: &mut SendResponse<Bytes>, framed: Bytes) {
    if let Ok(mut stream) = respond.send_response(grpc::head(), false)
        && stream.send_data(framed, false).is_ok()
    {
        let _ = stream.send_trailers(grpc::trailers());
    }
}

/// Ends a call that was not answered yet.
pub(crate) fn refuse(respond: &mut SendResponse<Bytes>, status: &Status) {
    // A caller that has gone hears nothing.
    let _ = respond.send_response(grpc::alone(status), true);
}

/// Ends a call whose answers, if there were any, went through `out`; well without a status.
pub(crate) fn end(respond: &mut SendResponse<Bytes>, out: Option<&mut SendStream<Bytes>>, status: Option<&Status>) {
    // A caller that has gone hears nothing.
    let _ = match (out, status) {
        (None, Some(status)) => return refuse(respond, status),
        (None, None) => {
            let opened = respond.send_response(grpc::head(), false);
            opened.and_then(|mut out| out.send_trailers(grpc::trailers()))
        }
        (Some(out), None) => out.send_trailers(grpc::trailers()),
        (Some(out), Some(status)) => out.send_trailers(grpc::trailers_of(status)),
    };
}
