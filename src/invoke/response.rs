use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::fault::Fault;
use crate::model::Format;

/// What a function answered.
#[derive(Debug)]
pub struct CallResponse {
    pub status: StatusCode,
    /// As the function wrote them, less what only concerned the way to us.
    pub headers: HeaderMap,
    pub body: ResponseBody,
}

/// A response's body: all of it, or what comes of it. One that breaks off ends with an error.
#[derive(Debug)]
pub struct ResponseBody {
    /// What was there when the head was passed on.
    first: Bytes,
    /// How much is to come, `first` included; `None` if only its end will tell.
    left: Option<u64>,
    /// Where the rest comes from.
    rest: Option<mpsc::Receiver<Piece>>,
}

/// One step of a body.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    End,
    /// The function broke off.
    Broken(Fault),
}

impl ResponseBody {
    pub(super) fn stream(first: Bytes, length: Option<u64>, rest: mpsc::Receiver<Piece>) -> Self {
        Self {
            first,
            left: length,
            rest: Some(rest),
        }
    }

    /// The start of the body; empty only if the body is, or if nobody knows it yet.
    pub fn start(&self) -> &[u8] {
        &self.first
    }

    /// This body with its length known: where only its end would tell, it is read to that, if it
    /// has at most `limit` bytes. For callers who could not tell an end from a break.
    pub async fn with_length(mut self, limit: u64, format: Format) -> Result<Self, Fault> {
        let Some(rest) = self.rest.as_mut().filter(|_| self.left.is_none()) else {
            return Ok(self);
        };
        let mut body = BytesMut::from(&self.first[..]);
        loop {
            match rest.recv().await {
                Some(Piece::Data(data)) => body.extend_from_slice(&data),
                Some(Piece::End) => return Ok(body.freeze().into()),
                Some(Piece::Broken(fault)) => return Err(fault),
                None => return Err(Fault::ShuttingDown),
            }
            if body.len() as u64 > limit {
                return Err(Fault::ResponseTooLarge { format });
            }
        }
    }

    fn data(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

impl From<Bytes> for ResponseBody {
    fn from(body: Bytes) -> Self {
        Self {
            left: Some(body.len() as u64),
            first: body,
            rest: None,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return self.data(first);
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let error = match std::task::ready!(rest.poll_recv(cx)) {
            Some(Piece::Data(data)) => return self.data(data),
            Some(Piece::End) => {
                self.rest = None;
                return Poll::Ready(None);
            }
            Some(Piece::Broken(fault)) => io::Error::other(fault.to_string()),
            // Nobody said that this was the end, so it must not look like one.
            None => io::ErrorKind::UnexpectedEof.into(),
        };
        self.rest = None;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}
