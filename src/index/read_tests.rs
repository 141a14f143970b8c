use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::Methods;

pub(super) fn index_of(functions: &Value) -> Index {
    read(
        json!({"fn_index": 1, "functions": functions})
            .to_string()
            .as_bytes(),
    )
}

fn problems(body: &str) -> Vec<String> {
    let index = read(body.as_bytes());
    index.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_index_is_read_as_it_is_meant() {
    let body = json!({
        "fn_index": 1,
        "runtime": {"name": "rust", "fdk": "0.1.0"},
        "capabilities": {"streaming": true},
        "later": {"than": "this"},
        "functions": [
            {"name": "add"},
            {"name": "silent", "triggers": []},
            {
                "name": "resize", "description": "scale a picture",
                "triggers": [{
                    "name": "resize", "type": "http", "source": "/resize/{id:int}",
                    "methods": ["post", "PUT"],
                }],
                "memory": 256, "timeout": 20, "idle_timeout": 60, "streaming": true,
                "expects": {
                    "config": [{"name": "BUCKET", "required": true}, {"name": "OPTIONAL"}],
                    "secrets": ["DB_URL"],
                },
                "input": {"content_types": ["application/json"], "schema": {"type": "object"}},
                "output": {"content_types": ["image/png"]},
                "annotations": {"team/owner": "x"},
            },
        ],
        "errors": [],
    });
    let index = read(body.to_string().as_bytes());
    assert_eq!(index.problems, []);
    assert_eq!(index.runtime, "rust 0.1.0");
    let [add, silent, resize] = &index.functions[..] else {
        panic!("three functions");
    };
    assert_eq!(add.triggers[0].source, "/add");
    assert_eq!(add.triggers[0].methods, Methods::ANY);
    assert!(silent.triggers.is_empty());
    assert_eq!(resize.triggers[0].methods.to_string(), "POST,PUT");
    assert_eq!(
        (
            resize.memory_mb,
            resize.timeout_secs,
            resize.idle_timeout_secs,
            resize.streaming
        ),
        (Some(256), Some(20), Some(60), true)
    );
    let expected: Vec<_> = resize
        .expects
        .config
        .iter()
        .map(|e| (&*e.name, e.required))
        .collect();
    assert_eq!(expected, [("BUCKET", true), ("OPTIONAL", false)]);
    assert_eq!(resize.expects.secrets, ["DB_URL"]);
    assert_eq!(resize.annotations["team/owner"], "x");
}

#[test]
fn each_fault_of_a_function_is_named_with_the_function_and_the_field() {
    let trigger = |trigger: Value| json!([{"name": "f", "triggers": [trigger]}]);
    for (functions, expected) in [
        (
            json!([{"name": "1bad"}]),
            "function \"1bad\": name must start with a letter",
        ),
        (
            json!([{"name": "_fn1"}]),
            "function \"_fn1\": name must start with a letter",
        ),
        (
            json!([{"name": "a b"}]),
            "function \"a b\": name has ' ' in it, expected letters, digits, _ and -",
        ),
        (
            json!([{"name": "Host"}]),
            "function \"Host\": name \"Host\" is reserved",
        ),
        (
            json!([{"name": "a".repeat(129), "triggers": []}]),
            "name has 129 characters, expected at most 128",
        ),
        (
            json!([{"name": 7}]),
            "index: functions[0]: name 7 is not allowed, expected a text",
        ),
        (json!([{}]), "index: functions[0]: name is missing"),
        (
            json!(["f"]),
            "index: functions[0]: \"f\" is not allowed, expected an object",
        ),
        (json!([]), "index: functions: 0 of them, expected 1..200"),
        (
            json!([{"name": "f", "memory": 0}]),
            "function \"f\": memory 0 is outside 1..8192",
        ),
        (
            json!([{"name": "f", "memory": 99999}]),
            "function \"f\": memory 99999 is outside 1..8192",
        ),
        (
            json!([{"name": "f", "memory": -1}]),
            "function \"f\": memory -1 is outside 1..8192",
        ),
        (
            json!([{"name": "f", "memory": "lots"}]),
            "function \"f\": memory \"lots\" is not allowed, expected a whole number in 1..8192",
        ),
        (
            json!([{"name": "f", "timeout": 301}]),
            "function \"f\": timeout 301 is outside 1..300",
        ),
        (
            json!([{"name": "f", "idle_timeout": 0}]),
            "function \"f\": idle_timeout 0 is outside 1..3600",
        ),
        (
            json!([{"name": "f", "streaming": "yes"}]),
            "function \"f\": streaming \"yes\" is not allowed, expected true or false",
        ),
        (
            json!([{"name": "f", "input": {"schema": []}}]),
            "function \"f\": input.schema a list is not allowed, expected an object",
        ),
        (
            json!([{"name": "f", "triggers": {}}]),
            "function \"f\": triggers an object is not allowed, expected a list",
        ),
        (
            trigger(json!({"name": "t", "type": "queue", "source": "/t"})),
            "function \"f\": trigger \"t\": type \"queue\" is not supported by this gateway, expected http",
        ),
        (
            trigger(json!({"name": "t"})),
            "function \"f\": trigger \"t\": source is missing, expected a path such as /name",
        ),
        (
            trigger(json!({"name": "t", "source": "t"})),
            "function \"f\": trigger \"t\": source \"t\": it does not start with /",
        ),
        (
            trigger(json!({"name": "t", "source": "/{a}/{a}"})),
            "function \"f\": trigger \"t\": source \"/{a}/{a}\": parameter a is there twice, expected every name once",
        ),
        (
            trigger(json!({"name": "t", "source": "/_fn/x"})),
            "function \"f\": trigger \"t\": source \"/_fn/x\": /_fn is the platform's own",
        ),
        (
            trigger(json!({"name": "t", "source": "/t", "methods": ["FETCH"]})),
            "function \"f\": trigger \"t\": methods: \"FETCH\" is not allowed, expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        ),
        (
            trigger(json!({"name": "t", "source": "/t", "methods": ["GET", "get"]})),
            "function \"f\": trigger \"t\": methods: \"get\" twice is not allowed, expected each method once",
        ),
        (
            trigger(json!({"name": "a b", "source": "/t"})),
            "function \"f\": trigger \"a b\": name is not allowed, expected letters, digits, _ and -, at most 255",
        ),
        (
            json!([{"name": "f", "annotations": {"team/owner": ""}}]),
            "function \"f\": annotations \"team/owner\": Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays",
        ),
        (
            json!([{"name": "f", "annotations": {"fnproject.io/fn/invokeEndpoint": "http://elsewhere"}}]),
            "function \"f\": annotations \"fnproject.io/fn/invokeEndpoint\" is the platform's own",
        ),
        (
            json!([{"name": "f", "expects": {"config": [1]}}]),
            "function \"f\": expects.config 1 is not allowed, expected objects with a name",
        ),
    ] {
        let found = index_of(&functions).problems;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found.len() == 1 && found[0].ends_with(expected),
            "{functions}: {found:?}"
        );
    }
}

#[test]
fn what_functions_must_not_have_in_common_is_named_with_all_of_them() {
    let function = |name: &str, trigger: &str, source: &str, methods: Value| json!({"name": name, "triggers": [{"name": trigger, "source": source, "methods": methods}]});
    let get = || json!(["GET"]);
    for (functions, expected) in [
        (
            json!([{"name": "Add", "triggers": []}, {"name": "add", "triggers": []}]),
            "functions \"Add\" and \"add\" differ only in case",
        ),
        (
            json!([{"name": "f", "triggers": []}, {"name": "f", "triggers": []}]),
            "function \"f\": name is declared 2 times, expected once",
        ),
        (
            json!([
                function("one", "a", "/a/{x}", get()),
                function("two", "resize", "/a/{y}", get())
            ]),
            "trigger \"resize\": /a/{x} and /a/{y} match the same paths (functions \"one\", \"two\")",
        ),
        (
            json!([
                function("one", "a", "/a", Value::Null),
                function("two", "b", "/a", get())
            ]),
            "trigger \"b\": /a is there twice (functions \"one\", \"two\")",
        ),
        (
            json!([
                function("one", "t", "/a", get()),
                function("two", "t", "/b", get())
            ]),
            "trigger \"t\": the name is used more than once (functions \"one\", \"two\")",
        ),
    ] {
        let found = index_of(&functions).problems;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, [expected], "{functions}");
    }
    for fine in [
        json!([
            function("one", "a", "/a/b", get()),
            function("two", "b", "/a/{x}", get())
        ]),
        json!([
            function("one", "a", "/a/{n:int}", get()),
            function("two", "b", "/a/{x}", get())
        ]),
        json!([
            function("one", "a", "/a", get()),
            function("two", "b", "/a", json!(["POST"]))
        ]),
    ] {
        assert_eq!(index_of(&fine).problems, [], "{fine}");
    }
}

