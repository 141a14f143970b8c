use serde_json::json;

use super::read_tests::index_of;
use super::*;
use crate::model::{
    Annotations, App, AppId, Format, Function, METHODS_ANNOTATION, SCALE_ANNOTATION,
    STREAMING_ANNOTATION, Timestamp, Trigger, TriggerId,
};
use crate::store::AppContents;

fn an_app() -> App {
    let now = Timestamp::now();
    App {
        id: AppId::generate(),
        name: "a".to_owned(),
        config: [("Key".to_owned(), "x".to_owned())].into(),
        annotations: Default::default(),
        syslog_url: None,
        created_at: now,
        updated_at: now,
    }
}

fn choices(image: &str) -> Choices {
    Choices {
        image: image.to_owned(),
        format: Format::Http,
        defaults: Override::default(),
        annotations: Default::default(),
        only: Vec::new(),
        overrides: Default::default(),
        skip_invalid: false,
        keep_missing: false,
    }
}

fn shop() -> Index {
    index_of(&json!([
        {"name": "add"},
        {"name": "fib", "triggers": [{"name": "fib", "source": "/fib/{i:int}", "methods": ["GET"]}]},
        {"name": "resize", "memory": 256, "timeout": 20, "streaming": true},
    ]))
}

/// What `contents` becomes by an amendment.
fn amended(contents: Option<AppContents>, app: &App, plan: &Plan) -> AppContents {
    let amendment = plan.amendment.clone().unwrap();
    let mut contents = contents.unwrap_or_else(|| AppContents {
        app: app.clone(),
        routes: Vec::new(),
        functions: Vec::new(),
        triggers: Vec::new(),
    });
    let gone = amendment.removed_functions;
    contents.functions.retain(|f| !gone.contains(&f.id));
    contents.triggers.retain(|t| !gone.contains(&t.fn_id));
    contents
        .triggers
        .retain(|t| !amendment.removed_triggers.contains(&t.id));
    for function in amendment.functions {
        contents.functions.retain(|f| f.id != function.id);
        contents.functions.push(function);
    }
    for trigger in amendment.triggers {
        contents.triggers.retain(|t| t.id != trigger.id);
        contents.triggers.push(trigger);
    }
    contents
}

