//! The examples that are written with the FDK, deployed and called as their pages say.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Backend, Example, Gateway, backends, deploy, eventually, said};

backends!(
    a_shop_of_three_functions_is_open_until_it_is_closed,
    logs_belong_to_their_call_and_a_crash_costs_one,
    lines_come_back_as_they_are_sent,
    a_caller_who_leaves_midway_costs_the_container_only,
    many_lines_take_no_more_memory,
    a_flaw_in_a_stream_is_named,
    one_program_speaks_every_format,
);

async fn a_shop_of_three_functions_is_open_until_it_is_closed(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "shop").await;
    let list = gateway.get("/t/a/items").await;
    assert_eq!(list.text(), r#"["cake","coffee","tea"]"#);
    assert_eq!(
        gateway.get("/t/a/items?up_to=300").await.text(),
        r#"["tea"]"#
    );
    assert_eq!(gateway.get("/t/a/items/tea").await.text(), "250\n");
    assert_eq!(gateway.get("/t/a/items/gold").await.status, 404);
    let order = gateway
        .post("/t/a/orders", r#"{"item":"cake","count":2}"#)
        .await;
    assert_eq!(
        (order.status, order.text().as_str()),
        (201, r#"{"item":"cake","cents":820}"#)
    );
    let wrong = gateway
        .post("/t/a/orders", r#"{"item":"cake","count":0}"#)
        .await;
    let told: Value = serde_json::from_str(&wrong.text()).unwrap();
    assert_eq!(
        (wrong.status, &told["details"][0]["param"]),
        (400, &json!("count"))
    );
    assert_eq!(gateway.post("/t/a/items/tea", "").await.status, 405);
    said(&gateway, "config app a CLOSED 1").await.fine();
    assert_eq!(gateway.get("/t/a/items").await.status, 503);
    // D2: a startup that fails is told as such, and not tried over and over.
    said(&gateway, "config app a PRICES nonsense").await.fine();
    let starts = || gateway.log().matches("container started").count();
    let before = starts();
    let mut called = Vec::new();
    for _ in 0..20 {
        let failed = gateway.get("/t/a/items").await;
        assert_eq!(failed.status, 502, "{}", failed.text());
        let text = failed.text();
        assert!(text.contains("container exit code 1"), "{text}");
        // Over the engine's stream, what is logged may come too late.
        if backend.stdio() != "attach" {
            assert!(text.contains("exit code 1: PRICES: "), "{text}");
            assert_eq!(failed.headers["fn-error"], "init-failed");
        }
        called.push(failed.headers["fn-call-id"].to_str().unwrap().to_owned());
    }
    assert!(starts() - before < 10, "{}", gateway.log());
    let reason = "startup failed: PRICES: ";
    eventually("the reason in the server's log", async || {
        gateway.log().contains(reason)
    })
    .await;
    let get = format!("get logs a list {}", called[0]);
    eventually("the reason in the call's log", async || {
        said(&gateway, &get).await.out.contains(reason)
    })
    .await;
    said(&gateway, "config app a PRICES tea=1").await.fine();
    said(&gateway, "unset config app a CLOSED").await.fine();
    assert_eq!(gateway.get("/t/a/items/tea").await.text(), "1\n");
}

async fn logs_belong_to_their_call_and_a_crash_costs_one(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "fib").await;
    // What does not fit the route never reaches a container.
    let unfit = gateway.get("/t/a/fib/abc").await;
    assert_eq!(unfit.status, 404, "{}", unfit.text());
    assert!(!gateway.log().contains("container started"));
    let first = gateway.get("/t/a/fib/6").await;
    assert_eq!((first.status, first.text().as_str()), (200, "8\n"));
    let id = first.headers["fn-call-id"].to_str().unwrap();
    let log = said(&gateway, &format!("get logs a fib {id}"))
        .await
        .fine()
        .out;
    let of_call = log.matches(&format!("call_id={id} ")).count();
    assert_eq!(log.lines().count(), of_call, "{log}");
    // Over the engine's stream, what is logged may come too late for its call.
    if backend.stdio() == "attach" {
        assert!(of_call <= 13, "{log}");
    } else {
        assert_eq!(log.matches("msg=calculating").count(), 12, "{log}");
        assert_eq!(of_call, 13, "{log}");
    }
    assert_eq!(gateway.get("/t/a/fib/-1").await.status, 400);
    // Deeper than any stack: the process dies in the middle of the call.
    assert_eq!(gateway.get("/t/a/fib/1000000").await.status, 502);
    assert_eq!(gateway.get("/t/a/fib/7").await.text(), "13\n");
}

/// One call whose body is sent bit by bit, as `curl -T -` does.
struct Duplex {
    stream: TcpStream,
    seen: String,
}

impl Duplex {
    async fn open(gateway: &Gateway, path: &str) -> Self {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n\
             Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut duplex = Self {
            stream,
            seen: String::new(),
        };
        duplex.until("HTTP/1.1 100 ").await;
        duplex
    }

    async fn send(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.stream.write_all(chunk.as_bytes()).await.unwrap();
    }

    /// Reads until `text` has come.
    async fn until(&mut self, text: &str) {
        let mut piece = vec![0; 65536];
        while !self.seen.contains(text) {
            let read = self.stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "no {text:?} in {:?}", self.seen);
            self.seen
                .push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    }
}

fn reading(celsius: u32) -> String {
    format!("{{\"place\":\"Oslo\",\"celsius\":{celsius}}}\n")
}

fn converted(celsius: u32) -> String {
    format!("\"fahrenheit\":{:?}}}\n", f64::from(celsius) * 1.8 + 32.0)
}

// Each answer is waited for before the next line is sent: who waits for all of them would hang.
async fn lines_come_back_as_they_are_sent(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "weather").await;
    for pause in [Duration::ZERO, Duration::from_secs(1)] {
        let mut call = Duplex::open(&gateway, "/t/a/convert").await;
        for celsius in 1..=3 {
            tokio::time::sleep(pause).await;
            call.send(&reading(celsius)).await;
            call.until(&converted(celsius)).await;
        }
        call.stream.write_all(b"0\r\n\r\n").await.unwrap();
        call.until("\r\n0\r\n\r\n").await;
    }
    // The same container, as its framing stayed in step.
    assert_eq!(gateway.containers().await.len(), 1);
    let readings = format!("[{},{}]", reading(1), reading(2));
    let request = gateway
        .client()
        .post(gateway.url("/t/a/convert"))
        .body(readings);
    let request = request.header("content-type", "application/json");
    let array = gateway
        .send(request.header("accept", "application/json"))
        .await;
    let array: Value = serde_json::from_str(&array.text()).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 2);
    let mean = gateway.post("/t/a/mean", reading(1) + &reading(2)).await;
    assert_eq!(mean.text(), "1.5\n");
    let forecasts = gateway.get("/t/a/forecasts?days=1000").await;
    assert_eq!(forecasts.text().lines().count(), 1000);
}

