//! Images that declare their functions, and triggers with parameters.

use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::server::Server;
use crate::api::error::ApiError;

const SHOP: &str = r#"{"fn_index":1,"runtime":{"name":"r"},"functions":[
    {"name":"add"},
    {"name":"fib","triggers":[{"name":"fib","source":"/fib/{i:int}","methods":["GET"]}]}]}"#;
const LATER: &str = r#"{"fn_index":1,"functions":[{"name":"add","memory":64}]}"#;
const BAD: &str = r#"{"fn_index":1,"functions":[{"name":"add","memory":0},{"name":"ok"}]}"#;

const IMAGES: &[(&str, &str)] = &[
    ("o/shop:1", SHOP),
    ("o/shop:2", LATER),
    ("o/shop:bad", BAD),
    ("o/shop:declines", r#"{"fn_index":1,"use_func_yaml":true}"#),
    ("other:1", LATER),
    ("o/shop:none", r#"{"fn_index":1,"functions":[]}"#),
    ("o/shop:empty", ""),
];

fn deploy(image: &str, more: &Value) -> Value {
    let mut body = json!({"app": {"name": "a", "create": true}, "image": image});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn names(answer: &Value) -> Vec<String> {
    let changes = answer["changes"].as_array().unwrap();
    let said = |c: &Value| {
        format!(
            "{} {}",
            c["name"].as_str().unwrap(),
            c["outcome"].as_str().unwrap()
        )
    };
    changes.iter().map(said).collect()
}

#[tokio::test]
async fn an_image_is_asked_once_and_again_when_somebody_wants_that() {
    let server = Server::with_images(IMAGES).await;
    let body = json!({"image": "o/shop:1"});
    let report = server.ok("POST /v2/index", body.clone()).await;
    assert_eq!(
        (&report["state"], &report["cached"]),
        (&json!("valid"), &json!(false))
    );
    assert_eq!(
        report["functions"][1]["triggers"][0]["methods"],
        json!(["GET"])
    );
    assert_eq!(report["digest"], "fake:o/shop:1");
    let report = server.ok("POST /v2/index", body).await;
    assert_eq!(
        (&report["state"], &report["cached"]),
        (&json!("valid"), &json!(true))
    );
    let again = json!({"image": "o/shop:1", "reindex": true});
    assert_eq!(server.ok("POST /v2/index", again).await["cached"], false);
    for (image, state) in [
        ("o/shop:bad", "invalid"),
        ("o/shop:declines", "declined"),
        ("none", "failed"),
    ] {
        for cached in [false, state != "failed"] {
            let report = server.ok("POST /v2/index", json!({"image": image})).await;
            assert_eq!(
                (&report["state"], &report["cached"]),
                (&json!(state), &json!(cached)),
                "{image}"
            );
        }
    }
}

#[tokio::test]
async fn an_index_says_what_functions_expect_and_their_annotations() {
    let needy = r#"{"fn_index":1,"functions":[{"name":"f","annotations":{"team/owner":"x"},
        "expects":{"config":[{"name":"BUCKET","required":true},{"name":"NOTE"}],"secrets":["DB_URL"]}}]}"#;
    let liar = r#"{"fn_index":1,"functions":[{"name":"f","annotations":
        {"fnproject.io/fn/invokeEndpoint":"http://elsewhere"}},{"name":"g"}]}"#;
    let server = Server::with_images(&[("needy:1", needy), ("liar:1", liar)]).await;
    let report = server
        .ok("POST /v2/index", json!({"image": "needy:1"}))
        .await;
    let function = &report["functions"][0];
    assert_eq!(
        function["expects"],
        json!({
            "config": [{"name": "BUCKET", "required": true}, {"name": "NOTE", "required": false}],
            "secrets": ["DB_URL"],
        })
    );
    assert_eq!(function["annotations"], json!({"team/owner": "x"}));

    let skip = json!({"skip_invalid": true});
    let told = server
        .ok("POST /v2/index/deploy", deploy("liar:1", &skip))
        .await;
    assert_eq!(
        told["problems"],
        json!([
            "function \"f\": annotations \"fnproject.io/fn/invokeEndpoint\" is the platform's own"
        ])
    );
    assert_eq!(names(&told), ["f skipped", "g created"]);
}

