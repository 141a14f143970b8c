//! What a program tells of its functions.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::app::{App, Entry};
use crate::response::Response;

const CONTENT_TYPE: &str = "application/vnd.fn.index+json";

/// Whether the server asks for the functions rather than for one of them to run. Callers cannot
/// send this header.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    headers
        .get("fn-control")
        .is_some_and(|value| value.as_bytes() == b"index")
}

/// Whether this process was started for that and for nothing else.
pub(crate) fn is_all() -> bool {
    std::env::var_os("FN_INDEXING").is_some_and(|value| value == "1")
}

pub(crate) fn document(app: &App) -> Value {
    // One function without a route of its own is whatever func.yaml makes of it.
    if let [only] = &app.functions[..] {
        if only.route.pattern.is_empty() {
            return json!({ "fn_index": 1, "use_func_yaml": true });
        }
    }
    let functions: Vec<Value> = app.functions.iter().map(function).collect();
    let errors = app.check().into_iter();
    let errors: Vec<Value> = errors
        .map(|(function, message)| json!({ "function": function, "message": message }))
        .collect();
    json!({
        "fn_index": 1,
        "runtime": { "name": "rust", "fdk": env!("CARGO_PKG_VERSION") },
        "capabilities": { "streaming": true, "structured_logs": true, "telemetry": "relay" },
        "functions": functions,
        "errors": errors,
    })
}

fn function(entry: &Entry) -> Value {
    let name = &entry.function.name;
    let route = &entry.route;
    let mut trigger = json!({ "name": name, "type": "http", "source": route.pattern });
    if !route.methods.is_empty() {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        trigger["methods"] = methods.into();
    }
    // Texts and numbers only: nothing that JSON cannot hold.
    let mut function = serde_json::to_value(&route.needs).unwrap_or_default();
    function["name"] = name.as_str().into();
    function["triggers"] = json!([trigger]);
    if entry.read_on.is_some() {
        function["streaming"] = true.into();
    }
    function
}

pub(crate) fn response(document: &Value) -> Response {
    let status = if document["use_func_yaml"] == true {
        http::StatusCode::NOT_IMPLEMENTED
    } else {
        http::StatusCode::OK
    };
    Response::new(status)
        .header("content-type", CONTENT_TYPE)
        .body(document.to_string())
}