#[test]
fn an_index_as_a_whole_may_be_of_no_use() {
    for (body, expected) in [
        ("", "index: not JSON: EOF"),
        ("hello", "index: not JSON: expected value"),
        ("[]", "index: a list is not allowed, expected a JSON object"),
        ("{}", "index: fn_index is missing, expected 1"),
        (
            r#"{"fn_index":"1"}"#,
            "index: fn_index \"1\" is not allowed, expected 1",
        ),
        (
            r#"{"fn_index":0}"#,
            "index: fn_index 0 is not allowed, expected 1",
        ),
        (
            r#"{"fn_index":2,"functions":[{}]}"#,
            "index: fn_index 2 is later than 1: the image needs a newer gateway",
        ),
        (
            r#"{"fn_index":1}"#,
            "index: functions: 0 of them, expected 1..200",
        ),
        (
            r#"{"fn_index":1,"functions":[{"name":"f"}],"errors":[{"message":"all\nwrong"}]}"#,
            "index: all wrong",
        ),
    ] {
        let found = problems(body);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{body}: {found:?}"
        );
    }
    let many: Vec<Value> = (0..201).map(|n| json!({"name": format!("f{n}")})).collect();
    assert_eq!(
        index_of(&many.into()).problems[0].to_string(),
        "index: functions: 201 of them, expected 1..200"
    );
    let errors = r#"{"fn_index":1,"functions":[{"name":"f"}],"errors":[{"function":"broken","message":"two routes share a parameter name"}]}"#;
    assert_eq!(
        problems(errors),
        ["function \"broken\": two routes share a parameter name"]
    );
}

