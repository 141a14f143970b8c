//! From a folder to an answer, by the command line.

use serde_json::{Value, json};

use crate::support::{Backend, Example, Gateway, backends, run_cli, said};

backends!(
    a_function_with_a_trigger_is_deployed_and_called,
    an_unversioned_func_yaml_deploys_a_route,
);

async fn a_function_with_a_trigger_is_deployed_and_called(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let folder = Example::Hello.folder();
    let deploy = [
        "deploy",
        "--app",
        "demo",
        "--create-app",
        "--local",
        "--no-bump",
        folder.to_str().unwrap(),
    ];
    let output = run_cli(&gateway, &deploy).await;
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("/t/demo/hello"),
        "{output:?}"
    );

    let reply = gateway.post("/t/demo/hello", "World").await;
    assert_eq!(
        (reply.status, reply.text()),
        (200, "Hello World\n".to_owned())
    );
    let output = run_cli(&gateway, &["invoke", "demo", "hello"]).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Hello World\n",
        "{output:?}"
    );
    let output = run_cli(&gateway, &["list", "fns", "demo", "--output", "json"]).await;
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(listed.to_string().contains("\"hello\""), "{listed}");

    // The same again changes nothing, and the container stays hot.
    let before = gateway.containers().await;
    assert!(run_cli(&gateway, &deploy).await.status.success());
    assert_eq!(
        gateway.post("/t/demo/hello", "again").await.text(),
        "Hello again\n"
    );
    assert_eq!(gateway.containers().await, before);
}

async fn an_unversioned_func_yaml_deploys_a_route(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    let folder = Example::Raw.folder();
    let deploy = [
        "deploy",
        "--app",
        "old",
        "--create-app",
        "--local",
        "--no-bump",
        folder.to_str().unwrap(),
    ];
    let output = run_cli(&gateway, &deploy).await;
    assert!(output.status.success(), "{output:?}");
    let reply = gateway.post("/r/old/raw", "x").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let output = run_cli(&gateway, &["list", "routes", "old"]).await;
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("/raw"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_methods_of_a_trigger_are_given_and_shown_by_the_command_line() {
    let gateway = Gateway::start(Backend::Process).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    let create = "create trigger t m some --source /x --methods";
    said(&gateway, &format!("{create} get,PATCH")).await.fine();
    let listed = said(&gateway, "list triggers t m").await.fine().out;
    let of = |name: &str| {
        let line = listed.lines().find(|line| line.starts_with(name));
        line.unwrap().split_whitespace().nth(2).unwrap()
    };
    assert_eq!((of("some"), of("m")), ("GET,PATCH", "ANY"));
    let shown = "inspect trigger t m some annotations.kiln/methods.1";
    assert_eq!(said(&gateway, shown).await.fine().out, "\"PATCH\"\n");

    let status = async |method: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = gateway.client().request(method, gateway.url("/t/t/x"));
        gateway.send(request).await.status
    };
    assert_eq!((status("PATCH").await, status("POST").await), (200, 405));
    let others = "create trigger t m others --source /x --methods";
    let refused = said(&gateway, &format!("{others} POST,GET")).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    said(&gateway, &format!("{others} POST")).await.fine();
    assert_eq!((status("POST").await, status("PUT").await), (200, 405));
    said(&gateway, "delete trigger t m others --force")
        .await
        .fine();
    said(&gateway, "update trigger t m some --methods ANY")
        .await
        .fine();
    assert_eq!(status("PUT").await, 200);
}

// F5: what is wrong is said in one line, and nothing is deployed.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_func_yaml_deploys_nothing() {
    let gateway = Gateway::start(Backend::Process).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("func.yaml");
    let path = folder.path().to_str().unwrap().to_owned();
    let good = "schema_version: 20180708\nname: bad\nversion: 0.0.1\nruntime: rust\n";
    let bomb: String = (1..30)
        .map(|i| format!("a{i}: &a{i} [{}]\n", format!("*a{},", i - 1).repeat(9)))
        .collect();
    for (text, words) in [
        (format!("{good}memroy: 64\n"), &["memroy", "memory"][..]),
        (
            format!("{good}format: httpp\n"),
            &["format", "httpp", "http-stream"],
        ),
        (
            format!("{good}idle_timeout: 0\n"),
            &["idle_timeout", "0", "3600"],
        ),
        (
            format!("{good}idle_timeout: 99999\n"),
            &["idle_timeout", "99999", "3600"],
        ),
        (format!("{good}memory: x\n"), &["memory", "x", "8192"]),
        ("#".repeat(10 << 20), &["func.yaml", "65536"]),
        (format!("a0: &a0 x\n{bomb}"), &["func.yaml"]),
    ] {
        std::fs::write(&file, &text).unwrap();
        let args = ["deploy", "--app", "demo", "--create-app", "--local", &path];
        let output = run_cli(&gateway, &args).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let errors: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("error:"))
            .collect();
        assert_eq!(errors.len(), 1, "{said}");
        for word in words {
            assert!(errors[0].contains(word), "{word} is missing in: {said}");
        }
        assert!(
            std::fs::read_to_string(&file).unwrap() == text,
            "the file was changed"
        );
    }
    assert_eq!(
        gateway.get("/v2/apps").await.text().trim(),
        json!({"items": []}).to_string()
    );
}
