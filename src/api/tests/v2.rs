use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};

use super::server::{Server, text, without_ids_and_times};

const INVOKE: &str = "fnproject.io/fn/invokeEndpoint";
const HTTP: &str = "fnproject.io/trigger/httpEndpoint";

/// An app `a` with a function `f`; their ids.
async fn deployed(server: &Server) -> (String, String) {
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let app = text(&app, "/id").to_owned();
    let f = json!({"app_id": app, "name": "f", "image": "f:1"});
    let f = server.ok("POST /v2/fns", f).await;
    let f = text(&f, "/id").to_owned();
    (app, f)
}

#[tokio::test]
async fn a_scale_is_checked_and_shown() {
    let server = Server::start().await;
    let (_, f) = deployed(&server).await;
    let scale = |scale: Value| json!({"annotations": {"kiln/scale": scale}});
    let put = format!("PUT /v2/fns/{f}");
    let change = scale(json!({"mode": "vote", "min": 2}));
    server.ok(&put, change).await;
    let shown = server.ok_get(&format!("/v2/fns/{f}/scale")).await;
    assert_eq!((&shown["mode"], &shown["min"]), (&json!("vote"), &json!(2)));
    assert_eq!(shown["samples"][0]["waiting"], 0);
    let unknown = server.get("/v2/fns/01D3JAQ9D3NG8G00GZJ000000X/scale").await;
    assert_eq!(unknown.status, 404);

    let told = "kiln/scale: step: 0 is not allowed, expected a whole number from 1 to 10000";
    let refused = server.call(&put, scale(json!({"step": 0}))).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains(told), "{}", refused.text);
    let route = json!({"route": {"path": "/r", "image": "r:1", "format": "http",
        "annotations": {"kiln/scale": {"step": 0}}}});
    let refused = server.call("POST /v1/apps/a/routes", route).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains(told), "{}", refused.text);
}

#[tokio::test]
async fn a_deploy_of_a_new_command_line_goes_through() {
    let server = Server::start().await;
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    assert_eq!(without_ids_and_times(&app), json!({"name": "a"}));
    let a = text(&app, "/id");
    assert_eq!(
        server.ok_get("/v2/apps?name=a").await,
        json!({"items": [app]})
    );
    let lookup = format!("/v2/fns?app_id={a}&name=f");
    assert_eq!(server.get(&lookup).await.text, "{\"items\":[]}\n");

    let f = json!({
        "app_id": a, "name": "f", "image": "f:0.0.2", "memory": 128, "timeout": 30,
        "idle_timeout": 30, "config": {}, "created_at": "0001-01-01T00:00:00.000Z",
        "updated_at": "0001-01-01T00:00:00.000Z",
    });
    let created = server.ok("POST /v2/fns", f.clone()).await;
    let id = text(&created, "/id");
    let endpoint = format!("http://localhost:8080/invoke/{id}");
    assert_eq!(
        without_ids_and_times(&created),
        json!({
            "name": "f", "image": "f:0.0.2", "memory": 128, "timeout": 30, "idle_timeout": 30,
            "config": {}, "annotations": {INVOKE: endpoint}, "format": "http-stream",
        })
    );
    assert_eq!(server.ok_get(&lookup).await, json!({"items": [created]}));
    let before = server.registry.catalog().function(id.parse().unwrap());
    assert_eq!(before.as_ref().unwrap().image, "f:0.0.2");

    let mut next = f;
    next["image"] = "f:0.0.3".into();
    let updated = server.ok(&format!("PUT /v2/fns/{id}"), next.clone()).await;
    assert_eq!(updated["image"], "f:0.0.3");
    let shown = server.registry.catalog().function(id.parse().unwrap());
    assert_eq!(shown.as_ref().unwrap().image, "f:0.0.3");
    let again = server.ok(&format!("PUT /v2/fns/{id}"), next).await;
    assert_eq!(again, updated, "updated_at stays");
    let redeployed = server.registry.catalog().function(id.parse().unwrap());
    assert!(!Arc::ptr_eq(&shown.unwrap(), &redeployed.unwrap()));

    let lookup = format!("/v2/triggers?app_id={a}&fn_id={id}&name=t");
    assert_eq!(server.ok_get(&lookup).await, json!({"items": []}));
    let t = json!({
        "app_id": a, "fn_id": id, "name": "t", "source": "/t", "type": "http",
        "created_at": "0001-01-01T00:00:00.000Z", "updated_at": "0001-01-01T00:00:00.000Z",
    });
    let trigger = server.ok("POST /v2/triggers", t).await;
    assert_eq!(
        without_ids_and_times(&trigger),
        json!({
            "name": "t", "source": "/t", "type": "http",
            "annotations": {HTTP: "http://localhost:8080/t/a/t"},
        })
    );
    assert_eq!(server.ok_get(&lookup).await, json!({"items": [trigger]}));
    let called = server
        .registry
        .catalog()
        .trigger("a", "/t", "/t", "GET")
        .unwrap();
    assert_eq!(called.name, "f");
}

