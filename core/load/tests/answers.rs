//! Whole runs against a server that answers in every way that HTTP/2 allows.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use jobcast_load::answer::Expected;
use jobcast_load::arrivals::Arrivals;
use jobcast_load::frame::{Messages, framed};
use jobcast_load::plan::{Plan, Shape, head};
use jobcast_load::run::{Measured, run};

const OTHER: &[u8] = b"one more";

/// A server on loopback whose methods are named for how they answer.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(async {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    serve(&mut connection).await;
                });
            }
        });
    });
    address
}

async fn serve(connection: &mut Connection<tokio::net::TcpStream, Bytes>) {
    while let Some(Ok((request, respond))) = connection.accept().await {
        if request.uri().path() == "/t.S/Vanish" {
            return;
        }
        tokio::spawn(answer(request, respond));
    }
}

fn status(code: &str) -> HeaderMap {
    let mut made = HeaderMap::new();
    made.insert("grpc-status", HeaderValue::from_str(code).unwrap());
    made
}

fn plain(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

fn alone(code: &str) -> Response<()> {
    Response::builder().header("grpc-status", code).header("grpc-message", "as%20asked").body(()).unwrap()
}

async fn whole(body: &mut RecvStream) -> Bytes {
    let mut messages = Messages::default();
    while let Some(piece) = body.data().await {
        messages.feed(&piece.unwrap());
    }
    messages.take().unwrap().unwrap()
}

fn send(out: &mut SendStream<Bytes>, pieces: &[&[u8]], code: Option<&str>) {
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.iter().enumerate() {
        out.send_data(Bytes::copy_from_slice(piece), code.is_none() && index == last).unwrap();
    }
    if let Some(code) = code {
        out.send_trailers(status(code)).unwrap();
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let way = request.uri().path().trim_start_matches("/t.S/").to_owned();
    assert_eq!(request.headers()["te"], "trailers");
    let mut body = request.into_body();
    match way.as_str() {
        "Refuse" => return respond.send_reset(Reason::REFUSED_STREAM),
        "Cancel" => return respond.send_reset(Reason::CANCEL),
        "Calm" => return respond.send_reset(Reason::ENHANCE_YOUR_CALM),
        "Protocol" => return respond.send_reset(Reason::PROTOCOL_ERROR),
        "Silent" => return tokio::time::sleep(Duration::from_mins(1)).await,
        "Overloaded" => return drop(respond.send_response(plain(503), true)),
        "Unknown" => return drop(respond.send_response(alone("12"), true)),
        "Nothing" => return drop(respond.send_response(alone("0"), true)),
        way if way.starts_with("Stream") => return stream(way, body, respond).await,
        _ => {}
    }
    let message = whole(&mut body).await;
    let frame = framed(&message);
    let mut out = respond.send_response(plain(200), false).unwrap();
    match way.as_str() {
        "Echo" => send(&mut out, &[&frame], Some("0")),
        "Split" => send(&mut out, &[&frame[..2], &frame[2..5], &[], &frame[5..7], &frame[7..]], Some("0")),
        "Two" => send(&mut out, &[&[&frame[..], &framed(OTHER)].concat()], Some("0")),
        "Empty" => send(&mut out, &[&framed(b"")], Some("0")),
        "Cut" => send(&mut out, &[&frame[..frame.len() - 1]], Some("0")),
        "Compressed" => send(&mut out, &[&[1], &frame[1..]], Some("0")),
        "Late" => send(&mut out, &[&frame], Some("13")),
        "Bare" => send(&mut out, &[&frame], None),
        "Broken" => {
            send(&mut out, &[&frame[..3]], Some("0"));
        }
        "Reset" => {
            out.send_data(frame.slice(..3), false).unwrap();
            out.send_reset(Reason::INTERNAL_ERROR);
        }
        way => panic!("no way to answer {way}"),
    }
}

async fn stream(way: &str, mut body: RecvStream, mut respond: SendResponse<Bytes>) {
    let mut out = respond.send_response(plain(200), false).unwrap();
    let mut messages = Messages::default();
    let (mut seen, mut held) = (0, Vec::new());
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
        messages.feed(&piece);
        while let Some(message) = messages.take().unwrap() {
            seen += 1;
            held.extend_from_slice(&framed(&message));
            match way {
                "StreamEnds" if seen == 3 => return out.send_trailers(status("0")).unwrap(),
                "StreamFails" if seen == 3 => return out.send_trailers(status("14")).unwrap(),
                "StreamCancels" if seen == 3 => return out.send_reset(Reason::CANCEL),
                "StreamStops" if seen == 3 => return tokio::time::sleep(Duration::from_mins(1)).await,
                "StreamTwice" => held.extend_from_slice(&framed(OTHER)),
                _ => {}
            }
            // In pairs, cut within the second: one frame with more than a message, and one with less.
            if way != "StreamPairs" || seen % 2 == 0 {
                let cut = held.len() - 2;
                send_raw(&mut out, &held[..cut]);
                send_raw(&mut out, &held[cut..]);
                held.clear();
            }
        }
    }
    send_raw(&mut out, &held);
    out.send_trailers(status("0")).unwrap();
}

fn send_raw(out: &mut SendStream<Bytes>, piece: &[u8]) {
    // The client may have ended the stream.
    let _ = out.send_data(Bytes::copy_from_slice(piece), false);
}

fn plan(address: SocketAddr, method: &str, shape: Shape) -> Plan {
    let deadline = Duration::from_millis(300);
    let messages: Vec<Bytes> = (1..=4).map(|index| framed(&vec![index; 100 * usize::from(index)])).collect();
    Plan {
        address,
        head: head(&address.to_string(), &format!("/t.S/{method}"), deadline).unwrap(),
        expected: Some(Arc::new(Expected { answers: messages.clone(), lengths: false })),
        messages: messages.into(),
        shape,
        connections: 2,
        warmup: 1,
        duration: 3_000_000_000,
        calls: 10,
        deadline,
        keep: 1,
    }
}

fn ran(method: &str, shape: Shape) -> Measured {
    run(&plan(server(), method, shape), 2).unwrap()
}

fn failures(measured: &Measured) -> Vec<(&'static str, u64)> {
    measured.tally.failures.iter().map(|(name, (count, _))| (*name, *count)).collect()
}

const CLOSED: Shape = Shape::Closed { calls: 2 };

#[test]
fn a_right_answer_counts_however_it_is_cut() {
    for method in ["Echo", "Split"] {
        let measured = ran(method, CLOSED);
        let tally = &measured.tally;
        assert_eq!((tally.sent, tally.latency.count(), failures(&measured)), (10, 10, vec![]), "{method}");
        assert_eq!(tally.kept.len(), 1);
        assert!(measured.begin < tally.last && tally.last <= measured.end && measured.cpu > 0);
    }
}

#[test]
fn every_other_end_counts_under_its_name_and_never_as_an_answer() {
    for (method, name) in [
        ("Refuse", "UNAVAILABLE"),
        ("Cancel", "CANCELLED"),
        ("Calm", "RESOURCE_EXHAUSTED"),
        ("Protocol", "INTERNAL"),
        ("Overloaded", "UNAVAILABLE"),
        ("Unknown", "UNIMPLEMENTED"),
        ("Nothing", "EMPTY_ANSWER"),
        ("Empty", "EMPTY_ANSWER"),
        ("Two", "BROKEN_ANSWER"),
        ("Cut", "BROKEN_ANSWER"),
        ("Compressed", "BROKEN_ANSWER"),
        ("Broken", "BROKEN_ANSWER"),
        ("Bare", "BROKEN_ANSWER"),
        ("Late", "INTERNAL"),
        ("Reset", "INTERNAL"),
    ] {
        let measured = ran(method, CLOSED);
        assert_eq!((measured.tally.latency.count(), failures(&measured)), (0, vec![(name, 10)]), "{method}");
    }
    let told = ran("Unknown", CLOSED).tally.failures["UNIMPLEMENTED"].1.clone();
    assert_eq!(told, "as asked");
}

#[test]
fn another_answer_than_the_expected_one_is_wrong() {
    let mut wanted = plan(server(), "Echo", CLOSED);
    let mut answers = wanted.messages.to_vec();
    answers[2] = framed(&[7; 300]);
    wanted.expected = Some(Arc::new(Expected { answers: answers.clone(), lengths: false }));
    wanted.calls = 8;
    let measured = run(&wanted, 1).unwrap();
    assert_eq!((measured.tally.latency.count(), failures(&measured)), (6, vec![("WRONG_ANSWER", 2)]));
    wanted.expected = Some(Arc::new(Expected { answers, lengths: true }));
    assert_eq!(run(&wanted, 1).unwrap().tally.latency.count(), 8);
}

#[test]
fn a_call_without_an_answer_ends_at_its_deadline() {
    let begin = Instant::now();
    let mut endless = plan(server(), "Silent", CLOSED);
    endless.calls = 4;
    assert_eq!(failures(&run(&endless, 1).unwrap()), [("DEADLINE_EXCEEDED", 4)]);
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_lost_connection_fails_its_calls_and_ends_its_callers() {
    let mut vanishing = plan(server(), "Vanish", CLOSED);
    vanishing.duration = 60_000_000_000;
    vanishing.calls = 1_000_000;
    let measured = run(&vanishing, 1).unwrap();
    assert_eq!(measured.tally.latency.count(), 0);
    // Two connections with two callers each; the warm-up lost them already.
    assert_eq!(failures(&measured), [("UNAVAILABLE", 4)]);
}

#[test]
fn nobody_there_is_no_measurement() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let told = run(&plan(address, "Echo", CLOSED), 2).unwrap_err().to_string();
    assert!(told.starts_with(&address.to_string()), "{told}");
}

#[test]
fn an_open_loop_sends_what_is_due_whatever_is_answered() {
    let open = |rate, pending| Shape::Open { rate, arrivals: Arrivals::Constant, seed: 0, pending };
    let mut due = plan(server(), "Echo", open(200.0, 100));
    due.duration = 200_000_000;
    due.calls = 1_000_000;
    let measured = run(&due, 2).unwrap();
    assert_eq!((measured.tally.sent, measured.tally.latency.count(), measured.tally.lag.count()), (40, 40, 40));
    let mut stuck = plan(server(), "Silent", open(200.0, 5));
    stuck.calls = 20;
    stuck.warmup = 0;
    assert_eq!(failures(&run(&stuck, 1).unwrap()), [("DEADLINE_EXCEEDED", 5), ("UNSENT", 15)]);
}

#[test]
fn latency_of_an_open_loop_counts_from_when_a_call_was_due() {
    // Nothing is answered before its deadline but what was due long before it was sent: a rate that no client reaches.
    let open = Shape::Open { rate: 1e7, arrivals: Arrivals::Constant, seed: 0, pending: 1_000_000 };
    let mut hurried = plan(server(), "Echo", open);
    hurried.calls = 2000;
    hurried.deadline = Duration::from_secs(20);
    let tally = run(&hurried, 1).unwrap().tally;
    let (median_lag, median) = (tally.lag.exceeded_by_one_in(2).unwrap(), tally.latency.exceeded_by_one_in(2).unwrap());
    assert_eq!(tally.latency.count(), 2000);
    assert!(median >= median_lag && median_lag > 0, "{median} {median_lag}");
}

#[test]
fn answers_of_a_stream_belong_to_its_messages_in_order() {
    for (method, in_flight) in [("StreamEcho", 1), ("StreamEcho", 3), ("StreamPairs", 4)] {
        let measured = ran(method, Shape::Streams { streams: 1, in_flight });
        assert_eq!((measured.tally.latency.count(), failures(&measured)), (10, vec![]), "{method} {in_flight}");
    }
}

#[test]
fn a_stream_that_ends_otherwise_fails_what_waited() {
    for (method, name) in [
        ("StreamEnds", "UNANSWERED"),
        ("StreamFails", "UNAVAILABLE"),
        ("StreamCancels", "CANCELLED"),
        ("StreamStops", "DEADLINE_EXCEEDED"),
    ] {
        let measured = ran(method, Shape::Streams { streams: 1, in_flight: 1 });
        assert_eq!((measured.tally.latency.count(), failures(&measured)), (4, vec![(name, 2)]), "{method}");
    }
    let twice = ran("StreamTwice", Shape::Streams { streams: 1, in_flight: 1 });
    assert!(failures(&twice).iter().any(|(name, _)| *name == "UNASKED" || *name == "WRONG_ANSWER"));
}
