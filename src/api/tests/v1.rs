use std::sync::Arc;

use serde_json::json;

use super::server::{Server, text, without_ids_and_times};
use crate::store::Miss;

#[tokio::test]
async fn a_deploy_of_an_old_command_line_creates_app_and_route() {
    let server = Server::start().await;
    let deploy = json!({"route": {
        "path": "/hello", "image": "hello:0.0.2", "memory": 128, "type": "sync",
        "format": "http", "timeout": 30, "idle_timeout": 30,
    }});
    let answer = server
        .ok("PUT /v1/apps/myapp/routes/hello", deploy.clone())
        .await;
    assert_eq!(answer["message"], "Route successfully created");
    assert_eq!(
        without_ids_and_times(&answer["route"]),
        json!({
            "path": "/hello", "image": "hello:0.0.2", "memory": 128, "cpus": "", "headers": {},
            "type": "sync", "format": "http", "timeout": 30, "idle_timeout": 30,
            "tmpfs_size": 0, "config": {},
        })
    );
    let app = server.ok_get("/v1/apps/myapp").await;
    assert_eq!(app["message"], "Successfully loaded app");
    assert_eq!(app["app"]["id"], answer["route"]["app_id"]);
    assert_eq!(without_ids_and_times(&app["app"]), json!({"name": "myapp"}));

    let before = server.registry.catalog().route("myapp", "/hello").unwrap();
    assert_eq!(before.image, "hello:0.0.2");
    let again = server.ok("PUT /v1/apps/myapp/routes/hello", deploy).await;
    assert_eq!(again["message"], "Route successfully updated");
    assert_eq!(again["route"], answer["route"], "updated_at stays");
    let after = server.registry.catalog().route("myapp", "/hello").unwrap();
    assert!(!Arc::ptr_eq(&before, &after), "the tag may be rebuilt");
}

#[tokio::test]
async fn zero_values_may_be_missing_or_zero() {
    let server = Server::start().await;
    for route in [
        json!({"image": "i"}),
        json!({
            "path": "", "image": "i", "memory": 0, "cpus": "", "headers": null, "type": "",
            "format": "", "timeout": 0, "idle_timeout": 0, "tmpfs_size": 0, "config": null,
            "annotations": null, "created_at": "0001-01-01T00:00:00.000Z",
        }),
    ] {
        let answer = server
            .ok("PUT /v1/apps/a/routes/x", json!({"route": route}))
            .await;
        assert_eq!(
            without_ids_and_times(&answer["route"]),
            json!({
                "path": "/x", "image": "i", "memory": 128, "cpus": "", "headers": {},
                "type": "sync", "format": "default", "timeout": 30, "idle_timeout": 30,
                "tmpfs_size": 0, "config": {},
            })
        );
    }
}

