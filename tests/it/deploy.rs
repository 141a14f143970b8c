//! From a folder to an answer, by the command line.

use serde_json::{Value, json};

use crate::support::{Backend, Example, Gateway, backends, run_cli};

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
