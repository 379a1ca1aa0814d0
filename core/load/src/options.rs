//! The command line, and the plan that it describes.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use serde_json::{Value, json};

use crate::answer::Expected;
use crate::arrivals::Arrivals;
use crate::clock::nanoseconds;
use crate::frame::frames;
use crate::plan::{Plan, Shape, head};

/// Loads a gRPC server and says how quickly it answered.
///
/// Without --rate it is a closed loop: a caller sends its next call when the last one has ended. With --rate it is an
/// open loop: calls go out when they are due, and latency counts from then. Files of messages hold them as they go over
/// the wire: a byte 0, four bytes of length (big-endian), the message.
///
/// Prints one JSON object. Ends with 0 when every call was answered rightly, 4 when one was not, 1 when nothing could
/// be measured, 2 for a wrong option.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Options {
    /// Where the server listens, host:port; HTTP/2 without TLS
    #[arg(long)]
    pub address: String,
    /// What is called, /package.Service/Method
    #[arg(long)]
    pub method: String,
    /// File of messages that are sent in turn
    #[arg(long, value_name = "FILE")]
    pub messages: PathBuf,
    /// Connections
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Calls in flight on each connection of a closed loop; with --stream, streams on each connection
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "rate",
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub streams: u32,
    /// The method is a stream both ways, each message answered by one
    #[arg(long, conflicts_with = "rate")]
    pub stream: bool,
    /// Messages of each stream that wait for an answer at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "stream",
        value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub window: u32,
    /// Open loop: calls a second over all connections
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// Open loop: gaps between calls
    #[arg(long, value_enum, default_value_t = Arrivals::Constant, requires = "rate")]
    pub arrivals: Arrivals,
    /// Open loop: seed of random gaps
    #[arg(long, default_value_t = 0, requires = "rate")]
    pub seed: u64,
    /// Open loop: most calls that wait for an answer; what is due beyond them counts as `UNSENT`
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, requires = "rate",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pending: u32,
    /// Seconds that are measured
    #[arg(long, default_value_t = 2.0, value_parser = measured_seconds)]
    pub seconds: f64,
    /// Seconds of calls before that, which nobody counts
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = warmup_seconds)]
    pub warmup: f64,
    /// Most calls that are measured
    #[arg(long, value_name = "COUNT", default_value_t = 100_000_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub requests: u64,
    /// Seconds that a call may take; a later one counts as `DEADLINE_EXCEEDED`
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = deadline_seconds)]
    pub deadline: f64,
    /// Threads, each with its share of the connections
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// File of right answers, one for each message; another answer counts as `WRONG_ANSWER`
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// Compare only the lengths of answers, where a field tells the time
    #[arg(long, requires = "expect")]
    pub expect_lengths: bool,
    /// File to write one answer in 101 to, each behind its message
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
    /// Most answers that are kept
    #[arg(long, value_name = "COUNT", default_value_t = 100, requires = "keep",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub keep_most: u32,
    /// Load a server that is not on this machine; only with its owner's leave
    #[arg(long)]
    pub allow_remote: bool,
}

impl Options {
    /// Reads the files, finds the server, checks what belongs together.
    ///
    /// # Errors
    /// A line that names the option, the rule and the value.
    pub fn plan(&self) -> Result<Plan, String> {
        let address = self.server()?;
        let deadline = Duration::from_secs_f64(self.deadline);
        // A stream's own deadline must not end it before the window does.
        let open = if self.stream { Duration::from_secs_f64(self.seconds.max(self.warmup)) } else { Duration::ZERO };
        let head = head(&self.address, &self.method, deadline + open).map_err(|error| format!("--method: {error}"))?;
        let messages = read("--messages", &self.messages)?;
        let expected = self.expect.as_deref().map(|path| read("--expect", path)).transpose()?;
        if let Some(answers) = expected.as_ref().filter(|answers| answers.len() != messages.len()) {
            return Err(format!(
                "--expect: must hold one answer for each of the {} messages, got {}",
                messages.len(),
                answers.len()
            ));
        }
        Ok(Plan {
            address,
            head,
            messages: messages.into(),
            expected: expected.map(|answers| Arc::new(Expected { answers, lengths: self.expect_lengths })),
            shape: self.shape(),
            connections: count(self.connections),
            warmup: nanoseconds(Duration::from_secs_f64(self.warmup)),
            duration: nanoseconds(Duration::from_secs_f64(self.seconds)),
            calls: self.requests,
            deadline,
            keep: if self.keep.is_some() { count(self.keep_most) } else { 0 },
        })
    }

