use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::model::{Format, InvocationType};

const EXAMPLE: &str = include_str!("../../../func.yaml.example");

fn error(text: &str) -> String {
    Manifest::parse(text, "hello").unwrap_err().to_string()
}

#[test]
fn a_scale_is_an_annotation_with_what_the_file_says() {
    let parse = |text: &str| Manifest::parse(text, "x");
    let found = |text: &str| {
        let manifest = parse(text).unwrap();
        manifest.annotations.get("kiln/scale").cloned()
    };
    assert_eq!(found("format: http\n"), None);
    assert_eq!(
        found("format: http\nscale: {mode: target, min: 2, max: }\n"),
        Some(serde_json::json!({"mode": "target", "min": 2}))
    );
    assert_eq!(
        found("format: http\nscale: {}\n"),
        Some(serde_json::json!({}))
    );
    for (scale, told) in [
        (
            "{min: 5, max: 3}",
            "scale.min: 5 is not allowed, expected a whole number from 0 to 3, which is max",
        ),
        (
            "{max: 0}",
            "scale.max: 0 is not allowed, expected a whole number from 1 to 10000",
        ),
        (
            "{interval: 31}",
            "scale.interval: 31 is not allowed, expected a whole number from 1 to 30",
        ),
        (
            "{mode: x}",
            "scale.mode: x is not allowed, expected demand, target or vote",
        ),
        (
            "{steps: 1}",
            "scale.steps is not a known key, did you mean step?",
        ),
        ("3", "scale: 3 is not allowed, expected keys and values"),
    ] {
        let error = parse(&format!("format: http\nscale: {scale}\n")).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let cold = parse("format: default\nscale: {min: 1}\n").unwrap_err();
    assert!(
        cold.to_string()
            .contains("scale.min: 1 is not allowed, expected 0"),
        "{cold}"
    );
}

#[test]
fn streaming_is_an_annotation_of_formats_that_can() {
    let parse = |text: &str| Manifest::parse(text, "x");
    for (text, value) in [
        ("format: http\nstreaming: true\n", Some("true")),
        ("format: http-stream\nstreaming: false\n", Some("false")),
        ("format: json\nstreaming: false\n", Some("false")),
        ("format: http\n", None),
    ] {
        let annotations = parse(text).unwrap().annotations;
        let found = annotations.get("kiln/streaming").and_then(|v| v.as_str());
        assert_eq!(found, value, "{text}");
    }
    let error = parse("format: json\nstreaming: true\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("only http and http-stream"), "{error}");
    let error = parse("format: http\nstreaming: maybe\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("true or false"), "{error}");
}

#[test]
fn the_example_is_a_function_with_every_key_in_its_place() {
    let manifest = Manifest::parse(EXAMPLE, "x").unwrap();
    assert_eq!(manifest.name, "hello");
    assert_eq!(manifest.format, Format::Http);
    assert_eq!(manifest.cmd, ["--verbose"]);
    assert_eq!(manifest.config["GREETING"], "Hello");
    assert!(manifest.expects[0].required);
    let Deployment::Function { triggers } = manifest.deployment else {
        panic!("schema_version makes it a function");
    };
    assert_eq!(triggers[0].source, "/hello");
    assert_eq!(
        triggers[0].annotations["kiln/methods"],
        serde_json::json!(["GET", "POST"])
    );
    assert_eq!(manifest.indexing, None);
}

#[test]
fn an_image_that_declares_its_functions_may_be_told_more_about_them() {
    let text = "schema_version: 20180708\nname: shop\nindexing: true\npath: /x\n\
                triggers: [{name: t, source: '/t/{id:int}', methods: [post]}]\n\
                functions:\n  only: [add, resize]\n  resize: {memory: 512, scale: {max: 2}}\n  add:\n";
    let indexing = Manifest::parse(text, "x").unwrap().indexing.unwrap();
    assert_eq!(indexing.only, ["add", "resize"]);
    assert_eq!(indexing.ignored, ["triggers", "path"]);
    let resize = &indexing.overrides["resize"];
    assert_eq!(resize.memory_mb, Some(512));
    assert_eq!(resize.scale, Some(serde_json::json!({"max": 2})));
    assert_eq!(indexing.overrides["add"], FunctionOverride::default());
    let head = "schema_version: 20180708\nname: f\n";
    for (text, expected) in [
        (
            "indexing: maybe",
            "func.yaml: indexing: maybe is not allowed, expected true or false",
        ),
        (
            "functions: {f: {memory: 1}}",
            "func.yaml: functions: a mapping is not allowed, expected indexing: true",
        ),
        (
            "indexing: true\nfunctions: {f: {memory: 0}}",
            "func.yaml: functions.f.memory: 0 is not allowed, expected a whole number of megabytes from 1 to 8192",
        ),
        (
            "indexing: true\nfunctions: {f: {memroy: 1}}",
            "func.yaml: functions.f.memroy is not a known key, did you mean memory?",
        ),
        (
            "indexing: true\nfunctions: {f: {scale: {max: 0}}}",
            "func.yaml: functions.f.scale.max: 0 is not allowed",
        ),
        (
            "indexing: true\nfunctions: {f: 1}",
            "func.yaml: functions.f: 1 is not allowed, expected keys and values",
        ),
        (
            "indexing: true\nfunctions: {only: []}",
            "func.yaml: functions.only: an empty or other item is not allowed",
        ),
        (
            "triggers: [{name: t, source: '/{a}/{a}'}]",
            "func.yaml: triggers[0].source: /{a}/{a} is not allowed",
        ),
        (
            "triggers: [{name: t, source: /t, methods: [FETCH]}]",
            "func.yaml: triggers[0].methods: \"FETCH\" is not allowed, expected one of GET",
        ),
    ] {
        let error = Manifest::parse(&format!("{head}{text}\n"), "x")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let error = Manifest::parse("name: f\nindexing: true\n", "x")
        .unwrap_err()
        .to_string();
    assert!(error.contains("indexing is for functions"), "{error}");
}

#[test]
fn the_example_without_schema_version_is_a_route() {
    let mut route = String::new();
    for block in EXAMPLE.split("\n\n") {
        let only_functions = ["schema_version:", "triggers:", "indexing:", "deploy:"];
        if block
            .lines()
            .any(|l| only_functions.iter().any(|k| l.starts_with(k)))
        {
            continue;
        }
        for line in block.lines() {
            let setting = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
            route.push_str(setting.unwrap_or(line));
            route.push('\n');
        }
    }
    let manifest = Manifest::parse(&route, "x").unwrap();
    let Deployment::Route {
        path,
        cpus,
        headers,
    } = manifest.deployment
    else {
        panic!("no schema_version makes it a route");
    };
    assert_eq!((path.as_str(), cpus.unwrap().get()), ("/hello", 500));
    assert_eq!(headers["Cache-Control"], ["no-store"]);
    assert_eq!(manifest.run_image.as_deref(), Some("example/runner:1"));
}

#[test]
fn a_file_of_the_routes_era_means_what_it_meant() {
    let text = "name: owner/hello\nversion: 0.0.3\nruntime: go\nentrypoint: ./func -x\n\
                headers:\n  X-A: b\nconfig: {DEBUG: 1, ON: true, NO: }\n";
    let manifest = Manifest::parse(text, "folder").unwrap();
    assert_eq!(manifest.owner.as_deref(), Some("owner"));
    assert_eq!(manifest.name, "hello");
    assert_eq!(manifest.format, Format::Default);
    assert!(!manifest.format_given);
    assert_eq!(manifest.kind, InvocationType::Sync);
    assert_eq!(manifest.entrypoint, ["./func", "-x"]);
    assert_eq!((manifest.timeout_secs, manifest.memory_mb), (None, None));
    assert_eq!(manifest.config["DEBUG"], "1");
    assert_eq!(manifest.config["NO"], "");
    let Deployment::Route { path, .. } = manifest.deployment else {
        panic!("a route");
    };
    assert_eq!(path, "/folder");
}

#[test]
fn a_file_of_the_functions_era_means_what_it_meant() {
    let text = "schema_version: 20180708\nname: hello\nversion: 0.0.1\nmemory: 256\n\
                deploy:\n  oci: {a: b}\n";
    let manifest = Manifest::parse(text, "x").unwrap();
    assert_eq!(manifest.format, Format::HttpStream);
    let empty = Deployment::Function { triggers: vec![] };
    assert_eq!(manifest.deployment, empty);
}

#[test]
fn json_is_read_by_its_own_rules() {
    let text = "{\n\t\"name\": \"hello\",\n\t\"version\": \"0.0.1\", \"timeout\": 5\n}\n";
    let manifest = Manifest::parse_file(text, "x", "func.json").unwrap();
    assert_eq!(manifest.timeout_secs, Some(5));
    let twice = Manifest::parse_file("{\"a\": 1, \"a\": 2}", "x", "func.json").unwrap_err();
    assert!(twice.to_string().starts_with("func.json: a is given twice"));
}

#[test]
fn an_error_names_the_key_the_value_and_what_is_allowed() {
    for (text, expected) in [
        (
            "triggers: [{name: t, source: /t}]",
            "func.yaml: triggers is for functions, expected schema_version: 20180708 in the file as well; without it the folder deploys a route",
        ),
        (
            "idle_timeout: 0",
            "func.yaml: idle_timeout: 0 is not allowed, expected a whole number of seconds from 1 to 3600",
        ),
        (
            "timeout: 301",
            "func.yaml: timeout: 301 is not allowed, expected a whole number of seconds from 1 to 300",
        ),
        (
            "timeout: 1.5",
            "func.yaml: timeout: 1.5 is not allowed, expected a whole number of seconds from 1 to 300",
        ),
        (
            "memory: 128m",
            "func.yaml: memory: 128m is not allowed, expected a whole number of megabytes from 1 to 8192",
        ),
        (
            "memory: -1",
            "func.yaml: memory: -1 is not allowed, expected a whole number of megabytes from 1 to 8192",
        ),
        (
            "format: hot",
            "func.yaml: format: hot is not allowed, expected one of default, http, json, cloudevent, http-stream",
        ),
        (
            "type: later",
            "func.yaml: type: later is not allowed, expected sync or async",
        ),
        (
            "version: 1.0",
            "func.yaml: version: 1.0 is not allowed, expected three numbers such as 0.0.1",
        ),
        (
            "schema_version: 2",
            "func.yaml: schema_version: 2 is not allowed, expected 20180708, or no such key",
        ),
        (
            "path: hello",
            "func.yaml: path: hello is not allowed, expected a path that starts with / and has no spaces, :, ? or #",
        ),
        (
            "cpus: lots",
            "func.yaml: cpus: lots is not allowed, expected cores such as 0.5, or thousandths of a core such as 500m, up to 1024 cores",
        ),
        (
            "config: [a]",
            "func.yaml: config: a list is not allowed, expected keys and values",
        ),
        (
            "config: {A: [1]}",
            "func.yaml: config.A: a list is not allowed, expected text, a number or a flag",
        ),
        (
            "headers: {X: [{a: b}]}",
            "func.yaml: headers.X: a mapping is not allowed, expected one line of text, or a list of them",
        ),
        (
            "schema_version: 20180708\ntriggers: [{name: t, type: cron, source: /t}]",
            "func.yaml: triggers[0].type: cron is not allowed, expected http",
        ),
        (
            "schema_version: 20180708\ntriggers: [{name: t, source: t}]",
            "func.yaml: triggers[0].source: t is not allowed, expected a path that starts with / and has no spaces, :, ? or #",
        ),
        (
            "schema_version: 20180708\ntriggers: [{name: t, source: /a}, {name: t, source: /b}]",
            "func.yaml: triggers[1].name: t is not allowed, expected a name that no other trigger has",
        ),
        (
            "schema_version: 20180708\ntriggers: [{type: http}]",
            "func.yaml: triggers[0].name is missing, expected letters, digits, -, _, . or ~",
        ),
        (
            "schema_version: 20180708\ntype: async",
            "func.yaml: type: async is not allowed, expected sync (async is for files without schema_version)",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn an_unknown_key_gets_the_nearest_known_one() {
    let message = error("idle-timeout: 5");
    let start =
        "func.yaml: idle-timeout is not a known key, did you mean idle_timeout?, expected one of ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.contains("memory"), "{message}");
    assert!(error("zzzzzzzz: 5").starts_with("func.yaml: zzzzzzzz is not a known key, expected"));
    assert!(error("triggers: []").contains("expected schema_version: 20180708 in the file"));
    let path = error("schema_version: 20180708\npath: /a");
    assert!(path.contains("path is not a known key"), "{path}");
}

#[test]
fn names_that_climb_or_deceive_are_refused() {
    for name in [
        "../x",
        "a/../b",
        "Hello",
        "a b",
        "\"a\\nb\"",
        "а",
        "''",
        "[a]",
    ] {
        let message = error(&format!("name: {name}\n"));
        assert!(message.starts_with("func.yaml: name: "), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
    let unnamed = Manifest::parse("memory: 5", "My Folder").unwrap_err();
    assert!(
        unnamed
            .to_string()
            .starts_with("func.yaml: name is missing")
    );
}

/// Fault F5.
#[test]
fn hostile_files_fail_fast_and_in_one_line() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb = format!("{bomb}a{level}: &a{level} [{items}]\n");
    }
    let copies = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(30_000),
        "*a,".repeat(5_000)
    );
    for text in [
        bomb,
        copies,
        "[".repeat(60_000),
        "{".repeat(60_000),
        "a: ".repeat(20_000),
        "- ".repeat(30_000),
        "? ".repeat(30_000),
        "x".repeat(MAX_MANIFEST_BYTES + 1),
        "name: a\nname: b\n".to_owned(),
        "name: a\n\tversion: 0.0.1\n".to_owned(),
        String::new(),
        "# nothing\n".to_owned(),
        "hello".to_owned(),
        "- a\n- b\n".to_owned(),
        "name: !!binary aGk=\n".to_owned(),
        "name: !x hi\n".to_owned(),
        "? [a]\n: b\n".to_owned(),
        "--- {}\n--- {}\n".to_owned(),
        "name: a\u{0}b\n".to_owned(),
        "config: &c\n  a: *c\n".to_owned(),
    ] {
        let started = Instant::now();
        let message = error(&text);
        let head: String = text.chars().take(30).collect();
        assert!(message.starts_with("func.yaml: "), "{head}: {message}");
        assert_eq!(message.lines().count(), 1, "{head}: {message}");
        assert!(message.len() < 500, "{head}: {message}");
        assert!(started.elapsed().as_secs() < 30, "{head}");
    }
}

#[test]
fn a_folder_is_searched_for_every_name_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Manifest::find(dir.path()).unwrap_err();
    assert!(matches!(missing, ManifestError::NotFound { .. }));
    std::fs::write(
        dir.path().join("func.json"),
        "{\"name\": \"a\", \"path\": \"/a\"}",
    )
    .unwrap();
    assert_eq!(Manifest::find(dir.path()).unwrap().0, "func.json");
    std::fs::write(dir.path().join("func.yml"), "name: b\npath: /b\n").unwrap();
    let (file, text, manifest) = Manifest::find(dir.path()).unwrap();
    assert_eq!((file, manifest.name.as_str()), ("func.yml", "b"));
    let inner = dir.path().join("inner");
    std::fs::create_dir_all(inner.join("deep")).unwrap();
    std::fs::write(inner.join("func.yaml"), "memory: 64\n").unwrap();
    let (_, _, manifest) = Manifest::find(&inner.join("deep/..")).unwrap();
    assert_eq!(manifest.name, "inner");
    assert_eq!(text, "name: b\npath: /b\n");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_errs_in_one_line(text in "\\PC{0,200}|[ \\n:\\[\\]{}&*!a-c'\"#-]{0,120}") {
        for file in ["func.yaml", "func.json"] {
            if let Err(error) = Manifest::parse_file(&text, "x", file) {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
        if let Err(error) = bump_patch(&text) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn arbitrary_values_of_known_keys_never_panic(
        key in prop::sample::select(vec![
            "name", "version", "timeout", "memory", "format", "config", "headers", "annotations",
            "expects", "cpus", "path", "cmd", "build", "streaming",
        ]),
        value in "[ -~\\n]{0,60}",
    ) {
        if let Err(error) = Manifest::parse(&format!("{key}: {value}\n"), "x") {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
