use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::server::{Answer, Server, text};
use crate::model::{AppId, Call, CallId, CallStatus, CallTarget, FinishedCall, FnId, Timestamp};
use crate::store::CallStore;

const TIME: &str = "2018-09-17T10:00:00.123Z";

/// A function's or a route's call, created at [`TIME`] plus `secs`.
fn a_call(app: AppId, target: CallTarget, secs: u64) -> FinishedCall {
    let at = TIME.parse::<Timestamp>().unwrap();
    let at = at.plus(std::time::Duration::from_secs(secs));
    FinishedCall {
        call: Call {
            id: CallId::generate(),
            app_id: app,
            target,
            status: CallStatus::Success,
            created_at: at,
            started_at: Some(at),
            completed_at: at,
            error: None,
            blame: None,
        },
        log: b"hello \xff\n".to_vec(),
    }
}

async fn an_app(server: &Server) -> AppId {
    let app = server
        .ok("POST /v1/apps", json!({"app": {"name": "a"}}))
        .await;
    text(&app, "/app/id").parse().unwrap()
}

/// Recorded calls of the route `/x`, newest first.
async fn recorded(server: &Server, app: AppId, count: u64) -> Vec<FinishedCall> {
    let target = CallTarget::Route("/x".to_owned());
    let mut calls: Vec<_> = (0..count)
        .map(|secs| a_call(app, target.clone(), secs))
        .collect();
    calls.sort_by_key(|finished| std::cmp::Reverse(finished.call.id));
    server.store.record(&calls).await.unwrap();
    calls
}

fn ids(page: &Value, list: &str) -> Vec<String> {
    let calls = page[list].as_array().unwrap();
    calls.iter().map(|c| text(c, "/id").to_owned()).collect()
}

