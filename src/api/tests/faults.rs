use axum::body::Body;
use http::StatusCode;
use serde_json::json;

use super::server::{MAX_BODY, Server, text};

const GONE: &str = "01D00000000000000000000000";

#[tokio::test]
async fn v1_refuses_with_the_texts_of_its_era() {
    let server = Server::start().await;
    server
        .ok("POST /v1/apps", json!({"app": {"name": "a"}}))
        .await;
    for (call, body, status, message) in [
        ("POST /v1/apps", json!({}), 400, "Missing new application"),
        ("POST /v1/apps", json!(null), 400, "Missing new application"),
        (
            "POST /v1/apps",
            json!({"app": null}),
            400,
            "Missing new application",
        ),
        (
            "PATCH /v1/apps/a",
            json!({}),
            400,
            "Missing new application",
        ),
        ("POST /v1/apps", json!({"app": 1}), 400, "Invalid JSON"),
        (
            "POST /v1/apps",
            json!({"app": {"config": {"a": 1}}}),
            400,
            "Invalid JSON",
        ),
        ("POST /v1/apps", json!({"app": {}}), 400, "Missing app name"),
        (
            "POST /v1/apps",
            json!({"app": {"name": "a b"}}),
            400,
            "Invalid app name",
        ),
        (
            "POST /v1/apps",
            json!({"app": {"name": "a\u{0}"}}),
            400,
            "Invalid app name",
        ),
        (
            "POST /v1/apps",
            json!({"app": {"id": GONE, "name": "b"}}),
            400,
            "App ID cannot be supplied on create",
        ),
        (
            "POST /v1/apps",
            json!({"app": {"name": "b", "syslog_url": "http://x"}}),
            400,
            "invalid syslog url: \"http://x\"",
        ),
        (
            "POST /v1/apps",
            json!({"app": {"name": "b", "annotations": {"k": ""}}}),
            400,
            "Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays",
        ),
        (
            "POST /v1/apps",
            json!({"app": {"name": "a"}}),
            409,
            "App already exists",
        ),
        (
            "PATCH /v1/apps/a",
            json!({"app": {"name": "b"}}),
            409,
            "Could not update - name is immutable",
        ),
        (
            "PATCH /v1/apps/a",
            json!({"app": {"name": "a"}}),
            409,
            "Could not update - name is immutable",
        ),
        ("PATCH /v1/apps/z", json!({"app": {}}), 404, "App not found"),
        (
            "PUT /v1/apps/a/routes/x",
            json!({}),
            400,
            "Missing new route",
        ),
        (
            "POST /v1/apps/a/routes",
            json!({}),
            400,
            "Missing new route",
        ),
        (
            "POST /v1/apps/a/routes",
            json!({"route": {}}),
            400,
            "Missing route Path",
        ),
        (
            "POST /v1/apps/a/routes",
            json!({"route": {"path": "x"}}),
            400,
            "Invalid route path format",
        ),
        (
            "POST /v1/apps/a/routes",
            json!({"route": {"path": "/:x"}}),
            400,
            "Dynamic URL is not allowed",
        ),
        (
            "PUT /v1/apps/a/routes/:x",
            json!({"route": {}}),
            400,
            "Dynamic URL is not allowed",
        ),
        (
            "PUT /v1/apps/a/routes/x",
            json!({"route": {}}),
            400,
            "Missing route Image",
        ),
        (
            "PUT /v1/apps/a/routes/%00",
            json!({"route": {}}),
            400,
            "Path malformed",
        ),
        (
            "PUT /v1/apps/a%20b/routes/x",
            json!({"route": {}}),
            400,
            "Invalid app name",
        ),
        (
            "PUT /v1/apps/a%00/routes/x",
            json!({"route": {}}),
            400,
            "Invalid app name",
        ),
        (
            "PUT /v1/apps/a/routes/x",
            json!({"route": {"image": "i", "timeout": "30"}}),
            400,
            "Invalid JSON",
        ),
    ] {
        let answer = server.call(call, body.clone()).await;
        println!("{call} {body}");
        answer.nested(status, message);
    }
    for (path, message) in [
        ("/v1/apps/z", "App not found"),
        ("/v1/apps/a%00", "App not found"),
        ("/v1/apps/z/routes/x", "App not found"),
        ("/v1/apps/a/routes/x", "Route not found"),
        ("/v1/apps/a/routes/%00", "Route not found"),
        ("/v1/apps/%FF", "Path not found: /v1/apps/%FF"),
    ] {
        server.get(path).await.nested(404, message);
    }
}