    fn shape(&self) -> Shape {
        match self.rate {
            Some(rate) => Shape::Open { rate, arrivals: self.arrivals, seed: self.seed, pending: count(self.pending) },
            None if self.stream => Shape::Streams { streams: count(self.streams), in_flight: count(self.window) },
            None => Shape::Closed { calls: count(self.streams) },
        }
    }

    fn server(&self) -> Result<SocketAddr, String> {
        let told = |rule: &str| format!("--address: {rule}, got {:?}", self.address);
        let found = self.address.to_socket_addrs().map_err(|error| told(&format!("must be host:port ({error})")))?;
        let found: Vec<SocketAddr> = found.collect();
        let first = *found.first().ok_or_else(|| told("must be a known host"))?;
        if !self.allow_remote && found.iter().any(|address| !address.ip().is_loopback()) {
            return Err(told("must be on this machine (loopback) without --allow-remote"));
        }
        Ok(first)
    }

    /// The settings as they belong beside the figures.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({
            "address": self.address,
            "method": self.method,
            "connections": self.connections,
            "streams": self.streams,
            "stream": self.stream,
            "window": self.window,
            "rate": self.rate,
            "arrivals": self.rate.map(|_| self.arrivals.name()),
            "seed": self.seed,
            "seconds": self.seconds,
            "warmup": self.warmup,
            "requests": self.requests,
            "deadline": self.deadline,
            "threads": self.threads,
        })
    }
}

fn count(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn read(option: &str, path: &Path) -> Result<Vec<Bytes>, String> {
    let name = path.display();
    let content = fs::read(path).map_err(|error| format!("{option} {name}: {error}"))?;
    let found = frames(content).map_err(|error| format!("{option} {name}: {error}"))?;
    if found.is_empty() { Err(format!("{option} {name}: must hold at least one message, got none")) } else { Ok(found) }
}

fn between(text: &str, low: f64, high: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => Err(format!("must be a number from {low} to {high}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    between(text, 0.001, 10_000_000.0)
}

fn measured_seconds(text: &str) -> Result<f64, String> {
    between(text, 0.01, 3600.0)
}

fn warmup_seconds(text: &str) -> Result<f64, String> {
    between(text, 0.0, 600.0)
}

fn deadline_seconds(text: &str) -> Result<f64, String> {
    between(text, 0.001, 3600.0)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Options;

    fn parsed(extra: &[&str]) -> Result<Options, String> {
        let common = ["jobcast-load", "--address=127.0.0.1:1", "--method=/a.B/C", "--messages=m"];
        Options::try_parse_from(common.iter().chain(extra)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_declared_without_contradiction() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_wrong_value_is_told_with_its_option_and_its_rule() {
        for (option, rule) in [
            ("--connections=0", "0 is not in 1..=4096"),
            ("--seconds=0", "must be a number from 0.01 to 3600"),
            ("--rate=nan", "must be a number from 0.001 to 10000000"),
            ("--deadline=inf", "must be a number from 0.001 to 3600"),
            ("--requests=-1", "invalid"),
        ] {
            let told = parsed(&[option]).unwrap_err();
            assert!(told.contains(rule) && told.contains(option.split_once('=').unwrap().0), "{told}");
        }
    }

    #[test]
    fn options_that_would_have_no_effect_are_refused() {
        for extra in [&["--window=2"][..], &["--seed=1"], &["--arrivals=poisson"], &["--stream", "--rate=1"]] {
            assert!(parsed(extra).is_err(), "{extra:?}");
        }
        assert!(parsed(&["--stream", "--window=2"]).is_ok());
    }

    #[test]
    fn another_machine_is_not_loaded_by_chance() {
        let mut options = parsed(&[]).unwrap();
        options.address = "192.0.2.1:50051".to_owned();
        let told = options.plan().unwrap_err();
        assert!(told.contains("--address") && told.contains("192.0.2.1:50051") && told.contains("--allow-remote"));
        options.allow_remote = true;
        assert!(options.plan().unwrap_err().starts_with("--messages m:"));
        options.address = "127.0.0.1".to_owned();
        assert!(options.plan().unwrap_err().contains("must be host:port"));
    }
}
