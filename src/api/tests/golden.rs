//! Whole conversations of Fn's clients, answers to the byte but for ids and times.

use serde_json::json;

use super::server::{Answer, Server, text};
use crate::model::{AppId, Timestamp};

/// The body with `<id>` and `<time>` for what differs from run to run.
#[track_caller]
fn masked(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let kind = &answer.headers["content-type"];
    assert_eq!(kind, "application/json; charset=utf-8");
    let pieces = answer.text.split('"').map(|piece| {
        if piece.len() == "2018-09-17T10:00:00.123Z".len() && piece.parse::<Timestamp>().is_ok() {
            return "<time>".to_owned();
        }
        match piece.rsplit_once('/') {
            Some((base, id)) if id.parse::<AppId>().is_ok() => format!("{base}/<id>"),
            None if piece.parse::<AppId>().is_ok() => "<id>".to_owned(),
            _ => piece.to_owned(),
        }
    });
    pieces.collect::<Vec<_>>().join("\"")
}

#[tokio::test]
async fn the_commands_of_an_old_client_get_the_answers_they_know() {
    let server = Server::start().await;
    let deploy = r#"{"route":{"path":"/hello","image":"hello:0.0.2","memory":128,"type":"sync","format":"http","timeout":30,"idle_timeout":30}}"#;
    let route = r#"{"app_id":"<id>","path":"/hello","image":"hello:0.0.2","memory":128,"cpus":"","headers":{},"type":"sync","format":"http","timeout":30,"idle_timeout":30,"tmpfs_size":0,"config":{},"created_at":"<time>","updated_at":"<time>"}"#;
    let app = r#"{"id":"<id>","name":"myapp","created_at":"<time>","updated_at":"<time>"}"#;
    for (call, body, said) in [
        (
            "PUT /v1/apps/myapp/routes/hello",
            deploy,
            format!(r#"{{"message":"Route successfully created","route":{route}}}"#),
        ),
        (
            "PUT /v1/apps/myapp/routes/hello",
            deploy,
            format!(r#"{{"message":"Route successfully updated","route":{route}}}"#),
        ),
        (
            "PATCH /v1/apps/myapp/routes/%2Fhello",
            deploy,
            format!(r#"{{"message":"Route successfully updated","route":{route}}}"#),
        ),
        (
            "GET /v1/apps/myapp/routes/hello",
            "",
            format!(r#"{{"message":"Successfully loaded route","route":{route}}}"#),
        ),
        (
            "GET /v1/apps/myapp/routes",
            "",
            format!(
                r#"{{"message":"Successfully listed routes","next_cursor":"","routes":[{route}]}}"#
            ),
        ),
        (
            "GET /v1/apps/myapp/routes?per_page=1",
            "",
            format!(
                r#"{{"message":"Successfully listed routes","next_cursor":"L2hlbGxv","routes":[{route}]}}"#
            ),
        ),
        (
            "GET /v1/apps",
            "",
            format!(
                r#"{{"message":"Successfully listed applications","next_cursor":"","apps":[{app}]}}"#
            ),
        ),
        (
            "GET /v1/apps/myapp",
            "",
            format!(r#"{{"message":"Successfully loaded app","app":{app}}}"#),
        ),
        (
            "PATCH /v1/apps/myapp",
            r#"{"app":{}}"#,
            format!(r#"{{"message":"AppName successfully updated","app":{app}}}"#),
        ),
        (
            "POST /v1/apps",
            r#"{"app":{"name":"b","config":{"K":"v"},"annotations":{"k":[1]},"syslog_url":"tcp://h:1"}}"#,
            r#"{"message":"App successfully created","app":{"id":"<id>","name":"b","config":{"K":"v"},"annotations":{"k":[1]},"syslog_url":"tcp://h:1","created_at":"<time>","updated_at":"<time>"}}"#.to_owned(),
        ),
        (
            "DELETE /v1/apps/myapp/routes/hello",
            "",
            r#"{"message":"Route deleted"}"#.to_owned(),
        ),
        (
            "DELETE /v1/apps/myapp",
            "",
            r#"{"message":"App deleted"}"#.to_owned(),
        ),
        ("GET /version", "", r#"{"version":"1.2.3"}"#.to_owned()),
    ] {
        let answer = server.raw(call, body).await;
        assert_eq!(masked(&answer), format!("{said}\n"), "{call}");
    }
}

#[tokio::test]
async fn the_commands_of_a_new_client_get_the_answers_they_know() {
    let server = Server::start().await;
    let created = server.raw("POST /v2/apps", r#"{"name":"a"}"#).await;
    let app = r#"{"id":"<id>","name":"a","created_at":"<time>","updated_at":"<time>"}"#;
    assert_eq!(masked(&created), format!("{app}\n"));
    let a = text(&created.json(), "/id").to_owned();
    let body = format!(
        r#"{{"app_id":"{a}","name":"f","image":"f:0.0.2","memory":128,"timeout":30,"idle_timeout":30,"config":{{}}}}"#
    );
    let created = server.raw("POST /v2/fns", body.clone()).await;
    let shown = |annotations: &str| {
        format!(
            r#"{{"id":"<id>","name":"f","app_id":"<id>","image":"f:0.0.2","memory":128,"timeout":30,"idle_timeout":30,"config":{{}},{annotations}"created_at":"<time>","updated_at":"<time>","format":"http-stream"}}"#
        )
    };
    let endpoint =
        r#""annotations":{"fnproject.io/fn/invokeEndpoint":"http://localhost:8080/invoke/<id>"},"#;
    let function = shown(endpoint);
    assert_eq!(masked(&created), format!("{function}\n"));
    let f = text(&created.json(), "/id").to_owned();
    let body_t =
        format!(r#"{{"app_id":"{a}","fn_id":"{f}","name":"t","source":"/t","type":"http"}}"#);
    let created = server.raw("POST /v2/triggers", body_t.clone()).await;
    let trigger = |annotations: &str| {
        format!(
            r#"{{"id":"<id>","name":"t","app_id":"<id>","fn_id":"<id>","created_at":"<time>","updated_at":"<time>","type":"http","source":"/t"{annotations}}}"#
        )
    };
    let at =
        r#","annotations":{"fnproject.io/trigger/httpEndpoint":"http://localhost:8080/t/a/t"}"#;
    assert_eq!(masked(&created), format!("{}\n", trigger(at)));
    let t = text(&created.json(), "/id").to_owned();
    let one = |item: &str| format!(r#"{{"items":[{item}]}}"#);
    for (call, body, said) in [
        ("GET /v2/apps?name=a".to_owned(), "", one(app)),
        ("GET /v2/apps?name=A".to_owned(), "", one("")),
        (format!("GET /v2/apps/{a}"), "", app.to_owned()),
        (
            format!("PUT /v2/apps/{a}"),
            r#"{"name":"a"}"#,
            app.to_owned(),
        ),
        (format!("GET /v2/fns?app_id={a}&name=f"), "", one(&function)),
        (
            format!("GET /v2/fns?app_id={a}&per_page=1"),
            "",
            format!(r#"{{"next_cursor":"Zg","items":[{function}]}}"#),
        ),
        (format!("GET /v2/fns/{f}"), "", function.clone()),
        (format!("PUT /v2/fns/{f}"), &body, shown("")),
        (
            format!("GET /v2/triggers?app_id={a}&fn_id={f}&name=t"),
            "",
            one(&trigger(at)),
        ),
        (format!("GET /v2/triggers/{t}"), "", trigger(at)),
        (format!("PUT /v2/triggers/{t}"), &body_t, trigger("")),
    ] {
        let answer = server.raw(&call, body.to_owned()).await;
        assert_eq!(masked(&answer), format!("{said}\n"), "{call}");
    }
    for path in [
        format!("/v2/triggers/{t}"),
        format!("/v2/fns/{f}"),
        format!("/v2/apps/{a}"),
    ] {
        let answer = server.raw(&format!("DELETE {path}"), "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        assert_eq!(server.get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn the_errors_of_both_versions_are_told_to_the_byte() {
    let server = Server::start().await;
    for (call, body, status, said) in [
        (
            "POST /v1/apps",
            "{}",
            400,
            r#"{"error":{"message":"Missing new application"}}"#,
        ),
        ("POST /v1/apps", r#"{"app":{"name":"a"}}"#, 200, ""),
        (
            "POST /v1/apps",
            r#"{"app":{"name":"a"}}"#,
            409,
            r#"{"error":{"message":"App already exists"}}"#,
        ),
        (
            "PATCH /v1/apps/a",
            r#"{"app":{"name":"b"}}"#,
            409,
            r#"{"error":{"message":"Could not update - name is immutable"}}"#,
        ),
        (
            "PUT /v1/apps/a/routes/x",
            r#"{"route":{"image":"i","path":"/y"}}"#,
            409,
            r#"{"error":{"message":"Could not update - path is immutable"}}"#,
        ),
        (
            "GET /v2/fns",
            "",
            400,
            r#"{"message":"Missing AppID on Fn"}"#,
        ),
        (
            "POST /v2/fns",
            r#"{"name":"f"}"#,
            400,
            r#"{"message":"Missing AppID on Fn"}"#,
        ),
        (
            "GET /v2/apps/gone",
            "",
            404,
            r#"{"message":"App not found"}"#,
        ),
        (
            "GET /v1/gone",
            "",
            404,
            r#"{"error":{"message":"Path not found: /v1/gone"}}"#,
        ),
        (
            "GET /v2/gone",
            "",
            404,
            r#"{"message":"Path not found: GET /v2/gone"}"#,
        ),
        (
            "PATCH /v2/fns",
            "",
            405,
            r#"{"message":"Method not allowed: PATCH /v2/fns"}"#,
        ),
    ] {
        let answer = server.raw(call, body).await;
        match said {
            "" => assert_eq!(answer.status, status, "{call}"),
            said => answer.is(status, &format!("{said}\n")),
        }
    }
}

#[tokio::test]
async fn every_verb_on_every_path_is_known_or_refused() {
    let server = Server::start().await;
    let paths: [(&str, &[&str]); 10] = [
        ("/v1/apps", &["GET", "POST"]),
        ("/v1/apps/a", &["GET", "PATCH", "DELETE"]),
        (
            "/v1/apps/a/routes",
            &["GET", "POST", "PUT", "PATCH", "DELETE"],
        ),
        ("/v1/apps/a/routes/x", &["GET", "PUT", "PATCH", "DELETE"]),
        ("/v2/apps", &["GET", "POST"]),
        ("/v2/apps/x", &["GET", "PUT", "DELETE"]),
        ("/v2/fns", &["GET", "POST"]),
        ("/v2/fns/x", &["GET", "PUT", "DELETE"]),
        ("/v2/triggers", &["GET", "POST"]),
        ("/v2/triggers/x", &["GET", "PUT", "DELETE"]),
    ];
    for (path, known) in paths {
        for verb in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FROB",
        ] {
            let answer = server.raw(&format!("{verb} {path}"), "").await;
            if known.contains(&verb) {
                let refused = answer.status == 405 || answer.text.contains("Path not found");
                assert!(!refused, "{verb} {path}: {}", answer.text);
            } else if path.starts_with("/v1") {
                answer.nested(404, &format!("Path not found: {path}"));
            } else {
                answer.flat(405, &format!("Method not allowed: {verb} {path}"));
            }
        }
        for (verb, status) in [("GET", 301), ("POST", 307), ("PUT", 307), ("DELETE", 307)] {
            // The path of the root route; see `deletes`.
            if path.ends_with("/routes") || path.ends_with("/routes/x") {
                continue;
            }
            let answer = server.raw(&format!("{verb} {path}/?a=b"), "").await;
            assert_eq!(answer.status, status, "{verb} {path}");
            assert_eq!(answer.headers["location"], format!("{path}?a=b"));
        }
    }
}

#[tokio::test]
async fn shapes_are_known_by_name_only() {
    let server = Server::start().await;
    let app = json!({"name": "a", "shape": "GENERIC_ARM"});
    let app = server.ok("POST /v2/apps", app).await;
    let put = format!("PUT /v2/apps/{}", text(&app, "/id"));
    let f = |shape: &str| json!({"app_id": app["id"], "name": "f", "image": "i", "shape": shape});
    let created = server.ok("POST /v2/fns", f("GENERIC_X86_ARM")).await;
    assert_eq!(created.get("shape"), None);
    let put_f = format!("PUT /v2/fns/{}", text(&created, "/id"));
    for shape in ["GENERIC_X86", ""] {
        server.ok(&put, json!({"shape": shape})).await;
        server.ok(&put_f, json!({"shape": shape})).await;
    }
    for (call, body, message) in [
        (
            "POST /v2/apps",
            json!({"name": "b", "shape": "X"}),
            "Invalid app shape",
        ),
        (&put, json!({"shape": "generic_x86"}), "Invalid app shape"),
        ("POST /v2/fns", f("X"), "Invalid Fn shape"),
        (&put_f, json!({"shape": "X"}), "Invalid Fn shape"),
    ] {
        server.call(call, body).await.flat(400, message);
    }
}
