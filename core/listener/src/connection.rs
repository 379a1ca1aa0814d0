//! One connection: its calls are looked at as they come, and ended with it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::{Method, Request};
use jobcast_engine::{Request as Tensors, guarded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant as Moment, Sleep, sleep_until, timeout_at};

use crate::batch;
use crate::body::{Body, Broken};
use crate::call::{Call, Head, refuse, send};
use crate::gate::Verdict;
use crate::gather::{Asked, Gather, MOST_ROWS, Waiting};
use crate::grpc::{self, Code, Encoding, Frames, Status};
use crate::handed;
use crate::places::{Place, Rows};
use crate::shared::{Kind, Phase, Shared};
use crate::stream;
use crate::traced::traced;

const PREDICT: &str = "/rtpredictor.v1.JobRuntimePredictor/Predict";
const BATCH: &str = "/rtpredictor.v1.JobRuntimePredictor/PredictBatch";
const STREAM: &str = "/rtpredictor.v1.JobRuntimePredictor/PredictStream";
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const ECHO: &str = "/jobcast.Echo/Echo";

const WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 23;

/// Frames below 256 bytes cost what they lack of that until they are read: enough for a window full of small messages,
/// as of streams whose callers are slow to read, or slowed down by their key's rate.
const SMALL_FRAMES: usize = 1 << 26;

/// Unary methods that this side answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hot {
    Predict,
    Batch,
    Infer,
}

/// Serves a connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, gather: Arc<Gather>, socket: TcpStream) {
    let (limits, peer) = (&shared.limits, socket.peer_addr().ok());
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.concurrent_streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .data_frame_budget(SMALL_FRAMES);
    let due = Moment::now() + limits.handshake;
    if let Some(acceptor) = shared.tls.acceptor() {
        let Ok(Ok(socket)) = timeout_at(due, acceptor.accept(socket)).await else { return };
        let Ok(Ok(connection)) = timeout_at(due, builder.handshake(socket)).await else { return };
        Served { shared, gather, peer, connection }.run().await;
    } else {
        let Ok(Ok(connection)) = timeout_at(due, builder.handshake(socket)).await else { return };
        Served { shared, gather, peer, connection }.run().await;
    }
}

