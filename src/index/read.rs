use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::problem::{Problem, quoted, sorted};
use super::value::{Members, shown};
use crate::model::{
    Annotations, INVOKE_ENDPOINT, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB, MAX_TIMEOUT_SECS, Methods,
    Pattern, TRIGGER_ENDPOINT, check_annotations,
};

/// Longest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most functions of one image.
pub const MAX_FUNCTIONS: usize = 200;
/// Most triggers of one function, and methods of one trigger.
const MAX_TRIGGERS: usize = 16;
/// Most values of one kind that a function expects.
const MAX_EXPECTED: usize = 100;
/// Most faults of its own that an image is heard of.
const MAX_ERRORS: usize = 100;
/// The version of the index that is understood.
const VERSION: u64 = 1;
const MAX_NAME: usize = 128;
const MAX_TRIGGER_NAME: usize = 255;
/// The one type of trigger there is.
const HTTP: &str = "http";
/// Names that other things of a platform have.
const RESERVED: [&str; 1] = ["host"];
/// Annotations that the platform itself makes.
const RESERVED_ANNOTATIONS: [&str; 2] = [INVOKE_ENDPOINT, TRIGGER_ENDPOINT];

/// What an image says about its functions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// What the image was made with, for people.
    pub runtime: String,
    /// In the image's order, those with problems included.
    pub functions: Vec<Declared>,
    /// Sorted; each in one line.
    pub problems: Vec<Problem>,
}

/// One function as its image declares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    pub name: String,
    pub description: String,
    pub triggers: Vec<DeclaredTrigger>,
    pub memory_mb: Option<u64>,
    pub timeout_secs: Option<u32>,
    pub idle_timeout_secs: Option<u32>,
    /// It takes request bodies as they come.
    pub streaming: bool,
    pub expects: Expects,
    pub annotations: Annotations,
}

/// What a function wants to be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expects {
    pub config: Vec<ExpectedValue>,
    /// Names of secrets, without which it does not work.
    pub secrets: Vec<String>,
}

/// A configuration value that a function reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedValue {
    pub name: String,
    /// It does not work without.
    pub required: bool,
}

/// A path that calls a function.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredTrigger {
    pub name: String,
    pub source: String,
    pub methods: Methods,
    /// The source, where it is one.
    pub pattern: Option<Pattern>,
}

/// Reads and judges the body of an answer.
pub fn read(body: &[u8]) -> Index {
    let mut index = Index::default();
    let mut problems = Vec::new();
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => whole(&map, &mut index, &mut problems),
        Ok(other) => problems.push(Problem::general(format!(
            "index: {} is not allowed, expected a JSON object",
            shown(&other)
        ))),
        Err(error) => problems.push(Problem::general(format!("index: not JSON: {error}"))),
    }
    index.problems = sorted(problems);
    index
}

/// Whether the image answers, in place of an index, that its func.yaml is to be used.
pub(super) fn declines(body: &[u8]) -> bool {
    let value: Result<Value, _> = serde_json::from_slice(body);
    value.is_ok_and(|value| value.get("use_func_yaml") == Some(&Value::Bool(true)))
}

