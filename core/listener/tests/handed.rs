//! A listener without models: every call is answered by the test, as another side does, over real connections.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response};
use jobcast_listener::{
    Counter, Event, Histogram, Kind, Limits, Listener, Meters, Method, Most, Places, Setup, Status, Texts,
};
use tokio::runtime::{Builder, Runtime};

const LONG: Duration = Duration::from_hours(1);
const PREDICTIONS: &str = "/rtpredictor.v1.JobRuntimePredictor/PredictStream";

fn method() -> Method {
    let counter = Arc::<Counter>::default;
    let seconds = Arc::new(Histogram::new(vec![1.0]));
    Method { success: counter(), error: counter(), rejected: counter(), seconds }
}

fn limits() -> Limits {
    Limits {
        message_bytes: 10_000,
        header_bytes: 16 * 1024,
        concurrent_streams: 100,
        pending_resets: 20,
        batch_rows: 100,
        piece_rows: 100,
        together: true,
        connections: 100,
        trace_ratio: None,
        handshake: LONG,
        message: LONG,
        keepalive: LONG,
        keepalive_timeout: LONG,
    }
}

fn served(limits: Limits) -> (Listener, SocketAddr) {
    let histogram = || Arc::new(Histogram::new(vec![1.0]));
    let kinds = [("/a/Unary", Kind::Unary), ("/a/Stream", Kind::Stream), (PREDICTIONS, Kind::Stream)];
    let setup = Setup {
        limits,
        places: Arc::new(Places::new(Most { calls: 10, streams: 10, rows: 100 })),
        meters: Meters {
            predict: method(),
            batch: method(),
            stream: method(),
            infer: method(),
            batch_size: histogram(),
            prediction: histogram(),
            served: Arc::default(),
        },
        texts: Texts { overload: "overloaded".to_owned(), draining: "draining".to_owned() },
        methods: kinds.map(|(path, kind)| (path.to_owned(), kind)).into(),
        threads: 1,
        workers: 1,
        echo: false,
    };
    let listener = Listener::new(setup).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    listener.start(socket).unwrap();
    (listener, address)
}

/// What happens next.
fn happened(listener: &Listener) -> Vec<Event> {
    loop {
        let events = listener.events();
        if !events.is_empty() {
            return events;
        }
        thread::yield_now();
    }
}

/// The number of the call that comes next.
fn called(listener: &Listener) -> u64 {
    let [Event::Call { id, .. }] = happened(listener)[..] else { panic!("no single call") };
    id
}

fn status(code: u16, message: &str) -> Status {
    Status { code, message: message.to_owned(), metadata: Vec::new() }
}

fn framed(message: &[u8]) -> Bytes {
    let mut out = vec![0];
    out.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend(message);
    out.into()
}

/// A caller, whose connection lives on a thread of its own.
struct Caller {
    runtime: Runtime,
    send: SendRequest<Bytes>,
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

impl Caller {
    fn new(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        let send = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let (send, connection) = h2::client::handshake(socket).await.unwrap();
            tokio::spawn(connection);
            send
        });
        Self { runtime, send }
    }

    fn call(&self, path: &str, headers: &[(&str, &str)]) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let mut request = Request::post(format!("http://here{path}"));
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let mut send = self.runtime.block_on(self.send.clone().ready()).unwrap();
        send.send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// Calls with one message, and may say more.
    fn say(&self, path: &str, message: &[u8]) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let (response, mut stream) = self.call(path, &[GRPC]);
        stream.send_data(framed(message), false).unwrap();
        (response, stream)
    }

    /// Headers, body and trailers of an answer.
    fn answer(&self, response: ResponseFuture) -> (Response<()>, Vec<u8>, HeaderMap) {
        let answer = self.runtime.block_on(response).unwrap();
        self.read(answer)
    }

    fn read(&self, answer: Response<h2::RecvStream>) -> (Response<()>, Vec<u8>, HeaderMap) {
        self.runtime.block_on(async {
            let (parts, mut body) = answer.into_parts();
            let mut content = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                content.extend(data);
            }
            let trailers = body.trailers().await.unwrap().unwrap_or_default();
            (Response::from_parts(parts, ()), content, trailers)
        })
    }
}

