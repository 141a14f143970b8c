use std::fs;
use std::path::Path;

use super::app::{find_target, read_app_file};
use super::{DeployArgs, function, route, run};
use crate::cli::fake_server::FakeServer;
use crate::config::{Deployment, Manifest};

const APP: (u16, &str) = (200, r#"{"items":[{"id":"A1","name":"a"}]}"#);
const NONE: (u16, &str) = (200, r#"{"items":[]}"#);
const CREATED: (u16, &str) = (
    200,
    r#"{"id":"F1","app_id":"A1","name":"f","annotations":{"fnproject.io/fn/invokeEndpoint":"http://s/invoke/F1"}}"#,
);

const FUNCTION: &str = "schema_version: 20180708\nname: f\nversion: 0.0.1\n";

async fn put(server: &FakeServer, text: &str, image: &str) -> anyhow::Result<Vec<String>> {
    let manifest = Manifest::parse(text, "x").unwrap();
    let api = server.api();
    let target = find_target("a", None, false, &manifest, &api).await?;
    match &manifest.deployment {
        Deployment::Route { .. } => route::put(&api, &target, &manifest, image).await,
        Deployment::Function { triggers } => {
            function::put(&api, &target, &manifest, triggers, image).await
        }
    }
}

fn args(dir: &Path) -> DeployArgs {
    DeployArgs {
        app: Some("a".to_owned()),
        create_app: false,
        local: true,
        no_bump: false,
        registry: None,
        no_cache: false,
        dry_run: false,
        skip_invalid: false,
        keep_missing: false,
        reindex: false,
        dir: dir.to_owned(),
    }
}

#[tokio::test]
async fn a_route_is_one_put_that_creates_its_app() {
    let server = FakeServer::start(&[(200, r#"{"route":{}}"#)]).await;
    let text = "name: hello\npath: /hello\nformat: http\n\
                memory: 128\ntimeout: 30\nidle_timeout: 30\n";
    let urls = put(&server, text, "hello:0.0.2").await.unwrap();
    assert_eq!(
        server.asked(),
        [
            r#"PUT /v1/apps/a/routes/hello {"route":{"path":"/hello","image":"hello:0.0.2","memory":128,"type":"sync","format":"http","timeout":30,"idle_timeout":30}}"#
        ]
    );
    assert_eq!(urls, [format!("{}/r/a/hello", server.base)]);
}

#[tokio::test]
async fn what_the_file_of_a_route_does_not_name_stays_as_it_is_on_the_server() {
    let server = FakeServer::start(&[(200, r#"{"route":{}}"#)]).await;
    put(&server, "name: f\npath: /f\ntimeout: 5\n", "f:1")
        .await
        .unwrap();
    assert_eq!(
        server.asked(),
        [
            r#"PUT /v1/apps/a/routes/f {"route":{"path":"/f","image":"f:1","type":"sync","format":"default","timeout":5}}"#
        ]
    );
}

#[tokio::test]
async fn an_app_that_cannot_be_is_refused_before_anything_is_built() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("func.yaml"), FUNCTION).unwrap();
    let server = FakeServer::start(&[]).await;
    for name in ["a b", "a/b", "a.b", &"x".repeat(256)] {
        let args = DeployArgs {
            app: Some(name.to_owned()),
            ..args(dir.path())
        };
        let error = run(&args, &server.session()).await.unwrap_err();
        let expected = format!(
            "--app: {name} is not allowed, expected letters, digits, - or _, at most 255 characters"
        );
        assert_eq!(error.to_string(), expected);
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_root_route_has_no_slash_at_the_end() {
    let server = FakeServer::start(&[(200, "{}")]).await;
    let urls = put(&server, "name: hello\npath: /\n", "i").await.unwrap();
    assert!(server.asked()[0].starts_with("PUT /v1/apps/a/routes {"));
    assert_eq!(urls, [format!("{}/r/a/", server.base)]);
}

#[tokio::test]
async fn a_new_function_is_posted() {
    let server = FakeServer::start(&[APP, NONE, CREATED]).await;
    let urls = put(&server, FUNCTION, "f:0.0.2").await.unwrap();
    assert_eq!(
        server.asked(),
        [
            "GET /v2/apps?name=a",
            "GET /v2/fns?app_id=A1&name=f",
            r#"POST /v2/fns {"app_id":"A1","name":"f","image":"f:0.0.2","memory":128,"timeout":30,"idle_timeout":30}"#,
        ]
    );
    assert_eq!(urls, ["http://s/invoke/F1"]);
}

#[tokio::test]
async fn a_function_that_exists_is_updated_with_its_triggers() {
    let existing = (
        200,
        r#"{"items":[{"id":"F1","app_id":"A1","name":"f","format":"json","annotations":{"fnproject.io/fn/invokeEndpoint":"http://s/invoke/F1"}}]}"#,
    );
    let trigger = (200, r#"{"items":[{"id":"T1","name":"t","source":"/t"}]}"#);
    let updated = (200, r#"{"id":"F1","app_id":"A1","name":"f"}"#);
    let server = FakeServer::start(&[
        APP,
        existing,
        updated,
        trigger,
        (200, r#"{"id":"T1","name":"t","source":"/t"}"#),
        NONE,
        (
            200,
            r#"{"id":"T2","annotations":{"fnproject.io/trigger/httpEndpoint":"http://s/t/a/u"}}"#,
        ),
    ])
    .await;
    let text = format!(
        "{FUNCTION}triggers:\n  - {{name: t, type: http, source: /t}}\n  - {{name: u, source: /u}}\n"
    );
    let urls = put(&server, &text, "f:0.0.3").await.unwrap();
    assert_eq!(
        server.asked()[2..],
        [
            r#"PUT /v2/fns/F1 {"id":"F1","app_id":"A1","name":"f","image":"f:0.0.3","format":"http-stream"}"#,
            "GET /v2/triggers?app_id=A1&fn_id=F1&name=t",
            r#"PUT /v2/triggers/T1 {"id":"T1","app_id":"A1","fn_id":"F1","name":"t","source":"/t","type":"http"}"#,
            "GET /v2/triggers?app_id=A1&fn_id=F1&name=u",
            r#"POST /v2/triggers {"app_id":"A1","fn_id":"F1","name":"u","source":"/u","type":"http"}"#,
        ]
    );
    let own = format!("{}/t/a/t", server.base);
    assert_eq!(urls, ["http://s/invoke/F1", own.as_str(), "http://s/t/a/u"]);
}

#[tokio::test]
async fn methods_of_a_trigger_are_those_of_the_file() {
    let old = (
        200,
        r#"{"items":[{"id":"T1","app_id":"A1","fn_id":"F1","name":"t","source":"/t","type":"http","annotations":{"kiln/methods":["GET"]}}]}"#,
    );
    let stored = (200, r#"{"id":"T1","name":"t","source":"/t","type":"http"}"#);
    for (methods, sent) in [
        ("", "null"),
        (", methods: [put, POST]", r#"["POST","PUT"]"#),
    ] {
        let server = FakeServer::start(&[APP, NONE, CREATED, old, stored]).await;
        let text = format!("{FUNCTION}triggers: [{{name: t, source: /t{methods}}}]\n");
        put(&server, &text, "f:1").await.unwrap();
        let expected = format!(
            r#"PUT /v2/triggers/T1 {{"id":"T1","app_id":"A1","fn_id":"F1","name":"t","source":"/t","type":"http","annotations":{{"kiln/methods":{sent}}}}}"#
        );
        assert_eq!(server.asked()[4], expected);
    }
}

#[tokio::test]
async fn an_app_that_does_not_exist_stops_the_deployment_unless_it_may_be_created() {
    let server = FakeServer::start(&[NONE]).await;
    let error = put(&server, FUNCTION, "i").await.unwrap_err();
    assert_eq!(error.to_string(), "app a does not exist");

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.yaml"), "name: a\nconfig: {K: v}\n").unwrap();
    let app = (200, r#"{"id":"A1","name":"a"}"#);
    let server = FakeServer::start(&[NONE, app]).await;
    let manifest = Manifest::parse(FUNCTION, "x").unwrap();
    let file = read_app_file(dir.path()).unwrap();
    let target = find_target("a", file, true, &manifest, &server.api())
        .await
        .unwrap();
    assert_eq!(target.ensure(&server.api()).await.unwrap(), "A1");
    assert_eq!(
        server.asked()[1],
        r#"POST /v2/apps {"name":"a","config":{"K":"v"}}"#
    );
}

#[tokio::test]
async fn a_bad_file_is_refused_before_anything_is_asked_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let text = "name: f\nversion: 0.0.1\nidle_timeout: 0\n";
    fs::write(dir.path().join("func.yaml"), text).unwrap();
    let server = FakeServer::start(&[]).await;
    let error = run(&args(dir.path()), &server.session()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("func.yaml: idle_timeout: 0 is not allowed")
    );
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_failed_build_leaves_the_version_and_the_server_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = "name: f # mine\nversion: 0.0.1\npath: /f\nbuild: [exit 7]\nruntime: rust\n";
    fs::write(dir.path().join("func.yaml"), text).unwrap();
    fs::write(dir.path().join("Cargo.toml"), "").unwrap();
    let server = FakeServer::start(&[(200, r#"{"launcher":"process"}"#)]).await;
    let error = run(&args(dir.path()), &server.session()).await.unwrap_err();
    assert_eq!(error.to_string(), "exit 7 failed");
    assert_eq!(server.asked(), ["GET /health"]);
    assert_eq!(
        fs::read_to_string(dir.path().join("func.yaml")).unwrap(),
        text
    );
}

#[tokio::test]
async fn a_dockerfile_cannot_be_deployed_where_functions_are_processes() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("func.yaml"),
        "name: f\nruntime: docker\npath: /f\n",
    )
    .unwrap();
    fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let server = FakeServer::start(&[(200, r#"{"launcher":"process"}"#)]).await;
    let error = run(&args(dir.path()), &server.session()).await.unwrap_err();
    assert!(
        error.to_string().contains("needs a Docker engine"),
        "{error}"
    );
}

/// Contract 12.1, from the folder to the request.
#[cfg(feature = "docker-tests")]
#[tokio::test]
async fn a_folder_with_a_dockerfile_becomes_an_image_and_a_route() {
    let dir = tempfile::tempdir().unwrap();
    let text = "name: kiln-deploy-test\nversion: 0.0.1 # keep\nruntime: docker\nformat: http\npath: /hello\n";
    fs::write(dir.path().join("func.yaml"), text).unwrap();
    fs::write(
        dir.path().join("Dockerfile"),
        "FROM scratch\nCOPY func.yaml /\n",
    )
    .unwrap();
    let server = FakeServer::start(&[(404, "{}"), (200, "{}")]).await;
    run(&args(dir.path()), &server.session()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0], "GET /health");
    assert!(
        asked[1].contains(r#""image":"kiln-deploy-test:0.0.2""#),
        "{asked:?}"
    );
    let after = fs::read_to_string(dir.path().join("func.yaml")).unwrap();
    assert_eq!(after, text.replace("0.0.1", "0.0.2"));
    let engine = crate::build::engine(None).await.unwrap();
    crate::build::remove_image(&engine, "kiln-deploy-test:0.0.2").await;
}
