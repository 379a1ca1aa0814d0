//! Calls that the other side answers. It is woken by a byte on a socket, takes what happened, and says what is to be done;
//! no thread here ever waits for it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::grpc::Status;

/// What happened, by the number of the call.
#[derive(Debug)]
pub enum Event {
    /// A call came; a unary one with its message.
    Call {
        /// Its number.
        id: u64,
        /// Its method.
        path: String,
        /// Its only message, when it is unary.
        message: Option<Bytes>,
        /// Who calls, where that is known.
        peer: Option<SocketAddr>,
        /// What the caller says besides, as text.
        metadata: Vec<(String, String)>,
        /// How long the caller still waits.
        left: Option<Duration>,
        /// Whether its key was checked and its rate counted already.
        paid: bool,
    },
    /// The next message of a stream, or none when the caller has said all.
    Message(u64, Option<Bytes>),
    /// What was written has left for the caller.
    Written(u64),
    /// The caller has gone.
    Gone(u64),
    /// Messages of a stream of predictions that need answers, one each.
    Predictions(u64, Vec<Bytes>),
}

/// What is to be done about a call.
#[derive(Debug)]
pub(crate) enum Command {
    Read,
    Write(Vec<u8>),
    Finish(Option<Status>),
    Answers(Vec<Vec<u8>>),
}

/// The way to the other side.
#[derive(Debug)]
pub(crate) struct Bridge {
    happened: mpsc::Sender<Event>,
    seen: Mutex<mpsc::Receiver<Event>>,
    ringing: AtomicBool,
    bell: UnixStream,
    ear: UnixStream,
    calls: Mutex<HashMap<u64, UnboundedSender<Command>>>,
    last: AtomicU64,
}

impl Bridge {
    pub(crate) fn new() -> io::Result<Self> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        let (happened, seen) = mpsc::channel();
        Ok(Self {
            happened,
            seen: Mutex::new(seen),
            ringing: AtomicBool::new(false),
            bell,
            ear,
            calls: Mutex::default(),
            last: AtomicU64::new(0),
        })
    }

    /// What the other side listens to.
    pub(crate) fn ear(&self) -> &UnixStream {
        &self.ear
    }

    /// A new call, which is open as long as somebody has its commands.
    pub(crate) fn open(self: &Arc<Self>) -> Commands {
        let id = self.last.fetch_add(1, SeqCst);
        let (sender, receiver) = unbounded_channel();
        self.calls().insert(id, sender);
        Commands { id, bridge: Arc::clone(self), receiver }
    }

    /// Tells the other side.
    pub(crate) fn tell(&self, event: Event) {
        // The receiver lives as long as this does.
        let _ = self.happened.send(event);
        if !self.ringing.swap(true, SeqCst) {
            // A full socket rings already.
            let _ = (&self.bell).write(&[1]);
        }
    }

    /// Does something about a call; one that has ended needs nothing.
    pub(crate) fn command(&self, id: u64, command: Command) {
        if let Some(call) = self.calls().get(&id) {
            let _ = call.send(command);
        }
    }

    /// Everything that happened since.
    pub(crate) fn take(&self) -> Vec<Event> {
        let _ = (&self.ear).read(&mut [0; 64]);
        self.ringing.store(false, SeqCst);
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.try_iter().collect()
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, UnboundedSender<Command>>> {
        self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Commands for an open call.
#[derive(Debug)]
pub(crate) struct Commands {
    /// Number of the call.
    pub id: u64,
    bridge: Arc<Bridge>,
    receiver: UnboundedReceiver<Command>,
}

impl Commands {
    pub(crate) fn poll(&mut self, context: &mut Context) -> Poll<Option<Command>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.bridge.calls().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_happens_is_told_once_and_in_order() {
        let bridge = Bridge::new().unwrap();
        bridge.tell(Event::Gone(1));
        bridge.tell(Event::Written(2));
        assert!(matches!(bridge.take()[..], [Event::Gone(1), Event::Written(2)]));
        assert!(bridge.take().is_empty());
        bridge.tell(Event::Gone(3));
        let mut byte = [0];
        assert_eq!((&bridge.ear).read(&mut byte).unwrap(), 1, "the bell rings again once it was heard");
    }

    #[test]
    fn commands_reach_open_calls_alone() {
        let bridge = Arc::new(Bridge::new().unwrap());
        let mut commands = bridge.open();
        let mut context = Context::from_waker(Waker::noop());
        bridge.command(commands.id, Command::Read);
        bridge.command(commands.id + 1, Command::Read);
        assert!(matches!(commands.poll(&mut context), Poll::Ready(Some(Command::Read))));
        assert!(commands.poll(&mut context).is_pending());
    }

    #[test]
    fn a_call_whose_commands_nobody_has_is_forgotten() {
        let bridge = Arc::new(Bridge::new().unwrap());
        let (one, other) = (bridge.open(), bridge.open());
        drop(one);
        assert_eq!(bridge.calls().keys().collect::<Vec<_>>(), [&other.id]);
    }
}
