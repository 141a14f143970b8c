use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::answers::Answers;
use super::cors::Cors;
use super::guard::Timeouts;
use super::respond::{Failure, is_v1};
use super::target::Target;
use super::{body, headers, sniff};
use crate::format::{CallRequest, RequestBody, Via};
use crate::invoke::{CallResponse, Invoker, ResponseBody};
use crate::model::{CallId, Callable};
use crate::store::{Catalog, Miss};

/// The longest response that is held for a caller who has to be told its length.
const HELD: u64 = 64 << 20;

/// The control plane, as far as the gateway cares.
pub type Control = BoxCloneSyncService<
    Request<Incoming>,
    Response<UnsyncBoxBody<Bytes, std::io::Error>>,
    Infallible,
>;

pub(super) type Body = Either<ResponseBody, UnsyncBoxBody<Bytes, std::io::Error>>;

/// Takes any service for the control plane.
pub fn control<S, B>(service: S) -> Control
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    BoxCloneSyncService::new(service.map_response(|response| {
        response.map(|body| body.map_err(std::io::Error::other).boxed_unsync())
    }))
}

/// Bounds of the data plane.
#[derive(Clone, Copy, Debug)]
pub struct GatewayConfig {
    /// Most open connections.
    pub max_connections: usize,
    /// Largest request head, in bytes.
    pub max_head_bytes: usize,
    /// Largest request body, in bytes.
    pub max_body_bytes: u64,
    /// Most calls that call one another.
    pub max_call_depth: u32,
    /// How long callers may take.
    pub timeouts: Timeouts,
}

/// What answers requests.
#[derive(Debug)]
pub struct Gateway {
    pub(super) config: GatewayConfig,
    catalog: Arc<Catalog>,
    invoker: Arc<Invoker>,
    control: Control,
    /// Where `control` runs.
    main: Handle,
    cors: Option<Cors>,
}

impl Gateway {
    /// A gateway that finds functions in `catalog`, calls them through `invoker`, and leaves
    /// everything else to `control`, which runs where this is called.
    pub fn new(
        config: GatewayConfig,
        catalog: Arc<Catalog>,
        invoker: Arc<Invoker>,
        control: Control,
    ) -> Self {
        Self {
            config,
            catalog,
            invoker,
            control,
            main: Handle::current(),
            cors: None,
        }
    }

    /// Also answers pages of other sites. Without this, OPTIONS is a verb like any other.
    pub fn with_cors(mut self, cors: Option<Cors>) -> Self {
        self.cors = cors;
        self
    }