#[tokio::test]
async fn what_func_yaml_adds_is_held_to_the_limits_with_what_the_image_has() {
    let server = Server::with_images(IMAGES).await;
    let call = "POST /v2/index/deploy";
    let own = json!({"functions": {"add": {"config": {"A=B": "x"}}}});
    let refused = server.ok(call, deploy("o/shop:1", &own)).await;
    let problem = "function \"add\": config \"A=B\": Invalid config key, config keys must be non-empty and free of '=' and NUL";
    assert_eq!(refused["problems"], json!([problem]));
    assert_eq!(refused["applied"], false);
    let many: Vec<String> = (0..201).map(|n| format!("f{n}")).collect();
    let many = deploy("o/shop:1", &json!({"only": many}));
    server.call(call, many).await.flat(
        400,
        "Too many functions are named, an image has at most 200",
    );
}

#[test]
fn who_had_to_wait_for_other_images_may_come_again() {
    let busy = ApiError::Busy("still waits for x".to_owned());
    let response = busy.into_response();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "15");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused() {
    let server = Server::start().await;
    let off = server.ok("POST /v2/index", json!({"image": "i"})).await;
    assert_eq!(off["state"], "off");
    let server = Server::with_images(IMAGES).await;
    for (body, message) in [
        (json!({}), "Missing image"),
        (json!({"image": "a b"}), "Invalid image"),
        (
            json!({"image": "a", "timeout": 0}),
            "timeout value is out of range, must be between 1 and 300",
        ),
    ] {
        server
            .raw("POST /v2/index", body.to_string())
            .await
            .flat(400, message);
    }
    for (body, status, message) in [
        (json!({"image": "o/shop:1"}), 400, "Missing app"),
        (
            json!({"app": {"name": "a"}, "image": "o/shop:1"}),
            404,
            "App not found",
        ),
        (
            json!({"app": {"name": "a b", "create": true}, "image": "o/shop:1"}),
            400,
            "Invalid app name",
        ),
        (
            deploy("o/shop:1", &json!({"format": "x"})),
            400,
            "Invalid format on Fn",
        ),
    ] {
        server
            .raw("POST /v2/index/deploy", body.to_string())
            .await
            .flat(status, message);
    }
    assert_eq!(server.ok_get("/v2/apps").await["items"], json!([]));
}

