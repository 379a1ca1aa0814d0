//! The open loop: a call goes out when it is due, whatever has been answered. Latency counts from the due time.

use std::io;
use std::sync::Arc;

use tokio::task::{JoinSet, yield_now};

use crate::arrivals::Schedule;
use crate::call::Caller;
use crate::clock::now;
use crate::failure::Failure;
use crate::timer::Timer;
use crate::window::Window;

/// Sends what is due over the connections in turn, then waits for the answers that are still out.
///
/// A call that is due while `pending` others wait for their answers is counted and not sent.
///
/// # Errors
/// When the system has no timer.
pub async fn open(window: &Arc<Window>, connections: &[Caller], schedule: Schedule, pending: usize) -> io::Result<()> {
    let timer = Timer::new()?;
    let mut out = JoinSet::new();
    for (offset, connection) in schedule.zip(connections.iter().cycle()) {
        let Some(ticket) = window.due(offset) else { break };
        if ticket.since > now() {
            timer.until(ticket.since).await?;
        } else {
            // Behind time: what was sent must not wait until all is sent.
            yield_now().await;
        }
        while out.try_join_next().is_some() {}
        window.lagged(ticket);
        if out.len() >= pending {
            window.failed(1, Failure::new(Failure::UNSENT, format!("{pending} calls waited for their answers")));
            continue;
        }
        let (window, mut caller) = (Arc::clone(window), connection.clone());
        out.spawn(async move {
            let outcome = caller.call(window.frame(ticket)).await;
            window.settle(ticket, outcome);
        });
    }
    out.join_all().await;
    Ok(())
}
