use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::api::cursor;
use crate::api::error::{ApiError, Invalid};

const DEFAULT_PAGE: u32 = 30;
const MAX_PAGE: u32 = 100;

/// The variable parts of the path, percent-decoded.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            // Only bytes that are no UTF-8 get here, and nothing is stored under those.
            Err(_) => Err(ApiError::UnknownPath(parts.uri.path().to_owned())),
        }
    }
}

/// What every list takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "`ListQuery` reads them, with less fuss than serde would make"
)]
pub(super) struct Paging {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items of a page: 30 unless told, at most 100.
    per_page: Option<u32>,
}

/// The query of a list.
pub(super) struct ListQuery {
    pairs: Vec<(String, String)>,
    /// The key to go on after; empty at the start.
    pub(super) after: String,
    pub(super) per_page: u32,
}

impl ListQuery {
    /// The value of `name`; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        find(&self.pairs, name)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// The cursor to send along with `page`; `None` at the end of the list.
    pub(super) fn next<T>(&self, page: &[T], key: impl Fn(&T) -> String) -> Option<String> {
        let full = u32::try_from(page.len()).is_ok_and(|len| len >= self.per_page);
        let last = page.last().filter(|_| full)?;
        Some(cursor::encode(&key(last)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| pairs)
            .map_err(|_| Invalid::new("Invalid query"))?;
        // No stored text has control characters, and some databases cannot compare with NUL.
        if pairs
            .iter()
            .any(|(_, value)| value.chars().any(char::is_control))
        {
            return Err(Invalid::new("Invalid query").into());
        }
        let after = match find(&pairs, "cursor") {
            Some(text) => cursor::decode(text).ok_or(Invalid::new("Invalid cursor"))?,
            None => String::new(),
        };
        Ok(Self {
            per_page: per_page(&pairs),
            pairs,
            after,
        })
    }
}

/// How many a page may have; what makes no sense counts as missing.
pub(super) fn per_page(pairs: &[(String, String)]) -> u32 {
    find(pairs, "per_page")
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|n| *n > 0)
        .map_or(DEFAULT_PAGE, |n| {
            u32::try_from(n).unwrap_or(MAX_PAGE).min(MAX_PAGE)
        })
}

pub(super) fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}
