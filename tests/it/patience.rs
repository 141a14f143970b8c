//! Callers who are slow, wait, leave, or are too many.

use std::time::Duration;

use futures_util::future::select_all;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Answer, Backend, Example, Gateway, Raw, eventually};

async fn gateway(settings: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::start_with(Backend::Process, settings).await;
    gateway.function("m", Example::Misbehave, json!({})).await;
    gateway
}

const GOOD: &str = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";

fn call(path: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
}

// A7: a body is asked for when it is wanted, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_to_go_on_when_its_body_is_wanted() {
    let gateway = gateway(&[("FN_MAX_REQUEST_SIZE", "1000")]).await;
    let expect = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut raw = Raw::connect(&gateway).await;
    for body in ["first", "again"] {
        raw.send(expect("/t/t/m", 5)).await;
        assert_eq!(raw.head().await.0, 100);
        raw.send(body).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
        assert!(!answer.closes());
    }
    // Who does not wait is told all the same.
    raw.send(call(
        "/t/t/m?mode=headers",
        "Expect: 100-continue\r\n",
        "now",
    ))
    .await;
    assert_eq!(raw.head().await.0, 100);
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("Expect"), "{}", answer.text());

    for (path, length, status) in [("/t/t/none", 5, 404), ("/t/t/m", 1001, 413)] {
        // What comes instead of the body is no request.
        let mut raw = Raw::sent(&gateway, expect(path, length) + GOOD).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, status);
        assert!(answer.closes(), "{answer:?}");
        assert_eq!(raw.rest().await, b"");
    }
}

/// Sends a byte whenever there is no answer yet.
async fn trickle(raw: &mut Raw) -> Answer {
    const PAUSE: Duration = Duration::from_millis(20);
    while timeout(PAUSE, raw.stream.readable()).await.is_err() {
        raw.send("x").await;
    }
    raw.answer().await
}

// A8
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_given_up() {
    let gateway = gateway(&[("FN_REQUEST_HEADER_READ_TIMEOUT", "300ms")]).await;
    let mut silent = Raw::connect(&gateway).await;
    assert_eq!(silent.rest().await, b"");

    let late = |answer: &Answer| {
        assert_eq!(answer.status, 408);
        assert!(answer.closes(), "{answer:?}");
        let message = "{\"message\":\"the request's head is not complete after 300ms\"}\n";
        assert_eq!(answer.text(), message);
    };
    let mut stuck = Raw::sent(&gateway, "GET /t/t/m HTTP/1.1\r\nHost").await;
    late(&stuck.answer().await);
    assert_eq!(stuck.rest().await, b"");
    let mut slow = Raw::sent(&gateway, "GET /t/t/m HTTP/1.1\r\nHost: x\r\nA: ").await;
    late(&trickle(&mut slow).await);
    // The same behind a request that was answered.
    let mut second = Raw::sent(&gateway, format!("{GOOD}GET /t/t/m HTT")).await;
    assert_eq!(second.answer().await.status, 200);
    late(&second.answer().await);
    assert!(gateway.containers().await.is_empty());
}

// A8: neither silence nor a byte now and then holds a connection, let alone a container.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_hardly_comes_is_given_up() {
    let gateway = gateway(&[("FN_REQUEST_BODY_READ_TIMEOUT", "500ms")]).await;
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        for path in ["/t/t/m", "/v2/apps"] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
            );
            let start = if framing.contains("chunked") {
                "ffff\r\n{"
            } else {
                "{"
            };
            let mut stuck = Raw::sent(&gateway, format!("{head}{start}")).await;
            let mut slow = Raw::sent(&gateway, format!("{head}{start}")).await;
            let (stuck_answer, slow_answer) = tokio::join!(stuck.answer(), trickle(&mut slow));
            for (answer, words) in [
                (&stuck_answer, "no byte of the request body within 500ms"),
                (&slow_answer, "less than 500 bytes a second"),
            ] {
                assert!(answer.closes(), "{answer:?}");
                if path == "/t/t/m" {
                    assert_eq!(answer.status, 408, "{answer:?}");
                    assert!(answer.text().contains(words), "{answer:?}");
                } else {
                    assert!((400..500).contains(&answer.status), "{answer:?}");
                }
            }
            assert_eq!(stuck.rest().await, b"");
        }
    }
    assert!(gateway.containers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let settings = [
        ("FN_HTTP_IDLE_TIMEOUT", "300ms"),
        ("FN_REQUEST_HEADER_READ_TIMEOUT", "300ms"),
        ("FN_REQUEST_BODY_READ_TIMEOUT", "300ms"),
        ("FN_RESPONSE_WRITE_TIMEOUT", "300ms"),
    ];
    let gateway = gateway(&settings).await;
    let mut raw = Raw::sent(&gateway, call("/t/t/m?mode=sleep&ms=1500", "", "slow")).await;
    assert_eq!(raw.answer().await.text(), "slow");
    assert_eq!(raw.rest().await, b"");
}

// A9
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_is_given_up() {
    let settings = [
        ("FN_RESPONSE_WRITE_TIMEOUT", "300ms"),
        ("FN_LOG_LEVEL", "debug"),
    ];
    let gateway = gateway(&settings).await;
    let _stuck = Raw::sent(&gateway, call("/t/t/m?mode=big&n=50000000", "", "")).await;
    eventually("the end of the connection", async || {
        gateway
            .log()
            .contains("the caller does not take the response")
    })
    .await;
    let mut next = Raw::sent(&gateway, call("/t/t/m", "", "next")).await;
    assert_eq!(next.answer().await.text(), "next");
    eventually("the end of the first one", async || {
        gateway.containers().await.len() <= 1
    })
    .await;
}

