//! Each operation against a server that answers by a script: what it asks for, word for word.
//!
//! The lines are parsed as a person types them, in either grammar.

use crate::cli::args::run_line;
use crate::cli::fake_server::FakeServer;

const APP: (u16, &str) = (
    200,
    r#"{"items":[{"id":"A1","name":"a","config":{"K":"V"}}]}"#,
);
const FUNCTION: (u16, &str) = (
    200,
    r#"{"items":[{"id":"F1","app_id":"A1","name":"f","config":{"K":"V"},"annotations":{"fnproject.io/fn/invokeEndpoint":"http://s/invoke/F1"}}]}"#,
);
const TRIGGER: (u16, &str) = (200, r#"{"items":[{"id":"T1","name":"t"}]}"#);
const NONE: (u16, &str) = (200, r#"{"items":[]}"#);
const OBJECT: (u16, &str) = (200, "{}");
const NO_CONTENT: (u16, &str) = (204, "");

const FIND_APP: &str = "GET /v2/apps?name=a";
const FIND_FUNCTION: &str = "GET /v2/fns?app_id=A1&name=f";
const FIND_TRIGGER: &str = "GET /v2/triggers?app_id=A1&fn_id=F1&name=t";

/// Runs a line; what it asked the server for, and whether it got what it wanted.
async fn run(line: &str, answers: &[(u16, &'static str)]) -> (Vec<String>, anyhow::Result<()>) {
    let server = FakeServer::start(answers).await;
    let result = run_line(line, &[("FN_API_URL", &server.base)]).await;
    (server.asked(), result)
}

/// Every spelling asks the same.
async fn assert_asks(lines: &[&str], answers: &[(u16, &'static str)], expected: &[&str]) {
    for line in lines {
        let (asked, result) = run(line, answers).await;
        assert_eq!(asked, expected, "{line}");
        assert!(result.is_ok(), "{line}: {result:?}");
    }
}

async fn assert_fails(line: &str, answers: &[(u16, &'static str)], message: &str, asked: &[&str]) {
    let (did_ask, result) = run(line, answers).await;
    assert_eq!(result.unwrap_err().to_string(), message, "{line}");
    assert_eq!(did_ask, asked, "{line}");
}

#[tokio::test]
async fn a_scale_is_asked_for_by_the_functions_id() {
    assert_asks(
        &["fn scale a f", "fn scale a f --output json"],
        &[APP, FUNCTION, OBJECT],
        &[FIND_APP, FIND_FUNCTION, "GET /v2/fns/F1/scale"],
    )
    .await;
}

#[tokio::test]
async fn apps_are_managed_by_the_v2_api() {
    assert_asks(
        &[
            "fn create app a --config K=V --annotation n=1 --syslog-url tcp://h:1",
            "fn apps create a --config K=V --annotation n=1 --syslog-url tcp://h:1",
        ],
        &[OBJECT],
        &[
            r#"POST /v2/apps {"name":"a","config":{"K":"V"},"annotations":{"n":1},"syslog_url":"tcp://h:1"}"#,
        ],
    )
    .await;
    assert_asks(
        &["fn update app a --config K=", "fn apps update a -c K="],
        &[APP, OBJECT],
        &[FIND_APP, r#"PUT /v2/apps/A1 {"config":{"K":""}}"#],
    )
    .await;
    assert_asks(
        &["fn inspect app a name", "fn app inspect a name"],
        &[APP, (200, r#"{"name":"a"}"#)],
        &[FIND_APP, "GET /v2/apps/A1"],
    )
    .await;
    assert_asks(
        &["fn delete app a --force", "fn apps delete a -f"],
        &[APP, NO_CONTENT],
        &[FIND_APP, "DELETE /v2/apps/A1"],
    )
    .await;
    assert_asks(
        &["fn list apps --output json", "fn apps list", "fn ls a"],
        &[APP],
        &["GET /v2/apps"],
    )
    .await;
}

#[tokio::test]
async fn functions_are_managed_by_the_v2_api() {
    assert_asks(
        &[
            "fn create function a f i:1 --memory 64 --timeout 5",
            "fn create fn a f --image i:1 -m 64 --timeout 5",
            "fn functions create a f i:1 -m 64 --timeout 5",
        ],
        &[APP, OBJECT],
        &[
            FIND_APP,
            r#"POST /v2/fns {"app_id":"A1","name":"f","image":"i:1","memory":64,"timeout":5}"#,
        ],
    )
    .await;
    assert_asks(
        &[
            "fn update function a f i:2 --idle-timeout 9",
            "fn func update a f --image i:2 --idle-timeout 9",
        ],
        &[APP, FUNCTION, OBJECT],
        &[
            FIND_APP,
            FIND_FUNCTION,
            r#"PUT /v2/fns/F1 {"image":"i:2","idle_timeout":9}"#,
        ],
    )
    .await;
    assert_asks(
        &["fn inspect fn a f", "fn functions inspect a f"],
        &[APP, FUNCTION, OBJECT],
        &[FIND_APP, FIND_FUNCTION, "GET /v2/fns/F1"],
    )
    .await;
    assert_asks(
        &["fn delete function a f --force", "fn fn delete a f --force"],
        &[APP, FUNCTION, NO_CONTENT],
        &[FIND_APP, FIND_FUNCTION, "DELETE /v2/fns/F1"],
    )
    .await;
}

#[tokio::test]
async fn triggers_are_managed_by_the_v2_api() {
    assert_asks(
        &[
            "fn create trigger a f t --type http --source /s",
            "fn triggers create a f t -s /s",
        ],
        &[APP, FUNCTION, OBJECT],
        &[
            FIND_APP,
            FIND_FUNCTION,
            r#"POST /v2/triggers {"app_id":"A1","fn_id":"F1","name":"t","type":"http","source":"/s"}"#,
        ],
    )
    .await;
    assert_asks(
        &[
            "fn update trigger a f t -s /new",
            "fn trig update a f t -s /new",
        ],
        &[APP, FUNCTION, TRIGGER, OBJECT],
        &[
            FIND_APP,
            FIND_FUNCTION,
            FIND_TRIGGER,
            r#"PUT /v2/triggers/T1 {"source":"/new"}"#,
        ],
    )
    .await;
    let create = |annotations: &str| {
        format!(
            r#"POST /v2/triggers {{"app_id":"A1","fn_id":"F1","name":"t","type":"http","source":"/s"{annotations}}}"#
        )
    };
    let update =
        |annotations: &str| format!(r#"PUT /v2/triggers/T1 {{"annotations":{annotations}}}"#);
    for (methods, created, updated) in [
        (
            "GET,post",
            r#","annotations":{"kiln/methods":["GET","POST"]}"#,
            r#"{"kiln/methods":["GET","POST"]}"#,
        ),
        ("ANY", "", r#"{"kiln/methods":null}"#),
    ] {
        assert_asks(
            &[
                &format!("fn create trigger a f t --source /s --methods {methods}"),
                &format!("fn triggers create a f t -s /s --methods {methods}"),
            ],
            &[APP, FUNCTION, OBJECT],
            &[FIND_APP, FIND_FUNCTION, &create(created)],
        )
        .await;
        assert_asks(
            &[
                &format!("fn update trigger a f t --methods {methods}"),
                &format!("fn triggers update a f t --methods {methods}"),
            ],
            &[APP, FUNCTION, TRIGGER, OBJECT],
            &[FIND_APP, FIND_FUNCTION, FIND_TRIGGER, &update(updated)],
        )
        .await;
    }
    assert_asks(
        &["fn delete trigger a f t -f", "fn triggers delete a f t -f"],
        &[APP, FUNCTION, TRIGGER, NO_CONTENT],
        &[
            FIND_APP,
            FIND_FUNCTION,
            FIND_TRIGGER,
            "DELETE /v2/triggers/T1",
        ],
    )
    .await;
    assert_asks(
        &["fn list triggers a f", "fn triggers list a f"],
        &[APP, FUNCTION, TRIGGER],
        &[
            FIND_APP,
            FIND_FUNCTION,
            "GET /v2/triggers?app_id=A1&fn_id=F1",
        ],
    )
    .await;
}

#[tokio::test]
async fn routes_are_managed_by_the_v1_api() {
    assert_asks(
        &[
            "fn create route a /p i:1 --type sync -f http --headers H=1 --headers H=2",
            "fn routes create a p --image i:1 --type sync -f http --headers H=1 --headers H=2",
        ],
        &[OBJECT],
        &[
            r#"POST /v1/apps/a/routes {"route":{"format":"http","headers":{"H":["1","2"]},"image":"i:1","path":"/p","type":"sync"}}"#,
        ],
    )
    .await;
    assert_asks(
        &[
            "fn update route a /p/q -m 64",
            "fn routes update a p/q -m 64",
        ],
        &[OBJECT],
        &[r#"PATCH /v1/apps/a/routes/p/q {"route":{"memory":64}}"#],
    )
    .await;
    assert_asks(
        &["fn inspect route a /p path", "fn routes inspect a /p path"],
        &[(200, r#"{"message":"loaded","route":{"path":"/p"}}"#)],
        &["GET /v1/apps/a/routes/p"],
    )
    .await;
    assert_asks(
        &["fn inspect route a / image"],
        &[(200, r#"{"routes":[{"path":"/","image":"i"}]}"#)],
        &["GET /v1/apps/a/routes"],
    )
    .await;
    assert_asks(
        &["fn delete route a /p -f", "fn routes delete a /p --force"],
        &[(200, r#"{"message":"Route deleted"}"#)],
        &["DELETE /v1/apps/a/routes/p"],
    )
    .await;
    assert_asks(
        &["fn list routes a --image i:1", "fn routes list a -i i:1"],
        &[(200, r#"{"routes":[{"path":"/p"}]}"#)],
        &["GET /v1/apps/a/routes?image=i%3A1"],
    )
    .await;
}

#[tokio::test]
async fn configuration_is_set_read_and_unset() {
    assert_asks(
        &["fn config app a X 1", "fn apps config set a X 1"],
        &[APP, OBJECT],
        &[FIND_APP, r#"PUT /v2/apps/A1 {"config":{"X":"1"}}"#],
    )
    .await;
    assert_asks(
        &["fn config fn a f X 1", "fn functions config set a f X 1"],
        &[APP, FUNCTION, OBJECT],
        &[
            FIND_APP,
            FIND_FUNCTION,
            r#"PUT /v2/fns/F1 {"config":{"X":"1"}}"#,
        ],
    )
    .await;
    assert_asks(
        &["fn config route a /p X 1", "fn routes config set a /p X 1"],
        &[OBJECT],
        &[r#"PATCH /v1/apps/a/routes/p {"route":{"config":{"X":"1"}}}"#],
    )
    .await;
    assert_asks(
        &[
            "fn get config app a K",
            "fn list config app a",
            "fn apps config get a K",
            "fn apps config list a --output json",
        ],
        &[APP],
        &[FIND_APP],
    )
    .await;
    assert_asks(
        &[
            "fn unset config route a /p K",
            "fn routes config unset a /p K",
        ],
        &[(200, r#"{"route":{"config":{"K":"V"}}}"#), OBJECT],
        &[
            "GET /v1/apps/a/routes/p",
            r#"PATCH /v1/apps/a/routes/p {"route":{"config":{"K":""}}}"#,
        ],
    )
    .await;
    let message = "app a has no configuration value X";
    for line in ["fn get config app a X", "fn unset config app a K X"] {
        assert_fails(line, &[APP], message, &[FIND_APP]).await;
    }
}

#[tokio::test]
async fn an_empty_value_would_remove_the_key_and_is_refused() {
    let message = "a configuration value cannot be empty";
    assert_fails("fn config app a K ", &[], message, &[]).await;
}

#[tokio::test]
async fn calls_are_listed_where_the_server_keeps_them() {
    let calls = (
        200,
        r#"{"calls":[{"id":"C1","status":"success","path":"/p"}]}"#,
    );
    assert_asks(
        &["fn list calls a", "fn calls list a"],
        &[calls],
        &["GET /v1/apps/a/calls"],
    )
    .await;
    assert_asks(
        &[
            "fn list calls a /p --from-time 1970-01-01T00:01:00Z",
            "fn calls list a --path /p --from-time 1970-01-01T01:01:00+01:00",
        ],
        &[calls],
        &["GET /v1/apps/a/calls?path=%2Fp&from_time=60"],
    )
    .await;
    assert_asks(
        &["fn list calls a f -n 1"],
        &[
            APP,
            FUNCTION,
            (200, r#"{"items":[{"id":"C1"}],"next_cursor":"x"}"#),
        ],
        &[FIND_APP, FIND_FUNCTION, "GET /v2/fns/F1/calls"],
    )
    .await;
    assert_asks(
        &["fn get call a C1", "fn calls get a C1"],
        &[(200, r#"{"call":{"id":"C1"}}"#)],
        &["GET /v1/apps/a/calls/C1"],
    )
    .await;
    assert_asks(
        &["fn get call a f C1", "fn calls get a f C1"],
        &[APP, FUNCTION, OBJECT],
        &[FIND_APP, FIND_FUNCTION, "GET /v2/fns/F1/calls/C1"],
    )
    .await;
}

#[tokio::test]
async fn a_log_is_found_by_its_call_or_as_the_last_one() {
    let v1 = (
        200,
        r#"{"message":"m","log":{"call_id":"C1","log":"hi\n"}}"#,
    );
    let v2 = (200, r#"{"call_id":"C1","log":"hi\n"}"#);
    assert_asks(
        &["fn get logs a C1", "fn logs get a C1"],
        &[v1],
        &["GET /v1/apps/a/calls/C1/log"],
    )
    .await;
    assert_asks(
        &["fn get logs a /p last", "fn logs get a /p last"],
        &[(200, r#"{"calls":[{"id":"C1"}]}"#), v1],
        &[
            "GET /v1/apps/a/calls?per_page=1&path=%2Fp",
            "GET /v1/apps/a/calls/C1/log",
        ],
    )
    .await;
    assert_asks(
        &["fn get logs a f last"],
        &[APP, FUNCTION, (200, r#"{"items":[{"id":"C1"}]}"#), v2],
        &[
            FIND_APP,
            FIND_FUNCTION,
            "GET /v2/fns/F1/calls?per_page=1",
            "GET /v2/fns/F1/calls/C1/log",
        ],
    )
    .await;
    let asked = ["GET /v1/apps/a/calls?per_page=1"];
    assert_fails(
        "fn logs get a last",
        &[OBJECT],
        "a has not been called yet",
        &asked,
    )
    .await;
}

#[tokio::test]
async fn a_call_is_found_as_the_last_one_too() {
    assert_asks(
        &["fn get call a f last", "fn calls get a f last"],
        &[APP, FUNCTION, (200, r#"{"items":[{"id":"C1"}]}"#), OBJECT],
        &[
            FIND_APP,
            FIND_FUNCTION,
            "GET /v2/fns/F1/calls?per_page=1",
            "GET /v2/fns/F1/calls/C1",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_told_without_the_protocol() {
    let no_app = (404, r#"{"error":{"message":"App not found"}}"#);
    let no_call = (404, r#"{"error":{"message":"Call not found"}}"#);
    let no_log = (404, r#"{"message":"Call log not found"}"#);
    let no_route = (404, r#"{"error":{"message":"Route not found"}}"#);
    for (line, answers, message) in [
        ("fn get call a C1", &[no_app][..], "app a does not exist"),
        ("fn get logs a last", &[no_app], "app a does not exist"),
        ("fn list calls a", &[no_app], "app a does not exist"),
        ("fn inspect route a /p", &[no_app], "app a does not exist"),
        (
            "fn inspect route a /p",
            &[no_route],
            "route /p does not exist in app a",
        ),
        (
            "fn get call a C1",
            &[no_call],
            "call C1 is not there, or no longer",
        ),
        (
            "fn get logs a f C1",
            &[APP, FUNCTION, no_log],
            "call C1 is not there, or no longer",
        ),
    ] {
        let (_, result) = run(line, answers).await;
        assert_eq!(result.unwrap_err().to_string(), message, "{line}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_where_nobody_can_be_asked() {
    let message = "nobody is here to confirm the deletion";
    for line in [
        "fn delete app a",
        "fn delete function a f",
        "fn delete trigger a f t",
        "fn delete route a /p",
        "fn delete context c",
        "fn apps delete a",
    ] {
        assert_fails(line, &[], message, &[]).await;
    }
}

#[tokio::test]
async fn what_does_not_exist_is_named_before_anything_changes() {
    let no_app = "app a does not exist";
    assert_fails("fn delete app a -f", &[NONE], no_app, &[FIND_APP]).await;
    let no_function = "function f does not exist in app a";
    let asked = [FIND_APP, FIND_FUNCTION];
    assert_fails("fn config fn a f K V", &[APP, NONE], no_function, &asked).await;
    let no_trigger = "trigger t does not exist on function f";
    let asked = [FIND_APP, FIND_FUNCTION, FIND_TRIGGER];
    let answers = [APP, FUNCTION, NONE];
    assert_fails("fn delete trig a f t -f", &answers, no_trigger, &asked).await;
    let no_route = "route / does not exist in app a";
    let asked = ["GET /v1/apps/a/routes"];
    assert_fails("fn inspect route a /", &[OBJECT], no_route, &asked).await;
}

#[tokio::test]
async fn an_update_of_nothing_is_a_mistake() {
    let message = "nothing to update is given";
    for line in [
        "fn update app a",
        "fn update function a f",
        "fn update route a /p",
        "fn update trigger a f t",
    ] {
        assert_fails(line, &[], message, &[]).await;
    }
}

#[tokio::test]
async fn a_context_chooses_the_server() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let server = FakeServer::start(&[APP, APP]).await;
    let create = format!("fn create context team --api-url {}/v1", server.base);
    for line in [
        create.as_str(),
        "fn --context team list apps",
        "fn context use team",
        "fn list apps",
        "fn update context registry r/team",
        "fn list contexts",
        "fn inspect context registry",
    ] {
        let result = run_line(line, &[("HOME", home)]).await;
        // The last one takes its argument for the name of a context.
        assert_eq!(
            result.is_ok(),
            line != "fn inspect context registry",
            "{line}"
        );
    }
    assert_eq!(server.asked(), ["GET /v2/apps", "GET /v2/apps"]);
    for (line, fine) in [
        ("fn delete context team --force", false),
        ("fn unset context", true),
        ("fn unset context", false),
        ("fn ctx delete team --force", true),
        ("fn use context team", false),
    ] {
        let result = run_line(line, &[("HOME", home)]).await;
        assert_eq!(result.is_ok(), fine, "{line}");
    }
}