#[test]
fn a_unary_call_is_told_with_its_message_and_answered() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, mut stream) =
        caller.call("/a/Unary", &[GRPC, ("x-one", "1"), ("x-two-bin", "AAEC"), ("grpc-timeout", "1H")]);
    stream.send_data(framed(b"asked"), false).unwrap();
    let [Event::Call { id, path, message, peer, metadata, left, paid }] = &happened(&listener)[..] else {
        panic!("no call")
    };
    assert_eq!((path.as_str(), message.as_deref(), *paid), ("/a/Unary", Some(&b"asked"[..]), false));
    assert!(peer.is_some_and(|peer| peer.ip() == address.ip() && peer.port() != address.port()));
    assert!(metadata.contains(&("x-one".to_owned(), "1".to_owned())));
    assert!(!metadata.iter().any(|(name, _)| name.ends_with("-bin")));
    assert!(left.is_some_and(|left| left <= LONG && left > LONG / 2));
    listener.write(*id, b"told".to_vec());
    listener.finish(*id, None);
    let (head, content, trailers) = caller.answer(response);
    assert_eq!((head.status().as_u16(), &content[..]), (200, &b"\0\0\0\0\x04told"[..]));
    assert_eq!(trailers["grpc-status"], "0");
}

#[test]
fn a_status_alone_comes_with_the_headers() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, _stream) = caller.say("/a/Unary", b"");
    let metadata = vec![("x-why".to_owned(), b"so".to_vec()), ("x-why-bin".to_owned(), vec![255])];
    listener.finish(called(&listener), Some(Status { metadata, ..status(5, "gone: 100%\n") }));
    let (head, content, _) = caller.answer(response);
    let said: HashMap<_, _> = head.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert!(content.is_empty());
    assert_eq!((said["grpc-status"], said["grpc-message"]), (&b"5"[..], &b"gone: 100%25%0A"[..]));
    assert_eq!((said["x-why"], said["x-why-bin"]), (&b"so"[..], &b"/w"[..]));
}

#[test]
fn what_is_no_grpc_is_told_so() {
    let (_listener, address) = served(limits());
    let caller = Caller::new(address);
    for kind in ["application/json", "application/grpc-web", "text/plain", ""] {
        let (response, _stream) = caller.call("/a/Unary", &[("content-type", kind)]);
        assert_eq!(caller.answer(response).0.status().as_u16(), 415, "{kind}");
    }
    let get = Request::get("http://here/a/Unary").header(GRPC.0, GRPC.1).body(()).unwrap();
    let (response, _) = caller.send.clone().send_request(get, true).unwrap();
    assert_eq!(caller.answer(response).0.status().as_u16(), 415);
}

#[test]
fn an_unknown_compression_is_refused_with_the_known_ones() {
    let (_listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, _stream) = caller.call("/a/Unary", &[GRPC, ("grpc-encoding", "snappy")]);
    let (head, ..) = caller.answer(response);
    assert_eq!(head.headers()["grpc-status"], "12");
    assert_eq!(head.headers()["grpc-accept-encoding"], "identity, deflate, gzip");
}

#[test]
fn a_frame_that_is_neither_plain_nor_compressed_is_refused() {
    let (_listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, mut stream) = caller.call("/a/Unary", &[GRPC]);
    stream.send_data(Bytes::from_static(b"\x02\0\0\0\0"), true).unwrap();
    assert_eq!(caller.answer(response).0.headers()["grpc-message"], "Bad GRPC frame type 0x02");
}

#[test]
fn a_message_that_does_not_come_is_waited_for_as_long_as_the_server_or_the_caller_says() {
    let (_listener, address) = served(Limits { message: Duration::from_millis(20), ..limits() });
    let caller = Caller::new(address);
    for (timeout, text) in [("1H", "the message did not come within 0.02 s"), ("1m", "Deadline Exceeded")] {
        let (response, _stream) = caller.call("/a/Unary", &[GRPC, ("grpc-timeout", timeout)]);
        let (head, ..) = caller.answer(response);
        assert_eq!(
            (&head.headers()["grpc-status"], &head.headers()["grpc-message"]),
            (&"4".parse().unwrap(), &text.parse().unwrap())
        );
    }
}

#[test]
fn a_caller_that_resets_is_told_of() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    for path in ["/a/Unary", "/a/Stream"] {
        let (_response, mut stream) = caller.say(path, b"x");
        let id = called(&listener);
        stream.send_reset(h2::Reason::CANCEL);
        assert!(matches!(happened(&listener)[..], [Event::Gone(gone)] if gone == id), "{path}");
        listener.write(id, b"nobody hears it".to_vec());
    }
}