/// How many bytes the process has read: more than before when a call has reached it.
fn read_by(pid: &str) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines()
        .find_map(|line| line.strip_prefix("rchar: "))
        .unwrap()
        .parse()
        .unwrap()
}

// A10: cut at every byte, a call either does not take place or leaves no trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_leave_at_any_byte() {
    let gateway = gateway(&[]).await;
    let whole = call("/t/t/m", "", "a body");
    for end in 0..=whole.len() {
        drop(Raw::sent(&gateway, &whole[..end]).await);
        let body = format!("after {end}");
        let mut next = Raw::sent(&gateway, call("/t/t/m", "", &body)).await;
        assert_eq!(next.answer().await.text(), body);
    }
    eventually("one idle container", async || {
        gateway.containers().await.len() <= 1
    })
    .await;
}

// A10: in the call, and in the response.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_takes_its_container_along() {
    let gateway = gateway(&[]).await;
    gateway.post("/t/t/m", "warm").await;
    let pid = gateway.containers().await.remove(0);
    let before = read_by(&pid);
    let asleep = Raw::sent(&gateway, call("/t/t/m?mode=sleep&ms=60000", "", "x")).await;
    eventually("the call", async || read_by(&pid) > before).await;
    drop(asleep);
    gateway.no_containers().await;

    let mut half = Raw::sent(&gateway, call("/t/t/m?mode=big&n=50000000", "", "")).await;
    assert_eq!(half.head().await.0, 200);
    drop(half);
    assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");
    eventually("one container", async || {
        gateway.containers().await.len() <= 1
    })
    .await;
}

// A10: who leaves the queue leaves his place.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_leave_the_queue() {
    let gateway = gateway(&[("FN_MAX_CONTAINERS", "1"), ("FN_MAX_WAITERS", "1")]).await;
    gateway.post("/t/t/m", "warm").await;
    let pid = gateway.containers().await.remove(0);
    let before = read_by(&pid);
    let first = Raw::sent(&gateway, call("/t/t/m?mode=sleep&ms=60000", "", "x")).await;
    eventually("the call", async || read_by(&pid) > before).await;
    // One of three may wait, and is left over when the others have been refused.
    let three = (0..3).map(|_| {
        let gateway = &gateway;
        Box::pin(async move {
            let mut raw = Raw::sent(gateway, call("/t/t/m", "", "")).await;
            raw.answer().await.status
        })
    });
    let (status, _, two) = select_all(three).await;
    assert_eq!(status, 429);
    let (status, _, waiting) = select_all(two).await;
    assert_eq!(status, 429);
    drop(waiting);
    drop(first);
    // Which of the two is noticed first is open; another container may have been started.
    eventually("the end of the call", async || {
        !gateway.containers().await.contains(&pid)
    })
    .await;
    assert_eq!(gateway.post("/t/t/m", "next").await.text(), "next");
}

// A11
#[tokio::test(flavor = "multi_thread")]
async fn requests_on_one_connection_stay_apart() {
    let gateway = gateway(&[]).await;
    // What is in flight is finished before what follows is refused.
    let slow = call("/t/t/m?mode=sleep&ms=300", "", "slow");
    let mut raw = Raw::sent(&gateway, format!("{slow}GET / HTTP/1.1\r\n\r\nmore")).await;
    let first = raw.answer().await;
    assert_eq!((first.text().as_str(), first.closes()), ("slow", false));
    assert_eq!(raw.answer().await.status, 400);
    assert_eq!(raw.rest().await, b"");

    // After an error the connection goes on.
    let none = call("/t/t/none", "", "ignored");
    let mut raw = Raw::sent(&gateway, none.clone() + &call("/t/t/m", "", "heard")).await;
    assert_eq!(raw.answer().await.status, 404);
    assert_eq!(raw.answer().await.text(), "heard");

    // A body that nobody reads is drained, so that the answer arrives, and is nothing but a body.
    let smuggled = call("/t/t/m?mode=exit&code=1", "", "").repeat(20_000);
    let mut raw = Raw::sent(&gateway, call("/t/t/none", "", &smuggled)).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.closes()), (404, true));
    assert_eq!(raw.rest().await, b"");
    assert_eq!(gateway.log().matches("container started").count(), 1);
}

// A17: one too many waits until there is room.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let gateway = Gateway::start_with(Backend::Process, &[("FN_MAX_CONNECTIONS", "2")]).await;
    let mut first = Raw::sent(&gateway, GOOD).await;
    let mut second = Raw::sent(&gateway, GOOD).await;
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(second.answer().await.status, 200);
    let mut third = Raw::sent(&gateway, GOOD).await;
    for _ in 0..20 {
        second.send(GOOD).await;
        assert_eq!(second.answer().await.status, 200);
    }
    let nothing = third.stream.try_read(&mut [0]);
    assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

// A17: without descriptors the server waits for some, and says so once.
#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_descriptors_passes() {
    let gateway = Gateway::start(Backend::Process).await;
    let pid = Pid::from_raw(gateway.pid());
    let none = Rlimit {
        current: Some(3),
        // Which the server was started with, as this test was.
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(pid, Resource::Nofile, none).unwrap();
    let mut waiting = Raw::sent(&gateway, GOOD).await;
    const SAID: &str = "cannot accept a connection";
    eventually("a failed accept", async || gateway.log().contains(SAID)).await;
    prlimit(pid, Resource::Nofile, before).unwrap();
    assert_eq!(waiting.answer().await.status, 200);
    assert_eq!(gateway.log().matches(SAID).count(), 1);
}