fn whole(map: &Map<String, Value>, index: &mut Index, problems: &mut Vec<Problem>) {
    match map
        .get("fn_index")
        .map(|version| (version, version.as_u64()))
    {
        Some((_, Some(VERSION))) => {}
        Some((version, Some(later))) if later > VERSION => {
            problems.push(Problem::general(format!(
                "index: fn_index {version} is later than {VERSION}: the image needs a newer gateway"
            )));
            return;
        }
        Some((other, _)) => {
            let found = shown(other);
            let text = format!("index: fn_index {found} is not allowed, expected {VERSION}");
            problems.push(Problem::general(text));
            return;
        }
        None => {
            let text = format!("index: fn_index is missing, expected {VERSION}");
            problems.push(Problem::general(text));
            return;
        }
    }
    index.runtime = runtime(map);
    let functions = match map.get("functions") {
        Some(Value::Array(functions)) => functions.as_slice(),
        Some(other) => {
            let text = format!(
                "index: functions {} is not allowed, expected a list",
                shown(other)
            );
            problems.push(Problem::general(text));
            &[]
        }
        None => &[],
    };
    let count = functions.len();
    if !(1..=MAX_FUNCTIONS).contains(&count) {
        let text = format!("index: functions: {count} of them, expected 1..{MAX_FUNCTIONS}");
        problems.push(Problem::general(text));
        if count > MAX_FUNCTIONS {
            return;
        }
    }
    for (at, value) in functions.iter().enumerate() {
        index.functions.extend(function(at, value, problems));
    }
    names_differ(&index.functions, problems);
    clashes(index.functions.iter(), problems);
    reported(map, problems);
}

fn runtime(map: &Map<String, Value>) -> String {
    let runtime = map.get("runtime").and_then(Value::as_object);
    let text = |name: &str| runtime.and_then(|r| r.get(name)).and_then(Value::as_str);
    let words: Vec<&str> = [text("name"), text("fdk")].into_iter().flatten().collect();
    let plain = |c: &char| !c.is_control();
    words.join(" ").chars().filter(plain).take(100).collect()
}

fn function(at: usize, value: &Value, problems: &mut Vec<Problem>) -> Option<Declared> {
    let Value::Object(map) = value else {
        problems.push(Problem::general(format!(
            "index: functions[{at}]: {} is not allowed, expected an object",
            shown(value)
        )));
        return None;
    };
    let name = match map.get("name") {
        Some(Value::String(name)) => name,
        Some(other) => {
            problems.push(Problem::general(format!(
                "index: functions[{at}]: name {} is not allowed, expected a text",
                shown(other)
            )));
            return None;
        }
        None => {
            let text = format!("index: functions[{at}]: name is missing");
            problems.push(Problem::general(text));
            return None;
        }
    };
    if let Err(rule) = check_name(name) {
        problems.push(Problem::of(name, rule));
        if name.len() > MAX_NAME {
            // Each further problem would hold the name once more.
            return Some(Declared {
                name: name.clone(),
                ..Declared::default()
            });
        }
    }
    let mut members = Members::new(map, name, String::new(), problems);
    let declared = Declared {
        name: name.clone(),
        description: members
            .text("description")
            .map_or_else(String::new, one_line),
        memory_mb: members.number("memory", MAX_MEMORY_MB),
        timeout_secs: members.seconds("timeout", MAX_TIMEOUT_SECS),
        idle_timeout_secs: members.seconds("idle_timeout", MAX_IDLE_TIMEOUT_SECS),
        streaming: members.flag("streaming"),
        annotations: members
            .object("annotations")
            .map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
            .unwrap_or_default(),
        triggers: Vec::new(),
        expects: Expects::default(),
    };
    for side in ["input", "output"] {
        if let Some(described) = members.object(side)
            && let Some(schema) = described.get("schema").filter(|s| !s.is_null())
            && !schema.is_object()
        {
            let found = shown(schema);
            members.report(format_args!(
                "{side}.schema {found} is not allowed, expected an object"
            ));
        }
    }
    for key in RESERVED_ANNOTATIONS {
        if declared.annotations.contains_key(key) {
            members.report(format_args!("annotations {key:?} is the platform's own"));
        }
    }
    let triggers = members.list("triggers", MAX_TRIGGERS);
    let expects = members.object("expects");
    if let Err(error) = check_annotations(&declared.annotations) {
        problems.push(Problem::of_values(name, "annotations", &error));
    }
    Some(Declared {
        triggers: triggers_of(name, triggers, problems),
        expects: expects.map_or_else(Expects::default, |map| expected(name, map, problems)),
        ..declared
    })
}

