//! Holds every request and answer of the other tests against the OpenAPI documents, and the
//! documents against their committed copies.

use std::sync::LazyLock;

use http::{Method, StatusCode};
use serde_json::Value;

use super::server::{Answer, Server};
use crate::api::{v1, v2};

static DOCUMENTS: LazyLock<[(&str, Value); 2]> = LazyLock::new(|| {
    [
        ("/v1/", serde_json::to_value(v1::document()).unwrap()),
        ("/v2/", serde_json::to_value(v2::document()).unwrap()),
    ]
});

/// The document that speaks of `path`, and what it says of `verb` there.
fn operation(verb: &str, path: &str) -> Option<(&'static Value, Option<&'static Value>)> {
    let (_, document) = DOCUMENTS.iter().find(|(root, _)| path.starts_with(root))?;
    let paths = document["paths"].as_object().unwrap();
    let found = paths.iter().find(|(template, _)| matches(template, path));
    let verb = verb.to_ascii_lowercase();
    Some((document, found.and_then(|(_, item)| item.get(&verb))))
}

fn matches(template: &str, path: &str) -> bool {
    // The path of a route may hold slashes; one that is empty is the root route's.
    if let Some(rest) = path.strip_prefix("/v1/apps/")
        && let Some((_, route)) = rest.split_once("/routes")
    {
        let root = route.trim_matches('/').is_empty();
        let known = if root {
            "/v1/apps/{app}/routes"
        } else {
            "/v1/apps/{app}/routes/{path}"
        };
        return template == known;
    }
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template
            .zip(path)
            .all(|(t, p)| t.starts_with('{') || t == p)
}

/// The answer is one that the document promises.
#[track_caller]
pub(super) fn holds(verb: &Method, path: &str, answer: &Answer) {
    let status = answer.status;
    // What is not routed, or redirected to where it is, is not in the documents either.
    let routed = status != StatusCode::METHOD_NOT_ALLOWED
        && !status.is_redirection()
        && !answer.text.contains("Path not found")
        && !path.ends_with("/openapi.json");
    let Some((document, operation)) = operation(verb.as_str(), path).filter(|_| routed) else {
        return;
    };
    let operation = operation.unwrap_or_else(|| panic!("{verb} {path} is not documented"));
    let promised = &operation["responses"][status.as_str()];
    assert!(promised.is_object(), "{verb} {path} answers {status}");
    let content = promised.get("content");
    assert_eq!(content.is_none(), answer.text.is_empty(), "{verb} {path}");
    if let Some(content) = content {
        let kind = answer.headers["content-type"].to_str().unwrap();
        let kind = kind.split(';').next().unwrap();
        let schema = &content[kind]["schema"];
        let value = match kind {
            "text/plain" => Value::String(answer.text.clone()),
            _ => serde_json::from_str(&answer.text).unwrap(),
        };
        if let Err(error) = fits(document, schema, &value, true) {
            panic!("{verb} {path} answers {status} with {value}: {error}");
        }
    }
    for header in promised["headers"].as_object().into_iter().flatten() {
        let name = header.0.to_ascii_lowercase();
        assert!(
            answer.headers.contains_key(&name),
            "{verb} {path}: no {name}"
        );
    }
}

/// The document allows the request.
#[track_caller]
pub(super) fn allows(call: &str, body: &Value) {
    let (verb, path) = call.split_once(' ').unwrap();
    let path = path.split('?').next().unwrap();
    if let Some((document, Some(operation))) = operation(verb, path) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if let Err(error) = fits(document, schema, body, false) {
            panic!("{call} takes {body}: {error}");
        }
    }
}

/// As much of JSON Schema as the documents use. With `closed`, a member must be documented.
fn fits(document: &Value, schema: &Value, value: &Value, closed: bool) -> Result<(), String> {
    let keywords = schema.as_object().ok_or("no schema")?;
    for (keyword, rule) in keywords {
        let fits = |rule| fits(document, rule, value, closed);
        match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                fits(document.pointer(pointer).ok_or("a dangling $ref")?)?;
            }
            "allOf" => rule.as_array().unwrap().iter().try_for_each(fits)?,
            "oneOf" => {
                let fitting = rule.as_array().unwrap().iter().filter(|r| fits(r).is_ok());
                if fitting.count() != 1 {
                    return Err(format!("{value} is not one of {rule}"));
                }
            }
            "type" => {
                let types = rule
                    .as_array()
                    .map_or_else(|| std::slice::from_ref(rule), Vec::as_slice);
                if !types
                    .iter()
                    .any(|name| is_type(value, name.as_str().unwrap()))
                {
                    return Err(format!("{value} is no {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return Err(format!("no {name}"));
                    }
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|n| n < rule.as_f64().unwrap()) {
                    return Err(format!("{value} is below {rule}"));
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    self::fits(document, rule, item, closed)?;
                }
            }
            "properties" | "additionalProperties" => {}
            "description" | "format" | "example" | "propertyNames" => {}
            other => return Err(format!("the test does not know {other}")),
        }
    }
    let rest = schema.get("additionalProperties");
    let members = schema.get("properties");
    if members.is_none() && rest.is_none() {
        return Ok(());
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match members.and_then(|members| members.get(name)).or(rest) {
            Some(rule) => {
                fits(document, rule, value, closed).map_err(|e| format!("{name}: {e}"))?
            }
            None if closed => return Err(format!("{name} is not documented")),
            None => {}
        }
    }
    Ok(())
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    for (_, document) in DOCUMENTS.iter() {
        let items = document["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        let mut names: Vec<_> = operations
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

#[tokio::test]
async fn every_documented_operation_is_there() {
    let server = Server::start().await;
    for (_, document) in DOCUMENTS.iter() {
        for (template, item) in document["paths"].as_object().unwrap() {
            let path = template
                .replace("{app}", "a")
                .replace("{path}", "x")
                .replace("{id}", "x");
            for verb in item.as_object().unwrap().keys() {
                let call = format!("{} {path}", verb.to_ascii_uppercase());
                let answer = server.raw(&call, "{").await;
                assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{call}");
                assert!(!answer.text.contains("Path not found"), "{call}");
            }
        }
    }
}

/// A change of the API shows in the diff of these files. `UPDATE_SNAPSHOTS=1` writes them.
#[tokio::test]
async fn the_documents_are_served_as_they_are_committed() {
    let server = Server::start().await;
    for version in ["v1", "v2"] {
        let served = server.ok_get(&format!("/{version}/openapi.json")).await;
        let served = format!("{}\n", serde_json::to_string_pretty(&served).unwrap());
        let file = format!("{}/docs/openapi/{version}.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&file, &served).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            served == committed,
            "{file} is out of date; UPDATE_SNAPSHOTS=1 cargo test --lib api::tests::contract writes it"
        );
    }
}

/// `docs/fn-compatibility.md` names a test for each row.
#[test]
fn every_test_that_the_compatibility_page_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/fn-compatibility.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|l| l.ends_with("` |")).collect();
    assert!(rows.len() > 30, "{}", rows.len());
    let sources = sources(&[root.join("src"), root.join("tests")]);
    for row in rows {
        let name = row.trim_end_matches("` |").rsplit('`').next().unwrap();
        let there = match name.rsplit_once("::") {
            Some((_, test)) => sources.iter().any(|s| s.contains(&format!("fn {test}("))),
            // A script, which is a test of its own.
            None => root.join(name).is_file(),
        };
        assert!(there, "there is no {name}");
    }
}

fn sources(folders: &[std::path::PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = folders.to_vec();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
    found
}
