//! The port and its threads. Each thread has connections of its own and gathers their calls; the first one accepts.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bridge::{Bridge, Command, Event};
use crate::connection;
use crate::gate::{Gate, Print};
use crate::gather::Gather;
use crate::grpc::Status;
use crate::models::Models;
use crate::places::Places;
use crate::rates::Rate;
use crate::shared::{Kind, Limits, Meters, Phase, Shared, Texts};
use crate::tls::Tls;
use crate::workers::Workers;

/// Time after which the port is tried again when no connection can be taken, as when files have run out.
const PAUSE: Duration = Duration::from_millis(10);

/// Time for callers to take what was said last, and to close their connections.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a listener is made of.
pub struct Setup {
    /// Bounds.
    pub limits: Limits,
    /// Places for work, counted by both sides.
    pub places: Arc<Places>,
    /// What is counted.
    pub meters: Meters,
    /// What both sides say alike.
    pub texts: Texts,
    /// Methods and how their messages go.
    pub methods: HashMap<String, Kind>,
    /// Threads that have connections.
    pub threads: usize,
    /// Threads for many rows.
    pub workers: usize,
    /// Whether `/jobcast.Echo/Echo` returns its bytes.
    pub echo: bool,
}

/// A bound port that may be served.
pub struct Listener {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    end: watch::Sender<bool>,
    count: usize,
}

impl Listener {
    /// A listener that does not serve yet.
    ///
    /// # Errors
    /// The system gives no thread or socket.
    pub fn new(setup: Setup) -> io::Result<Self> {
        let shared = Shared {
            models: ArcSwap::default(),
            places: setup.places,
            meters: setup.meters,
            limits: setup.limits,
            texts: setup.texts,
            methods: setup.methods,
            bridge: Arc::new(Bridge::new()?),
            gate: Gate::default(),
            tls: Tls::default(),
            workers: Workers::new(setup.workers)?,
            phase: watch::Sender::new(Phase::Serving),
            echo: setup.echo,
        };
        let (threads, end) = (Mutex::default(), watch::Sender::new(false));
        Ok(Self { shared: Arc::new(shared), threads, end, count: setup.threads.max(1) })
    }

    /// Serves a socket that listens.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(&self, socket: TcpListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let mut homes = Vec::new();
        let mut threads = Vec::new();
        for number in 0..self.count {
            let (sender, connections) = unbounded_channel();
            let open = Arc::new(AtomicUsize::new(0));
            homes.push(Home { sender, open: Arc::clone(&open) });
            threads.push((number, connections, open));
        }
        let mut accepting = Some((socket, homes));
        let mut held = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, connections, open) in threads {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            let (shared, end, accepting) = (Arc::clone(&self.shared), self.end.subscribe(), accepting.take());
            let thread = thread::Builder::new().name(format!("listen-{number}"));
            held.push(thread.spawn(move || live(&runtime, &shared, connections, &open, accepting, end))?);
        }
        Ok(())
    }

    /// Lets these versions answer from now on.
    pub fn serve(&self, models: Models) {
        self.shared.models.store(Arc::new(models));
    }

    /// From now on only these keys have hot calls answered here, by the prints of their secrets; all when there is no table.
    pub fn admit(&self, keys: Option<HashMap<Print, Arc<Rate>>>) {
        self.shared.gate.set(keys);
    }

    /// Encrypts new connections with a certificate chain and its key, as PEM, and asks clients for certificates of `clients`.
    ///
    /// # Errors
    /// The text says what is wrong with them; what was in force before goes on.
    pub fn secure(&self, chain: &[u8], key: &[u8], clients: Option<&[u8]>) -> Result<(), String> {
        self.shared.tls.secure(chain, key, clients)
    }

    /// What rings when something happened for the other side.
    #[must_use]
    pub fn ear(&self) -> i32 {
        self.shared.bridge.ear().as_raw_fd()
    }

    /// What happened since this was asked last.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.bridge.take()
    }

    /// Reads the next message of a stream.
    pub fn read(&self, id: u64) {
        self.shared.bridge.command(id, Command::Read);
    }

    /// Writes a message.
    pub fn write(&self, id: u64, message: Vec<u8>) {
        self.shared.bridge.command(id, Command::Write(message));
    }

    /// Ends a call; well without a status.
    pub fn finish(&self, id: u64, status: Option<Status>) {
        self.shared.bridge.command(id, Command::Finish(status));
    }

    /// Answers messages of a stream of predictions.
    pub fn answer(&self, id: u64, answers: Vec<Vec<u8>>) {
        self.shared.bridge.command(id, Command::Answers(answers));
    }

    /// Streams of predictions end, and every new call goes to the other side, which refuses it.
    pub fn drain(&self) {
        self.shared.places.drain();
        self.shared.phase.send_replace(Phase::Draining);
    }

    /// Takes no more connections or calls; those that are open may finish.
    pub fn stop(&self) {
        self.shared.phase.send_replace(Phase::Stopping);
    }

    /// Ends every connection and thread, and waits for them.
    pub fn close(&self) {
        self.stop();
        self.end.send_replace(true);
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has ended.
            let _ = thread.join();
        }
        self.shared.workers.end();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// A thread as the accepting one sees it.