#[tokio::test]
async fn an_app_becomes_what_an_image_declares() {
    let long = format!("{{\"fn_index\":1,\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let images = [IMAGES, &[("o/shop:long", long.as_str())]].concat();
    let server = Server::with_images(&images).await;
    let call = "POST /v2/index/deploy";
    let planned = server
        .ok(call, deploy("o/shop:1", &json!({"dry_run": true})))
        .await;
    assert_eq!(
        (names(&planned), &planned["applied"]),
        (
            vec!["add created".to_owned(), "fib created".to_owned()],
            &json!(false)
        )
    );
    assert_eq!(server.ok_get("/v2/apps").await["items"], json!([]));

    let app = json!({"name": "a", "create": true, "config": {"K": "v"}});
    let done = server
        .ok(call, deploy("o/shop:1", &json!({"app": app})))
        .await;
    assert_eq!(done["applied"], true);
    assert_eq!(
        done["changes"][1]["triggers"][0]["url"],
        "http://localhost:8080/t/a/fib/{i:int}"
    );
    let fib = server
        .registry
        .catalog()
        .trigger("a", "/fib/6", "/fib/6", "GET")
        .unwrap();
    assert_eq!((fib.name.as_str(), fib.env["K"].as_str()), ("fib", "v"));
    assert!(
        server
            .registry
            .catalog()
            .trigger("a", "/fib/x", "/fib/x", "GET")
            .is_err()
    );

    let refused = server.ok(call, deploy("o/shop:bad", &json!({}))).await;
    assert_eq!(
        refused["problems"],
        json!(["function \"add\": memory 0 is outside 1..8192"])
    );
    assert_eq!(
        (&refused["applied"], &refused["changes"]),
        (&json!(false), &json!([]))
    );
    let skipped = server
        .ok(
            call,
            deploy(
                "o/shop:bad",
                &json!({"skip_invalid": true, "keep_missing": true, "dry_run": true}),
            ),
        )
        .await;
    assert_eq!(names(&skipped), ["add skipped", "fib kept", "ok created"]);

    let more = json!({"functions": {"add": {"memory": 96, "scale": {"max": 2}, "config": {"C": "1"}}}, "defaults": {"timeout": 7}});
    let later = server.ok(call, deploy("o/shop:2", &more)).await;
    assert_eq!(names(&later), ["add updated", "fib removed"]);
    let changes: Vec<&str> = later["changes"][0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        changes,
        ["memory", "timeout", "config C", "annotation kiln/scale"]
    );
    assert!(
        server
            .registry
            .catalog()
            .trigger("a", "/fib/6", "/fib/6", "GET")
            .is_err()
    );

    // An answer of which nothing is read is none that declares no functions.
    for image in ["o/shop:long", "o/shop:none", "o/shop:empty", "o/shop:empty"] {
        for flags in [json!({}), json!({"skip_invalid": true})] {
            let refused = server.ok(call, deploy(image, &flags)).await;
            assert_eq!(refused["index"]["state"], "invalid");
            assert_eq!(
                refused["problems"].as_array().unwrap().len(),
                1,
                "{refused}"
            );
            assert_eq!(
                (&refused["applied"], &refused["changes"]),
                (&json!(false), &json!([]))
            );
        }
    }
    assert!(
        server
            .registry
            .catalog()
            .trigger("a", "/add", "/add", "GET")
            .is_ok()
    );

    let other = server.ok(call, deploy("other:1", &json!({}))).await;
    let problem = other["problems"][0].as_str().unwrap();
    assert!(
        problem.starts_with("function \"add\": name is taken by a function of image \"o/shop\""),
        "{problem}"
    );
}

#[tokio::test]
async fn triggers_that_take_the_same_requests_are_refused() {
    let server = Server::start().await;
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await["id"].clone();
    let f = json!({"app_id": app, "name": "f", "image": "f:1"});
    let function = server.ok("POST /v2/fns", f).await["id"].clone();
    let trigger = |name: &str, source: &str, annotations: Value| json!({"app_id": app, "fn_id": function, "name": name, "type": "http", "source": source, "annotations": annotations});
    let create = "POST /v2/triggers";
    server.ok(create, trigger("x", "/a/{x}", json!({}))).await;
    let refused = server.call(create, trigger("y", "/a/{y}", json!({}))).await;
    refused.flat(409, "Trigger source /a/{y} matches the same paths as /a/{x}, which this app has for the same methods");
    let get = server
        .ok(create, trigger("g", "/b", json!({"kiln/methods": ["GET"]})))
        .await;
    server
        .ok(
            create,
            trigger("p", "/b", json!({"kiln/methods": ["POST"]})),
        )
        .await;
    let refused = server
        .call(
            create,
            trigger("h", "/b", json!({"kiln/methods": ["GET", "PUT"]})),
        )
        .await;
    refused.flat(
        409,
        "Trigger with the same type and source exists on this app",
    );
    let put = format!("PUT /v2/triggers/{}", get["id"].as_str().unwrap());
    let refused = server
        .call(&put, json!({"annotations": {"kiln/methods": ""}}))
        .await;
    refused.flat(
        409,
        "Trigger with the same type and source exists on this app",
    );
    let refused = server.call(create, trigger("z", "/{z", json!({}))).await;
    refused.flat(400, "Invalid Trigger Source: segment \"{z\" is not allowed, expected a parameter to be all of it, such as {id}");
}
