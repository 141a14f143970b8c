//! Which pages may change what is deployed. A browser lets any page send a POST of plain text to
//! any server that its machine can reach, this one on `localhost` too, and keeps only the answer
//! from it; but it says whose page it was, in `Origin`, which no page can forge. Programs that are
//! no browser send none.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};

use crate::api::error::ApiError;
use crate::api::router::ApiState;

/// Sites other than this server's own whose pages may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sites {
    Any,
    /// Each as browsers write it: scheme, host and port.
    These(Vec<HeaderValue>),
}

pub(super) async fn refuse_foreign(
    State(api): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let public_url = api.config.public_url.as_deref();
    match foreign(request.headers(), public_url, &api.config.sites) {
        Some(origin) if !reads => ApiError::ForeignPage(origin).into_response(),
        _ => next.run(request).await,
    }
}

/// The origin that may not change anything, if the request comes from one.
fn foreign(headers: &HeaderMap, public_url: Option<&str>, sites: &Sites) -> Option<String> {
    let allowed = match sites {
        Sites::Any => return None,
        Sites::These(allowed) => allowed,
    };
    let origins = headers.get_all(ORIGIN).iter();
    let mut refused = origins
        .filter(|origin| !allowed.contains(origin) && !is_own(origin, headers, public_url))
        .map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
    refused.next()
}

/// Whether the page is of this server, as its client or the proxy in front of it calls it. A page
/// cannot set these headers of a request without asking first.
fn is_own(origin: &HeaderValue, headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let host = |url: &str| {
        let (_, rest) = url.split_once("://")?;
        Some(rest.split('/').next().unwrap_or_default().to_owned())
    };
    let Some(of_page) = origin.to_str().ok().and_then(host) else {
        return false;
    };
    let named = [HOST.as_str(), "x-forwarded-host"]
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok()?.split(',').next());
    let public = public_url.and_then(host);
    named
        .map(str::trim)
        .chain(public.as_deref())
        .any(|own| own.eq_ignore_ascii_case(&of_page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&'static str, &'static str)], sites: &Sites) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:8080"));
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        foreign(&headers, Some("https://fn.example.com/base"), sites)
    }

    #[test]
    fn a_page_is_of_this_server_or_of_a_site_that_is_named() {
        let named = Sites::These(vec![HeaderValue::from_static("https://app.example.com")]);
        for headers in [
            &[][..],
            &[("origin", "http://localhost:8080")],
            &[("origin", "http://LocalHost:8080")],
            &[("origin", "https://fn.example.com")],
            &[("origin", "https://app.example.com")],
            &[
                ("origin", "https://outer.example"),
                ("x-forwarded-host", "outer.example, inner"),
            ],
        ] {
            assert_eq!(refused(headers, &named), None, "{headers:?}");
        }
        for origin in [
            "null",
            "",
            "http://localhost",
            "http://localhost:80801",
            "https://evil.example",
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "https://evil.example/localhost:8080",
            "localhost:8080",
        ] {
            let headers = [("origin", origin)];
            assert_eq!(refused(&headers, &named).as_deref(), Some(origin));
            assert_eq!(refused(&headers, &Sites::Any), None);
        }
        let two = [
            ("origin", "http://localhost:8080"),
            ("origin", "https://evil.example"),
        ];
        assert!(refused(&two, &named).is_some(), "each has to be allowed");
    }
}
