use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::error::ApiError;
use crate::api::json;
use crate::api::router::ApiState;

/// A client that sends nothing for this long has gone, or never meant to finish.
const IDLE: Duration = Duration::from_secs(30);

/// How much of a body that is too large is read and thrown away. Many clients send all of it
/// before they read: they would find a broken connection, and not the answer.
const MAX_DISCARDED: u64 = 64 << 20;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(30);

/// A JSON request body. `null` reads as an empty object, as it does in Fn.
pub(super) struct Payload<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for Payload<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let body = collect(request, state.config.max_body).await?;
        let value: Option<T> = json::parse(&body).map_err(|_| ApiError::InvalidJson)?;
        Ok(Self(value.unwrap_or_default()))
    }
}

/// The whole body, of at most `limit` bytes.
async fn collect(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let asks_first = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let declared = body.size_hint().lower();
    if usize::try_from(declared).map_or(true, |length| length > limit) {
        // Who asks first has sent nothing yet, and reading would tell it to.
        if !asks_first && declared <= MAX_DISCARDED {
            discard(&mut body).await;
        }
        let length = Some(declared);
        return Err(ApiError::TooLarge { length, limit });
    }
    let mut content = BytesMut::new();
    loop {
        let Ok(frame) = timeout(IDLE, body.frame()).await else {
            return Err(ApiError::BodyStalled(IDLE));
        };
        let Some(frame) = frame else {
            return Ok(content.freeze());
        };
        let frame = frame.map_err(|_| ApiError::InvalidJson)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if content.len() + data.len() > limit {
            discard(&mut body).await;
            let length = None;
            return Err(ApiError::TooLarge { length, limit });
        }
        content.extend_from_slice(data);
    }
}

/// Reads the rest, within bounds; what is left after that breaks the connection.
async fn discard(body: &mut Body) {
    let rest = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
            if discarded > MAX_DISCARDED {
                return;
            }
        }
    };
    let _ = timeout(DISCARD_TIME, rest).await;
}