#[tokio::test]
async fn an_echo_of_what_was_read_is_a_fine_update() {
    let server = Server::start().await;
    let (app, f) = deployed(&server).await;
    let trigger = json!({
        "app_id": app, "fn_id": f, "name": "t", "source": "/t", "type": "http",
        "annotations": {"k": 1},
    });
    let trigger = server.ok("POST /v2/triggers", trigger).await;
    let t = text(&trigger, "/id");
    for path in [
        format!("/v2/apps/{app}"),
        format!("/v2/fns/{f}"),
        format!("/v2/triggers/{t}"),
    ] {
        let read = server.ok_get(&path).await;
        let put = server.ok(&format!("PUT {path}"), read.clone()).await;
        assert_eq!(put["updated_at"], read["updated_at"], "{path}");
        assert_eq!(server.ok_get(&path).await, read, "{path}");
        let annotations = put.get("annotations").unwrap_or(&Value::Null);
        for endpoint in [INVOKE, HTTP] {
            assert!(
                annotations.get(endpoint).is_none(),
                "PUT answers bare: {path}"
            );
        }
    }
    let id = t.parse().unwrap();
    let stored = server.registry.read().trigger(id).await.unwrap();
    assert_eq!(json!(stored.annotations), json!({"k": 1}));
}

#[tokio::test]
async fn endpoints_follow_the_host_that_the_client_used() {
    let server = Server::start().await;
    let (_, f) = deployed(&server).await;
    let request = Request::get(format!("/v2/fns/{f}"))
        .header("host", "inner:8080")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "fn.example.com");
    let answer = server.send(request.body(Default::default()).unwrap()).await;
    let endpoint = format!("https://fn.example.com/invoke/{f}");
    assert_eq!(answer.json()["annotations"][INVOKE], endpoint);

    let server = Server::with_public_url(Some("https://lb.example.com")).await;
    let (_, f) = deployed(&server).await;
    let answer = server.ok_get(&format!("/v2/fns/{f}")).await;
    let endpoint = format!("https://lb.example.com/invoke/{f}");
    assert_eq!(answer["annotations"][INVOKE], endpoint);
}

#[tokio::test]
async fn a_put_merges_maps_and_leaves_the_rest() {
    let server = Server::start().await;
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let f = server
        .ok(
            "POST /v2/fns",
            json!({
                "app_id": app["id"], "name": "f", "image": "f:1", "memory": 64, "timeout": 300,
                "idle_timeout": 5, "format": "json", "config": {"a": "1", "b": "2"},
                "annotations": {"k": 1, "l": 2},
            }),
        )
        .await;
    let put = format!("PUT /v2/fns/{}", text(&f, "/id"));
    let patch = json!({
        "name": "f", "config": {"a": "", "c": "3"}, "annotations": {"k": null, "m": "x"},
    });
    assert_eq!(
        without_ids_and_times(&server.ok(&put, patch).await),
        json!({
            "name": "f", "image": "f:1", "memory": 64, "timeout": 300, "idle_timeout": 5,
            "format": "json", "config": {"b": "2", "c": "3"}, "annotations": {"l": 2, "m": "x"},
        })
    );
    let put = format!("PUT /v2/apps/{}", text(&app, "/id"));
    let patch = json!({"name": "a", "config": {"X": "1"}, "syslog_url": "udp://h:1"});
    let updated = server.ok(&put, patch.clone()).await;
    assert_eq!(without_ids_and_times(&updated), patch);
    let id = text(&f, "/id").parse().unwrap();
    let callable = server.registry.catalog().function(id).unwrap();
    assert_eq!(
        callable.env["X"], "1",
        "the app's config reaches its functions"
    );
}

