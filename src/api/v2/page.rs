use std::str::FromStr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::store::Resource;

/// One page of a list. `items` is never null: clients would show nothing at all.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_cursor: Option<String>,
    pub(super) items: Vec<T>,
}

/// The id in `text`; a text that is no id names nothing that exists.
pub(super) fn id<T: FromStr>(text: &str, what: Resource) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(what))
}

/// Whether a body gives another value than the one it must repeat, if it gives any.
pub(super) fn differs(given: Option<&str>, actual: &str) -> bool {
    given.is_some_and(|given| !given.is_empty() && !given.eq_ignore_ascii_case(actual))
}
