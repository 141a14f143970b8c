//! `format: http-stream`: HTTP/1.1 over the unix socket on which the function listens.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::call::{CallRequest, ExchangeError, ExchangeLimits, Report, ResponseHead, Via};
use super::exchange::Exchange;
use super::http::{HEAD_BYTES, HttpExchange, body_length};
use crate::launcher::{Stdin, Stdout};
use crate::model::Timestamp;
use crate::pool::Lane;

/// What stands before a header that is the HTTP client's rather than the platform's. In a
/// `HeaderMap` names are lower case.
const FORWARDED: &str = "fn-http-h-";
const METHOD: HeaderName = HeaderName::from_static("fn-http-method");
const URL: HeaderName = HeaderName::from_static("fn-http-request-url");
const STATUS: HeaderName = HeaderName::from_static("fn-http-status");
const INTENT: HeaderName = HeaderName::from_static("fn-intent");
const CALL_ID: HeaderName = HeaderName::from_static("fn-call-id");
const DEADLINE: HeaderName = HeaderName::from_static("fn-deadline");

type Connecting = Pin<Box<dyn Future<Output = io::Result<(Stdin, Stdout)>> + Send>>;

pub(super) struct StreamExchange {
    http: HttpExchange,
    via: Via,
    connected: bool,
    connecting: Option<Connecting>,
    report: Option<Report>,
    /// The function ends its connection after this call.
    last: bool,
}

impl StreamExchange {
    pub(super) fn new(
        request: &mut CallRequest,
        deadline: Timestamp,
        limits: &ExchangeLimits,
    ) -> Self {
        let headers = to_function(request, deadline);
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        let length = body_length(&request.body);
        // Fixed: some FDKs refuse anything else.
        wire::encode_request_head(&mut head, &Method::POST, "/call", &headers, &[], length);
        Self {
            via: request.via,
            http: HttpExchange::with_head(head, false, request, limits),
            connected: false,
            connecting: None,
            report: None,
            last: false,
        }
    }

    /// Makes sure that there is a connection. Functions may end theirs between calls.
    fn poll_connected(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<(), ExchangeError>> {
        while !self.connected {
            if let Some(connecting) = &mut self.connecting {
                let (stdin, stdout) = ready!(connecting.as_mut().poll(cx)).map_err(|error| {
                    ExchangeError::ended(
                        false,
                        Some(true),
                        &format!("cannot connect to the function: {error}"),
                    )
                })?;
                lane.connect(stdin, stdout);
                self.connected = true;
            } else if lane.is_connected() {
                self.connected = true;
            } else {
                self.connecting = lane.socket.clone().map(|socket| {
                    let connecting = async move { socket.connect().await };
                    Box::pin(connecting) as Connecting
                });
                // Every lane of this format has a socket.
                self.connected = self.connecting.is_none();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads past the body that comes with a report, so that the lane is clean.
    fn poll_report(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
        report: Report,
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        while ready!(self.http.poll_data(cx, lane))?.is_some() {}
        Poll::Ready(Err(ExchangeError::Reported(report)))
    }
}

impl Exchange for StreamExchange {
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        ready!(self.poll_connected(cx, lane))?;
        if let Some(report) = self.report {
            return self.poll_report(cx, lane, report);
        }
        let head = ready!(self.http.poll_head(cx, lane))?;
        self.last = says_close(&head.headers);
        self.report = match head.status {
            StatusCode::OK => return Poll::Ready(from_function(self.via, head)),
            StatusCode::BAD_GATEWAY => Some(Report::Failed),
            StatusCode::GATEWAY_TIMEOUT => Some(Report::TimedOut),
            other => {
                let detail = format!("status {} is neither 200, 502 nor 504", other.as_u16());
                return Poll::Ready(Err(ExchangeError::BadFrame(detail)));
            }
        };
        self.poll_head(cx, lane)
    }

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        lane: &mut Lane,
    ) -> Poll<Result<Option<Bytes>, ExchangeError>> {
        self.http.poll_data(cx, lane)
    }

    /// What is left of a request would be taken for the next one; but that goes for the connection
    /// only. Many servers answer without reading what their handlers do not ask for.
    fn is_clean(&self, lane: &mut Lane) -> bool {
        if self.last || !self.http.is_clean(lane) {
            lane.disconnect();
        }
        true
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// What the function gets to see. An HTTP client's headers are marked as such, so that it cannot
/// pass for the platform; who calls the function itself speaks its language.
fn to_function(request: &CallRequest, deadline: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        if *name == HOST || *name == CONTENT_LENGTH {
            continue;
        }
        let name = match request.via {
            Via::Http if *name != CONTENT_TYPE => {
                match HeaderName::try_from(format!("{FORWARDED}{name}")) {
                    Ok(name) => name,
                    // Only a name close to the longest possible one is too long with this.
                    Err(_) => continue,
                }
            }
            _ => name.clone(),
        };
        headers.append(name, value.clone());
    }
    let mut set = |name, value: &str| {
        // ASCII by construction, or parsed by the gateway.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if request.via == Via::Http {
        set(METHOD, request.method.as_str());
        set(URL, &request.url);
        set(INTENT, "httprequest");
    }
    set(HOST, "localhost");
    set(CALL_ID, request.id.write(&mut [0; 26]));
    set(DEADLINE, &deadline.to_seconds());
    headers
}

/// The answer as the caller is to see it: an HTTP client gets what the function said to it, and
/// nothing of what it said to the platform.
fn from_function(via: Via, head: ResponseHead) -> Result<ResponseHead, ExchangeError> {
    if via == Via::Invoke {
        return Ok(head);
    }
    let status = match head.headers.get(STATUS) {
        None => StatusCode::OK,
        Some(value) => final_status(value).ok_or_else(|| {
            let value = value.as_bytes().escape_ascii();
            ExchangeError::BadFrame(format!("Fn-Http-Status \"{value}\" is not a status"))
        })?,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &head.headers {
        if *name == CONTENT_TYPE {
            headers.append(name, value.clone());
        } else if let Some(own) = name.as_str().strip_prefix(FORWARDED)
            && let Ok(own) = HeaderName::try_from(own)
            && own != CONTENT_LENGTH
        {
            headers.append(own, value.clone());
        }
    }
    Ok(ResponseHead {
        status,
        headers,
        length: head.length,
    })
}

fn final_status(value: &HeaderValue) -> Option<StatusCode> {
    let code: u16 = value.to_str().ok()?.trim().parse().ok()?;
    (200..=599)
        .contains(&code)
        .then(|| StatusCode::from_u16(code).ok())?
}
