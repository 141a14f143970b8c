//! Bodies that no client of ours sends: refused, and nothing is stored.

use serde_json::{Value, json};

use super::server::{MAX_BODY, Server, text};

/// Everything that can be listed.
async fn stored(server: &Server) -> Vec<Value> {
    let mut all = vec![server.ok_get("/v1/apps").await];
    let apps = server.ok_get("/v2/apps").await;
    for app in apps["items"].as_array().unwrap() {
        let (id, name) = (text(app, "/id"), text(app, "/name"));
        for list in [
            format!("/v1/apps/{name}/routes"),
            format!("/v2/fns?app_id={id}"),
            format!("/v2/triggers?app_id={id}"),
        ] {
            all.push(server.ok_get(&list).await);
        }
    }
    all
}

/// A server with one of everything, and every call that takes a body.
async fn filled(max_body: usize) -> (Server, Vec<String>) {
    let server = Server::with(None, max_body).await;
    let app = server.ok("POST /v2/apps", json!({"name": "a"})).await;
    let app = text(&app, "/id");
    let f = json!({"app_id": app, "name": "f", "image": "i"});
    let f = server.ok("POST /v2/fns", f).await;
    let f = text(&f, "/id");
    let t = json!({"app_id": app, "fn_id": f, "name": "t", "type": "http", "source": "/t"});
    let t = server.ok("POST /v2/triggers", t).await;
    let t = text(&t, "/id");
    let route = json!({"route": {"image": "i"}});
    server.ok("PUT /v1/apps/a/routes/x", route).await;
    let calls = [
        "POST /v1/apps",
        "PATCH /v1/apps/a",
        "POST /v1/apps/a/routes",
        "PUT /v1/apps/a/routes",
        "PUT /v1/apps/new/routes/new",
        "PUT /v1/apps/a/routes/x",
        "PATCH /v1/apps/a/routes/x",
        "POST /v2/apps",
        "POST /v2/fns",
        "POST /v2/triggers",
    ];
    let puts = [
        format!("PUT /v2/apps/{app}"),
        format!("PUT /v2/fns/{f}"),
        format!("PUT /v2/triggers/{t}"),
    ];
    let calls = calls.map(str::to_owned).into_iter().chain(puts).collect();
    (server, calls)
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_everywhere() {
    let (server, calls) = filled(MAX_BODY).await;
    let before = stored(&server).await;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let bodies: [&[u8]; 17] = [
        b"",
        b" ",
        b"{",
        b"name=a",
        b"<app/>",
        b"{\"name\": \"a\"} x",
        b"{\"name\": \"a\",}",
        b"{'name': 'a'}",
        b"\0",
        b"\xff\xfe",
        b"{\"name\": \"\xff\"}",
        b"{\"name\": \"a\nb\"}",
        b"\"a\"",
        b"1",
        b"[]",
        b"[null, \"a\", null, null, null, null]",
        deep.as_bytes(),
    ];
    for call in &calls {
        for body in bodies {
            let answer = server.raw(call, body.to_vec()).await;
            if call.contains("/v1/") {
                answer.nested(400, "Invalid JSON");
            } else {
                answer.flat(400, "Invalid JSON");
            }
        }
    }
    assert_eq!(stored(&server).await, before);
}

#[tokio::test]
async fn members_of_the_wrong_type_or_twice_are_refused_everywhere() {
    let (server, calls) = filled(MAX_BODY).await;
    let before = stored(&server).await;
    let common = [
        r#""config":[]"#,
        r#""config":{"k":1}"#,
        r#""config":{"k":"1","k":"2"}"#,
        r#""annotations":"x""#,
        r#""annotations":{"k":1,"k":1}"#,
        r#""annotations":{"k":{"a":1,"a":1}}"#,
        r#""?":1,"?":2"#,
    ];
    let routes = [
        r#""path":1"#,
        r#""image":{}"#,
        r#""memory":"128""#,
        r#""memory":-1"#,
        r#""memory":1.5"#,
        r#""memory":1e30"#,
        r#""cpus":[]"#,
        r#""headers":{"X":"1"}"#,
        r#""headers":{"X":[1]}"#,
        r#""type":true"#,
        r#""timeout":"30""#,
        r#""tmpfs_size":-1"#,
        r#""image":"i","image":"j""#,
    ];
    let functions = [
        r#""name":1"#,
        r#""app_id":1"#,
        r#""memory":"128""#,
        r#""timeout":1.5"#,
        r#""shape":1"#,
        r#""name":"g","name":"g""#,
    ];
    let triggers = [
        r#""type":1"#,
        r#""source":[]"#,
        r#""created_at":1"#,
        r#""fn_id":{}"#,
    ];
    let apps = [
        r#""name":1"#,
        r#""id":1"#,
        r#""syslog_url":1"#,
        r#""name":"b","name":"b""#,
    ];
    for call in &calls {
        let path = call.split_once(' ').unwrap().1;
        let (own, wrap): (&[&str], _) = match path {
            _ if path.contains("/routes") => (&routes, Some("route")),
            _ if path.starts_with("/v1") => (&apps, Some("app")),
            _ if path.starts_with("/v2/fns") => (&functions, None),
            _ if path.starts_with("/v2/triggers") => (&triggers, None),
            _ => (&apps, None),
        };
        for member in common.iter().chain(own) {
            // Triggers have no config; what is unknown is nobody's business.
            if path.starts_with("/v2/triggers") && *member == common[0]
                || path.starts_with("/v2/triggers") && *member == common[1]
            {
                continue;
            }
            let body = match wrap {
                Some(name) => format!("{{\"{name}\":{{{member}}}}}"),
                None => format!("{{{member}}}"),
            };
            let answer = server.raw(call, body.clone()).await;
            if wrap.is_some() {
                answer.nested(400, "Invalid JSON");
            } else {
                answer.flat(400, "Invalid JSON");
            }
        }
    }
    assert_eq!(stored(&server).await, before);
}

#[tokio::test]
async fn an_envelope_holds_an_object() {
    let (server, _) = filled(MAX_BODY).await;
    let before = stored(&server).await;
    for inner in ["[null,\"b\",null,null,null]", "\"b\"", "1", "true"] {
        for (call, name) in [
            ("POST /v1/apps", "app"),
            ("PATCH /v1/apps/a", "app"),
            ("PUT /v1/apps/a/routes/x", "route"),
            ("POST /v1/apps/a/routes", "route"),
        ] {
            let answer = server.raw(call, format!("{{\"{name}\":{inner}}}")).await;
            answer.nested(400, "Invalid JSON");
        }
    }
    assert_eq!(stored(&server).await, before);
}

#[tokio::test]
async fn ten_megabytes_are_refused_everywhere() {
    const SIZE: usize = 10 << 20;
    // However much calls may carry, a resource may not.
    let (server, calls) = filled(usize::MAX).await;
    let before = stored(&server).await;
    let text = format!("Content-Length too large for this server, {SIZE} > max 1048576");
    for call in &calls {
        let answer = server.raw(call, vec![b' '; SIZE]).await;
        if call.contains("/v1/") {
            answer.nested(413, &text);
        } else {
            answer.flat(413, &text);
        }
    }
    assert_eq!(stored(&server).await, before);
}

#[tokio::test]
async fn control_characters_are_in_no_name() {
    let (server, _) = filled(1 << 20).await;
    let before = stored(&server).await;
    let app = server.ok_get("/v2/apps").await["items"][0]["id"].clone();
    let f = server
        .ok_get(&format!("/v2/fns?app_id={}", app.as_str().unwrap()))
        .await;
    let f = f["items"][0]["id"].clone();
    for bad in [
        "\0", "a\0b", "\u{1}", "a\n", "\u{7f}", "a\u{85}", "\u{2028}", "a b", "a/b",
    ] {
        let v1 = server
            .call("POST /v1/apps", json!({"app": {"name": bad}}))
            .await;
        v1.nested(400, "Invalid app name");
        let v2 = server.call("POST /v2/apps", json!({"name": bad})).await;
        v2.flat(400, "Invalid app name");
        let body = json!({"app_id": app, "name": bad, "image": "i"});
        let v2 = server.call("POST /v2/fns", body).await;
        v2.flat(400, "name must be a valid string");
        let body = json!({
            "app_id": app, "fn_id": f, "name": bad, "type": "http", "source": "/u"
        });
        let v2 = server.call("POST /v2/triggers", body).await;
        v2.flat(400, "Invalid name for Trigger");
    }
    for bad in ["\0", "\n", "\u{7f}", "\u{85}"] {
        let source = format!("/{bad}");
        let body =
            json!({"app_id": app, "fn_id": f, "name": "u", "type": "http", "source": source});
        server
            .call("POST /v2/triggers", body)
            .await
            .flat(400, "Invalid Trigger Source");
        let body = json!({"route": {"path": source, "image": "i"}});
        server
            .call("POST /v1/apps/a/routes", body)
            .await
            .nested(400, "Path malformed");
        let body = json!({"route": {"path": "/y", "image": format!("i{bad}")}});
        server
            .call("POST /v1/apps/a/routes", body)
            .await
            .nested(400, "Invalid route Image");
        let body = json!({"app_id": app, "name": "g", "image": format!("i{bad}")});
        server
            .call("POST /v2/fns", body)
            .await
            .flat(400, "Invalid image on Fn");
        let body = json!({"name": "b", "syslog_url": format!("tcp://h{bad}")});
        assert_eq!(server.call("POST /v2/apps", body).await.status, 400);
    }
    let key = "Invalid config key, config keys must be non-empty and free of '=' and NUL";
    let value = "Invalid config value, config values must be free of NUL";
    for (config, message) in [
        (json!({"": "v"}), key),
        (json!({"a=b": "v"}), key),
        (json!({"a\0": "v"}), key),
        (json!({"a": "\0"}), value),
    ] {
        let v2 = server
            .call("POST /v2/apps", json!({"name": "b", "config": config}))
            .await;
        v2.flat(400, message);
        let body = json!({"route": {"image": "i", "config": config}});
        server
            .call("PUT /v1/apps/a/routes/y", body)
            .await
            .nested(400, message);
    }
    assert_eq!(stored(&server).await, before);
}
