use std::collections::BTreeMap;

use crate::model::{AppId, Timestamp};

/// Environment values of an app, route or function, by name; names reach the function verbatim.
pub type Config = BTreeMap<String, String>;

/// Free data that clients keep on a resource.
pub type Annotations = BTreeMap<String, serde_json::Value>;

/// Holds where a function is called, in what the server shows of it.
pub const INVOKE_ENDPOINT: &str = "fnproject.io/fn/invokeEndpoint";
/// Holds where a trigger is called, in what the server shows of it.
pub const TRIGGER_ENDPOINT: &str = "fnproject.io/trigger/httpEndpoint";

/// A group of routes and functions with common configuration.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct App {
    pub id: AppId,
    pub name: String,
    pub config: Config,
    pub annotations: Annotations,
    pub syslog_url: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
