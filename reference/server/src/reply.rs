//! HTTP answers: a text, or a file as it is read.

use std::io;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use http_body_util::{Either, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::{Response, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tracing::error;

/// What is read of a file at a time.
const READ_BYTES: usize = 64 * 1024;

/// The body of an answer.
pub(crate) type Body = Either<String, StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>>;

/// A text.
pub(crate) fn say(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Either::Left(why.to_owned()));
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

/// A file from its start. A read that fails breaks the connection off: the reader misses what the length promised.
pub(crate) async fn file(file: File) -> io::Result<Response<Body>> {
    let bytes = file.metadata().await?.len();
    let parts = unfold(Some(file), |file| async move {
        let mut file = file?;
        let mut part = vec![0; READ_BYTES];
        match file.read(&mut part).await {
            Ok(0) => None,
            Ok(read) => {
                part.truncate(read);
                Some((Ok(Frame::data(Bytes::from(part))), Some(file)))
            }
            Err(error) => {
                error!(%error, "a file could not be read to its end");
                Some((Err(error), None))
            }
        }
    });
    let mut response = Response::new(Either::Right(StreamBody::new(parts.boxed())));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.sqlite3"));
    Ok(response)
}
