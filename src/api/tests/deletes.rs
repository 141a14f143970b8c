use serde_json::json;

use super::server::{Server, text};
use crate::store::Miss;

const GONE: &str = "01D00000000000000000000000";

#[tokio::test]
async fn v1_answers_a_delete_with_a_message() {
    let server = Server::start().await;
    let route = json!({"route": {"image": "i"}});
    server.ok("PUT /v1/apps/a/routes/x", route.clone()).await;
    server.ok("PUT /v1/apps/a/routes/y", route).await;
    let answer = server.raw("DELETE /v1/apps/a/routes/x", "").await;
    answer.is(200, "{\"message\":\"Route deleted\"}\n");
    server
        .raw("DELETE /v1/apps/a/routes/x", "")
        .await
        .nested(404, "Route not found");
    assert_eq!(
        server.registry.catalog().route("a", "/x").unwrap_err(),
        Miss::Target
    );
    assert!(server.registry.catalog().route("a", "/y").is_ok());

    let answer = server.raw("DELETE /v1/apps/a", "").await;
    answer.is(200, "{\"message\":\"App deleted\"}\n");
    for call in [
        "DELETE /v1/apps/a",
        "GET /v1/apps/a",
        "GET /v1/apps/a/routes",
        "DELETE /v1/apps/a/routes/y",
        "DELETE /v1/apps/a%00/routes/y",
    ] {
        server.raw(call, "").await.nested(404, "App not found");
    }
    assert_eq!(
        server.registry.catalog().route("a", "/y").unwrap_err(),
        Miss::App
    );
}

#[tokio::test]
async fn a_route_is_deleted_under_every_spelling_of_its_path() {
    let server = Server::start().await;
    for (path, spellings) in [
        // Trap 3: old clients join the path of the root route away.
        ("", &["", "/", "/%2F", "//"][..]),
        ("/hello", &["/hello", "/%2Fhello", "//hello", "/hello/"]),
        ("/x/y", &["/x/y", "/%2Fx%2Fy", "/x//y"]),
    ] {
        for spelling in spellings {
            let put = format!("PUT /v1/apps/a/routes{path}");
            server.ok(&put, json!({"route": {"image": "i"}})).await;
            let delete = format!("DELETE /v1/apps/a/routes{spelling}");
            let answer = server.raw(&delete, "").await;
            answer.is(200, "{\"message\":\"Route deleted\"}\n");
            let list = server.ok_get("/v1/apps/a/routes").await;
            assert_eq!(list["routes"], json!([]), "{spelling}");
        }
    }
    let answer = server.raw("DELETE /v1/apps/a/routes", "").await;
    answer.nested(404, "Route not found");
    let answer = server.raw("DELETE /v1/apps/a/routes/%00", "").await;
    answer.nested(404, "Route not found");
}

#[tokio::test]
async fn v2_answers_a_delete_with_nothing_and_takes_along_what_belongs_to_it() {
    let server = Server::start().await;
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let app = text(&app, "/id");
    let mut made = Vec::new();
    for name in ["f", "g"] {
        let f = json!({"app_id": app, "name": name, "image": "i"});
        let f = server.ok("POST /v2/fns", f).await;
        let f = text(&f, "/id").to_owned();
        for source in ["1", "2"] {
            let t = json!({
                "app_id": app, "fn_id": f, "name": format!("t{source}"), "type": "http",
                "source": format!("/{name}{source}"),
            });
            let t = server.ok("POST /v2/triggers", t).await;
            made.push(format!("/v2/triggers/{}", text(&t, "/id")));
        }
        made.push(format!("/v2/fns/{f}"));
    }
    let app = format!("/v2/apps/{app}");
    let route = json!({"route": {"image": "i"}});
    server.ok("PUT /v1/apps/a/routes/x", route).await;

    let [f1, f2, f, g1, g2, g] = made.try_into().unwrap();
    let gone = async |path: &str, what: &str| {
        let text = format!("{what} not found");
        server.get(path).await.flat(404, &text);
        let delete = format!("DELETE {path}");
        server.raw(&delete, "").await.flat(404, &text);
    };
    let delete = async |path: &str| {
        let answer = server.raw(&format!("DELETE {path}"), "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        assert!(!answer.headers.contains_key("content-type"));
    };
    delete(&f1).await;
    gone(&f1, "Trigger").await;
    assert!(
        server
            .registry
            .catalog()
            .trigger("a", "/f1", "/f1", "GET")
            .is_err()
    );
    delete(&f).await;
    gone(&f, "Fn").await;
    gone(&f2, "Trigger").await;
    server.ok_get(&g1).await;
    delete(&app).await;
    gone(&app, "App").await;
    gone(&g, "Fn").await;
    gone(&g1, "Trigger").await;
    gone(&g2, "Trigger").await;
    let missed = server.registry.catalog().route("a", "/x").unwrap_err();
    assert_eq!(missed, Miss::App);
    for (kind, what) in [("apps", "App"), ("fns", "Fn"), ("triggers", "Trigger")] {
        gone(&format!("/v2/{kind}/{GONE}"), what).await;
        gone(&format!("/v2/{kind}/x"), what).await;
    }
}

#[tokio::test]
async fn a_name_is_free_again_after_a_delete() {
    let server = Server::start().await;
    let first = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let path = format!("DELETE /v2/apps/{}", text(&first, "/id"));
    server.raw(&path, "").await;
    let second = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    assert_ne!(first["id"], second["id"]);
}

#[tokio::test]
async fn an_app_can_be_deleted_by_its_id_in_v1() {
    let server = Server::start().await;
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let delete = format!("DELETE /v1/apps/{}", text(&app, "/id"));
    let answer = server.raw(&delete, "").await;
    answer.is(200, "{\"message\":\"App deleted\"}\n");
}
