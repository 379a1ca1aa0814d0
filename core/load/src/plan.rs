//! What is to be measured, checked once, and its share for each thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version};

use crate::answer::Expected;
use crate::arrivals::Arrivals;

/// How calls follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// So many calls in flight on each connection.
    Closed {
        /// Calls.
        calls: usize,
    },
    /// Calls at fixed times.
    Open {
        /// Calls a second.
        rate: f64,
        /// Gaps between them.
        arrivals: Arrivals,
        /// Seed of random gaps.
        seed: u64,
        /// Most calls that wait for an answer.
        pending: usize,
    },
    /// Messages of long streams.
    Streams {
        /// Streams on each connection.
        streams: usize,
        /// Messages of a stream that wait for an answer.
        in_flight: usize,
    },
}

/// A load, or a thread's share of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// What each call begins with.
    pub head: Request<()>,
    /// Frames to send, over and over.
    pub messages: Arc<[Bytes]>,
    /// Their answers, where these are known.
    pub expected: Option<Arc<Expected>>,
    /// How calls follow each other.
    pub shape: Shape,
    /// Connections.
    pub connections: usize,
    /// Nanoseconds before the window.
    pub warmup: u64,
    /// Nanoseconds of the window.
    pub duration: u64,
    /// Most calls of the window.
    pub calls: u64,
    /// What each call may take.
    pub deadline: Duration,
    /// Most answers that are kept.
    pub keep: usize,
}

impl Plan {
    /// Shares for so many threads, at most one for each connection, that add up to this plan.
    #[must_use]
    pub fn shares(&self, threads: usize) -> Vec<Self> {
        let threads = threads.clamp(1, self.connections.max(1));
        let of = |whole: usize, index: usize| whole / threads + usize::from(index < whole % threads);
        let share = |index: usize| {
            let mut share = self.clone();
            share.connections = of(self.connections, index);
            share.keep = of(self.keep, index);
            let (all, index) = (threads as u64, index as u64);
            share.calls = self.calls / all + u64::from(index < self.calls % all);
            if let Shape::Open { rate, seed, .. } = &mut share.shape {
                *rate /= f64::from(u32::try_from(threads).unwrap_or(u32::MAX));
                *seed = seed.wrapping_add(index);
            }
            share
        };
        (0..threads).map(share).collect()
    }
}

/// What a call of `method` begins with.
///
/// # Errors
/// When the method is not written as a path.
pub fn head(authority: &str, method: &str, timeout: Duration) -> Result<Request<()>, String> {
    let named = method.strip_prefix('/').and_then(|path| path.split_once('/'));
    if !named.is_some_and(|(service, name)| !service.is_empty() && !name.is_empty() && !name.contains('/')) {
        return Err(format!("must be written as /package.Service/Method, got {method:?}"));
    }
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{authority}{method}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("user-agent", concat!("jobcast-load/", env!("CARGO_PKG_VERSION")))
        .header("grpc-timeout", grpc_timeout(timeout))
        .body(());
    request.map_err(|error| format!("must be written as /package.Service/Method, got {method:?}: {error}"))
}

/// A duration as gRPC writes it: at most eight digits and a unit.
fn grpc_timeout(duration: Duration) -> HeaderValue {
    let milliseconds = duration.as_millis().clamp(1, 99_999_999);
    HeaderValue::from_str(&format!("{milliseconds}m")).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Version;

    use super::{Plan, Shape, head};
    use crate::arrivals::Arrivals;

    fn plan(shape: Shape) -> Plan {
        Plan {
            address: ([127, 0, 0, 1], 1).into(),
            head: head("127.0.0.1:1", "/a.B/C", Duration::from_secs(1)).unwrap(),
            messages: Vec::new().into(),
            expected: None,
            shape,
            connections: 5,
            warmup: 0,
            duration: 1,
            calls: 101,
            deadline: Duration::from_secs(1),
            keep: 7,
        }
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let open = Shape::Open { rate: 300.0, arrivals: Arrivals::Poisson, seed: 4, pending: 9 };
        let shares = plan(open).shares(3);
        assert_eq!(shares.iter().map(|share| share.connections).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(shares.iter().map(|share| share.calls).collect::<Vec<_>>(), [34, 34, 33]);
        assert_eq!(shares.iter().map(|share| share.keep).sum::<usize>(), 7);
        let rates = shares.iter().map(|share| match share.shape {
            Shape::Open { rate, seed, .. } => (rate, seed),
            _ => (0.0, 0),
        });
        assert_eq!(rates.collect::<Vec<_>>(), [(100.0, 4), (100.0, 5), (100.0, 6)]);
    }

    #[test]
    fn no_thread_is_without_a_connection() {
        assert_eq!(plan(Shape::Closed { calls: 1 }).shares(64).len(), 5);
    }

    #[test]
    fn a_call_begins_as_grpc_wants_it() {
        let made = head("127.0.0.1:50051", "/a.B/C", Duration::from_millis(2500)).unwrap();
        assert_eq!(made.uri(), "http://127.0.0.1:50051/a.B/C");
        assert_eq!((made.version(), made.method().as_str()), (Version::HTTP_2, "POST"));
        assert_eq!(made.headers()["grpc-timeout"], "2500m");
        assert_eq!(
            (&made.headers()["te"], &made.headers()["content-type"]),
            (&"trailers".parse().unwrap(), &"application/grpc".parse().unwrap())
        );
        for wrong in ["", "a.B/C", "/a.B", "/a.B/", "//C", "/a/b/c", "/a b/c"] {
            assert!(head("h:1", wrong, Duration::ZERO).unwrap_err().contains("/package.Service/Method"), "{wrong}");
        }
    }
}
