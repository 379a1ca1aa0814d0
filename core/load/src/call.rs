//! One call: a message there and a message back, within its deadline.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::time::timeout;

use crate::failure::{Failure, check_status, has_status};
use crate::frame::Messages;

/// Makes calls of one method over one connection, one after the other; a clone of it makes others at the same time.
#[derive(Clone, Debug)]
pub struct Caller {
    sender: SendRequest<Bytes>,
    head: Request<()>,
    deadline: Duration,
}

impl Caller {
    /// `head` is what each call begins with; `deadline` what each may take.
    #[must_use]
    pub fn new(sender: SendRequest<Bytes>, head: Request<()>, deadline: Duration) -> Self {
        Self { sender, head, deadline }
    }

    /// What each call may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Begins a call, as soon as the server allows one more.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn begin(&mut self) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
        let opened = async {
            poll_fn(|context| self.sender.poll_ready(context)).await?;
            self.sender.send_request(self.head.clone(), false)
        };
        opened.await.map_err(|error| Failure { lost: true, ..Failure::of_error(&error) })
    }

    /// Sends one message and returns the one that answers it.
    ///
    /// # Errors
    /// When there is no such message with status 0 within the deadline.
    pub async fn call(&mut self, frame: Bytes) -> Result<Bytes, Failure> {
        let deadline = self.deadline;
        match timeout(deadline, self.exchange(frame)).await {
            Ok(answer) => answer,
            Err(_) => Err(late(deadline)),
        }
    }

    async fn exchange(&mut self, frame: Bytes) -> Result<Bytes, Failure> {
        let (response, mut body) = self.begin().await?;
        body.send_data(frame, true).map_err(|error| Failure::of_error(&error))?;
        let mut answer = Answer::of(response).await?;
        let mut messages = Messages::default();
        while answer.read(&mut messages).await? {}
        let first = messages.take().map_err(|error| Failure::new(Failure::BROKEN, error.to_string()))?;
        answer.end(&messages).await?;
        first.ok_or_else(|| Failure::new(Failure::EMPTY, "success without a message"))
    }
}

/// The failure of a call that took longer than its deadline.
#[must_use]
pub fn late(deadline: Duration) -> Failure {
    Failure::new(Failure::DEADLINE, format!("no answer within {} s", deadline.as_secs_f64()))
}

/// The answer of a call while it arrives.
#[derive(Debug)]
pub struct Answer {
    body: RecvStream,
    without_message: Option<http::HeaderMap>,
}

impl Answer {
    /// Waits for its headers.
    ///
    /// # Errors
    /// When they tell that the call failed.
    pub async fn of(response: ResponseFuture) -> Result<Self, Failure> {
        let (head, body) = response.await.map_err(|error| Failure::of_error(&error))?.into_parts();
        // A server that knows gRPC puts its own status beside any of HTTP.
        if has_status(&head.headers) {
            check_status(Some(&head.headers))?;
            return Ok(Self { body, without_message: Some(head.headers) });
        }
        match Failure::of_http(head.status) {
            Some(failure) => Err(failure),
            None => Ok(Self { body, without_message: None }),
        }
    }

    /// Reads the next piece of data; false at their end.
    ///
    /// # Errors
    /// When the call ends otherwise.
    pub async fn read(&mut self, messages: &mut Messages) -> Result<bool, Failure> {
        let Some(piece) = self.body.data().await else { return Ok(false) };
        let piece = piece.map_err(|error| Failure::of_error(&error))?;
        messages.feed(&piece);
        self.body.flow_control().release_capacity(piece.len()).map_err(|error| Failure::of_error(&error))?;
        Ok(true)
    }

    /// Reads the status behind the data, of which nothing may be left.
    ///
    /// # Errors
    /// When it is not success, or data is left.
    pub async fn end(&mut self, messages: &Messages) -> Result<(), Failure> {
        let trailers = self.body.trailers().await.map_err(|error| Failure::of_error(&error))?;
        check_status(trailers.as_ref().or(self.without_message.as_ref()))?;
        match messages.left() {
            0 => Ok(()),
            left => Err(Failure::new(Failure::BROKEN, format!("{left} bytes behind the last message"))),
        }
    }
}