#[test]
fn a_stream_is_read_when_that_is_asked_for() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, mut stream) = caller.say("/a/Stream", b"one");
    stream.send_data(framed(b"two"), true).unwrap();
    let id = called(&listener);
    for wanted in [Some(&b"one"[..]), Some(b"two"), None] {
        listener.read(id);
        let [Event::Message(of, message)] = &happened(&listener)[..] else { panic!("no message") };
        assert_eq!((*of, message.as_deref()), (id, wanted));
    }
    listener.write(id, b"x".to_vec());
    assert!(matches!(happened(&listener)[..], [Event::Written(of)] if of == id));
    listener.finish(id, Some(status(9, "")));
    let (_, content, trailers) = caller.answer(response);
    assert_eq!((&content[..], &trailers["grpc-status"]), (&b"\0\0\0\0\x01x"[..], &"9".parse().unwrap()));
}

#[test]
fn messages_that_the_other_side_cannot_answer_end_their_stream() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, _stream) = caller.say(PREDICTIONS, b"one");
    let [Event::Predictions(id, messages)] = &happened(&listener)[..] else { panic!("no messages") };
    assert_eq!(messages, &[&b"one"[..]]);
    listener.finish(*id, Some(status(2, "why")));
    assert_eq!(caller.answer(response).0.headers()["grpc-message"], "why");
}

#[test]
fn a_stream_with_more_to_say_is_not_waited_for_when_the_server_drains() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, mut stream) = caller.call(PREDICTIONS, &[GRPC]);
    stream.send_data(framed(b"x").repeat(1000).into(), false).unwrap();
    let answered = caller.runtime.spawn(response);
    let mut passes = 0;
    while passes < 9 {
        for event in listener.events() {
            let Event::Predictions(id, messages) = event else { panic!("no messages") };
            listener.drain();
            listener.answer(id, messages.iter().map(|message| message.to_vec()).collect());
            passes += 1;
        }
    }
    let body = caller.runtime.block_on(answered).unwrap().unwrap();
    let (_, content, trailers) = caller.read(body);
    assert_eq!(content.len(), 6 * 32 * passes);
    assert_eq!(trailers["grpc-message"], "draining");
}

#[test]
fn what_is_said_last_leaves_before_the_connection_ends() {
    let (listener, address) = served(limits());
    let caller = Caller::new(address);
    let (response, _stream) = caller.say("/a/Stream", b"x");
    listener.finish(called(&listener), Some(status(14, "the server stops")));
    listener.close();
    assert_eq!(caller.answer(response).0.headers()["grpc-message"], "the server stops");
}

/// A caller that says it speaks HTTP/2, and then nothing; kinds and flags of the frames that it hears.
fn mute(address: SocketAddr) -> (TcpStream, impl Iterator<Item = (u8, u8)>) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut reading = socket.try_clone().unwrap();
    let frames = std::iter::from_fn(move || {
        let mut head = [0; 9];
        reading.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        reading.read_exact(&mut payload).ok()?;
        Some((head[3], head[4]))
    });
    (socket, frames)
}

/// Kind and flags of a question whether somebody lives.
const ASKED: (u8, u8) = (6, 0);

fn asking() -> Limits {
    Limits { keepalive: Duration::from_millis(1), keepalive_timeout: Duration::from_millis(100), ..limits() }
}

#[test]
fn a_caller_that_does_not_tell_whether_it_lives_is_cut_off() {
    let (_listener, address) = served(asking());
    let (_socket, frames) = mute(address);
    assert_eq!(frames.filter(|&frame| frame == ASKED).count(), 1);
}

#[test]
fn a_caller_that_called_while_it_was_asked_is_asked_again() {
    let (_listener, address) = served(asking());
    let (mut socket, mut frames) = mute(address);
    assert!(frames.any(|frame| frame == ASKED));
    // A call, which is no gRPC (`GET http /`, indexed), then what h2's questions are answered with.
    socket.write_all(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84").unwrap();
    assert!(frames.any(|(kind, _)| kind == 1), "it is answered");
    socket.write_all(b"\0\0\x08\x06\x01\0\0\0\0\x3b\x7c\xdb\x7a\x0b\x87\x16\xb4").unwrap();
    assert!(frames.any(|frame| frame == ASKED), "it is asked again");
    assert_eq!(frames.filter(|&frame| frame == ASKED).count(), 0, "and cut off");
}
