//! What goes over the wire between the command line and a server, old or new.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Annotations, Config, INVOKE_ENDPOINT, Methods, TRIGGER_ENDPOINT};

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

/// Bodies of requests: what says nothing is left out, and stays on the server as it is.
macro_rules! bodies {
    ($($(#[$about:meta])* struct $name:ident {
        $($(#[$of:meta])* $field:ident: $type:ty,)*
    })*) => {
        $($(#[$about])* pub(super) struct $name {
            $($(#[$of])* #[serde(skip_serializing_if = "is_empty")] pub(super) $field: $type,)*
        })*
    };
}

bodies! {
    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    #[serde(default)]
    struct App {
        id: String,
        name: String,
        config: Config,
        annotations: Annotations,
        syslog_url: Option<String>,
    }

    /// A function of the v2 API.
    #[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
    #[serde(default)]
    struct Function {
        id: String,
        app_id: String,
        name: String,
        image: String,
        format: Option<String>,
        memory: Option<u64>,
        timeout: Option<u32>,
        idle_timeout: Option<u32>,
        config: Config,
        annotations: Annotations,
    }

    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Trigger {
        id: String,
        app_id: String,
        fn_id: String,
        name: String,
        source: String,
        #[serde(rename = "type")]
        kind: String,
        annotations: Annotations,
    }

    /// A route of the v1 API.
    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Route {
        path: String,
        image: String,
        memory: Option<u64>,
        cpus: String,
        #[serde(rename = "type")]
        kind: String,
        format: String,
        timeout: Option<u32>,
        idle_timeout: Option<u32>,
        headers: BTreeMap<String, Vec<String>>,
        config: Config,
        annotations: Annotations,
    }

    /// A new app, or what changes on one that exists; what is left out stays as it is.
    #[derive(Debug, Default, PartialEq, Serialize)]
    struct AppChange {
        name: Option<String>,
        config: Config,
        annotations: Annotations,
        syslog_url: Option<String>,
    }

    /// A new function, or what changes on one that exists.
    #[derive(Debug, Default, PartialEq, Serialize)]
    struct FunctionChange {
        app_id: Option<String>,
        name: Option<String>,
        image: Option<String>,
        format: Option<String>,
        memory: Option<u64>,
        timeout: Option<u32>,
        idle_timeout: Option<u32>,
        config: Config,
        annotations: Annotations,
    }

    /// A new trigger, or what changes on one that exists.
    #[derive(Debug, Default, PartialEq, Serialize)]
    struct TriggerChange {
        app_id: Option<String>,
        fn_id: Option<String>,
        name: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
        source: Option<String>,
        annotations: Annotations,
    }

    /// A new route, or what changes on one that exists.
    #[derive(Debug, Default, PartialEq, Serialize)]
    struct RouteChange {
        path: Option<String>,
        image: Option<String>,
        memory: Option<u64>,
        cpus: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
        format: Option<String>,
        timeout: Option<u32>,
        idle_timeout: Option<u32>,
        headers: BTreeMap<String, Vec<String>>,
        config: Config,
        annotations: Annotations,
    }

    /// Which image to ask for its functions.
    #[derive(Debug, Serialize)]
    struct IndexRequest {
        image: String,
        reindex: bool,
        timeout: Option<u64>,
    }

    /// Which image to ask, and what is wanted of its functions.
    #[derive(Debug, Serialize)]
    struct IndexDeploy {
        app: AppTarget,
        image: String,
        indexing: bool,
        reindex: bool,
        format: Option<String>,
        defaults: Option<Settings>,
        annotations: Annotations,
        only: Vec<String>,
        functions: BTreeMap<String, Settings>,
        dry_run: bool,
        skip_invalid: bool,
        keep_missing: bool,
    }

    /// The app that functions are for, and what is to become of it.
    #[derive(Debug, Default, PartialEq, Serialize)]
    struct AppTarget {
        name: String,
        create: bool,
        config: Config,
        annotations: Annotations,
        syslog_url: Option<String>,
    }

    /// Values of one function, or for those that have none.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    struct Settings {
        memory: Option<u64>,
        timeout: Option<u32>,
        idle_timeout: Option<u32>,
        scale: Option<serde_json::Value>,
        config: Config,
    }
}

impl Function {
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.annotations.get(INVOKE_ENDPOINT)?.as_str()
    }
}

impl Trigger {
    /// As in tables; what is there already may be of a server with other rules.
    pub(super) fn methods(&self) -> String {
        let methods = Methods::of(&self.annotations);
        methods.unwrap_or(Methods::ANY).to_string()
    }

    pub(super) fn endpoint(&self) -> Option<&str> {
        self.annotations.get(TRIGGER_ENDPOINT)?.as_str()
    }
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