struct Served<T> {
    shared: Arc<Shared>,
    gather: Arc<Gather>,
    peer: Option<SocketAddr>,
    connection: Connection<T, Bytes>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Served<T> {
    async fn run(mut self) {
        let mut phase = self.shared.phase.subscribe();
        let mut stop = std::pin::pin!(phase.wait_for(|phase| *phase == Phase::Stopping));
        let mut pulse = self.connection.ping_pong().map(|pings| Pulse::new(pings, &self.shared));
        let mut stopping = false;
        loop {
            let next = poll_fn(|context| {
                if let Poll::Ready(found) = self.connection.poll_accept(context) {
                    return Poll::Ready(Next::Call(found));
                }
                if !stopping && stop.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Next::Stop);
                }
                match pulse.as_mut().map(|pulse| pulse.poll(context)) {
                    Some(Poll::Ready(())) => Poll::Ready(Next::Dead),
                    _ => Poll::Pending,
                }
            })
            .await;
            match next {
                Next::Call(Some(Ok((request, respond)))) => {
                    if let Some(pulse) = &mut pulse {
                        pulse.heard = true;
                    }
                    self.begin(request, respond);
                }
                Next::Call(_) | Next::Dead => return,
                Next::Stop => {
                    stopping = true;
                    self.connection.graceful_shutdown();
                }
            }
        }
    }

    fn begin(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let started = Instant::now();
        let (mut parts, stream) = request.into_parts();
        if parts.method != Method::POST || !grpc::is_grpc(&parts.headers) {
            // A caller that has gone hears nothing.
            let _ = respond.send_response(grpc::foreign(), true);
            return;
        }
        let path = parts.uri.path_and_query().map_or("", |whole| whole.as_str());
        let hot = match path {
            PREDICT => Some(Hot::Predict),
            INFER => Some(Hot::Infer),
            BATCH => Some(Hot::Batch),
            _ => None,
        };
        let echo = self.shared.echo && path == ECHO;
        let kind = if echo { Some(Kind::Unary) } else { self.shared.methods.get(path).copied() };
        let Some(kind) = kind else {
            return refuse(&mut respond, &Status::new(Code::Unimplemented, "Method not found!"));
        };
        let encoding = match Encoding::of(&parts.headers) {
            Ok(encoding) => encoding,
            Err(status) => return refuse(&mut respond, &status),
        };
        let (here, pass) = match self.shared.gate.check(&parts.headers) {
            Verdict::Open => (true, None),
            Verdict::Known(pass) => (true, Some(pass)),
            Verdict::Elsewhere => (false, None),
        };
        let traces = self.shared.limits.trace_ratio.is_some_and(|ratio| traced(&mut parts.headers, ratio));
        let here = here && !traces;
        let (hot, echo) = (hot.filter(|_| here), echo && here);
        // A place is for a whole message: a caller that is slow to send one would hold it for nothing.
        if let Some(hot) = hot.filter(|_| self.shared.places.full()) {
            return shed(&self.shared, hot, &mut respond);
        }
        let deadline = grpc::timeout(&parts.headers).and_then(|left| started.checked_add(left));
        let home = tokio::runtime::Handle::current();
        let head = Head {
            path: path.to_owned(),
            headers: parts.headers,
            started,
            deadline,
            peer: self.peer,
            paid: pass.is_some(),
            home,
        };
        let mut body = Body::new(stream, Frames::new(encoding, self.shared.limits.message_bytes));
        if kind == Kind::Stream {
            return match &*head.path {
                STREAM if here => {
                    drop(tokio::spawn(stream::converse(Arc::clone(&self.shared), head, body, respond, pass)));
                }
                _ => handed::stream(&self.shared, head, body, respond),
            };
        }
        let unary = Unary { shared: Arc::clone(&self.shared), gather: Arc::clone(&self.gather), hot, echo };
        // The message mostly came with the headers.
        match body.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(found) => unary.go_on(head, found, respond),
            Poll::Pending => drop(tokio::spawn(async move {
                let found = poll_fn(|context| match body.poll(context) {
                    Poll::Pending if respond.poll_reset(context).is_ready() => Poll::Ready(Err(Broken::Gone)),
                    found => found,
                });
                let found = awaited(&unary.shared, &head, found).await;
                unary.go_on(head, found, respond);
            })),
        }
    }
}

/// The message of a call, within the time that the caller or the server gives it.
async fn awaited(shared: &Shared, head: &Head, found: impl Future<Output = Found>) -> Found {
    let wait = shared.limits.message;
    let due = head.started + wait;
    match head.deadline.filter(|&deadline| deadline < due) {
        Some(deadline) => timeout_at(deadline.into(), found).await.map_err(|_| "Deadline Exceeded".to_owned()),
        None => timeout_at(due.into(), found)
            .await
            .map_err(|_| format!("the message did not come within {} s", wait.as_secs_f64())),
    }
    .unwrap_or_else(|text| Err(Broken::Refused(Status::new(Code::DeadlineExceeded, text))))
}

/// Refuses a call unread, which costs little.
fn shed(shared: &Shared, hot: Hot, respond: &mut SendResponse<Bytes>) {
    let meters = &shared.meters;
    match hot {
        Hot::Predict => meters.predict.rejected.add(1),
        Hot::Batch => meters.batch.rejected.add(1),
        Hot::Infer => {
            meters.infer.rejected.add(1);
            meters.infer.seconds.observe(0.0, 1);
        }
    }
    refuse(respond, &shared.overload());
}

/// A unary call whose message is to come.
struct Unary {
    shared: Arc<Shared>,
    gather: Arc<Gather>,
    hot: Option<Hot>,
    echo: bool,
}