async fn get_as(server: &Server, path: &str, accept: &str) -> Answer {
    let request = Request::get(path).header("accept", accept);
    server.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn v1_shows_a_call_and_its_log() {
    let server = Server::start().await;
    let app = an_app(&server).await;
    let mut failed = a_call(app, CallTarget::Route("/x".to_owned()), 0);
    failed.call.status = CallStatus::Timeout;
    failed.call.started_at = None;
    failed.call.error = Some("Timed out".to_owned());
    failed.call.blame = Some("function".into());
    server.store.record(&[failed.clone()]).await.unwrap();
    let id = failed.call.id;
    let answer = server.ok_get(&format!("/v1/apps/a/calls/{id}")).await;
    assert_eq!(
        answer,
        json!({"message": "Successfully loaded call", "call": {
            "id": id.to_string(), "status": "timeout", "app_id": app.to_string(), "path": "/x",
            "created_at": TIME, "completed_at": TIME, "error": "Timed out", "blame": "function",
        }})
    );
    let path = format!("/v1/apps/a/calls/{id}/log");
    assert_eq!(
        server.ok_get(&path).await,
        json!({"message": "Successfully loaded log", "log": {
            "call_id": id.to_string(), "log": "hello \u{fffd}\n",
        }})
    );
}

#[tokio::test]
async fn a_log_comes_as_json_or_as_plain_text() {
    let server = Server::start().await;
    let app = an_app(&server).await;
    let mut finished = a_call(app, CallTarget::Route("/x".to_owned()), 0);
    finished.log = b"line\n".to_vec();
    server.store.record(&[finished.clone()]).await.unwrap();
    let path = format!("/v1/apps/a/calls/{}/log", finished.call.id);
    let plain = get_as(&server, &path, "text/plain").await;
    assert_eq!((plain.status.as_u16(), &*plain.text), (200, "line\n"));
    assert_eq!(plain.headers["content-type"], "text/plain; charset=utf-8");
    let refused = "unable to respond within acceptable response content types";
    get_as(&server, &path, "image/png")
        .await
        .nested(406, refused);
}

#[tokio::test]
async fn v1_lists_calls_newest_first_in_pages() {
    let server = Server::start().await;
    let app = an_app(&server).await;
    let list = "/v1/apps/a/calls";
    assert_eq!(
        server.ok_get(list).await,
        json!({"message": "Successfully listed calls", "next_cursor": "", "calls": []})
    );
    let calls = recorded(&server, app, 3).await;
    let expected: Vec<_> = calls.iter().map(|f| f.call.id.to_string()).collect();
    let first = server.ok_get(&format!("{list}?per_page=2")).await;
    assert_eq!(ids(&first, "calls"), expected[..2]);
    assert_eq!(first["next_cursor"], expected[1], "the id as it is");
    let next = format!("{list}?per_page=2&cursor={}", expected[1]);
    let second = server.ok_get(&next).await;
    assert_eq!(ids(&second, "calls"), expected[2..]);
    assert_eq!(second["next_cursor"], "");
    for path in ["/x", "x", "%2Fx"] {
        let of_route = server.ok_get(&format!("{list}?path={path}")).await;
        assert_eq!(ids(&of_route, "calls").len(), 3, "{path}");
    }
    let other = server.ok_get(&format!("{list}?path=/y")).await;
    assert!(ids(&other, "calls").is_empty());
}

#[tokio::test]
async fn calls_are_filtered_by_the_second_of_their_creation() {
    let server = Server::start().await;
    let app = an_app(&server).await;
    recorded(&server, app, 3).await;
    let start = TIME.parse::<Timestamp>().unwrap().as_millis() / 1000;
    for (query, count) in [
        (format!("from_time={start}"), 3),
        (format!("from_time={}", start + 1), 2),
        (format!("to_time={}", start + 1), 1),
        (format!("from_time={}&to_time={}", start + 1, start + 2), 1),
        (format!("to_time={}", i64::MAX), 3),
        ("from_time=-1".to_owned(), 3),
    ] {
        let page = server.ok_get(&format!("/v1/apps/a/calls?{query}")).await;
        assert_eq!(ids(&page, "calls").len(), count, "{query}");
    }
}

#[tokio::test]
async fn v1_refuses_calls_with_the_texts_of_its_era() {
    let server = Server::start().await;
    an_app(&server).await;
    let unknown = CallId::generate();
    for (path, status, message) in [
        ("/v1/apps/b/calls".to_owned(), 404, "App not found"),
        (format!("/v1/apps/b/calls/{unknown}"), 404, "App not found"),
        (format!("/v1/apps/a/calls/{unknown}"), 404, "Call not found"),
        ("/v1/apps/a/calls/x".to_owned(), 404, "Call not found"),
        (
            format!("/v1/apps/a/calls/{unknown}/log"),
            404,
            "Call log not found",
        ),
        (
            "/v1/apps/a/calls?from_time=x".to_owned(),
            400,
            "from_time is not an epoch time",
        ),
        (
            "/v1/apps/a/calls?to_time=1.5".to_owned(),
            400,
            "to_time is not an epoch time",
        ),
        (
            "/v1/apps/a/calls?cursor=x".to_owned(),
            400,
            "Invalid cursor",
        ),
    ] {
        server.get(&path).await.nested(status, message);
    }
}

#[tokio::test]
async fn v2_shows_the_calls_of_one_function() {
    let server = Server::start().await;
    let app = an_app(&server).await;
    let mut functions = Vec::new();
    for name in ["f", "g"] {
        let body = json!({"app_id": app.to_string(), "name": name, "image": "f:1"});
        let function = server.ok("POST /v2/fns", body).await;
        functions.push(text(&function, "/id").parse::<FnId>().unwrap());
    }
    let (f, g) = (functions[0], functions[1]);
    let mut calls: Vec<_> = (0..2).map(|n| a_call(app, CallTarget::Fn(f), n)).collect();
    calls.sort_by_key(|finished| std::cmp::Reverse(finished.call.id));
    server.store.record(&calls).await.unwrap();
    let id = calls[0].call.id;

    let list = format!("/v2/fns/{f}/calls");
    let first = server.ok_get(&format!("{list}?per_page=1")).await;
    assert_eq!(ids(&first, "items"), [id.to_string()]);
    let cursor = text(&first, "/next_cursor");
    let second = server.ok_get(&format!("{list}?cursor={cursor}")).await;
    assert_eq!(ids(&second, "items"), [calls[1].call.id.to_string()]);
    assert_eq!(second.get("next_cursor"), None);
    let none = server.ok_get(&format!("/v2/fns/{g}/calls")).await;
    assert_eq!(none, json!({"items": []}));

    let call = server.ok_get(&format!("{list}/{id}")).await;
    assert_eq!(
        (text(&call, "/id"), text(&call, "/fn_id")),
        (&*id.to_string(), &*f.to_string())
    );
    assert_eq!(call.get("path"), None);
    let log = server.ok_get(&format!("{list}/{id}/log")).await;
    assert_eq!(
        log,
        json!({"call_id": id.to_string(), "log": "hello \u{fffd}\n"})
    );

    for (path, message) in [
        (
            format!("/v2/fns/{}/calls", FnId::generate()),
            "Fn not found",
        ),
        (format!("/v2/fns/{g}/calls/{id}"), "Call not found"),
        (format!("/v2/fns/{g}/calls/{id}/log"), "Call log not found"),
    ] {
        server.get(&path).await.flat(404, message);
    }
}