/// The rule for the name of a function.
fn check_name(name: &str) -> Result<(), String> {
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("name must start with a letter".to_owned());
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"_-".contains(*c))
    {
        return Err(format!(
            "name has {bad:?} in it, expected letters, digits, _ and -"
        ));
    }
    if name.len() > MAX_NAME {
        return Err(format!(
            "name has {} characters, expected at most {MAX_NAME}",
            name.len()
        ));
    }
    if RESERVED
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(format!("name {name:?} is reserved"));
    }
    Ok(())
}

/// What is declared; where nothing is, one with the function's name takes every method.
fn triggers_of(
    function: &str,
    list: Option<&[Value]>,
    problems: &mut Vec<Problem>,
) -> Vec<DeclaredTrigger> {
    let Some(list) = list else {
        let source = format!("/{function}");
        return vec![DeclaredTrigger {
            name: function.to_owned(),
            pattern: Pattern::parse(&source).ok(),
            source,
            methods: Methods::ANY,
        }];
    };
    let mut triggers = Vec::new();
    for (at, value) in list.iter().enumerate() {
        match value {
            Value::Object(map) => triggers.extend(trigger(function, map, problems)),
            other => problems.push(Problem::of(
                function,
                format_args!(
                    "triggers[{at}] {} is not allowed, expected an object",
                    shown(other)
                ),
            )),
        }
    }
    triggers
}

fn trigger(
    function: &str,
    map: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> Option<DeclaredTrigger> {
    let name = map.get("name").and_then(Value::as_str).unwrap_or(function);
    let place = format!("trigger {}: ", quoted(name));
    let mut members = Members::new(map, function, place, problems);
    members.text("name");
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(word) || name.chars().count() > MAX_TRIGGER_NAME {
        members.report(format_args!(
            "name is not allowed, expected letters, digits, _ and -, at most {MAX_TRIGGER_NAME}"
        ));
    }
    if let Some(kind) = members.text("type")
        && kind != HTTP
    {
        let kind = quoted(kind);
        members.report(format_args!(
            "type {kind} is not supported by this gateway, expected {HTTP}"
        ));
        return None;
    }
    let methods = match members.texts("methods", MAX_TRIGGERS).map(Methods::parse) {
        None => Methods::ANY,
        Some(Ok(methods)) => methods,
        Some(Err(error)) => {
            members.report(format_args!("methods: {error}"));
            Methods::ANY
        }
    };
    let Some(source) = members.text("source") else {
        if members.get("source").is_none() {
            members.report("source is missing, expected a path such as /name");
        }
        return None;
    };
    let pattern = match Pattern::parse(source) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let source = quoted(source);
            members.report(format_args!("source {source}: {error}"));
            None
        }
    };
    Some(DeclaredTrigger {
        name: name.to_owned(),
        source: source.to_owned(),
        methods,
        pattern,
    })
}

fn expected(function: &str, map: &Map<String, Value>, problems: &mut Vec<Problem>) -> Expects {
    let mut members = Members::new(map, function, "expects.".to_owned(), problems);
    let mut expects = Expects::default();
    for value in members.list("config", MAX_EXPECTED).unwrap_or_default() {
        let named = match value {
            Value::String(name) => Some((name, true)),
            other => match other.get("name") {
                Some(Value::String(name)) => {
                    let required = other.get("required").and_then(Value::as_bool);
                    Some((name, required.unwrap_or(false)))
                }
                _ => None,
            },
        };
        match named {
            Some((name, required)) => expects.config.push(ExpectedValue {
                name: name.clone(),
                required,
            }),
            None => {
                let found = shown(value);
                members.report(format_args!(
                    "config {found} is not allowed, expected objects with a name"
                ));
            }
        }
    }
    let secrets = members.texts("secrets", MAX_EXPECTED).unwrap_or_default();
    expects.secrets = secrets.into_iter().map(str::to_owned).collect();
    expects
}

