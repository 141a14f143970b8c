//! Whole calls over fake functions that speak the wire format, or do not.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::{Event, RequestDecoder, RequestHead};

use super::*;
use crate::format::Via;
use crate::launcher::fake::{FakeIo, FakeLauncher};
use crate::model::{App, AppId, CallId, Format, Function};

/// Reads one request; `None` at end of file.
async fn receive(io: &mut FakeIo, inbox: &mut BytesMut) -> Option<(RequestHead, Bytes)> {
    let mut decoder = RequestDecoder::new(wire::Limits::default());
    let mut head = None;
    let mut body = BytesMut::new();
    loop {
        while let Some(event) = decoder.decode(inbox).unwrap() {
            match event {
                Event::Head(h) => head = Some(h),
                Event::Data(data) => body.extend_from_slice(&data),
                Event::End => return head.map(|h| (h, body.freeze())),
            }
        }
        if io.stdin.read_buf(inbox).await.unwrap() == 0 {
            return None;
        }
    }
}

fn ok(head: &RequestHead, body: &[u8]) -> Vec<u8> {
    let id = head.headers["fn_call_id"].to_str().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nFn-Call-Id: {id}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Does what the path of the request says; `/` and everything else echoes.
async fn peer(mut io: FakeIo) -> i64 {
    let mut inbox = BytesMut::new();
    let mut calls = 0;
    while let Some((head, body)) = receive(&mut io, &mut inbox).await {
        calls += 1;
        let answer = match head.target.as_str() {
            "/crash" => return 3,
            "/exit0" => return 0,
            "/short" => {
                let _ = io
                    .stdout
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
                    .await;
                return 0;
            }
            "/cut" => {
                let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: secret";
                let _ = io.stdout.write_all(head).await;
                return 0;
            }
            "/silent" => std::future::pending().await,
            "/garbage" => b"Listening on port 80\n".to_vec(),
            "/extra" => [ok(&head, &body), b"extra".to_vec()].concat(),
            "/second" => [ok(&head, &body), ok(&head, b"for nobody")].concat(),
            "/wrong" => b"HTTP/1.1 200 OK\r\nFn-Call-Id: x\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/anonymous" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/calls" => ok(&head, format!("{calls}").as_bytes()),
            "/after-two" if calls == 2 => return 2,
            "/head" => ok(&head, format!("{:?}", head.headers).as_bytes()),
            _ => ok(&head, &body),
        };
        if io.stdout.write_all(&answer).await.is_err() {
            return 1;
        }
    }
    0
}

/// A response, read to its end.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

struct Bench {
    invoker: Invoker,
    fake: Arc<FakeLauncher>,
    app: App,
    function: Function,
    callable: Arc<Callable>,
}

impl Bench {
    fn new() -> Self {
        Self::with(FakeLauncher::default())
    }

    /// With more images.
    fn with(fake: FakeLauncher) -> Self {
        let fake = Arc::new(fake.image("peer", peer).image("peer2", peer).image(
            "early",
            |mut io| async move {
                let body = ok_anonymous();
                let _ = io.stdout.write_all(&body).await;
                std::future::pending().await
            },
        ));
        let limits = ExchangeLimits {
            head_bytes: 64 << 10,
            stream_bytes: 8 << 20,
            whole_bytes: 8 << 20,
        };
        let config = InvokeConfig {
            max_containers: 8,
            max_waiting: 100,
            max_wait: Duration::from_secs(60),
            max_starts: 4,
            resources: crate::pool::Resources::BOUNDLESS,
            eject_idle: Duration::from_secs(1),
            freeze_after: None,
            response_idle: Duration::from_secs(10),
            caller_patience: Duration::from_secs(30),
            exchange: limits,
        };
        let now = Timestamp::from_millis(0);
        let app = App {
            id: AppId::generate(),
            name: "a".to_owned(),
            config: BTreeMap::new(),
            annotations: BTreeMap::new(),
            syslog_url: None,
            created_at: now,
            updated_at: now,
        };
        let function = Function {
            id: crate::model::FnId::generate(),
            app_id: app.id,
            name: "f".to_owned(),
            image: "peer".to_owned(),
            format: Format::Http,
            memory_mb: 128,
            timeout_secs: 30,
            idle_timeout_secs: 30,
            config: BTreeMap::new(),
            annotations: BTreeMap::new(),
            created_at: now,
            updated_at: now,
        };
        let callable = Arc::new(Callable::from_function(&app, &function, &[]));
        Self {
            invoker: Invoker::new(fake.clone(), config, None),
            fake,
            app,
            function,
            callable,
        }
    }

    /// As a deploy does: a new callable of the function as it is now.
    fn redeploy(&mut self) {
        self.callable = Arc::new(Callable::from_function(&self.app, &self.function, &[]));
    }

    fn request(&self, target: &str, body: &'static [u8]) -> CallRequest {
        CallRequest {
            id: CallId::generate(),
            method: Method::POST,
            target: target.to_owned(),
            url: format!("http://localhost{target}"),
            headers: HeaderMap::new(),
            via: Via::Http,
            body: RequestBody::Whole(Bytes::from_static(body)),
        }
    }

    async fn call(&self, target: &str, body: &'static [u8]) -> Result<Reply, Fault> {
        self.send(self.request(target, body)).await
    }

    async fn send(&self, request: CallRequest) -> Result<Reply, Fault> {
        let response = self.invoker.call(&self.callable, request).await?;
        Ok(Reply {
            status: response.status,
            headers: response.headers,
            body: response.body.collect().await.unwrap().to_bytes(),
        })
    }

    async fn body(&self, target: &str) -> String {
        String::from_utf8(self.call(target, b"").await.unwrap().body.to_vec()).unwrap()
    }
}

fn ok_anonymous() -> Vec<u8> {
    b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno".to_vec()
}

#[tokio::test(start_paused = true)]
async fn calls_in_a_row_are_answered_by_one_container() {
    let bench = Bench::new();
    for n in 1..=20 {
        assert_eq!(bench.body("/calls").await, n.to_string());
    }
    assert_eq!(bench.fake.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn five_megabytes_come_back_as_they_went() {
    let bench = Bench::new();
    let body: &'static [u8] = (0..5_000_000_u32)
        .map(|i| (i % 251) as u8)
        .collect::<Vec<_>>()
        .leak();
    assert!(bench.call("/", body).await.unwrap().body == body);
    assert_eq!(bench.body("/calls").await, "2", "the container is kept");
}

// A6: a caller must not be able to name the call, its deadline or its URL.
#[tokio::test(start_paused = true)]
async fn the_platforms_headers_win_over_the_callers() {
    let bench = Bench::new();
    let mut headers = HeaderMap::new();
    headers.insert("fn_call_id", HeaderValue::from_static("forged"));
    headers.insert("fn_deadline", HeaderValue::from_static("forged"));
    let request = CallRequest {
        id: CallId::generate(),
        method: Method::GET,
        target: "/head".to_owned(),
        url: "http://h/head".to_owned(),
        headers,
        via: Via::Http,
        body: RequestBody::default(),
    };
    let id = request.id.to_string();
    let response = bench.send(request).await.unwrap();
    let text = String::from_utf8(response.body.to_vec()).unwrap();
    assert!(!text.contains("forged"), "{text}");
    for part in [id.as_str(), "fn_deadline", "\"GET\"", "\"http://h/head\""] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(text.contains(r#""content-length": "0""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_out_of_time_costs_the_container() {
    let bench = Bench::new();
    bench.call("/", b"").await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(matches!(
        bench.call("/silent", b"").await,
        Err(Fault::TimedOut)
    ));
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(bench.body("/calls").await, "1", "a new container answers");
}

// C18
#[tokio::test(start_paused = true)]
async fn a_function_that_exits_is_named_with_its_code() {
    let bench = Bench::new();
    let fault = bench.call("/crash", b"").await.unwrap_err();
    assert_eq!(fault.to_string(), "container exit code 3");
    let fault = bench.call("/exit0", b"").await.unwrap_err();
    assert_eq!(fault.to_string(), "container exit code 0");
}

// C1
#[tokio::test(start_paused = true)]
async fn garbage_is_quoted_and_costs_the_container() {
    let bench = Bench::new();
    let fault = bench.call("/garbage", b"").await.unwrap_err().to_string();
    assert!(
        fault.starts_with("invalid http response from function err: not HTTP"),
        "{fault}"
    );
    assert!(fault.contains("Listening on port 80"), "{fault}");
    assert_eq!(bench.body("/calls").await, "1");
}

// What a container wrote that has served others may be theirs.
#[tokio::test(start_paused = true)]
async fn what_a_reused_container_wrote_is_not_quoted() {
    for target in ["/cut", "/garbage", "/wrong"] {
        let bench = Bench::new();
        bench.call("/", b"").await.unwrap();
        let fault = bench.call(target, b"").await.unwrap_err();
        let text = fault.to_string();
        for part in ["secret", "Listening", "\"x\""] {
            assert!(!text.contains(part), "{target}: {text}");
        }
        assert!(!fault.detail().is_empty(), "but the operator is told");
    }
    let bench = Bench::new();
    let fault = bench.call("/cut", b"").await.unwrap_err().to_string();
    assert!(
        fault.contains("secret"),
        "a first answer is the caller's own: {fault}"
    );
}

// C4
#[tokio::test(start_paused = true)]
async fn a_short_body_is_no_response() {
    let bench = Bench::new();
    let fault = bench.call("/short", b"").await.unwrap_err().to_string();
    assert!(fault.contains("2 of 9 body bytes"), "{fault}");
}

// C2, C3
#[tokio::test(start_paused = true)]
async fn what_follows_a_response_reaches_nobody() {
    let bench = Bench::new();
    for target in ["/extra", "/second"] {
        assert_eq!(bench.call(target, b"mine").await.unwrap().body, "mine");
        assert_eq!(bench.body("/calls").await, "1", "a new container answers");
    }
}

// C19
#[tokio::test(start_paused = true)]
async fn a_response_to_another_call_is_not_delivered() {
    let bench = Bench::new();
    let fault = bench.call("/wrong", b"").await.unwrap_err().to_string();
    assert!(fault.contains("another call"), "{fault}");
    assert!(
        bench.call("/anonymous", b"").await.is_ok(),
        "naming the call is voluntary"
    );
    bench.call("/", b"").await.unwrap();
    assert!(
        bench.call("/anonymous", b"").await.is_err(),
        "but who did it once has to go on"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.fake.alive(), 0);
}

// C13: early answers are delivered; the rest of the request has nowhere to go.
#[tokio::test(start_paused = true)]
async fn an_answer_before_the_request_was_read_is_delivered() {
    let mut bench = Bench::new();
    bench.function.image = "early".to_owned();
    bench.redeploy();
    let body: &'static [u8] = vec![0; 1 << 20].leak();
    let response = bench.call("/", body).await.unwrap();
    assert_eq!(
        (response.status, &response.body[..]),
        (StatusCode::PAYLOAD_TOO_LARGE, &b"no"[..])
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        bench.fake.alive(),
        0,
        "a container with half a request in its pipe is no use"
    );
}

// I6: the function may have done its work before it died; only its caller knows whether to repeat.
#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_run_is_not_repeated() {
    let bench = Bench::new();
    bench.call("/", b"").await.unwrap();
    let fault = bench.call("/after-two", b"again").await.unwrap_err();
    assert_eq!(fault.to_string(), "container exit code 2");
    assert_eq!(bench.fake.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_that_changes_nothing_keeps_the_containers_hot() {
    let mut bench = Bench::new();
    bench.call("/", b"").await.unwrap();
    bench.redeploy();
    assert_eq!(bench.body("/calls").await, "2");
}

// E2: a call never sees the old revision once the new one is deployed.
#[tokio::test(start_paused = true)]
async fn a_deploy_of_another_image_or_config_drains_the_old_containers() {
    let mut bench = Bench::new();
    bench.call("/", b"").await.unwrap();
    bench.function.image = "peer2".to_owned();
    bench.redeploy();
    assert_eq!(bench.body("/calls").await, "1");
    bench.function.config.insert("K".to_owned(), "v".to_owned());
    bench.redeploy();
    assert_eq!(bench.body("/calls").await, "1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.alive(), 1, "the two old revisions have ended");
}

// A caller that looked the function up before a deploy must not bring the old revision back.
#[tokio::test(start_paused = true)]
async fn a_late_caller_uses_the_new_revision() {
    let mut bench = Bench::new();
    let old = bench.callable.clone();
    bench.function.image = "peer2".to_owned();
    bench.redeploy();
    bench.call("/", b"").await.unwrap();
    let new = std::mem::replace(&mut bench.callable, old);
    assert_eq!(bench.body("/calls").await, "2");
    bench.callable = new;
    assert_eq!(bench.body("/calls").await, "3");
    assert_eq!(bench.fake.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_the_functions_fault_and_a_later_fix_is_seen() {
    let mut bench = Bench::new();
    bench.function.image = "missing".to_owned();
    bench.redeploy();
    let fault = bench.call("/", b"").await.unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("Failed to pull image 'missing'"),
        "{fault}"
    );
    bench.function.image = "peer".to_owned();
    bench.redeploy();
    assert!(bench.call("/", b"").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_container() {
    let bench = Bench::new();
    bench.call("/", b"").await.unwrap();
    bench.invoker.close().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.alive(), 0);
    assert!(matches!(
        bench.call("/", b"").await,
        Err(Fault::ShuttingDown)
    ));
}

// A rollback while the version in between is still being looked up must not end up with a pool
// that the version in between has drained.
#[tokio::test(start_paused = true)]
async fn a_rollback_gets_a_pool_that_works() {
    let mut bench = Bench::new();
    bench.call("/", b"").await.unwrap();
    let first = bench.function.clone();
    bench.function.image = "peer2".to_owned();
    bench.redeploy();
    let middle = bench.callable.clone();
    bench.function = first;
    bench.redeploy();
    let request = bench.request("/", b"");
    let between = bench.invoker.call(&middle, request);
    tokio::pin!(between);
    assert!(futures_util::poll!(&mut between).is_pending());
    let (now, then) = tokio::join!(bench.call("/", b""), between);
    assert!(now.is_ok() && then.is_ok(), "{now:?} {then:?}");
    assert!(bench.call("/", b"").await.is_ok());
}

#[path = "scale_tests.rs"]
mod scale;

#[path = "stream_tests.rs"]
mod stream;

#[path = "format_tests.rs"]
mod formats;
