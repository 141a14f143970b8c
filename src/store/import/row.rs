//! Rows of Fn's tables, and their way into the model.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::{
    App, DEFAULT_IDLE_TIMEOUT_SECS, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_SECS, Format, Function,
    InvocationType, MilliCpus, Route, Timestamp, Trigger, clean_path,
};

/// Why a row cannot be taken over, in words for people.
pub(super) type Refusal = String;

/// A column's text; empty where it is NULL or its table has no such column.
pub(super) fn text(row: &SqliteRow, column: &str) -> String {
    row.try_get_unchecked::<Option<String>, _>(column)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// A number that is not 0, else `default`.
fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &str, default: T) -> Result<T, Refusal> {
    let value = row
        .try_get_unchecked::<Option<i64>, _>(column)
        .ok()
        .flatten()
        .unwrap_or_default();
    match value {
        0 => Ok(default),
        value => T::try_from(value).map_err(|_| format!("its {column} {value} is out of range")),
    }
}

/// `default` where the text is empty.
fn parse<T: FromStr>(row: &SqliteRow, column: &str, default: T) -> Result<T, Refusal> {
    let text = text(row, column);
    if text.is_empty() {
        return Ok(default);
    }
    text.parse()
        .map_err(|_| format!("its {column} {text:?} is unknown here"))
}

fn id<T: FromStr>(row: &SqliteRow, column: &str) -> Result<T, Refusal> {
    let text = text(row, column);
    text.parse()
        .map_err(|_| format!("its {column} {text:?} is no id"))
}

fn map<T: DeserializeOwned + Default>(row: &SqliteRow, column: &str) -> Result<T, Refusal> {
    let text = text(row, column);
    if text.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str::<Option<T>>(&text)
        .map(Option::unwrap_or_default)
        .map_err(|_| format!("its {column} cannot be read"))
}

fn present(row: &SqliteRow, column: &str) -> Result<String, Refusal> {
    let text = text(row, column);
    if text.is_empty() || text.contains('\0') {
        return Err(format!("it has no usable {column}"));
    }
    Ok(text)
}

fn time(row: &SqliteRow, column: &str) -> Timestamp {
    text(row, column)
        .parse()
        .unwrap_or_else(|_| Timestamp::now())
}

pub(super) fn app(row: &SqliteRow) -> Result<App, Refusal> {
    Ok(App {
        id: id(row, "id")?,
        name: present(row, "name")?,
        config: map(row, "config")?,
        annotations: map(row, "annotations")?,
        syslog_url: Some(text(row, "syslog_url")).filter(|url| !url.is_empty()),
        created_at: time(row, "created_at"),
        updated_at: time(row, "updated_at"),
    })
}

pub(super) fn route(row: &SqliteRow) -> Result<Route, Refusal> {
    // Fn writes a share that was not given as 0.
    let cpus = match text(row, "cpus").as_str() {
        "" => None,
        text => text
            .parse::<MilliCpus>()
            .map(|cpus| Some(cpus).filter(|cpus| cpus.get() > 0))
            .map_err(|invalid| invalid.to_string())?,
    };
    Ok(Route {
        app_id: id(row, "app_id")?,
        path: clean_path(&present(row, "path")?),
        image: present(row, "image")?,
        memory_mb: number(row, "memory", DEFAULT_MEMORY_MB)?,
        cpus,
        headers: map(row, "headers")?,
        kind: parse(row, "type", InvocationType::Sync)?,
        format: parse(row, "format", Format::Default)?,
        timeout_secs: number(row, "timeout", DEFAULT_TIMEOUT_SECS)?,
        idle_timeout_secs: number(row, "idle_timeout", DEFAULT_IDLE_TIMEOUT_SECS)?,
        tmpfs_mb: number(row, "tmpfs_size", 0)?,
        config: map(row, "config")?,
        annotations: map(row, "annotations")?,
        created_at: time(row, "created_at"),
        updated_at: time(row, "updated_at"),
    })
}

pub(super) fn function(row: &SqliteRow) -> Result<Function, Refusal> {
    Ok(Function {
        id: id(row, "id")?,
        app_id: id(row, "app_id")?,
        name: present(row, "name")?,
        image: present(row, "image")?,
        // The servers that had no other format had no column for it either.
        format: parse(row, "format", Format::HttpStream)?,
        memory_mb: number(row, "memory", DEFAULT_MEMORY_MB)?,
        timeout_secs: number(row, "timeout", DEFAULT_TIMEOUT_SECS)?,
        idle_timeout_secs: number(row, "idle_timeout", DEFAULT_IDLE_TIMEOUT_SECS)?,
        config: map(row, "config")?,
        annotations: map(row, "annotations")?,
        created_at: time(row, "created_at"),
        updated_at: time(row, "updated_at"),
    })
}

pub(super) fn trigger(row: &SqliteRow) -> Result<Trigger, Refusal> {
    let kind = text(row, "type");
    if !matches!(kind.as_str(), "" | "http") {
        return Err(format!("its type {kind:?} is unknown here"));
    }
    let source = present(row, "source")?;
    Ok(Trigger {
        id: id(row, "id")?,
        app_id: id(row, "app_id")?,
        fn_id: id(row, "fn_id")?,
        name: present(row, "name")?,
        // Servers of 2018 took sources without it.
        source: if source.starts_with('/') {
            source
        } else {
            format!("/{source}")
        },
        annotations: map(row, "annotations")?,
        created_at: time(row, "created_at"),
        updated_at: time(row, "updated_at"),
    })
}
