use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::session::Session;
use crate::model::Config;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
    Table,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct OutputFlag {
    /// Show the result as JSON for programs, or as a table for people.
    #[arg(long, value_name = "FORM")]
    output: Option<Form>,
}

impl OutputFlag {
    pub(super) fn is_json(self) -> bool {
        self.output == Some(Form::Json)
    }
}

/// A list: a table unless JSON is asked for.
pub(super) fn list<T: DeserializeOwned>(
    flag: OutputFlag,
    head: &[&str],
    items: &[Value],
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    if flag.is_json() {
        return output::json(&items);
    }
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let Ok(item) = T::deserialize(item) else {
            return Err(
                Failure::new("the server's list has an entry that cannot be read")
                    .hint("see it with --output json")
                    .into(),
            );
        };
        rows.push(row(&item));
    }
    Ok(output::table(head, &rows)?)
}

/// One object: a table where somebody reads it, JSON where a program does, as it was with Fn.
pub(super) fn object(flag: OutputFlag, object: &Value) -> anyhow::Result<()> {
    let as_table = match flag.output {
        Some(form) => form == Form::Table,
        None => output::is_read_by_people(),
    };
    if !as_table {
        return output::json(object);
    }
    let mut rows = Vec::new();
    flatten(String::new(), object, &mut rows);
    Ok(output::table(&["PROPERTY", "VALUE"], &rows)?)
}

/// Configuration values.
pub(super) fn pairs(flag: OutputFlag, config: &Config) -> anyhow::Result<()> {
    if flag.is_json() {
        return output::json(config);
    }
    let row = |(key, value): (&String, &String)| vec![key.clone(), value.clone()];
    let rows: Vec<Vec<String>> = config.iter().map(row).collect();
    Ok(output::table(&["KEY", "VALUE"], &rows)?)
}

/// What a change has done: a sentence, or the object where JSON is asked for.
pub(super) fn done(flag: OutputFlag, sentence: &str, object: &Value) -> anyhow::Result<()> {
    match flag.output {
        Some(Form::Json) => output::json(object),
        _ => Ok(output::line(sentence)?),
    }
}

/// What a deletion has done.
pub(super) fn deleted(what: &str) -> anyhow::Result<()> {
    Ok(output::line(&format!("Deleted {what}"))?)
}

/// An object, or one of its properties as JSON.
pub(super) fn inspected(
    flag: OutputFlag,
    inspected: &Value,
    path: Option<&str>,
) -> anyhow::Result<()> {
    let Some(path) = path else {
        return object(flag, inspected);
    };
    match property(inspected, path) {
        Some(found) => output::json(found),
        None => Err(Failure::new(format!("there is no property {path}"))
            .hint("leave it out to see all that there are")
            .into()),
    }
}

/// The URL that calls a function or fires a trigger, and nothing else. The server names it in the
/// annotation `key`.
pub(super) async fn endpoint(
    session: &Session,
    parts: &[&str],
    what: &str,
    key: &str,
) -> anyhow::Result<()> {
    let object: Value = session.api.get(parts, &[]).await?;
    let annotation = object.get("annotations").and_then(|all| all.get(key));
    match annotation.and_then(Value::as_str) {
        Some(url) => Ok(output::line(url)?),
        None => Err(Failure::new(format!(
            "the server does not say where the {what} is called"
        ))
        .hint("see its annotations by leaving out --endpoint")
        .into()),
    }
}

/// Follows a path such as `annotations.example.com/owner`: keys may have dots of their own.
fn property<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let child = |key: &str| match value {
        Value::Object(map) => map.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    };
    child(path).or_else(|| {
        path.rmatch_indices('.')
            .find_map(|(dot, _)| property(child(&path[..dot])?, &path[dot + 1..]))
    })
}

/// A row for each property, under the path that [`property`] follows to it.
fn flatten(path: String, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(path, value, rows);
            }
        }
        Value::String(text) => rows.push(vec![path, text.clone()]),
        other => rows.push(vec![path, other.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_shows_can_be_asked_for() {
        let value: Value = serde_json::from_str(
            r#"{"name":"f","memory":128,"config":{"A.B":"x"},"headers":{},
                "annotations":{"example.com/a":[1,{"b":2}]}}"#,
        )
        .unwrap();
        let mut rows = Vec::new();
        flatten(String::new(), &value, &mut rows);
        let shown: Vec<String> = rows.iter().map(|row| row.join("=")).collect();
        assert_eq!(
            shown,
            [
                r#"annotations.example.com/a=[1,{"b":2}]"#,
                "config.A.B=x",
                "headers={}",
                "memory=128",
                "name=f"
            ]
        );
        for row in &rows {
            assert!(property(&value, &row[0]).is_some(), "{}", row[0]);
        }
        let deep = property(&value, "annotations.example.com/a.1.b").unwrap();
        assert_eq!(deep.to_string(), "2");
        for path in ["nope", "config.A", "", ".", "memory.x"] {
            assert!(property(&value, path).is_none(), "{path}");
        }
    }
}
