//! A WebSocket that carries frames. (BIND-1)

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use syncline::limits;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::address::Address;

/// An open connection.
pub(crate) struct Socket {
    frames: futures_util::stream::SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    /// Bounded by the push window and one ping at a time, which the core keeps to.
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    writer: JoinHandle<()>,
}

/// Connects; the text of an error says what failed.
pub(crate) async fn dial(address: Address) -> Result<Socket, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let mut request = address.as_str().into_client_request().map_err(|error| fault(&error))?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("syncline.1"));
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(limits::FRAME_BYTES_MAX);
    config.max_frame_size = Some(limits::FRAME_BYTES_MAX);
    let dialled = connect_async_with_config(request, Some(config), true);
    let patience = Duration::from_millis(limits::HELLO_TIMEOUT_MS);
    let dialled = tokio::time::timeout(patience, dialled).await;
    let dialled = dialled.map_err(|_| fault(&format_args!("no answer within {} s", patience.as_secs())))?;
    let (stream, _) = dialled.map_err(|error| fault(&error))?;
    let (mut sink, frames) = stream.split();
    let (outgoing, mut queue) = mpsc::unbounded_channel();
    let writer = tokio::spawn(async move {
        while let Some(frame) = queue.recv().await {
            if sink.send(Message::Binary(Bytes::from(frame))).await.is_err() {
                return;
            }
        }
        // The other side may be gone already, which is what we want of it.
        let _ = sink.close().await;
    });
    Ok(Socket { frames, outgoing, writer })
}

impl Socket {
    /// Sends a frame soon.
    pub(crate) fn send(&self, frame: Vec<u8>) {
        // A broken connection is noticed by `next`.
        let _ = self.outgoing.send(frame);
    }

    /// The next frame; nothing when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.frames.next().await?.ok()? {
                Message::Binary(frame) => return Some(frame),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                // BIND-3: a text message is no frame.
                Message::Text(_) | Message::Close(_) => return None,
            }
        }
    }

    /// Sends what is waiting, then closes.
    pub(crate) async fn close(self) {
        drop(self.outgoing);
        // Whoever does not take it within the time has no use for it.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.writer).await;
    }
}

const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
