//! Images that declare their functions themselves.

use serde_json::Value;

use crate::support::{Backend, Gateway, Indexed, backends, said};

backends!(
    three_functions_of_one_image_are_deployed_and_called,
    another_version_changes_what_differs_and_removes_what_is_gone,
    an_image_that_is_no_good_changes_nothing,
    func_yaml_is_used_where_an_image_is_not_asked,
);

const INDEXING: &str = "indexing: true";

async fn functions(gateway: &Gateway) -> String {
    said(gateway, "list fns a --output json").await.fine().out
}

async fn three_functions_of_one_image_are_deployed_and_called(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let folder = Indexed::folder().await;
    let more = "functions:\n  resize: {memory: 128, config: {QUALITY: high}}\ntriggers:\n  - {name: x, source: /x}";
    folder.is("shop", &format!("{INDEXING}\n{more}"));

    let planned = folder.deploy(&gateway, &["--dry-run"]).await.fine();
    assert!(
        planned
            .out
            .ends_with("Would deploy app a: 3 created, 0 updated, 0 removed, 0 unchanged\n"),
        "{planned:?}"
    );
    assert!(folder.func_yaml().contains("version: 0.0.1"));
    let apps: Value = serde_json::from_slice(&gateway.get("/v2/apps").await.body).unwrap();
    assert_eq!(apps["items"].as_array().unwrap().len(), 0);

    let deployed = folder.deploy(&gateway, &[]).await.fine();
    assert!(folder.func_yaml().contains("version: 0.0.2"));
    assert!(
        deployed
            .err
            .contains("warning: triggers: ignored: the image declares its functions"),
        "{deployed:?}"
    );
    assert!(deployed.err.contains("... 3 functions ("), "{deployed:?}");
    let base = gateway.url("/t/a");
    let lines: Vec<String> = deployed
        .out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            &format!("add ANY {base}/add 64MB 30s created"),
            &format!("fib GET {base}/fib/{{index:int}} 64MB 30s created"),
            &format!("resize POST {base}/resize/{{id:int}} 128MB 20s created"),
            &format!("ANY {base}/files/{{*rest}}"),
            "Deployed app a: 3 created, 0 updated, 0 removed, 0 unchanged",
        ]
    );

    // The image alone says the same, as a table and as JSON.
    let image = folder.image(&gateway).await;
    let asked = said(&gateway, &format!("index {image}")).await.fine();
    let rows: Vec<Vec<&str>> = asked
        .out
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [
            &["NAME", "METHODS", "PATH", "MEMORY", "TIMEOUT", "ABOUT"][..],
            &["add", "ANY", "/add", "64MB", "-"],
            &["fib", "GET", "/fib/{index:int}", "64MB", "-", "counts"],
            &["resize", "POST", "/resize/{id:int}", "64MB", "20s"],
            &["ANY", "/files/{*rest}"],
        ]
    );
    let asked = said(&gateway, &format!("index {image} --json")).await;
    let report: Value = serde_json::from_str(&asked.fine().out).unwrap();
    assert_eq!(report["state"], "valid");
    assert_eq!(report["functions"][1]["name"], "fib");

    let env = async |path: &str| {
        let reply = gateway.post(&format!("{path}?env"), "").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    };
    assert!(env("/t/a/add").await.contains("FN_FN_NAME=add\n"));
    let resize = env("/t/a/resize/7").await;
    assert!(
        resize.contains("FN_FN_NAME=resize\n") && resize.contains("QUALITY=high\n"),
        "{resize}"
    );
    assert!(
        env("/t/a/files/a/b.txt")
            .await
            .contains("FN_FN_NAME=resize\n")
    );
    let fib = gateway.get("/t/a/fib/6?env").await;
    assert!(fib.text().contains("FN_FN_NAME=fib\n"), "{fib:?}");
    for (path, status) in [
        ("/t/a/fib/six", 404),
        ("/t/a/fib/", 404),
        ("/t/a/fib/6/7", 404),
        ("/t/a/resize/x", 404),
    ] {
        assert_eq!(gateway.get(path).await.status, status, "{path}");
    }
    let refused = gateway.post("/t/a/fib/6", "").await;
    assert_eq!(
        (refused.status, refused.headers["allow"].to_str().unwrap()),
        (405, "GET, HEAD")
    );
    assert_eq!(
        refused.text(),
        "{\"message\":\"Method not allowed: POST /t/a/fib/6\"}\n"
    );

    // Nobody outside can ask a function for its index, by whatever way it is called.
    let invoke = said(&gateway, "inspect fn a fib --endpoint")
        .await
        .fine()
        .out;
    for url in [gateway.url("/t/a/add"), invoke.trim().to_owned()] {
        let request = gateway.client().post(format!("{url}?headers"));
        let reply = gateway
            .send(
                request
                    .header("Fn-Control", "index")
                    .header("Fn_Control", "index"),
            )
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(
            !reply.text().to_ascii_lowercase().contains("control"),
            "{}",
            reply.text()
        );
    }
}

