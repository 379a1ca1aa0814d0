//! The messages of a call, one after the other.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;

use crate::grpc::{Code, Frames, Status};

/// Why no message comes.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The caller has gone.
    Gone,
    /// What came is refused.
    Refused(Status),
}

/// What a caller sends.
pub(crate) struct Body {
    stream: RecvStream,
    frames: Frames,
}

impl Body {
    pub(crate) fn new(stream: RecvStream, frames: Frames) -> Self {
        Self { stream, frames }
    }

    /// The next message; none when the caller has said all.
    pub(crate) fn poll(&mut self, context: &mut Context) -> Poll<Result<Option<Bytes>, Broken>> {
        loop {
            if let Some(message) = self.frames.next().map_err(Broken::Refused)? {
                return Poll::Ready(Ok(Some(message)));
            }
            match self.stream.poll_data(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => {
                    // What was read makes room for more; a stream that has ended needs none.
                    let _ = self.stream.flow_control().release_capacity(bytes.len());
                    self.frames.add(bytes);
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Broken::Gone)),
                Poll::Ready(None) if self.frames.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Ready(None) => {
                    let cut = Status::new(Code::Internal, "the last message is cut short");
                    return Poll::Ready(Err(Broken::Refused(cut)));
                }
            }
        }
    }
}