impl Unary {
    fn go_on(self, head: Head, found: Found, mut respond: SendResponse<Bytes>) {
        let Self { shared, gather, hot, echo } = self;
        let message = match found {
            Ok(Some(message)) => message,
            Ok(None) => return refuse(&mut respond, &Status::new(Code::Unimplemented, "Missing request message")),
            Err(Broken::Refused(status)) => return refuse(&mut respond, &status),
            Err(Broken::Gone) => return,
        };
        if echo {
            return send(&mut respond, grpc::framed(&message));
        }
        let Some(hot) = hot else { return handed::unary(&shared, head, message, respond) };
        let Some(place) = Place::call(&shared.places) else { return shed(&shared, hot, &mut respond) };
        let call = Call { head, message, respond, place };
        if shared.places.draining() {
            return call.hand_over(&shared);
        }
        if hot == Hot::Infer {
            return infer(&shared, &gather, call);
        }
        let Some(model) = shared.models.load().contract().map(Arc::clone) else { return call.hand_over(&shared) };
        match hot {
            Hot::Batch => batch::begin(&shared, &gather, call, model),
            _ => gather.add(Waiting { call, model, asked: Asked::Predict, since: Instant::now() }),
        }
    }
}

fn infer(shared: &Arc<Shared>, gather: &Gather, call: Call) {
    let began = Instant::now();
    let models = shared.models.load();
    let read = || {
        let request = Tensors::read(&call.message)?;
        let model = models.find(request.name(&call.message)?, request.version(&call.message)?)?;
        let admitted = model.engine.tensors.admit(&call.message, &request)?;
        Some((Arc::clone(model), request, admitted))
    };
    let (model, request, admitted) = match guarded(read) {
        Ok(Some(read)) => read,
        Ok(None) => return call.hand_over(shared),
        Err(fault) => return call.fail(&shared.meters.infer, None, &fault.to_string()),
    };
    let (parsing, asked) = (began.elapsed().as_secs_f64(), Instant::now());
    match admitted.rows() {
        0..=MOST_ROWS => {
            gather.add(Waiting { call, model, asked: Asked::Infer(request, admitted, parsing), since: asked });
        }
        rows if rows <= shared.limits.piece_rows => match Rows::take(&shared.places, rows) {
            None => call.hand_over(shared),
            Some(rows) => {
                let shared = Arc::clone(shared);
                let work = batch::Tensors {
                    shared: Arc::clone(&shared),
                    call,
                    model,
                    rows,
                    request,
                    admitted,
                    parsing,
                    asked,
                };
                shared.workers.add(Box::new(work));
            }
        },
        _ => call.hand_over(shared),
    }
}

/// A message that came, or why none did.
type Found = Result<Option<Bytes>, Broken>;

type Arrived = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

#[allow(clippy::large_enum_variant, reason = "it lives for a moment")]
enum Next {
    Call(Arrived),
    Stop,
    Dead,
}

/// Asks a silent caller whether it lives.
struct Pulse {
    pings: PingPong,
    due: std::pin::Pin<Box<Sleep>>,
    /// Whether an answer is still to come.
    asked: bool,
    /// Whether the caller said something since it was asked.
    heard: bool,
    quiet: std::time::Duration,
    patience: std::time::Duration,
}

impl Pulse {
    fn new(pings: PingPong, shared: &Shared) -> Self {
        let (quiet, patience) = (shared.limits.keepalive, shared.limits.keepalive_timeout);
        Self { pings, due: Box::pin(sleep_until(Moment::now() + quiet)), asked: false, heard: false, quiet, patience }
    }

    /// Ready when the caller does not answer.
    fn poll(&mut self, context: &mut Context) -> Poll<()> {
        if self.asked && self.pings.poll_pong(context).is_ready() {
            self.asked = false;
            self.due.as_mut().reset(Moment::now() + self.quiet);
        }
        while self.due.as_mut().poll(context).is_ready() {
            // Calls show that it lives too, though its answer may be stuck behind them; there is one question at a time.
            if self.asked && !self.heard {
                return Poll::Ready(());
            }
            if !self.asked && self.pings.send_ping(Ping::opaque()).is_ok() {
                self.asked = self.pings.poll_pong(context).is_pending();
            }
            self.heard = false;
            let wait = if self.asked { self.patience } else { self.quiet };
            self.due.as_mut().reset(Moment::now() + wait);
        }
        Poll::Pending
    }
}
