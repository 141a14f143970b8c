//! Request bodies: read to the end within bounds, or passed on as they come to functions that ask
//! for that.

use std::error::Error;
use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::respond::Failure;
use crate::format::RequestBody;

/// How many times what has come is made room for at once, on the caller's word.
const TRUSTED: u64 = 16;

/// A function that takes streams gets shorter bodies whole: a length is worth more to it than
/// an early start.
const STREAM_FROM: u64 = 1 << 20;

/// Reads `body`; one of more than `limit` bytes is refused as early as it shows.
pub(super) async fn collect(mut body: Incoming, limit: u64) -> Result<Bytes, Failure> {
    let declared = body.size_hint().exact();
    match declared {
        Some(0) => return Ok(Bytes::new()),
        Some(length) if length > limit => {
            return Err(Failure::DeclaredTooLarge { length, limit });
        }
        _ => {}
    }
    let mut content = BytesMut::new();
    let mut have = 0;
    while let Some(frame) = next(&mut body).await? {
        // Trailers are not passed on.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        have += data.len() as u64;
        if have > limit {
            return Err(Failure::TooLarge);
        }
        // A small body comes in one piece and is passed on as it is.
        if content.is_empty() && declared == Some(have) {
            return Ok(data);
        }
        if content.capacity() - content.len() < data.len() {
            let likely = declared.map_or(have, |length| length.min(have * TRUSTED));
            let more = usize::try_from(likely).unwrap_or(0);
            content.reserve(more.saturating_sub(content.len()));
        }
        content.extend_from_slice(&data);
    }
    Ok(content.freeze())
}

/// Reads a small `body` to its end; any other is passed on as it comes.
pub(super) async fn stream(body: Incoming, limit: u64) -> Result<RequestBody, Failure> {
    match body.size_hint().exact() {
        Some(length) if length <= STREAM_FROM.min(limit) => {
            collect(body, limit).await.map(RequestBody::Whole)
        }
        _ => Ok(RequestBody::Stream(Box::pin(pieces(body)))),
    }
}

fn pieces(body: Incoming) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::unfold(body, |mut body| async {
        loop {
            return match next(&mut body).await {
                Ok(None) => None,
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => Some((Ok(data), body)),
                    // Trailers are not passed on.
                    Err(_) => continue,
                },
                Err(failure) => Some((Err(io::Error::other(failure.message())), body)),
            };
        }
    })
}

async fn next(body: &mut Incoming) -> Result<Option<hyper::body::Frame<Bytes>>, Failure> {
    body.frame()
        .await
        .transpose()
        .map_err(|error| failure(&error))
}

/// The connection's guard says what it did not let pass, and hyper wraps it.
fn failure(error: &hyper::Error) -> Failure {
    let cause = error.source().and_then(|e| e.downcast_ref::<io::Error>());
    match cause {
        Some(cause) if cause.kind() == io::ErrorKind::TimedOut => {
            Failure::BodyStalled(cause.to_string())
        }
        Some(cause) => Failure::Unreadable(cause.to_string()),
        None => Failure::Unreadable(error.to_string()),
    }
}