#[tokio::test]
async fn a_route_has_one_path_however_clients_spell_it() {
    let server = Server::start().await;
    let route = json!({"route": {"image": "i"}});
    for spelling in ["hello", "%2Fhello", "/hello", "hello/", "//hello"] {
        let call = format!("PUT /v1/apps/a/routes/{spelling}");
        let answer = server.ok(&call, route.clone()).await;
        assert_eq!(answer["route"]["path"], "/hello", "{spelling}");
    }
    for spelling in ["x/y", "%2Fx%2Fy", "x//y"] {
        let call = format!("PUT /v1/apps/a/routes/{spelling}");
        let answer = server.ok(&call, route.clone()).await;
        assert_eq!(answer["route"]["path"], "/x/y", "{spelling}");
        let path = format!("/v1/apps/a/routes/{spelling}");
        let answer = server.ok_get(&path).await;
        assert_eq!(answer["message"], "Successfully loaded route");
    }
    let answer = server.ok_get("/v1/apps/a/routes").await;
    assert_eq!(answer["routes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn put_and_patch_on_the_list_mean_the_root_route() {
    let server = Server::start().await;
    let route = json!({"route": {"path": "/", "image": "i:1"}});
    let put = server.ok("PUT /v1/apps/a/routes", route).await;
    assert_eq!(put["route"]["path"], "/");
    let route = json!({"route": {"image": "i:2"}});
    let patch = server.ok("PATCH /v1/apps/a/routes", route.clone()).await;
    assert_eq!(patch["message"], "Route successfully updated");
    let patch = server.ok("PATCH /v1/apps/a/routes/", route.clone()).await;
    assert_eq!(patch["route"]["image"], "i:2");
    let patch = server.ok("PATCH /v1/apps/a/routes/%2F", route).await;
    assert_eq!(patch["route"]["path"], "/");
    let list = server.ok_get("/v1/apps/a/routes").await;
    assert_eq!(list["message"], "Successfully listed routes");
    assert_eq!(list["routes"].as_array().unwrap().len(), 1);
    assert_eq!(
        server.registry.catalog().route("a", "/").unwrap().image,
        "i:2"
    );
}

#[tokio::test]
async fn post_creates_a_route_and_its_app_once() {
    let server = Server::start().await;
    let route = json!({"route": {"path": "/x", "image": "i", "cpus": "0.5"}});
    let answer = server.ok("POST /v1/apps/a/routes", route.clone()).await;
    assert_eq!(answer["message"], "Route successfully created");
    assert_eq!(answer["route"]["cpus"], "500m");
    let again = server.call("POST /v1/apps/a/routes", route).await;
    again.nested(409, "Route already exists");
}

#[tokio::test]
async fn a_refused_route_leaves_no_app_behind() {
    let server = Server::start().await;
    let route = json!({"route": {"path": "/x"}});
    for call in ["POST /v1/apps/a/routes", "PUT /v1/apps/a/routes/x"] {
        let answer = server.call(call, route.clone()).await;
        answer.nested(400, "Missing route Image");
    }
    let answer = server.get("/v1/apps/a").await;
    answer.nested(404, "App not found");
}

#[tokio::test]
async fn a_patch_merges_maps_and_leaves_the_rest() {
    let server = Server::start().await;
    let create = json!({"route": {
        "image": "i:1", "memory": 64, "type": "async", "format": "json", "timeout": 3600,
        "idle_timeout": 5, "tmpfs_size": 7, "cpus": "100m",
        "headers": {"X-A": ["1"], "X-B": ["2"]}, "config": {"a": "1", "b": "2", "e": ""},
        "annotations": {"k": 1, "l": 2},
    }});
    let created = server.ok("PUT /v1/apps/a/routes/x", create).await;
    assert_eq!(
        created["route"]["config"]["e"], "",
        "create keeps empty values"
    );
    let patch = json!({"route": {
        "image": "i:2", "headers": {"X-A": [], "X-C": ["3", "4"]}, "config": {"a": "", "c": "3"},
        "annotations": {"k": "", "m": {"n": null}},
    }});
    let patched = server.ok("PATCH /v1/apps/a/routes/x", patch).await;
    assert_eq!(
        without_ids_and_times(&patched["route"]),
        json!({
            "path": "/x", "image": "i:2", "memory": 64, "cpus": "100m",
            "headers": {"X-B": ["2"], "X-C": ["3", "4"]}, "type": "async", "format": "json",
            "timeout": 3600, "idle_timeout": 5, "tmpfs_size": 7,
            "config": {"b": "2", "c": "3", "e": ""}, "annotations": {"l": 2, "m": {"n": null}},
        })
    );
    assert_eq!(
        patched["route"]["created_at"],
        created["route"]["created_at"]
    );
    let loaded = server.ok_get("/v1/apps/a/routes/x").await;
    assert_eq!(loaded["route"], patched["route"]);
}

#[tokio::test]
async fn a_patch_is_held_to_the_rules_of_a_create() {
    let server = Server::start().await;
    let create = json!({"route": {"image": "i"}});
    server.ok("PUT /v1/apps/a/routes/x", create).await;
    for verb in ["PATCH", "PUT"] {
        for (patch, status, message) in [
            (json!({"format": "xml"}), 400, "Invalid route Format"),
            (json!({"type": "x"}), 400, "Invalid route Type"),
            (
                json!({"memory": 9000}),
                400,
                "memory value is out of range. It should be between 0 and 8192",
            ),
            (
                json!({"path": "/y"}),
                409,
                "Could not update - path is immutable",
            ),
        ] {
            let call = format!("{verb} /v1/apps/a/routes/x");
            let answer = server.call(&call, json!({"route": patch})).await;
            answer.nested(status, message);
        }
    }
    let answer = server
        .call("PATCH /v1/apps/a/routes/y", json!({"route": {}}))
        .await;
    answer.nested(404, "Route not found");
    let answer = server
        .call("PATCH /v1/apps/b/routes/y", json!({"route": {}}))
        .await;
    answer.nested(404, "App not found");
}

#[tokio::test]
async fn apps_are_created_loaded_and_updated() {
    let server = Server::start().await;
    let app = json!({"app": {
        "name": "a", "config": {"A": "1", "B": "2"}, "annotations": {"k": [1]},
        "syslog_url": "tcp://h:1",
    }});
    let created = server.ok("POST /v1/apps", app.clone()).await;
    assert_eq!(created["message"], "App successfully created");
    assert_eq!(without_ids_and_times(&created["app"]), app["app"]);
    let by_id = format!("/v1/apps/{}", text(&created, "/app/id"));
    assert_eq!(server.ok_get(&by_id).await["app"], created["app"]);

    let same = server.ok("PATCH /v1/apps/a", json!({"app": {}})).await;
    assert_eq!(same["app"], created["app"]);
    let patch = json!({"app": {"config": {"A": "", "C": "3"}, "annotations": {"k": null}, "syslog_url": ""}});
    let patched = server.ok("PATCH /v1/apps/a", patch).await;
    assert_eq!(patched["message"], "AppName successfully updated");
    assert_eq!(
        without_ids_and_times(&patched["app"]),
        json!({"name": "a", "config": {"B": "2", "C": "3"}})
    );
}

#[tokio::test]
async fn an_apps_new_config_reaches_its_routes() {
    let server = Server::start().await;
    let route = json!({"route": {"image": "i"}});
    server.ok("PUT /v1/apps/a/routes/x", route).await;
    let patch = json!({"app": {"config": {"A": "1"}}});
    server.ok("PATCH /v1/apps/a", patch).await;
    let callable = server.registry.catalog().route("a", "/x").unwrap();
    assert_eq!(callable.env["A"], "1");
    let missed = server.registry.catalog().route("a", "/y").unwrap_err();
    assert_eq!(missed, Miss::Target);
}

#[tokio::test]
async fn lists_go_on_from_their_cursor() {
    let server = Server::start().await;
    let empty = server.ok_get("/v1/apps").await;
    assert_eq!(
        empty,
        json!({"message": "Successfully listed applications", "next_cursor": "", "apps": []})
    );
    for app in ["b", "a", "c"] {
        for path in ["z", "y"] {
            let call = format!("PUT /v1/apps/{app}/routes/{path}");
            let image = format!("{path}:1");
            server.ok(&call, json!({"route": {"image": image}})).await;
        }
    }
    let page = server.ok_get("/v1/apps?per_page=2").await;
    assert_eq!(page["next_cursor"], "Yg");
    assert_eq!(page["apps"][0]["name"], "a");
    let page = server.ok_get("/v1/apps?per_page=2&cursor=Yg").await;
    assert_eq!(page["next_cursor"], "");
    assert_eq!(page["apps"][0]["name"], "c");

    let page = server.ok_get("/v1/apps/a/routes?per_page=1").await;
    assert_eq!(page["routes"][0]["path"], "/y");
    let cursor = text(&page, "/next_cursor");
    let next = format!("/v1/apps/a/routes?per_page=1&cursor={cursor}");
    assert_eq!(server.ok_get(&next).await["routes"][0]["path"], "/z");
    let page = server.ok_get("/v1/apps/a/routes?image=z:1").await;
    assert_eq!(page["routes"].as_array().unwrap().len(), 1);
    assert_eq!(page["routes"][0]["path"], "/z");
    let answer = server.get("/v1/apps/none/routes").await;
    answer.nested(404, "App not found");
}

#[tokio::test]
async fn deploys_of_one_new_route_that_meet_all_succeed() {
    let server = Server::start().await;
    let deploys = (0..8).map(async |n| {
        let route = json!({"route": {"image": "i", "config": {n.to_string(): "1"}}});
        server.ok("PUT /v1/apps/a/routes/x", route).await
    });
    let answers = futures_util::future::join_all(deploys).await;
    let created = answers
        .iter()
        .filter(|answer| answer["message"] == "Route successfully created");
    assert_eq!(created.count(), 1);
    let callable = server.registry.catalog().route("a", "/x").unwrap();
    let merged = (0..8).filter(|n| callable.env.contains_key(&n.to_string()));
    assert_eq!(merged.count(), 8, "no deploy's config is lost");
}