#[tokio::test]
async fn v2_refuses_with_the_texts_of_its_era() {
    let server = Server::start().await;
    let a = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let a = text(&a, "/id");
    let b = server.ok("POST /v2/apps", json!({"name": "b"})).await;
    let b = text(&b, "/id");
    let f = json!({"app_id": a, "name": "f", "image": "f:1"});
    let f = server.ok("POST /v2/fns", f).await;
    let f = text(&f, "/id");
    let t = json!({"app_id": a, "fn_id": f, "name": "t", "source": "/t", "type": "http"});
    let t = server.ok("POST /v2/triggers", t).await;
    let t = text(&t, "/id");
    let put_a = &*format!("PUT /v2/apps/{a}");
    let put_f = &*format!("PUT /v2/fns/{f}");
    let put_t = &*format!("PUT /v2/triggers/{t}");
    let put_gone = |kind: &str| format!("PUT /v2/{kind}/{GONE}");
    let trigger = |field: &str, value: serde_json::Value| {
        let mut body = json!({
            "app_id": a, "fn_id": f, "name": "u", "source": "/u", "type": "http"
        });
        body[field] = value;
        body
    };
    let post_t = "POST /v2/triggers";
    let immutable = "Could not update - name is immutable";
    for (call, body, status, message) in [
        (
            "POST /v2/apps",
            json!({"name": "a"}),
            409,
            "App already exists",
        ),
        ("POST /v2/apps", json!(null), 400, "Missing app name"),
        ("POST /v2/apps", json!([]), 400, "Invalid JSON"),
        ("POST /v2/apps", json!({"name": 1}), 400, "Invalid JSON"),
        (
            "POST /v2/apps",
            json!({"id": GONE, "name": "c"}),
            400,
            "App ID cannot be supplied on create",
        ),
        (put_a, json!({"name": "c"}), 409, immutable),
        (
            put_a,
            json!({"id": GONE}),
            400,
            "App ID in path does not match ID in body",
        ),
        (&put_gone("apps"), json!({}), 404, "App not found"),
        ("PUT /v2/apps/x", json!({}), 404, "App not found"),
        ("POST /v2/fns", json!({}), 400, "Missing Fn name"),
        (
            "POST /v2/fns",
            json!({"name": "g"}),
            400,
            "Missing AppID on Fn",
        ),
        (
            "POST /v2/fns",
            json!({"name": "a b"}),
            400,
            "name must be a valid string",
        ),
        (
            "POST /v2/fns",
            json!({"name": "g", "app_id": a}),
            400,
            "Missing image on Fn",
        ),
        (
            "POST /v2/fns",
            json!({"name": "g", "app_id": GONE, "image": "i"}),
            404,
            "App not found",
        ),
        (
            "POST /v2/fns",
            json!({"name": "g", "app_id": "x", "image": "i"}),
            404,
            "App not found",
        ),
        (
            "POST /v2/fns",
            json!({"id": GONE, "name": "g"}),
            400,
            "ID cannot be provided for Fn creation",
        ),
        (
            "POST /v2/fns",
            json!({"name": "f", "app_id": a, "image": "i"}),
            409,
            "Fn with specified name already exists",
        ),
        (put_f, json!({"name": "g"}), 409, immutable),
        (
            put_f,
            json!({"app_id": b}),
            409,
            "Could not update - app_id is immutable",
        ),
        (
            put_f,
            json!({"id": GONE}),
            400,
            "Fn ID in path does not match that in body",
        ),
        (put_f, json!({"format": "xml"}), 400, "Invalid format on Fn"),
        (
            put_f,
            json!({"timeout": 301}),
            400,
            "timeout value is out of range, must be between 0 and 300",
        ),
        (&put_gone("fns"), json!({}), 404, "Fn not found"),
        (
            post_t,
            trigger("id", json!(GONE)),
            400,
            "ID cannot be provided for Trigger creation",
        ),
        (
            post_t,
            trigger("created_at", json!("2018-09-17T10:00:00.123Z")),
            400,
            "Trigger Created At Provided for Create",
        ),
        (
            post_t,
            trigger("updated_at", json!("2018-09-17T10:00:00.123Z")),
            400,
            "Trigger ID Provided for Create",
        ),
        (
            post_t,
            trigger("created_at", json!("yesterday")),
            400,
            "Invalid JSON",
        ),
        (
            post_t,
            trigger("app_id", json!(null)),
            400,
            "Missing App ID on Trigger",
        ),
        (post_t, trigger("app_id", json!(GONE)), 404, "App not found"),
        (
            post_t,
            trigger("app_id", json!(b)),
            400,
            "Invalid Fn ID - not owned by specified app",
        ),
        (
            post_t,
            trigger("fn_id", json!("")),
            400,
            "Missing Fn ID on Trigger",
        ),
        (post_t, trigger("fn_id", json!(GONE)), 404, "Fn not found"),
        (
            post_t,
            trigger("name", json!("")),
            400,
            "Missing name on Trigger",
        ),
        (
            post_t,
            trigger("name", json!("t")),
            409,
            "Trigger already exists",
        ),
        (
            post_t,
            trigger("type", json!("cron")),
            400,
            "Trigger Type Not Supported",
        ),
        (
            post_t,
            trigger("source", json!("u")),
            400,
            "Missing Trigger Source Prefix '/'",
        ),
        (
            post_t,
            trigger("source", json!("/t")),
            409,
            "Trigger with the same type and source exists on this app",
        ),
        (
            put_t,
            json!({"id": GONE}),
            400,
            "ID in path does not match ID in body",
        ),
        (put_t, json!({"name": "u"}), 409, immutable),
        (
            put_t,
            json!({"fn_id": GONE}),
            409,
            "Could not update - fn_id is immutable",
        ),
        (
            put_t,
            json!({"app_id": b}),
            409,
            "Could not update - app_id is immutable",
        ),
        (&put_gone("triggers"), json!({}), 404, "Trigger not found"),
    ] {
        let answer = server.call(call, body.clone()).await;
        println!("{call} {body}");
        answer.flat(status, message);
    }
    for (path, status, message) in [
        ("/v2/fns", 400, "Missing AppID on Fn"),
        ("/v2/fns?app_id=", 400, "Missing AppID on Fn"),
        ("/v2/triggers", 400, "Missing App ID on Trigger"),
        ("/v2/apps?cursor=!", 400, "Invalid cursor"),
        ("/v2/apps?name=%00", 400, "Invalid query"),
        ("/v2/apps/x", 404, "App not found"),
        ("/v2/fns/x", 404, "Fn not found"),
        ("/v2/triggers/x", 404, "Trigger not found"),
    ] {
        server.get(path).await.flat(status, message);
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_in_the_shape_of_its_api() {
    let server = Server::start().await;
    for body in ["", "{", "hello", "{\"name\": \"a\"} x", "\u{0}"] {
        let v1 = server.raw("POST /v1/apps", body).await;
        v1.nested(400, "Invalid JSON");
        let v2 = server.raw("POST /v2/apps", body).await;
        v2.flat(400, "Invalid JSON");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let large = vec![b' '; MAX_BODY + 1];
    let known = format!(
        "Content-Length too large for this server, {} > max {MAX_BODY}",
        MAX_BODY + 1
    );
    let v1 = server.raw("POST /v1/apps", large.clone()).await;
    v1.nested(413, &known);
    let v2 = server.raw("POST /v2/apps", large.clone()).await;
    v2.flat(413, &known);
    let chunks = [large[..9].to_vec(), large].map(Ok::<_, std::io::Error>);
    let chunked = Body::from_stream(futures_util::stream::iter(chunks));
    let v2 = server.raw("POST /v2/apps", chunked).await;
    v2.flat(413, "Request content too large");
}

#[tokio::test]
async fn unknown_paths_and_verbs_have_the_texts_of_their_api() {
    let server = Server::start().await;
    for (call, status, message) in [
        ("GET /v2/none", 404, "Path not found: GET /v2/none"),
        (
            "POST /v2/apps/x/y",
            404,
            "Path not found: POST /v2/apps/x/y",
        ),
        ("GET /none/", 404, "Path not found: GET /none/"),
        ("GET /v10", 404, "Path not found: GET /v10"),
        ("PATCH /v2/apps", 405, "Method not allowed: PATCH /v2/apps"),
        ("POST /version", 405, "Method not allowed: POST /version"),
    ] {
        server.raw(call, "").await.flat(status, message);
    }
    for (call, message) in [
        ("GET /v1/none", "Path not found: /v1/none"),
        ("GET /v1", "Path not found: /v1"),
        ("PUT /v1/apps", "Path not found: /v1/apps"),
        ("GET /r/a", "Path not found: /r/a"),
    ] {
        server.raw(call, "").await.nested(404, message);
    }
}

#[tokio::test]
async fn a_trailing_slash_is_redirected_to_the_path_without() {
    let server = Server::start().await;
    let answer = server.get("/v1/apps/?per_page=1").await;
    assert_eq!(answer.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(answer.headers["location"], "/v1/apps?per_page=1");
    let answer = server.raw("POST /v2/fns/", "{}").await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers["location"], "/v2/fns");
}

#[tokio::test]
async fn a_store_that_is_down_is_a_503_and_the_catalog_still_answers() {
    let server = Server::start().await;
    let route = json!({"route": {"image": "i"}});
    server.ok("PUT /v1/apps/a/routes/x", route.clone()).await;
    server.store.close().await;
    let message = "The store is unavailable, try again later";
    let v1 = server.call("PUT /v1/apps/a/routes/x", route).await;
    v1.nested(503, message);
    assert_eq!(v1.headers["retry-after"], "15");
    server.get("/v2/apps").await.flat(503, message);
    assert!(server.registry.catalog().route("a", "/x").is_ok());
}

#[tokio::test]
async fn the_root_and_the_version_are_at_the_top() {
    let server = Server::start().await;
    assert_eq!(
        server.get("/").await.text,
        "{\"goto\":\"https://github.com/fnproject/fn\",\"hello\":\"world!\"}\n"
    );
    assert_eq!(
        server.get("/version").await.text,
        "{\"version\":\"1.2.3\"}\n"
    );
}
