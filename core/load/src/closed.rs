//! The closed loop: a caller sends its next call when the last one has ended. Latency counts from the send.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::call::Caller;
use crate::window::Window;

/// Drives `calls` callers on each connection until the window ends; a caller whose connection is lost ends with it.
pub async fn closed(window: &Arc<Window>, connections: &[Caller], calls: usize) {
    let mut callers = JoinSet::new();
    for connection in connections {
        for _ in 0..calls {
            callers.spawn(drive(Arc::clone(window), connection.clone()));
        }
    }
    callers.join_all().await;
}

async fn drive(window: Arc<Window>, mut caller: Caller) {
    while let Some(ticket) = window.ticket() {
        let outcome = caller.call(window.frame(ticket)).await;
        let lost = outcome.as_ref().is_err_and(|failure| failure.lost);
        window.settle(ticket, outcome);
        if lost {
            return;
        }
    }
}
