use axum::extract::{FromRequest, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::api::error::ApiError;
use crate::api::json;
use crate::api::router::ApiState;

/// A JSON request body. `null` reads as an empty object, as it does in Fn.
pub(super) struct Payload<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for Payload<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let limit = state.config.max_body;
        let body = request.into_body();
        // A length that is known beforehand is refused before the client has sent it all.
        let length = http_body::Body::size_hint(&body).lower();
        if usize::try_from(length).map_or(true, |length| length > limit) {
            let length = Some(length);
            return Err(ApiError::TooLarge { length, limit });
        }
        let body = match Limited::new(body, limit).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let length = None;
                return Err(ApiError::TooLarge { length, limit });
            }
            Err(_) => return Err(ApiError::InvalidJson),
        };
        let value: Option<T> = json::parse(&body).map_err(|_| ApiError::InvalidJson)?;
        Ok(Self(value.unwrap_or_default()))
    }
}
