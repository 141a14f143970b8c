//! Which headers pass, in both directions.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use crate::model::CallId;

/// The call's id, in the spelling of Fn's first servers and in today's. Clients of either age
/// insist on theirs.
static CALL_ID: [HeaderName; 2] = [
    HeaderName::from_static("fn_call_id"),
    HeaderName::from_static("fn-call-id"),
];

/// How many calls led to this one, where functions that call functions pass it on.
const CALL_DEPTH: HeaderName = HeaderName::from_static("fn-call-depth");

/// What makes a request one of the platform's own, which no caller may make.
static CONTROL: [HeaderName; 2] = [
    HeaderName::from_static("fn_control"),
    HeaderName::from_static("fn-control"),
];

/// RFC 9110 section 7.6.1, and what is obsolete but still sent.
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Names that only the platform may set.
fn is_platforms(name: &HeaderName) -> bool {
    matches!(name.as_str().as_bytes(), [b'f', b'n', b'-' | b'_', ..])
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // By length first: most names are none of these.
    matches!(name.as_str().len(), 2 | 7 | 10 | 16..=19) && HOP_BY_HOP.contains(name)
}

/// Drops what is `doomed`, and what concerned one connection only: the known names, and those that
/// `Connection` lists.
fn strip(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let listed = if headers.contains_key(CONNECTION) {
        listed(headers)
    } else {
        Vec::new()
    };
    let goes = |name: &&HeaderName| is_hop_by_hop(name) || listed.contains(name) || doomed(name);
    let names: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// What of a caller's headers a function may see. How its body is framed is the
/// platform's to say.
///
/// `speaks_fn`: the caller's platform headers pass, but for what the platform itself says.
pub(super) fn from_caller(mut headers: HeaderMap, speaks_fn: bool) -> HeaderMap {
    headers.remove(CONTENT_LENGTH);
    strip(&mut headers, |name| {
        *name == EXPECT
            || (is_platforms(name)
                && (!speaks_fn || CALL_ID.contains(name) || CONTROL.contains(name)))
    });
    headers
}

/// What of a function's headers a caller may see. `keep_length`: for a response without a body
/// whose length tells about the body there would have been (RFC 9110 section 8.6).
pub(super) fn from_function(headers: &mut HeaderMap, keep_length: bool) {
    if !keep_length {
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, |_| false);
}

/// Whether the caller asks for no answer but that the call was taken.
pub(super) fn is_detached(headers: &HeaderMap) -> bool {
    let kind = headers.get(HeaderName::from_static("fn-invoke-type"));
    kind.is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(b"detached"))
}

/// How many calls led to this one: what a function that calls another passed on, or none.
///
/// `None` for what is no number.
pub(super) fn call_depth(headers: &HeaderMap) -> Option<u32> {
    match headers.get(CALL_DEPTH) {
        None => Some(0),
        Some(value) => value.to_str().ok()?.parse().ok(),
    }
}

/// Tells a function how many calls there are with its own, for it to pass on.
pub(super) fn set_call_depth(headers: &mut HeaderMap, depth: u32) {
    headers.insert(CALL_DEPTH, depth.into());
}

/// Names the call, whatever the function said.
pub(super) fn set_call_id(headers: &mut HeaderMap, id: CallId) {
    if let Ok(value) = HeaderValue::try_from(id.write(&mut [0; 26])) {
        for name in &CALL_ID {
            headers.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    // A6: hop-by-hop and platform names, also by way of Connection.
    #[test]
    fn a_function_sees_what_was_meant_for_it() {
        let headers = from_caller(
            map(&[
                ("accept", "*/*"),
                ("x_foo", "1"),
                ("x-foo", "2"),
                ("connection", "close, X-Secret"),
                ("x-secret", "1"),
                ("keep-alive", "5"),
                ("proxy-connection", "x"),
                ("proxy-authorization", "x"),
                ("te", "trailers"),
                ("trailer", "x"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("expect", "100-continue"),
                ("content-length", "5"),
                ("fn_call_id", "forged"),
                ("fn-call-id", "forged"),
                ("fn-deadline", "forged"),
                ("fn_anything", "forged"),
            ]),
            false,
        );
        assert_eq!(names(&headers), ["accept", "x-foo", "x_foo"]);
    }

    #[test]
    fn who_speaks_for_itself_still_cannot_name_calls_or_speak_for_the_platform() {
        let said = map(&[
            ("fn-http-method", "GET"),
            ("fn-intent", "httprequest"),
            ("fn-call-id", "forged"),
            ("fn_call_id", "forged"),
            ("fn-control", "index"),
            ("fn_control", "index"),
        ]);
        let headers = from_caller(said.clone(), true);
        assert_eq!(names(&headers), ["fn-http-method", "fn-intent"]);
        assert!(from_caller(said, false).is_empty());
    }

    // C12: what a function says about its connection to us is not the caller's.
    #[test]
    fn a_caller_sees_what_was_meant_for_it() {
        let said = map(&[
            ("connection", "x-drop"),
            ("x-drop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
        ]);
        let mut headers = said.clone();
        from_function(&mut headers, false);
        assert_eq!(names(&headers), ["content-type"]);
        let mut headers = said;
        from_function(&mut headers, true);
        assert_eq!(names(&headers), ["content-length", "content-type"]);
    }

    #[test]
    fn no_hop_by_hop_name_is_ruled_out_by_its_length() {
        assert!(HOP_BY_HOP.iter().all(is_hop_by_hop));
    }

    #[test]
    fn several_values_of_one_header_all_pass() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        from_function(&mut headers, false);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    }
}