async fn another_version_changes_what_differs_and_removes_what_is_gone(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let folder = Indexed::folder().await;
    folder.is("shop", INDEXING);
    folder.deploy(&gateway, &["--no-bump"]).await.fine();
    let before = functions(&gateway).await;

    let again = folder.deploy(&gateway, &["--no-bump"]).await.fine();
    assert!(
        again
            .out
            .ends_with("Deployed app a: 0 created, 0 updated, 0 removed, 3 unchanged\n"),
        "{again:?}"
    );
    assert!(
        again.err.contains("known)"),
        "it was asked again: {again:?}"
    );
    assert_eq!(functions(&gateway).await, before);
    let asked = folder
        .deploy(&gateway, &["--no-bump", "--reindex"])
        .await
        .fine();
    assert!(asked.err.contains(" ms)"), "{asked:?}");

    let planned = folder
        .deploy_as(&gateway, "later", &["--dry-run"])
        .await
        .fine();
    assert!(
        planned
            .out
            .contains("Would deploy app a: 1 created, 1 updated, 1 removed, 1 unchanged"),
        "{planned:?}"
    );
    assert_eq!(functions(&gateway).await, before);
    let kept = folder
        .deploy_as(&gateway, "later", &["--dry-run", "--keep-missing"])
        .await
        .fine();
    assert!(
        kept.out
            .contains("1 created, 1 updated, 0 removed, 1 unchanged, 1 kept"),
        "{kept:?}"
    );

    let later = folder.deploy_as(&gateway, "later", &[]).await.fine();
    assert!(
        later
            .out
            .ends_with("Deployed app a: 1 created, 1 updated, 1 removed, 1 unchanged\n"),
        "{later:?}"
    );
    let line = |name: &str| {
        let found = later
            .out
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        found
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("fib"), "fib removed");
    let resize = line("resize");
    assert!(resize.contains("updated (memory 64 -> 96, annotation kiln/streaming, trigger files removed, trigger resize POST /resize/{id:int} -> POST,PUT /resize/{id:int})"), "{resize}");
    assert_eq!(gateway.get("/t/a/fib/6").await.status, 404);
    assert_eq!(gateway.get("/t/a/files/x").await.status, 404);
    assert_eq!(gateway.post("/t/a/sub", "x").await.text(), "x");
}

