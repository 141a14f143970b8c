//! What goes over the wire between the command line and a server, old or new.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Annotations, Config};

/// Where a function is called; the server writes it on every function it shows.
const INVOKE_ENDPOINT: &str = "fnproject.io/fn/invokeEndpoint";
/// Where a trigger is called.
const TRIGGER_ENDPOINT: &str = "fnproject.io/trigger/httpEndpoint";

pub(super) fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Deserialize)]
pub(super) struct Health {
    pub(super) launcher: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ServerVersion {
    pub(super) version: String,
}

/// A page of a v2 list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    // Fn leaves the member out, or null, where there is nothing.
    pub(super) items: Option<Vec<T>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct App {
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) syslog_url: Option<String>,
}

/// A function of the v2 API.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub(super) struct Function {
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) id: String,
    pub(super) app_id: String,
    pub(super) name: String,
    pub(super) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout: Option<u32>,
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
}

impl Function {
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.annotations.get(INVOKE_ENDPOINT)?.as_str()
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Trigger {
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) id: String,
    pub(super) app_id: String,
    pub(super) fn_id: String,
    pub(super) name: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
}

impl Trigger {
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.annotations.get(TRIGGER_ENDPOINT)?.as_str()
    }
}

/// A route of the v1 API.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Route {
    pub(super) path: String,
    pub(super) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<u64>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) cpus: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout: Option<u32>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) headers: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
}

/// The v1 API wraps what it takes and gives.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct RouteBody {
    pub(super) route: Route,
}

#[derive(Debug, Serialize)]
pub(super) struct AppBody {
    pub(super) app: AppChange,
}

/// A new app, or what changes on one that exists; what is left out stays as it is.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct AppChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) syslog_url: Option<String>,
}

/// A new function, or what changes on one that exists.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct FunctionChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout: Option<u32>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
}

/// A new trigger, or what changes on one that exists.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct TriggerChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fn_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
}

/// A new route, or what changes on one that exists.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct RouteChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpus: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout: Option<u32>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) headers: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
}

/// Which image to ask for its functions.
#[derive(Debug, Serialize)]
pub(super) struct IndexRequest {
    pub(super) image: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) reindex: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u64>,
}

/// What an image says about its functions, or why it says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IndexReport {
    pub(super) image: String,
    pub(super) digest: Option<String>,
    pub(super) state: String,
    pub(super) message: Option<String>,
    pub(super) millis: Option<u64>,
    pub(super) functions: Vec<Declared>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) log: Vec<String>,
}

/// A function as its image declares it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) memory: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) triggers: Vec<Path>,
}

/// Where a function is called; no methods are all of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Path {
    pub(super) source: String,
    pub(super) url: String,
    pub(super) methods: Vec<String>,
}

/// Which image to ask, and what is wanted of its functions.
#[derive(Debug, Serialize)]
pub(super) struct IndexDeploy {
    pub(super) app: AppTarget,
    pub(super) image: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) indexing: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) reindex: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) defaults: Option<Settings>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) only: Vec<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) functions: BTreeMap<String, Settings>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) dry_run: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) skip_invalid: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) keep_missing: bool,
}

/// The app that functions are for, and what is to become of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct AppTarget {
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) create: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) syslog_url: Option<String>,
}

/// Values of one function, or for those that have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scale: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) config: Config,
}

/// What an app becomes by an image, or why it does not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IndexDeployed {
    pub(super) index: IndexReport,
    pub(super) applied: bool,
    pub(super) problems: Vec<String>,
    pub(super) changes: Vec<Outcome>,
}

/// What becomes of one function.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) outcome: String,
    pub(super) memory: u64,
    pub(super) timeout: u64,
    pub(super) triggers: Vec<Path>,
    pub(super) changes: Vec<FieldChange>,
}

/// A value that becomes another.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FieldChange {
    pub(super) field: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

/// A call that has ended; servers leave out what does not apply to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) fn_id: String,
    pub(super) path: String,
    pub(super) created_at: String,
    pub(super) completed_at: String,
    pub(super) error: String,
}

/// The address of a route in the v1 API.
pub(super) fn route_parts<'a>(app: &'a str, path: &'a str) -> Vec<&'a str> {
    let mut parts = vec!["v1", "apps", app, "routes"];
    // The root route has no part of its own: a slash at the end would be redirected.
    parts.extend(path.split('/').filter(|part| !part.is_empty()));
    parts
}

/// An error of either API.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: Option<String>,
    error: Option<ErrorMessage>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorMessage {
    Nested {
        message: String,
    },
    /// Not a server's, but many a function's own way to put it.
    Plain(String),
}

/// The message in the body of an error, whichever API it came from.
pub(super) fn error_message(body: &[u8]) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    body.message
        .or_else(|| {
            body.error.map(|error| match error {
                ErrorMessage::Nested { message } | ErrorMessage::Plain(message) => message,
            })
        })
        .filter(|message| !message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_an_error_are_read() {
        for (body, message) in [
            (r#"{"message":"App not found"}"#, Some("App not found")),
            (
                r#"{"error":{"message":"Route not found"}}"#,
                Some("Route not found"),
            ),
            (
                r#"{"error":"internal server error"}"#,
                Some("internal server error"),
            ),
            (r#"{"message":""}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(error_message(body.as_bytes()).as_deref(), message, "{body}");
        }
    }
}
