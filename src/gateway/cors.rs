//! Which pages of other sites may read answers of this server (the Fetch standard's CORS).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::answers::Answers;
use super::handle::{Body, Gateway};

/// What Fn allows, and what triggers and the v1 API take beside it; a page cannot send another verb.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::HEAD,
    Method::DELETE,
];

/// Pages could not read the id of their call otherwise, and it is what a log is found by.
const CALL_ID: HeaderName = HeaderName::from_static("fn-call-id");

/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);

/// Answers to pages of other sites.
#[derive(Clone, Debug)]
pub struct Cors(CorsLayer);

impl Cors {
    /// For pages of `origins`, of any site if `None`. They may send `headers`; with none given,
    /// the one that JSON needs.
    pub fn new(origins: Option<Vec<HeaderValue>>, headers: Vec<HeaderName>) -> Self {
        let headers = if headers.is_empty() {
            vec![CONTENT_TYPE]
        } else {
            headers
        };
        let layer = CorsLayer::new()
            .allow_origin(origins.map_or_else(AllowOrigin::any, AllowOrigin::list))
            .allow_methods(METHODS)
            .allow_headers(headers)
            .expose_headers([CALL_ID])
            .max_age(MAX_AGE);
        Self(layer)
    }

    pub(super) async fn handle(
        &self,
        gateway: &Arc<Gateway>,
        request: Request<Incoming>,
        answers: &Answers,
    ) -> Result<Response<Body>, Infallible> {
        if !is_for_us(request.method(), request.headers()) {
            return gateway.answer(request, answers).await;
        }
        let inner = tower::service_fn(|request| async {
            let response = gateway.answer(request, answers).await?;
            Ok::<_, Infallible>(response.map(boxed))
        });
        let response = self.0.layer(inner).oneshot(request).await?;
        Ok(response.map(Body::Right))
    }
}

/// The layer takes every OPTIONS for a preflight. One that is none is the function's.
fn is_for_us(method: &Method, headers: &http::HeaderMap) -> bool {
    *method != Method::OPTIONS || headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn boxed(body: Body) -> UnsyncBoxBody<Bytes, std::io::Error> {
    body.map_err(std::io::Error::other).boxed_unsync()
}