// A10
async fn a_caller_who_leaves_midway_costs_the_container_only(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "weather").await;
    let mut call = Duplex::open(&gateway, "/t/a/convert").await;
    call.send(&reading(1)).await;
    call.until(&converted(1)).await;
    let left = tokio::time::Instant::now();
    drop(call);
    gateway.no_containers().await;
    // At once, and not when the call's time is up, which is after 30 seconds.
    assert!(left.elapsed().as_secs() < 25, "{:?}", left.elapsed());
    let answer = gateway.post("/t/a/convert", reading(2)).await;
    assert_eq!(
        (answer.status, answer.text().ends_with(&converted(2))),
        (200, true)
    );
}

async fn many_lines_take_no_more_memory(backend: Backend) {
    let lines: u32 = 1_000_000;
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "weather").await;
    gateway.post("/t/a/convert", reading(1)).await;
    let before = gateway.peak_memory();
    let Duplex { stream, .. } = Duplex::open(&gateway, "/t/a/convert").await;
    let (mut from, mut to) = stream.into_split();
    let sender = tokio::spawn(async move {
        let mut chunk = String::new();
        for n in 1..=lines {
            chunk.push_str(&reading(n));
            if chunk.len() > 30_000 || n == lines {
                let framed = format!("{:x}\r\n{chunk}\r\n", chunk.len());
                to.write_all(framed.as_bytes()).await.unwrap();
                chunk.clear();
            }
        }
        to.write_all(b"0\r\n\r\n").await.unwrap();
        to
    });
    let (mut piece, mut tail, mut count) = (vec![0; 65536], Vec::new(), 0);
    while !tail.ends_with(b"\r\n0\r\n\r\n") {
        let read = from.read(&mut piece).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&tail));
        count += piece[..read].iter().filter(|byte| **byte == b'{').count();
        tail.extend_from_slice(&piece[..read]);
        tail.drain(..tail.len().saturating_sub(200));
    }
    drop(sender.await.unwrap());
    assert_eq!(count, lines as usize);
    // A line may begin in one chunk and end in the next. Only their framing has "\r\n", so that of
    // the parts before the last chunk's size every other one is of lines.
    let tail = String::from_utf8_lossy(&tail);
    let parts: Vec<_> = tail.rsplit("\r\n").skip(3).step_by(2).collect();
    let text: String = parts.into_iter().rev().collect();
    assert!(text.ends_with(&converted(lines)), "{tail:?}");
    let grown = gateway.peak_memory().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more for {lines} lines");
}

