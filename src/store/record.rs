//! Rows as the database has them, and their way into the model.

use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use crate::model::{App, Call, CallTarget, Function, Route, Timestamp, Trigger};
use crate::store::StoreError;

#[derive(Debug, FromRow)]
pub(super) struct AppRow {
    id: String,
    name: String,
    config: String,
    annotations: String,
    syslog_url: Option<String>,
    created_at: i64,
    updated_at: i64,
}

#[derive(Debug, FromRow)]
pub(super) struct RouteRow {
    app_id: String,
    path: String,
    image: String,
    format: String,
    memory: i64,
    cpus: String,
    timeout: i64,
    idle_timeout: i64,
    tmpfs_size: i64,
    #[sqlx(rename = "type")]
    kind: String,
    headers: String,
    config: String,
    annotations: String,
    created_at: i64,
    updated_at: i64,
}

#[derive(Debug, FromRow)]
pub(super) struct FunctionRow {
    id: String,
    name: String,
    app_id: String,
    image: String,
    format: String,
    memory: i64,
    timeout: i64,
    idle_timeout: i64,
    config: String,
    annotations: String,
    created_at: i64,
    updated_at: i64,
}

#[derive(Debug, FromRow)]
pub(super) struct TriggerRow {
    id: String,
    name: String,
    app_id: String,
    fn_id: String,
    source: String,
    annotations: String,
    created_at: i64,
    updated_at: i64,
}

#[derive(Debug, FromRow)]
pub(super) struct CallRow {
    id: String,
    app_id: String,
    fn_id: String,
    path: String,
    status: String,
    error: String,
    blame: String,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: i64,
}

/// A call as its columns take it.
#[derive(Debug)]
pub(super) struct CallColumns {
    pub(super) id: String,
    pub(super) app_id: String,
    pub(super) fn_id: String,
    pub(super) path: String,
    pub(super) status: &'static str,
    pub(super) error: String,
    pub(super) blame: String,
    pub(super) created_at: i64,
    pub(super) started_at: Option<i64>,
    pub(super) completed_at: i64,
}

pub(super) fn columns(call: &Call) -> CallColumns {
    let (fn_id, path) = match &call.target {
        CallTarget::Fn(id) => (id.to_string(), String::new()),
        CallTarget::Route(path) => (String::new(), path.clone()),
    };
    CallColumns {
        id: call.id.to_string(),
        app_id: call.app_id.to_string(),
        fn_id,
        path,
        status: call.status.as_str(),
        // It may quote what a function wrote, and Postgres has no NUL in its texts.
        error: call
            .error
            .as_deref()
            .unwrap_or_default()
            .replace('\0', "\u{fffd}"),
        blame: call.blame.as_deref().unwrap_or_default().to_owned(),
        created_at: call.created_at.as_millis(),
        started_at: call.started_at.map(Timestamp::as_millis),
        completed_at: call.completed_at.as_millis(),
    }
}

impl TryFrom<CallRow> for Call {
    type Error = StoreError;

    fn try_from(row: CallRow) -> Result<Self, StoreError> {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self {
            id: parse("call id", &row.id)?,
            app_id: parse("call app id", &row.app_id)?,
            target: match row.fn_id.as_str() {
                "" => CallTarget::Route(row.path),
                id => CallTarget::Fn(parse("call function id", id)?),
            },
            status: parse("call status", &row.status)?,
            created_at: Timestamp::from_millis(row.created_at),
            started_at: row.started_at.map(Timestamp::from_millis),
            completed_at: Timestamp::from_millis(row.completed_at),
            error: some(row.error),
            blame: some(row.blame).map(Into::into),
        })
    }
}

impl TryFrom<AppRow> for App {
    type Error = StoreError;

    fn try_from(row: AppRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: parse("app id", &row.id)?,
            name: row.name,
            config: decode("app config", &row.config)?,
            annotations: decode("app annotations", &row.annotations)?,
            syslog_url: row.syslog_url,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

impl TryFrom<RouteRow> for Route {
    type Error = StoreError;

    fn try_from(row: RouteRow) -> Result<Self, StoreError> {
        let cpus = match row.cpus.as_str() {
            "" => None,
            text => Some(parse("route cpus", text)?),
        };
        Ok(Self {
            app_id: parse("route app id", &row.app_id)?,
            path: row.path,
            image: row.image,
            memory_mb: number("route memory", row.memory)?,
            cpus,
            headers: decode("route headers", &row.headers)?,
            kind: parse("route type", &row.kind)?,
            format: parse("route format", &row.format)?,
            timeout_secs: number("route timeout", row.timeout)?,
            idle_timeout_secs: number("route idle timeout", row.idle_timeout)?,
            tmpfs_mb: number("route tmpfs size", row.tmpfs_size)?,
            config: decode("route config", &row.config)?,
            annotations: decode("route annotations", &row.annotations)?,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

impl TryFrom<FunctionRow> for Function {
    type Error = StoreError;

    fn try_from(row: FunctionRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: parse("function id", &row.id)?,
            app_id: parse("function app id", &row.app_id)?,
            name: row.name,
            image: row.image,
            format: parse("function format", &row.format)?,
            memory_mb: number("function memory", row.memory)?,
            timeout_secs: number("function timeout", row.timeout)?,
            idle_timeout_secs: number("function idle timeout", row.idle_timeout)?,
            config: decode("function config", &row.config)?,
            annotations: decode("function annotations", &row.annotations)?,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

impl TryFrom<TriggerRow> for Trigger {
    type Error = StoreError;

    fn try_from(row: TriggerRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: parse("trigger id", &row.id)?,
            app_id: parse("trigger app id", &row.app_id)?,
            fn_id: parse("trigger function id", &row.fn_id)?,
            name: row.name,
            source: row.source,
            annotations: decode("trigger annotations", &row.annotations)?,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

/// A map as the JSON text of its column.
pub(super) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::corrupt(what, e))
}

/// A size as the number of its column.
pub(super) fn size(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|e| StoreError::corrupt(what, e))
}

pub(super) fn parse<T>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|e| StoreError::corrupt(what, e))
}

fn decode<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::corrupt(what, e))
}

fn number<T>(what: &'static str, value: i64) -> Result<T, StoreError>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    T::try_from(value).map_err(|e| StoreError::corrupt(what, e))
}