fn outcomes(plan: &Plan) -> Vec<String> {
    let said = |row: &Row| {
        let changes: Vec<String> = row
            .changes
            .iter()
            .map(|c| match (&c.from, &c.to) {
                (None, None) => c.field.clone(),
                (from, to) => format!(
                    "{} {}>{}",
                    c.field,
                    from.as_deref().unwrap_or_default(),
                    to.as_deref().unwrap_or_default()
                ),
            })
            .collect();
        format!(
            "{} {} {}",
            row.name,
            row.outcome.as_str(),
            changes.join("; ")
        )
        .trim()
        .to_owned()
    };
    plan.rows.iter().map(said).collect()
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_second_version_changes_what_differs_and_removes_what_is_gone() {
    let app = an_app();
    let first = plan(&shop(), &app, None, &choices("o/shop:1"));
    assert_eq!(
        outcomes(&first),
        ["add created", "fib created", "resize created"]
    );
    assert_eq!(first.amendment.as_ref().unwrap().app.as_ref(), Some(&app));
    let contents = amended(None, &app, &first);
    let resize = contents
        .functions
        .iter()
        .find(|f| f.name == "resize")
        .unwrap();
    assert_eq!(
        (
            resize.memory_mb,
            resize.timeout_secs,
            resize.idle_timeout_secs
        ),
        (256, 20, 30)
    );
    assert_eq!(resize.annotations[STREAMING_ANNOTATION], "true");
    let fib = contents.triggers.iter().find(|t| t.name == "fib").unwrap();
    assert_eq!(fib.annotations[METHODS_ANNOTATION], json!(["GET"]));

    let again = plan(&shop(), &app, Some(&contents), &choices("o/shop:1"));
    assert_eq!(
        outcomes(&again),
        ["add unchanged", "fib unchanged", "resize unchanged"]
    );
    assert_eq!(again.amendment, Some(Default::default()));

    // Another tag is no change to speak of, but is stored.
    let retagged = plan(&shop(), &app, Some(&contents), &choices("o/shop:2"));
    assert_eq!(outcomes(&retagged), outcomes(&again));
    assert_eq!(retagged.amendment.unwrap().functions.len(), 3);

    let second = index_of(&json!([
        {"name": "fib", "triggers": [{"name": "fib", "source": "/fib/{i:int}"}]},
        {"name": "resize", "memory": 512, "timeout": 20, "triggers": []},
        {"name": "new"},
    ]));
    let mut wanted = choices("o/shop:2");
    let changed = plan(&second, &app, Some(&contents), &wanted);
    assert_eq!(
        outcomes(&changed),
        [
            "add removed",
            "fib updated trigger fib GET /fib/{i:int}>ANY /fib/{i:int}",
            "new created",
            "resize updated memory 256>512; annotation kiln/streaming; trigger resize ANY /resize>",
        ]
    );
    let after = amended(Some(contents.clone()), &app, &changed);
    let paths: Vec<&str> = after.triggers.iter().map(|t| t.source.as_str()).collect();
    assert_eq!(paths, ["/fib/{i:int}", "/new"]);
    wanted.keep_missing = true;
    let kept = plan(&second, &app, Some(&contents), &wanted);
    assert_eq!(outcomes(&kept)[0], "add kept");
    assert!(kept.amendment.unwrap().removed_functions.is_empty());
}

#[test]
fn func_yaml_wins_over_the_image_and_the_image_over_the_defaults() {
    let app = an_app();
    let mut wanted = choices("shop:1");
    wanted.defaults = Override {
        memory_mb: Some(64),
        idle_timeout_secs: Some(7),
        config: [
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "1".to_owned()),
        ]
        .into(),
        ..Override::default()
    };
    let own = Override {
        memory_mb: Some(512),
        scale: Some(json!({"max": 2})),
        config: [("B".to_owned(), "2".to_owned())].into(),
        ..Override::default()
    };
    wanted.overrides = [("resize".to_owned(), own)].into();
    wanted.only = vec!["add".to_owned(), "resize".to_owned()];
    let plan = plan(&shop(), &app, None, &wanted);
    let contents = amended(None, &app, &plan);
    let function =
        |name: &str| -> &Function { contents.functions.iter().find(|f| f.name == name).unwrap() };
    assert_eq!(contents.functions.len(), 2);
    let (add, resize) = (function("add"), function("resize"));
    assert_eq!(
        (add.memory_mb, add.timeout_secs, add.idle_timeout_secs),
        (64, 30, 7)
    );
    assert_eq!(
        (
            resize.memory_mb,
            resize.timeout_secs,
            resize.idle_timeout_secs
        ),
        (512, 20, 7)
    );
    assert_eq!(
        (add.config["B"].as_str(), resize.config["B"].as_str()),
        ("1", "2")
    );
    assert_eq!(resize.annotations[SCALE_ANNOTATION], json!({"max": 2}));
}

#[test]
fn what_func_yaml_says_of_functions_has_to_fit_the_image() {
    let app = an_app();
    let mut wanted = choices("shop:1");
    wanted.only = vec!["fibb".to_owned(), "add".to_owned()];
    let bad = Override {
        memory_mb: Some(99_999),
        scale: Some(json!({"max": 0})),
        ..Override::default()
    };
    wanted.overrides = [
        ("resise".to_owned(), Override::default()),
        ("add".to_owned(), bad),
    ]
    .into();
    let plan = plan(&shop(), &app, None, &wanted);
    assert_eq!(
        texts(&plan),
        [
            "function \"add\": memory 99999 is outside 1..8192",
            "function \"add\": scale.max: 0 is not allowed, expected a whole number from 1 to 10000",
            "functions.only: the image declares no function \"fibb\", did you mean \"fib\"?",
            "functions: the image declares no function \"resise\", did you mean \"resize\"?",
        ]
    );
    assert_eq!((plan.rows.len(), plan.amendment), (0, None));
    let mut wanted = choices("shop:1");
    wanted.defaults.memory_mb = Some(0);
    let plan = super::plan(&shop(), &app, None, &wanted);
    assert_eq!(texts(&plan), ["defaults: memory 0 is outside 1..8192"]);
}

#[test]
fn what_nobody_wants_may_be_as_it_likes() {
    let app = an_app();
    let mut wanted = choices("shop:1");
    let index = read(
        br#"{"fn_index":1,"functions":[{"name":"a"},{"name":"1"},{"name":"A","triggers":[]}],
            "errors":[{"function":"b","message":"m"}]}"#,
    );
    assert_eq!(plan(&index, &app, None, &wanted).problems.len(), 3);
    wanted.only = vec!["a".to_owned()];
    let fine = plan(&index, &app, None, &wanted);
    assert_eq!(
        (texts(&fine), outcomes(&fine)),
        (vec![], vec!["a created".to_owned()])
    );
}