fn names_differ(functions: &[Declared], problems: &mut Vec<Problem>) {
    let mut spellings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for function in functions {
        let folded = function.name.to_ascii_lowercase();
        spellings.entry(folded).or_default().push(&function.name);
    }
    for mut names in spellings.into_values().filter(|names| names.len() > 1) {
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        let listed: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        problems.push(if let [name] = names[..] {
            Problem::of(
                name,
                format_args!("name is declared {count} times, expected once"),
            )
        } else {
            let text = format!("functions {} differ only in case", listed.join(" and "));
            Problem::between(&names, text)
        });
    }
}

/// No two triggers may have one name, or take one request.
pub(super) fn clashes<'a>(
    functions: impl Iterator<Item = &'a Declared>,
    problems: &mut Vec<Problem>,
) {
    let all = functions.flat_map(|f| f.triggers.iter().map(move |t| (f, t)));
    let (mut names, mut shapes) = (BTreeMap::new(), BTreeMap::new());
    for (function, trigger) in all {
        let owner = (function.name.as_str(), trigger);
        let same_name: &mut Vec<_> = names.entry(trigger.name.as_str()).or_default();
        same_name.push(owner);
        if let Some(pattern) = &trigger.pattern {
            let same_shape: &mut Vec<_> = shapes.entry(pattern.shape()).or_default();
            same_shape.push(owner);
        }
    }
    for (name, owners) in names.into_iter().filter(|(_, owners)| owners.len() > 1) {
        let owners = owner_names(&owners);
        let text = format!(
            "trigger {}: the name is used more than once (functions {})",
            quoted(name),
            listed(&owners)
        );
        problems.push(Problem::between(&owners, text));
    }
    for owners in shapes.into_values() {
        for (at, (function, trigger)) in owners.iter().enumerate() {
            let other = owners[..at].iter().find(|(_, other)| {
                // Of one function twice declared, the name is problem enough.
                other.methods.overlap(trigger.methods)
            });
            if let Some((other_function, other)) = other {
                let owners = [*other_function, *function];
                problems.push(Problem::between(
                    &owners,
                    same_paths(other, trigger, &owners),
                ));
            }
        }
    }
}

fn same_paths(one: &DeclaredTrigger, two: &DeclaredTrigger, owners: &[&str]) -> String {
    let what = if one.source == two.source {
        format!("{} is there twice", one.source)
    } else {
        format!("{} and {} match the same paths", one.source, two.source)
    };
    format!(
        "trigger {}: {what} (functions {})",
        quoted(&two.name),
        listed(owners)
    )
}

fn owner_names<'a, T>(owners: &[(&'a str, T)]) -> Vec<&'a str> {
    let mut names: Vec<&str> = owners.iter().map(|(name, _)| *name).collect();
    names.dedup();
    names
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}

/// What the image itself found wrong with its functions.
fn reported(map: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let errors = match map.get("errors") {
        None | Some(Value::Null) => return,
        Some(Value::Array(errors)) => errors,
        Some(other) => {
            let text = format!(
                "index: errors {} is not allowed, expected a list",
                shown(other)
            );
            problems.push(Problem::general(text));
            return;
        }
    };
    if errors.len() > MAX_ERRORS {
        let count = errors.len();
        let text = format!("index: errors: {count} of them, the first {MAX_ERRORS} are told");
        problems.push(Problem::general(text));
    }
    for error in errors.iter().take(MAX_ERRORS) {
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let message = text("message").or(error.as_str());
        let message = message.map_or_else(|| shown(error), one_line);
        problems.push(match text("function") {
            Some(function) => Problem::of(function, message),
            None => Problem::general(format!("index: {message}")),
        });
    }
}

/// The image's own words, fit for one line of a terminal.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = words.join(" ");
    // Direction overrides could make it read as something else.
    let reorders = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    plain
        .chars()
        .filter(|c| !c.is_control() && !reorders(*c))
        .take(LONGEST)
        .collect()
}
