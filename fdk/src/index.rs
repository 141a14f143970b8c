//! What a program tells of its functions.

use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;

use crate::app::{App, Entry};
use crate::response::Response;
use crate::route::Needs;

const CONTENT_TYPE: &str = "application/vnd.fn.index+json";

/// Whether the server asks for the functions rather than for one of them to run. Not every server
/// keeps callers from sending this, so it counts only where it [is all](is_all) that is asked.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    const CONTROL: HeaderName = HeaderName::from_static("fn-control");

    headers
        .get(CONTROL)
        .is_some_and(|value| value.as_bytes() == b"index")
}

/// Whether this process was started for that and for nothing else.
pub(crate) fn is_all() -> bool {
    std::env::var_os("FN_INDEXING").is_some_and(|value| value == "1")
}

/// What an app tells.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    fn_index: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    use_func_yaml: bool,
    runtime: Runtime,
    capabilities: Capabilities,
    functions: Vec<Told<'a>>,
    errors: Vec<Wrong>,
}

#[derive(Serialize)]
struct Runtime {
    name: &'static str,
    fdk: &'static str,
}

#[derive(Serialize)]
struct Capabilities {
    streaming: bool,
    structured_logs: bool,
    telemetry: &'static str,
}

#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    triggers: [Trigger<'a>; 1],
    #[serde(flatten)]
    needs: &'a Needs,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    streaming: bool,
}

#[derive(Serialize)]
struct Trigger<'a> {
    name: &'a str,
    r#type: &'static str,
    source: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<&'a str>,
}

#[derive(Serialize)]
struct Wrong {
    function: String,
    message: String,
}

pub(crate) fn document(app: &App) -> Document<'_> {
    // One function without a route of its own is whatever func.yaml makes of it.
    let declines = matches!(&app.functions[..], [only] if only.route.pattern.is_empty());
    let told = app.functions.iter().filter(|_| !declines).map(told);
    let wrong = app.check().into_iter();
    Document {
        fn_index: 1,
        use_func_yaml: declines,
        runtime: Runtime {
            name: "rust",
            fdk: env!("CARGO_PKG_VERSION"),
        },
        capabilities: Capabilities {
            streaming: true,
            structured_logs: true,
            telemetry: "relay",
        },
        functions: told.collect(),
        errors: wrong
            .map(|(function, message)| Wrong { function, message })
            .collect(),
    }
}

fn told(entry: &Entry) -> Told<'_> {
    let name = &entry.function.name;
    let route = &entry.route;
    Told {
        name,
        triggers: [Trigger {
            name,
            r#type: "http",
            source: &route.pattern,
            methods: route.methods.iter().map(http::Method::as_str).collect(),
        }],
        needs: &route.needs,
        streaming: entry.read_on.is_some(),
    }
}

impl Document<'_> {
    pub(crate) fn response(&self) -> Response {
        let status = if self.use_func_yaml {
            StatusCode::NOT_IMPLEMENTED
        } else {
            StatusCode::OK
        };
        // Texts and numbers only: nothing that JSON cannot hold.
        Response::new(status)
            .header("content-type", CONTENT_TYPE)
            .body(serde_json::to_vec(self).unwrap_or_default())
    }
}