#[test]
fn required_values_have_to_be_there() {
    let index = index_of(&json!([{
        "name": "f",
        "expects": {"config": [{"name": "BUCKET", "required": true}, {"name": "Key", "required": true}], "secrets": ["DB_URL"]},
    }]));
    let app = an_app();
    let mut wanted = choices("shop:1");
    let missing = plan(&index, &app, None, &wanted);
    assert_eq!(
        texts(&missing),
        [
            "function \"f\": expects.config \"BUCKET\" has no value, expected one in func.yaml or in the app's config",
            "function \"f\": expects.secrets \"DB_URL\" has no value, expected one in func.yaml or in the app's config",
        ]
    );
    let value = |name: &str| (name.to_owned(), "x".to_owned());
    wanted.defaults.config = [value("BUCKET"), value("DB_URL")].into();
    assert_eq!(texts(&plan(&index, &app, None, &wanted)), [] as [&str; 0]);
}

#[test]
fn functions_of_other_images_are_in_the_way_and_stay() {
    let app = an_app();
    let mut other = plan(
        &index_of(&json!([
            {"name": "add", "triggers": []},
            {"name": "other", "triggers": [{"name": "resize", "source": "/fib/{x:int}"}]},
        ])),
        &app,
        None,
        &choices("o/other:1"),
    );
    let contents = amended(None, &app, &other);
    other = plan(&shop(), &app, Some(&contents), &choices("o/shop:1"));
    assert_eq!(
        texts(&other),
        [
            "function \"add\": name is taken by a function of image \"o/other\", expected another name, or that function deleted first",
            "trigger \"fib\": /fib/{x:int} and /fib/{i:int} match the same paths (functions \"other\", \"fib\")",
            "trigger \"resize\": the name is taken by function \"other\" of this app (function \"resize\")",
        ]
    );
    let fine = plan(
        &index_of(&json!([{"name": "mine"}])),
        &app,
        Some(&contents),
        &choices("o/shop:1"),
    );
    assert_eq!(outcomes(&fine), ["mine created"]);
    assert!(fine.amendment.unwrap().removed_functions.is_empty());
}

#[test]
fn functions_with_problems_can_be_left_out_and_keep_what_was_deployed() {
    let app = an_app();
    let first = plan(&shop(), &app, None, &choices("shop:1"));
    let contents = amended(None, &app, &first);
    let index =
        index_of(&json!([{"name": "add", "memory": 0}, {"name": "fib"}, {"name": "resize"}]));
    let mut wanted = choices("shop:2");
    let refused = plan(&index, &app, Some(&contents), &wanted);
    assert_eq!((refused.problems.len(), refused.amendment), (1, None));
    wanted.skip_invalid = true;
    let skipped = plan(&index, &app, Some(&contents), &wanted);
    assert_eq!(skipped.problems.len(), 1);
    assert_eq!(outcomes(&skipped)[0], "add skipped");
    let after = amended(Some(contents), &app, &skipped);
    let add = after.functions.iter().find(|f| f.name == "add").unwrap();
    assert_eq!(add.image, "shop:1");
    // Functions that the image itself says are broken are wanted, and stay.
    let body = r#"{"fn_index":1,"functions":[{"name":"add"}],"errors":[{"function":"fib","message":"m"}]}"#;
    let broken = plan(&read(body.as_bytes()), &app, Some(&after), &wanted);
    assert_eq!(
        outcomes(&broken),
        ["add unchanged", "fib skipped", "resize removed"]
    );
    let twice = index_of(&json!([{"name": "a"}, {"name": "a", "triggers": []}]));
    assert_eq!(plan(&twice, &app, None, &wanted).amendment, None);
    let none = plan(&index_of(&json!([{"name": "1"}])), &app, None, &wanted);
    assert_eq!(
        texts(&none).last().unwrap(),
        "index: no function without problems is left"
    );
    assert_eq!(none.amendment, None);
}