async fn an_image_that_is_no_good_changes_nothing(backend: Backend) {
    let gateway = Gateway::start_with(backend, &[("FN_INDEX_TIMEOUT", "2s")]).await;
    let folder = Indexed::folder().await;
    folder.is("shop", INDEXING);
    folder.deploy(&gateway, &["--no-bump"]).await.fine();
    let before = functions(&gateway).await;
    for (behaviour, code, lines) in [
        (
            "twice",
            1,
            &["function \"a\": name is declared 2 times, expected once"][..],
        ),
        (
            "badname",
            1,
            &["function \"1bad\": name must start with a letter"],
        ),
        ("host", 1, &["function \"host\": name \"host\" is reserved"]),
        (
            "clash",
            1,
            &["trigger \"y\": /a/{x} and /a/{y} match the same paths (functions \"one\", \"two\")"],
        ),
        (
            "nomemory",
            1,
            &["function \"a\": memory 0 is outside 1..8192"],
        ),
        (
            "much",
            1,
            &["function \"a\": memory 99999 is outside 1..8192"],
        ),
        (
            "queue",
            1,
            &[
                "function \"a\": trigger \"q\": type \"queue\" is not supported by this gateway, expected http",
            ],
        ),
        (
            "notjson",
            1,
            &["index: not JSON: expected value at line 1 column 1"],
        ),
        (
            "future",
            1,
            &["index: fn_index 2 is later than 1: the image needs a newer gateway"],
        ),
        ("large", 1, &["index: it is longer than 1048576 bytes"]),
        (
            "plain",
            4,
            &[
                "stderr: asked for the functions of plain",
                "it answered with status 200 OK and content type \"text/plain\"",
            ],
        ),
        (
            "silent",
            4,
            &[
                "stderr: asked for the functions of silent",
                "it did not answer within 2 seconds",
            ],
        ),
        (
            "exits",
            4,
            &[
                "stderr: cannot find the rest of me",
                "it ended before it had answered: exit code 3",
            ],
        ),
        ("prints", 4, &["what it wrote is no answer: "]),
    ] {
        folder.is(behaviour, INDEXING);
        let image = folder.image(&gateway).await;
        let told = said(&gateway, &format!("index {image}")).await;
        assert_eq!(told.code, Some(code), "{behaviour}: {told:?}");
        let deployed = folder.deploy(&gateway, &[]).await;
        assert_eq!(deployed.code, Some(1), "{behaviour}: {deployed:?}");
        if behaviour == "exits" && backend.is_docker() {
            assert!(told.err.contains("stderr: networks: lo\n"), "{told:?}");
        }
        for said in [&told, &deployed] {
            for line in lines {
                let there = said.err.lines().filter(|l| {
                    l.starts_with(line) || (l.starts_with("error: ") && l.contains(line))
                });
                assert_eq!(there.count(), 1, "{behaviour}: {line}: {said:?}");
            }
            assert_eq!(said.out, "", "{behaviour}");
        }
        assert!(folder.func_yaml().contains("version: 0.0.1"), "{behaviour}");
        assert_eq!(functions(&gateway).await, before, "{behaviour}");
    }

    // One that is good by itself, but not with this func.yaml or this app.
    for (behaviour, more, line) in [
        (
            "needy",
            "",
            "function \"a\": expects.config \"BUCKET\" has no value, expected one in func.yaml or in the app's config",
        ),
        (
            "later",
            "",
            "function \"add\": name is taken by a function of image ",
        ),
        (
            "needy",
            "functions: {b: {memory: 64}}",
            "functions: the image declares no function \"b\", did you mean \"a\"?",
        ),
    ] {
        folder.is(behaviour, &format!("{INDEXING}\n{more}"));
        let deployed = folder.deploy(&gateway, &[]).await;
        assert_eq!(deployed.code, Some(1), "{deployed:?}");
        assert!(
            deployed.err.lines().any(|l| l.starts_with(line)),
            "{line}: {deployed:?}"
        );
        assert!(deployed.err.contains("nothing was changed"), "{deployed:?}");
        assert_eq!(functions(&gateway).await, before, "{behaviour}");
    }

    folder.is("much", INDEXING);
    let skipped = folder.deploy(&gateway, &["--skip-invalid"]).await.fine();
    assert!(
        skipped
            .out
            .contains("1 created, 0 updated, 0 removed, 0 unchanged, 1 skipped"),
        "{skipped:?}"
    );
    assert_eq!(gateway.post("/t/a/b", "x").await.text(), "x");
}

async fn func_yaml_is_used_where_an_image_is_not_asked(backend: Backend) {
    let folder = Indexed::folder().await;
    let trigger = "triggers:\n  - {name: one, source: '/one/{id}', methods: [POST]}";
    let off = Gateway::start_with(backend, &[("FN_FEATURE_FLAGS", "SomethingElse")]).await;
    assert!(
        off.log()
            .contains("FN_FEATURE_FLAGS: SomethingElse is not known"),
        "{}",
        off.log()
    );
    folder.is("shop", &format!("{INDEXING}\n{trigger}"));
    let deployed = folder.deploy(&off, &["--no-bump"]).await.fine();
    assert!(
        deployed
            .err
            .contains("indexing is off on this server, using func.yaml"),
        "{deployed:?}"
    );
    let found: Value = serde_json::from_str(&functions(&off).await).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(off.post("/t/a/one/7", "x").await.text(), "x");
    assert_eq!(off.get("/t/a/one/7").await.status, 405);
    assert_eq!(off.get("/t/a/fib/6").await.status, 404);
    let image = folder.image(&off).await;
    let told = said(&off, &format!("index {image}")).await;
    assert_eq!(told.code, Some(3), "{told:?}");
    drop(off);

    let gateway = Gateway::start(backend).await;
    folder.is("declines", &format!("{INDEXING}\n{trigger}"));
    let deployed = folder.deploy(&gateway, &["--no-bump"]).await.fine();
    assert!(
        deployed
            .err
            .contains("falling back to func.yaml: the image declined to index"),
        "{deployed:?}"
    );
    assert_eq!(gateway.post("/t/a/one/7", "x").await.text(), "x");
    let image = folder.image(&gateway).await;
    let told = said(&gateway, &format!("index {image} --json")).await;
    let report: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(
        (told.code, &report["state"]),
        (Some(3), &Value::from("declined"))
    );

    // Without the label it is not run: it would have failed, and said so.
    folder.is("exits", trigger);
    let image = folder.image(&gateway).await;
    let told = said(&gateway, &format!("index {image}")).await;
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(
        told.err
            .contains("this image does not index: it has no label fn.indexing=true"),
        "{told:?}"
    );
    assert!(!told.err.contains("asked for the functions"), "{told:?}");
    assert!(
        folder.deploy(&gateway, &["--no-bump"]).await.code == Some(1),
        "two functions want one path"
    );
    let told = said(&gateway, "index no/such:image").await;
    assert_eq!(told.code, Some(4), "{told:?}");
}