async fn a_flaw_in_a_stream_is_named(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    deploy(&gateway, "weather").await;
    let typed = async |kind: &str, body: String| {
        let request = gateway
            .client()
            .post(gateway.url("/t/a/convert"))
            .body(body);
        let reply = gateway.send(request.header("content-type", kind)).await;
        (reply.status, reply.text())
    };
    let (status, told) = typed("application/x-ndjson", "cold\n".to_owned()).await;
    assert_eq!(status, 400);
    assert!(told.contains("line 1"), "{told}");
    // Behind good ones: nothing was sent yet by a function that answers at the end.
    let mean = gateway
        .post("/t/a/mean", reading(1) + "nope\n" + &reading(3))
        .await;
    assert_eq!(mean.status, 400);
    assert!(mean.text().contains("line 2"), "{}", mean.text());
    let (status, _) = typed("application/x-ndjson; charset=utf-16", reading(1)).await;
    assert_eq!(status, 415);
    let (status, _) = typed("application/x-ndjson", "1".repeat(2 << 20)).await;
    assert_eq!(status, 413);
    let (status, told) = typed("application/json", "[{\"place\"".to_owned()).await;
    assert_eq!(status, 400);
    assert!(told.contains("cut off"), "{told}");
    // Behind an answer that has begun, its last line says it, and the answer has no proper end.
    let mut call = Duplex::open(&gateway, "/t/a/convert").await;
    call.send(&reading(1)).await;
    call.until(&converted(1)).await;
    call.send("cold\n").await;
    call.until("{\"error\":\"line 2: ").await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), call.stream.read_to_end(&mut rest))
        .await
        .expect("the connection's end");
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(gateway.post("/t/a/mean", reading(3)).await.text(), "3.0\n");
}

async fn one_program_speaks_every_format(backend: Backend) {
    let gateway = Gateway::start(backend).await;
    for format in ["http", "json", "cloudevent", "default", "http-stream"] {
        let settings = json!({ "format": format });
        gateway.function(format, Example::Hello, settings).await;
        for name in ["Ann", "Bö"] {
            // The data of an event is JSON, and this function takes it for text.
            let (kind, body, greeted) = match format {
                "cloudevent" => (
                    "application/json",
                    format!("\"{name}\""),
                    format!("\"{name}\""),
                ),
                _ => ("text/plain", name.to_owned(), name.to_owned()),
            };
            let url = gateway.url(&format!("/t/t/{format}"));
            let request = gateway.client().post(url).header("content-type", kind);
            let reply = gateway.send(request.body(body)).await;
            let said = (reply.status, reply.text());
            assert_eq!(said, (200, format!("Hello {greeted}\n")), "{format}");
        }
    }
}