struct Home {
    sender: UnboundedSender<Socket>,
    open: Arc<AtomicUsize>,
}

/// A connection on its way to its thread.
type Socket = std::net::TcpStream;

fn live(
    runtime: &Runtime,
    shared: &Arc<Shared>,
    mut connections: UnboundedReceiver<Socket>,
    open: &Arc<AtomicUsize>,
    accepting: Option<(TcpListener, Vec<Home>)>,
    mut end: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        let gather = Arc::new(Gather::default());
        let (gathering, all) = (Arc::clone(&gather), Arc::clone(shared));
        tokio::spawn(async move { gathering.run(all).await });
        if let Some((socket, homes)) = accepting {
            tokio::spawn(accept(socket, homes, Arc::clone(shared)));
        }
        let (all, alive) = watch::channel(());
        let (shared, open) = (Arc::clone(shared), Arc::clone(open));
        tokio::spawn(async move {
            while let Some(socket) = connections.recv().await {
                let (shared, gather) = (Arc::clone(&shared), Arc::clone(&gather));
                let living = Living { open: Arc::clone(&open), _alive: alive.clone() };
                tokio::spawn(async move {
                    if let Ok(socket) = TcpStream::from_std(socket) {
                        connection::serve(shared, gather, socket).await;
                    }
                    drop(living);
                });
            }
        });
        // The sender lives as long as the listener, which ends its threads first.
        let _ = end.wait_for(|&end| end).await;
        // A caller that does not take them in that time misses them.
        let _ = timeout(LAST_WORDS, all.closed()).await;
    });
}

/// Counts a connection as long as there is one, however it ends.
struct Living {
    open: Arc<AtomicUsize>,
    _alive: watch::Receiver<()>,
}

impl Drop for Living {
    fn drop(&mut self) {
        self.open.fetch_sub(1, SeqCst);
    }
}

async fn accept(socket: TcpListener, homes: Vec<Home>, shared: Arc<Shared>) {
    let mut phase = shared.phase.subscribe();
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    loop {
        let mut stops = std::pin::pin!(phase.wait_for(|phase| *phase == Phase::Stopping));
        let accepted = std::future::poll_fn(|context| match stops.as_mut().poll(context) {
            std::task::Poll::Ready(_) => std::task::Poll::Ready(None),
            std::task::Poll::Pending => socket.poll_accept(context).map(Some),
        });
        match accepted.await {
            None => return,
            Some(Err(_)) => tokio::time::sleep(PAUSE).await,
            Some(Ok((stream, _))) => {
                let open: usize = homes.iter().map(|home| home.open.load(SeqCst)).sum();
                if open >= shared.limits.connections {
                    // Closed at once: the caller sees it, and nothing else is held up.
                    continue;
                }
                let Some(home) = homes.iter().min_by_key(|home| home.open.load(SeqCst)) else { return };
                if let Ok(stream) = prepared(stream) {
                    home.open.fetch_add(1, SeqCst);
                    // A thread that has ended takes no more.
                    let _ = home.sender.send(stream);
                }
            }
        }
    }
}

/// A connection as its thread takes it: what is written leaves at once.
fn prepared(stream: TcpStream) -> io::Result<Socket> {
    stream.set_nodelay(true)?;
    stream.into_std()
}