#[test]
fn all_problems_are_collected_and_sorted() {
    let body = r#"{"fn_index":1,"functions":[{"name":"b","memory":0,"timeout":0},{"name":"1a"}]}"#;
    assert_eq!(
        problems(body),
        [
            "function \"1a\": name must start with a letter",
            "function \"b\": memory 0 is outside 1..8192",
            "function \"b\": timeout 0 is outside 1..300",
        ]
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c/{}\n\u{1b}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = "name|functions|triggers|source|methods|memory|expects|config|secrets|errors|input|schema|annotations|fn_index";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_answer_breaks_the_reader_and_every_problem_is_one_plain_line(value in any_json()) {
        let mut value = value;
        if let Some(object) = value.as_object_mut() {
            object.insert("fn_index".to_owned(), 1.into());
        }
        for problem in read(value.to_string().as_bytes()).problems {
            prop_assert!(!problem.to_string().chars().any(char::is_control), "{problem:?}");
        }
    }

    #[test]
    fn the_order_of_functions_does_not_change_what_is_wrong(
        functions in Just(vec![
            json!({"name": "1bad"}),
            json!({"name": "a", "triggers": [{"name": "x", "source": "/p/{q}"}]}),
            json!({"name": "A", "memory": 0, "triggers": []}),
            json!({"name": "c", "triggers": [{"name": "y", "type": "timer"}]}),
        ]).prop_shuffle()
    ) {
        let texts = |functions: Vec<Value>| -> Vec<String> {
            index_of(&functions.into()).problems.iter().map(ToString::to_string).collect()
        };
        prop_assert_eq!(texts(functions), [
            "function \"1bad\": name must start with a letter",
            "function \"A\": memory 0 is outside 1..8192",
            "function \"c\": trigger \"y\": type \"timer\" is not supported by this gateway, expected http",
            "functions \"A\" and \"a\" differ only in case",
        ]);
    }
}

#[test]
fn a_function_has_no_more_triggers_than_anybody_needs() {
    let triggers = |count: usize| -> Vec<_> {
        let name = |n| json!({"name": format!("t{n}"), "source": format!("/{n}")});
        (0..count).map(name).collect()
    };
    let fits = index_of(&json!([{"name": "f", "triggers": triggers(16)}]));
    assert_eq!(fits.problems, []);
    let large = index_of(&json!([{"name": "f", "triggers": triggers(17)}]));
    let texts: Vec<_> = large.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["function \"f\": triggers: 17 of them, expected at most 16"]
    );
}

#[test]
fn an_answer_with_very_many_faults_is_told_in_few_lines() {
    let many = vec![1; 100_000];
    let name = "a".repeat(500_000);
    let index = index_of(&json!([
        {"name": name, "expects": {"config": many}},
        {"name": "f", "expects": {"config": many, "secrets": many}},
    ]));
    let texts: Vec<_> = index.problems.iter().map(ToString::to_string).collect();
    let [long, config, secrets] = &texts[..] else {
        panic!("{} problems", texts.len());
    };
    assert!(long.ends_with("name has 500000 characters, expected at most 128"));
    assert_eq!(
        [config, secrets],
        [
            "function \"f\": expects.config: 100000 of them, expected at most 100",
            "function \"f\": expects.secrets: 100000 of them, expected at most 100",
        ]
    );
    let errors: Vec<_> = (0..1000).map(|n| format!("fault {n}")).collect();
    let body = json!({"fn_index": 1, "functions": [{"name": "f"}], "errors": errors});
    let told = problems(&body.to_string());
    assert_eq!(told.len(), 101);
    assert!(told.contains(&"index: errors: 1000 of them, the first 100 are told".to_owned()));
}