    pub(super) fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        answers: &Answers,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send {
        match &self.cors {
            Some(cors) => Box::pin(cors.handle(self, request, answers)).left_future(),
            None => self.answer(request, answers).right_future(),
        }
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        answers: &Answers,
    ) -> Result<Response<Body>, Infallible> {
        // A clone shares its bytes.
        let uri = request.uri().clone();
        let target = Target::of(uri.path());
        // Neither is a verb of a resource: one is for proxies, the other for their makers.
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            let refusal = Failure::WrongVerb {
                verb: request.method().to_string(),
                path: request.uri().to_string(),
                allowed: None,
            };
            let v1 = target.is_v1() || is_v1(request.uri().path().as_bytes());
            let refusal = refusal.response(v1).map(ResponseBody::from);
            return Ok(refusal.map(Either::Left));
        }
        if target == Target::Control {
            return self.control(request).await;
        }
        let id = CallId::generate();
        let mut response = match self.invoke(&target, request, id, answers).await {
            Ok(response) => response,
            Err(failure) => {
                tracing::debug!(
                    call_id = %id,
                    ?target,
                    blame = failure.blame().as_str(),
                    ?failure,
                    "no response"
                );
                failure.response(target.is_v1()).map(ResponseBody::from)
            }
        };
        headers::set_call_id(response.headers_mut(), id);
        Ok(response.map(Either::Left))
    }

    /// On the main runtime: no call waits for what the API does.
    async fn control(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let answer = self.control.clone().oneshot(request);
        let answer = AbortOnDropHandle::new(self.main.spawn(answer));
        // Only its own drop aborts it.
        let response = answer
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        Ok(response?.map(Either::Right))
    }

    async fn invoke(
        &self,
        target: &Target<'_>,
        request: Request<Incoming>,
        id: CallId,
        answers: &Answers,
    ) -> Result<Response<ResponseBody>, Failure> {
        let callable = self.find(target, &request)?;
        // Run as any other call it would keep waiting who does not want to.
        if target.via() == Via::Invoke && headers::is_detached(request.headers()) {
            return Err(Failure::Detached);
        }
        let (head, incoming) = request.into_parts();
        let depth = headers::call_depth(&head.headers).ok_or(Failure::BadDepth)?;
        if depth >= self.config.max_call_depth {
            return Err(Failure::TooDeep(depth));
        }
        let body = if callable.streaming {
            answers.unhurry();
            body::stream(incoming, self.config.max_body_bytes).await?
        } else {
            RequestBody::Whole(body::collect(incoming, self.config.max_body_bytes).await?)
        };
        let path = head
            .uri
            .path_and_query()
            .map_or("/", |p| p.as_str())
            .to_owned();
        let host = head.headers.get(HOST).and_then(|h| h.to_str().ok());
        let host = host.or_else(|| head.uri.host()).unwrap_or("localhost");
        let url = ["http://", host, &path].concat();
        let mut passed = headers::from_caller(head.headers, target.speaks_fn(&callable));
        headers::set_call_depth(&mut passed, depth + 1);
        let call = CallRequest {
            id,
            url,
            target: path,
            headers: passed,
            method: head.method.clone(),
            via: target.via(),
            body,
        };
        let called = self.invoker.call(&callable, call).await;
        let mut response = called.map_err(Failure::Fault)?;
        if head.version == Version::HTTP_10 {
            // It knows no chunks: without a length the connection's end would end the body, also
            // when the function broke off.
            let body = response.body.with_length(HELD, callable.format).await;
            response.body = body.map_err(Failure::Fault)?;
        }
        Ok(outgoing(&callable, &head.method, response))
    }

    fn find(
        &self,
        target: &Target<'_>,
        request: &Request<Incoming>,
    ) -> Result<Arc<Callable>, Failure> {
        match target {
            Target::Route { app, path } => {
                self.catalog.route(app, path).map_err(|miss| match miss {
                    Miss::App => Failure::NoApp,
                    Miss::Target | Miss::Method(_) => Failure::NoRoute,
                })
            }
            Target::Trigger { app, source, raw } => {
                let method = request.method().as_str();
                let found = self.catalog.trigger(app, source, raw, method);
                found.map_err(|miss| match miss {
                    Miss::App => Failure::NoApp,
                    Miss::Target => Failure::NoTrigger,
                    Miss::Method(methods) => wrong_verb(request, Some(methods.allow_header())),
                })
            }
            Target::Invoke { .. } if request.method() != Method::POST => {
                Err(wrong_verb(request, Some("POST".to_owned())))
            }
            Target::Invoke { id } => {
                let found = id.parse().ok().and_then(|id| self.catalog.function(id));
                found.ok_or(Failure::NoFunction)
            }
            Target::Control => Err(Failure::NoFunction),
        }
    }
}

fn wrong_verb(request: &Request<Incoming>, allowed: Option<String>) -> Failure {
    Failure::WrongVerb {
        verb: request.method().to_string(),
        path: request.uri().path().to_owned(),
        allowed,
    }
}

/// The function's response as the caller sees it: the route's headers first, then the function's
/// own beside them.
fn outgoing(callable: &Callable, method: &Method, said: CallResponse) -> Response<ResponseBody> {
    let CallResponse {
        status,
        headers: mut own,
        body,
    } = said;
    let bodiless = *method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    headers::from_function(&mut own, bodiless);
    let mut all = if callable.headers.is_empty() {
        own
    } else {
        beside(route_headers(callable), own)
    };
    if !body.start().is_empty() && !all.contains_key(CONTENT_TYPE) {
        all.insert(CONTENT_TYPE, sniff::content_type(body.start()));
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = all;
    response
}

fn beside(mut all: HeaderMap, own: HeaderMap) -> HeaderMap {
    let mut last = None;
    for (name, value) in own {
        // A name comes with the first of its values only.
        last = name.or(last);
        if let Some(name) = &last {
            all.append(name.clone(), value);
        }
    }
    all
}

/// What the route says every response carries, less what would change how it is framed.
fn route_headers(callable: &Callable) -> HeaderMap {
    let mut all = HeaderMap::new();
    for (name, values) in &callable.headers {
        // Checked when the route was stored.
        let Ok(name) = HeaderName::try_from(name) else {
            continue;
        };
        for value in values.iter().filter_map(|v| HeaderValue::try_from(v).ok()) {
            all.append(name.clone(), value);
        }
    }
    headers::from_function(&mut all, false);
    all
}
