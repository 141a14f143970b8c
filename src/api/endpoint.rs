use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Uri};

use crate::api::router::ApiState;
use crate::model::{Annotations, FnId, INVOKE_ENDPOINT, TRIGGER_ENDPOINT};

/// Scheme and host under which the client reaches this server, so that the endpoints in an
/// answer work from where the client is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base(String);

impl Base {
    fn new(public_url: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Self {
        if let Some(url) = public_url {
            return Self(url.trim_end_matches('/').to_owned());
        }
        let scheme = match first(headers, "x-forwarded-proto") {
            Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
            _ => "http",
        };
        let host = [
            first(headers, "x-forwarded-host"),
            first(headers, HOST.as_str()),
        ]
        .into_iter()
        .flatten()
        .find_map(host)
        .or_else(|| uri.authority().map(ToString::to_string))
        .unwrap_or_else(|| "localhost".to_owned());
        Self(format!("{scheme}://{host}"))
    }

    /// `annotations` with the address of the function.
    pub(super) fn on_function(&self, annotations: &mut Annotations, id: FnId) {
        let endpoint = format!("{}/invoke/{id}", self.0);
        annotations.insert(INVOKE_ENDPOINT.to_owned(), endpoint.into());
    }

    /// The address of a trigger.
    pub(super) fn trigger(&self, app: &str, source: &str) -> String {
        format!("{}/t/{app}{source}", self.0)
    }

    /// `annotations` with the address of the trigger.
    pub(super) fn on_trigger(&self, annotations: &mut Annotations, app: &str, source: &str) {
        let endpoint = self.trigger(app, source);
        annotations.insert(TRIGGER_ENDPOINT.to_owned(), endpoint.into());
    }
}

impl FromRequestParts<ApiState> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        let public_url = state.config.public_url.as_deref();
        Ok(Self::new(public_url, &parts.uri, &parts.headers))
    }
}

/// Takes out what answers add: clients send back in an update what they have read.
pub(super) fn strip(annotations: &mut Annotations) {
    annotations.remove(INVOKE_ENDPOINT);
    annotations.remove(TRIGGER_ENDPOINT);
}

/// Proxies append to a list; the first entry is what the client used.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim)
}

fn host(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(public_url: Option<&str>, headers: &[(&'static str, &str)]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Base::new(public_url, &Uri::from_static("/v2/fns"), &headers).0
    }

    #[test]
    fn the_base_is_where_the_client_reached_us() {
        for (headers, expected) in [
            (&[("host", "h:8080")][..], "http://h:8080"),
            (
                &[("host", "h:8080"), ("x-forwarded-proto", "https")],
                "https://h:8080",
            ),
            (
                &[
                    ("host", "h"),
                    ("x-forwarded-proto", "https, http"),
                    ("x-forwarded-host", "fn.example.com, inner"),
                ],
                "https://fn.example.com",
            ),
            (&[("host", "h"), ("x-forwarded-host", "a b")], "http://h"),
            (&[("host", "u@h")], "http://localhost"),
            (
                &[("host", "h"), ("x-forwarded-proto", "gopher")],
                "http://h",
            ),
            (&[], "http://localhost"),
        ] {
            assert_eq!(base(None, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_configured_base_wins() {
        let headers = [("host", "h"), ("x-forwarded-proto", "http")];
        assert_eq!(base(Some("https://lb/"), &headers), "https://lb");
    }
}