#[test]
fn what_is_left_out_may_be_in_the_way() {
    let app = an_app();
    let at = |source: &str| json!([{"name": "t", "source": source}]);
    let first = index_of(&json!([{"name": "a", "triggers": at("/x")}]));
    let contents = amended(None, &app, &plan(&first, &app, None, &choices("shop:1")));
    let mut wanted = choices("shop:2");
    wanted.skip_invalid = true;
    // By its path, and by the name of its trigger.
    for triggers in [json!([{"name": "u", "source": "/x"}]), at("/z")] {
        let second = index_of(&json!([
            {"name": "a", "memory": 0, "triggers": at("/y")},
            {"name": "b", "triggers": triggers},
            {"name": "c"},
        ]));
        let second = plan(&second, &app, Some(&contents), &wanted);
        assert_eq!(
            outcomes(&second),
            ["a skipped", "b skipped", "c created"],
            "{triggers}"
        );
    }
}

#[test]
fn a_clash_of_those_who_are_wanted_is_told_whoever_else_is_in_it() {
    let app = an_app();
    let index = index_of(&json!([
        {"name": "a", "triggers": [{"name": "a", "source": "/p"}]},
        {"name": "b", "triggers": [{"name": "b", "source": "/p"}]},
        {"name": "c", "triggers": [{"name": "c", "source": "/p"}]},
    ]));
    let mut wanted = choices("shop:1");
    wanted.only = vec!["b".to_owned(), "c".to_owned()];
    assert_eq!(
        texts(&plan(&index, &app, None, &wanted)),
        ["trigger \"c\": /p is there twice (functions \"b\", \"c\")"]
    );
}

#[test]
fn what_others_keep_on_functions_and_triggers_stays() {
    let app = an_app();
    let first = plan(&shop(), &app, None, &choices("shop:1"));
    let mut contents = amended(None, &app, &first);
    for function in &mut contents.functions {
        function
            .config
            .insert("SET".to_owned(), "by hand".to_owned());
        function.annotations.insert("by".to_owned(), json!("hand"));
    }
    let by_hand = Trigger {
        id: TriggerId::generate(),
        annotations: [("by".to_owned(), json!("hand"))].into(),
        ..contents.triggers[0].clone()
    };
    contents.triggers[0] = by_hand;
    let again = plan(&shop(), &app, Some(&contents), &choices("shop:2"));
    assert!(
        outcomes(&again)
            .iter()
            .all(|row| row.ends_with("unchanged")),
        "{again:?}"
    );
    let after = amended(Some(contents.clone()), &app, &again);
    assert!(
        after
            .functions
            .iter()
            .all(|f| f.config["SET"] == "by hand" && f.annotations["by"] == "hand")
    );
    assert_eq!(after.triggers.len(), contents.triggers.len());
}

#[test]
fn limits_hold_for_what_comes_together_from_all_sides() {
    let app = an_app();
    let annotations = |prefix: &str, count: usize| -> Annotations {
        let one = |n| (format!("{prefix}/{n}"), json!(1));
        (0..count).map(one).collect()
    };
    let index = index_of(&json!([
        {"name": "f", "annotations": annotations("image", 60)},
        {"name": "g", "annotations": annotations("image", 10)},
    ]));
    let mut wanted = choices("shop:1");
    wanted.annotations = annotations("yaml", 60);
    assert_eq!(
        texts(&plan(&index, &app, None, &wanted)),
        [
            "function \"f\": annotations: Invalid annotation change, new key(s) exceed maximum permitted number of annotations keys (100)"
        ]
    );
    wanted.skip_invalid = true;
    let skipped = plan(&index, &app, None, &wanted);
    assert_eq!(outcomes(&skipped), ["f skipped", "g created"]);

    // What is there already counts.
    let contents = amended(None, &app, &plan(&index, &app, None, &choices("shop:1")));
    let mut later = choices("shop:2");
    later.annotations = annotations("yaml", 95);
    assert_eq!(texts(&plan(&index, &app, Some(&contents), &later)).len(), 2);

    let mut wanted = choices("shop:1");
    let large = |name: &str, bytes: usize| (name.to_owned(), "x".repeat(bytes));
    wanted.defaults.config = ["A", "B", "C", "D"].map(|name| large(name, 131_000)).into();
    let own = |name: &str, bytes: usize| Override {
        config: [large(name, bytes)].into(),
        ..Override::default()
    };
    wanted.overrides = [
        ("f".to_owned(), own("E", 131_071)),
        ("g".to_owned(), own("E", 131_069)),
    ]
    .into();
    assert_eq!(
        texts(&plan(&index, &app, None, &wanted)),
        [
            "function \"f\": config \"E\": Invalid config value length, a config key and its value may not be larger than 131070 bytes together",
            "function \"g\": config: Invalid config change, all config keys and values may not be larger than 524288 bytes together",
        ]
    );
}
