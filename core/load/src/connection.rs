//! Connections: HTTP/2 from the first byte, without TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Window of each stream and of each connection, so that no answer waits for room: what h2load takes too.
const WINDOW: u32 = (1 << 30) - 1;

/// Connects within the deadline; the connection lives until the runtime or its last caller ends.
///
/// # Errors
/// When nobody accepts.
pub async fn connect(address: SocketAddr, deadline: Duration) -> io::Result<SendRequest<Bytes>> {
    let socket = timeout(deadline, TcpStream::connect(address)).await??;
    socket.set_nodelay(true)?;
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    let (sender, connection) = builder.handshake(socket).await.map_err(io::Error::other)?;
    // Its calls learn of a loss by themselves.
    tokio::spawn(connection);
    Ok(sender)
}