#[tokio::test]
async fn a_trigger_may_move_but_not_onto_another() {
    let server = Server::start().await;
    let (app, f) = deployed(&server).await;
    let trigger = |name: &str, source: &str| json!({"app_id": app, "fn_id": f, "name": name, "source": source, "type": "http"});
    server.ok("POST /v2/triggers", trigger("s", "/s")).await;
    let t = server.ok("POST /v2/triggers", trigger("t", "/t")).await;
    let put = format!("PUT /v2/triggers/{}", text(&t, "/id"));
    let taken = server.call(&put, json!({"source": "/s"})).await;
    taken.flat(
        409,
        "Trigger with the same type and source exists on this app",
    );
    server.ok(&put, json!({"source": "/u"})).await;
    assert!(
        server
            .registry
            .catalog()
            .trigger("a", "/u", "/u", "GET")
            .is_ok()
    );
    assert!(
        server
            .registry
            .catalog()
            .trigger("a", "/t", "/t", "GET")
            .is_err()
    );
}

#[tokio::test]
async fn lists_go_on_from_their_cursor_and_filters_are_exact() {
    let server = Server::start().await;
    let (app, f) = deployed(&server).await;
    let g = json!({"app_id": app, "name": "ff", "image": "f:1"});
    let g = server.ok("POST /v2/fns", g).await;
    for fn_id in [f.as_str(), text(&g, "/id")] {
        let source = format!("/{fn_id}");
        let t =
            json!({"app_id": app, "fn_id": fn_id, "name": "t", "source": source, "type": "http"});
        server.ok("POST /v2/triggers", t).await;
    }
    server.ok("POST /v2/apps", json!({"name": "b"})).await;
    for list in [
        "/v2/apps?".to_owned(),
        format!("/v2/fns?app_id={app}"),
        format!("/v2/triggers?app_id={app}"),
    ] {
        let first = server.ok_get(&format!("{list}&per_page=1")).await;
        let cursor = text(&first, "/next_cursor");
        let second = format!("{list}&per_page=1&cursor={cursor}");
        let second = server.ok_get(&second).await;
        let cursor = text(&second, "/next_cursor");
        let end = server
            .get(&format!("{list}&per_page=1&cursor={cursor}"))
            .await;
        assert_eq!(end.text, "{\"items\":[]}\n", "{list}");
        assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
        let all = server.ok_get(&list).await;
        assert_eq!(all["items"].as_array().unwrap().len(), 2, "{list}");
        assert!(all.get("next_cursor").is_none());
    }
    let exact = server.ok_get(&format!("/v2/fns?app_id={app}&name=f")).await;
    assert_eq!(exact["items"].as_array().unwrap().len(), 1);
    let of_f = server
        .ok_get(&format!("/v2/triggers?app_id={app}&fn_id={f}"))
        .await;
    assert_eq!(of_f["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn listing_what_belongs_to_no_app_is_empty() {
    let server = Server::start().await;
    let (app, _) = deployed(&server).await;
    let gone = "01D00000000000000000000000";
    for path in [
        "/v2/fns?app_id=x".to_owned(),
        format!("/v2/fns?app_id={gone}"),
        "/v2/triggers?app_id=x".to_owned(),
        format!("/v2/triggers?app_id={gone}"),
        format!("/v2/triggers?app_id={app}&fn_id=x"),
        "/v2/apps?name=none".to_owned(),
    ] {
        assert_eq!(server.get(&path).await.text, "{\"items\":[]}\n", "{path}");
    }
}

#[tokio::test]
async fn pages_hold_thirty_items_and_never_more_than_a_hundred() {
    let server = Server::start().await;
    for n in 0..101 {
        let app = crate::store::Registry::create_app;
        let draft = crate::api::validate::AppDraft {
            name: format!("app-{n:03}"),
            ..Default::default()
        };
        app(&server.registry, draft.create().unwrap())
            .await
            .unwrap();
    }
    for (query, expected) in [
        ("", 30),
        ("?per_page=junk", 30),
        ("?per_page=0", 30),
        ("?per_page=-1", 30),
        ("?per_page=7", 7),
        ("?per_page=5000", 100),
    ] {
        let page = server.ok_get(&format!("/v2/apps{query}")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{query}");
    }
}
