//! A whole measurement: connections, warm-up and the window, in as many threads as are asked for.
//!
//! Threads share nothing while the window runs. Each ends by itself: every call has a deadline.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use tokio::runtime::Builder;

use crate::arrivals::Schedule;
use crate::call::Caller;
use crate::clock::{cpu, now};
use crate::closed::closed;
use crate::connection::connect;
use crate::open::open;
use crate::plan::{Plan, Shape};
use crate::stream::streams;
use crate::tally::Tally;
use crate::window::Window;

/// What was seen, and when; times in nanoseconds of the monotonic clock.
#[derive(Debug)]
pub struct Measured {
    /// Calls of all threads.
    pub tally: Tally,
    /// When the window began.
    pub begin: u64,
    /// When the last call had ended.
    pub end: u64,
    /// CPU time of this process from the begin to the end.
    pub cpu: u64,
}

/// Why nothing could be measured.
#[derive(Debug)]
pub struct RunError(String);

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

struct Start {
    together: Barrier,
    failed: AtomicBool,
}

/// Runs a plan to its end.
///
/// # Errors
/// When a connection cannot be made, or the system lacks a thread or a timer.
pub fn run(plan: &Plan, threads: usize) -> Result<Measured, RunError> {
    let shares = plan.shares(threads);
    let start = Start { together: Barrier::new(shares.len()), failed: AtomicBool::new(false) };
    let seen: Vec<_> = thread::scope(|scope| {
        let drive = |share| {
            let start = &start;
            scope.spawn(move || drive(&Arc::new(share), start))
        };
        let running: Vec<_> = shares.into_iter().map(drive).collect();
        running.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut whole: Option<Measured> = None;
    for result in seen {
        let Some(part) = result.map_err(|_| RunError("a thread of the load ended in a panic".to_owned()))?? else {
            continue;
        };
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.tally.add(part.tally);
                whole.begin = whole.begin.min(part.begin);
                whole.end = whole.end.max(part.end);
                // Each has read the whole process's.
                whole.cpu = whole.cpu.max(part.cpu);
            }
        }
    }
    whole.ok_or_else(|| RunError("nothing was measured".to_owned()))
}

/// One thread's share; none when another thread could not connect.
fn drive(plan: &Arc<Plan>, start: &Start) -> Result<Option<Measured>, RunError> {
    let told = |error: io::Error| RunError(format!("{}: {error}", plan.address));
    let runtime = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let connections = runtime.block_on(connections(plan))?;
        Ok((runtime, connections))
    });
    start.failed.fetch_or(runtime.is_err(), Ordering::SeqCst);
    start.together.wait();
    let (runtime, connections) = runtime.map_err(told)?;
    if start.failed.load(Ordering::SeqCst) {
        return Ok(None);
    }
    let warmed = runtime.block_on(warm(plan, &connections));
    start.together.wait();
    warmed.map_err(told)?;
    let before = cpu();
    let window = Arc::new(Window::new(Arc::clone(plan), plan.duration));
    runtime.block_on(fill(plan.shape, &window, &connections)).map_err(told)?;
    let (begin, end, cpu) = (window.begin(), now(), cpu() - before);
    Ok(Some(Measured { tally: window.into_tally(), begin, end, cpu }))
}

async fn connections(plan: &Plan) -> io::Result<Vec<Caller>> {
    let mut made = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let sender = connect(plan.address, plan.deadline).await?;
        made.push(Caller::new(sender, plan.head.clone(), plan.deadline));
    }
    Ok(made)
}

/// Calls that nobody counts, all ended before the window begins; an open loop is warmed by a closed one.
async fn warm(plan: &Arc<Plan>, connections: &[Caller]) -> io::Result<()> {
    let shape = match plan.shape {
        Shape::Open { .. } => Shape::Closed { calls: 1 },
        other => other,
    };
    let window = Arc::new(Window::new(Arc::clone(plan), plan.warmup));
    fill(shape, &window, connections).await
}

async fn fill(shape: Shape, window: &Arc<Window>, connections: &[Caller]) -> io::Result<()> {
    match shape {
        Shape::Closed { calls } => closed(window, connections, calls).await,
        Shape::Streams { streams: count, in_flight } => streams(window, connections, count, in_flight).await,
        Shape::Open { rate, arrivals, seed, pending } => {
            let schedule = Schedule::new(arrivals, rate, seed);
            return open(window, connections, schedule, pending).await;
        }
    }
    Ok(())
}
