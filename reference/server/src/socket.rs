//! One connection: frames in and out of a WebSocket, in a task of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use syncline::limits;
use syncline::server::ConnId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::either::Either;
use tracing::debug;

use crate::engine::{Batch, Closing, Engine};
use crate::limiter::Visit;
use crate::trail::Trace;

/// Buffers of an idle connection; a longer frame has memory of its own while it is under way.
const BUFFER_BYTES: usize = 4 * 1024;
/// The state machine closes a silent connection before this; what it has already let go of is closed here.
const READ_WAIT: Duration = Duration::from_millis(2 * limits::SILENCE_TIMEOUT_MS);
/// How long a batch may take to be written; a reader slower than that is gone.
const WRITE_WAIT: Duration = Duration::from_millis(2 * limits::SILENCE_TIMEOUT_MS);
/// How long, and for how many bytes, a closed connection is still read, so that the peer reads our last words before a reset.
const LINGER_WAIT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 64 << 20;

/// A connection, encrypted or not.
pub(crate) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;
type Socket = WebSocketStream<Stream>;

/// Serves the connection until it is gone.
pub(crate) async fn serve(upgraded: Upgraded, engine: Engine, visit: Arc<Visit>) {
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Stream>>() else {
        unreachable!("the server gave hyper nothing but these streams");
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(limits::FRAME_BYTES_MAX))
        .max_frame_size(Some(limits::FRAME_BYTES_MAX));
    // A copy of what is in it: the buffer of the HTTP side is larger than one connection is worth.
    let begun = read_buf.to_vec();
    drop(read_buf);
    let socket = WebSocketStream::from_partially_read(io.into_inner(), begun, Role::Server, Some(limits)).await;
    // No answer: the engine has stopped.
    let Some((id, outbox)) = engine.connect(Arc::clone(&visit)).await else { return };
    debug!(connection = %Trace(id), "connected");
    let ended = talk(socket, id, outbox, &engine).await;
    debug!(connection = %Trace(id), %ended, "disconnected");
    engine.hung_up(id).await;
}

/// Runs both directions until one ends, and says how.
async fn talk(socket: Socket, id: ConnId, mut outbox: mpsc::Receiver<Batch>, engine: &Engine) -> String {
    let (mut sink, mut stream) = socket.split();
    // The peer's fault that it is closed for, by the WebSocket's own codes.
    let mut fault = None;
    let outcome = {
        let reading = read(&mut stream, id, engine, &mut fault);
        let writing = write(&mut sink, id, engine, &mut outbox);
        tokio::select! {
            ended = reading => Err(ended),
            written = writing => written,
        }
    };
    let closing = match outcome {
        Ok(closing) => closing,
        Err(ended) => return ended,
    };
    let code = match closing {
        Closing::Refused => fault.unwrap_or(CloseCode::Normal),
        Closing::Away => CloseCode::Away,
    };
    let Ok(mut socket) = sink.reunite(stream) else { unreachable!("they are halves of one socket") };
    let close = socket.close(Some(CloseFrame { code, reason: "".into() }));
    if let Ok(Ok(())) = timeout(LINGER_WAIT, close).await {
        // Nothing but a timeout or a hang-up ends the wait, and both are an end.
        let _ = timeout(LINGER_WAIT, linger(socket.get_mut())).await;
    }
    format!("closed with {code}")
}

/// Passes on what arrives. Ends when the peer does, never for a fault that the engine is to answer.
async fn read(stream: &mut SplitStream<Socket>, id: ConnId, engine: &Engine, fault: &mut Option<CloseCode>) -> String {
    loop {
        let message = match timeout(READ_WAIT, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            // LIMIT-2: the rest is not read.
            Ok(Some(Err(tungstenite::Error::Capacity(_)))) => {
                *fault = Some(CloseCode::Size);
                engine.too_large(id).await;
                return std::future::pending().await;
            }
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(None) => return "closed by the peer".to_owned(),
            Err(_) => return "silent".to_owned(),
        };
        match message {
            Message::Binary(bytes) => engine.frame(id, bytes).await,
            // BIND-3
            Message::Text(_) => {
                *fault = Some(CloseCode::Unsupported);
                engine.not_binary(id).await;
            }
            // The library answers them.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }
}

/// Writes batches as the peer takes them. Ends with how the engine closes, or why the peer is gone.
async fn write(
    sink: &mut SplitSink<Socket, Message>,
    id: ConnId,
    engine: &Engine,
    outbox: &mut mpsc::Receiver<Batch>,
) -> Result<Closing, String> {
    loop {
        // No batch: the engine has no more to do with this connection.
        let Some(batch) = outbox.recv().await else { return Ok(Closing::Away) };
        let closing = batch.closing;
        match timeout(WRITE_WAIT, write_batch(sink, batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("too slow a reader".to_owned()),
        }
        match closing {
            Some(closing) => return Ok(closing),
            None => engine.room(id).await,
        }
    }
}

/// Many frames, one flush.
async fn write_batch(sink: &mut SplitSink<Socket, Message>, batch: Batch) -> Result<(), tungstenite::Error> {
    for frame in batch.frames {
        sink.feed(Message::Binary(frame)).await?;
    }
    sink.flush().await
}

/// Ends our side and discards what still arrives: to close with bytes unread would reset the connection, and the peer
/// might never read our last words.
async fn linger(stream: &mut Stream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await.map(|_| ())
}
