//! Stand-ins for functions of Fn's FDKs, with the quirks of each.

use super::*;

/// Reads a line at a time, as FDKs of the JSON formats do; answers with what `answer` makes of it.
async fn line_by_line(mut io: FakeIo, answer: fn(&serde_json::Value) -> String) -> i64 {
    let mut inbox = BytesMut::new();
    loop {
        while let Some(end) = inbox.iter().position(|&b| b == b'\n') {
            let line = inbox.split_to(end + 1);
            let call = serde_json::from_slice(&line).unwrap();
            if io.stdout.write_all(answer(&call).as_bytes()).await.is_err() {
                return 1;
            }
        }
        if io.stdin.read_buf(&mut inbox).await.unwrap() == 0 {
            return 0;
        }
    }
}

/// The body says what to do.
fn json_answer(call: &serde_json::Value) -> String {
    let body = call["body"].as_str().unwrap();
    match body {
        "frame" => serde_json::json!({ "body": call.to_string() }).to_string(),
        "empty" => "{}".to_owned(),
        "nulls" => r#"{"body":null,"content_type":null,"protocol":null}"#.to_owned(),
        // fdk-ruby: unknown members at the top, and a blank line after each object.
        "ruby" => "{\"body\":\"ok\",\"status_code\":500,\"headers\":{}}\n\n".to_owned(),
        "teapot" => {
            r#"{"body":"b","content_type":"a/b","protocol":{"status_code":418,"headers":{"X-A":["1","2"],"Content-Type":["c/d"]}}}"#.to_owned()
        }
        "extra" => "{\"body\":\"fine\"}  {\"body\":\"for nobody\"}".to_owned(),
        "garbage" => "Listening on port 80\n".to_owned(),
        "wrong type" => r#"{"body":{"a":1}}"#.to_owned(),
        "bad status" => r#"{"protocol":{"status_code":99}}"#.to_owned(),
        "injection" => r#"{"protocol":{"headers":{"X":["a\r\nb: c"]}}}"#.to_owned(),
        "deep" => format!("{{\"body\":{}1{}}}", "[".repeat(1000), "]".repeat(1000)),
        echo => serde_json::json!({ "body": echo }).to_string(),
    }
}

fn bench(format: Format) -> Bench {
    let fake = FakeLauncher::default()
        .image("json", |io| line_by_line(io, json_answer))
        .image("cloudevent", |io| line_by_line(io, event_answer))
        .image("default", one_shot);
    let mut bench = Bench::with(fake);
    bench.function.image = format.to_string();
    bench.function.format = format;
    bench.redeploy();
    bench
}

#[tokio::test(start_paused = true)]
async fn a_json_frame_is_written_to_the_byte() {
    let bench = bench(Format::Json);
    let mut request = bench.request("/r/myapp/hello?a=<b>", b"frame");
    request
        .headers
        .insert("content-type", HeaderValue::from_static("text/plain"));
    request
        .headers
        .append("x-two", HeaderValue::from_static("1"));
    request
        .headers
        .append("x-two", HeaderValue::from_static("&"));
    let id = request.id.to_string();
    let fake = FakeLauncher::default().image("raw", |mut io: FakeIo| async move {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            io.stdin.read_buf(&mut line).await.unwrap();
        }
        let answer = serde_json::json!({ "body": String::from_utf8(line).unwrap() });
        io.stdout
            .write_all(answer.to_string().as_bytes())
            .await
            .unwrap();
        std::future::pending().await
    });
    let mut raw = Bench::with(fake);
    raw.function.image = "raw".to_owned();
    raw.function.format = Format::Json;
    raw.redeploy();
    let reply = raw.send(request).await.unwrap();
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let deadline = text.split("\"deadline\":\"").nth(1).unwrap();
    let deadline = deadline.split('"').next().unwrap();
    assert_eq!(deadline.len(), "2018-06-01T10:00:30.000Z".len());
    assert_eq!(
        text,
        format!(
            "{{\"call_id\":\"{id}\",\"deadline\":\"{deadline}\",\"body\":\"frame\",\
             \"content_type\":\"text/plain\",\"protocol\":{{\"type\":\"http\",\"method\":\"POST\",\
             \"request_url\":\"http://localhost/r/myapp/hello?a=\\u003cb\\u003e\",\"headers\":{{\
             \"Content-Length\":[\"5\"],\"Content-Type\":[\"text/plain\"],\"X-Two\":[\"1\",\"\\u0026\"]\
             }}}}}}\n"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_json_answer_says_status_headers_and_type() {
    let bench = bench(Format::Json);
    for body in ["empty", "nulls"] {
        let reply = bench.call("/", body.as_bytes()).await.unwrap();
        assert_eq!(
            (reply.status, reply.body.len()),
            (StatusCode::OK, 0),
            "{body}"
        );
    }
    let reply = bench.call("/", b"teapot").await.unwrap();
    assert_eq!(reply.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(reply.headers.get_all("x-a").iter().count(), 2);
    let types: Vec<_> = reply.headers.get_all("content-type").iter().collect();
    assert_eq!(types, ["a/b"], "content_type wins");
    let reply = bench.call("/", b"ruby").await.unwrap();
    assert_eq!(
        (reply.status, &reply.body[..]),
        (StatusCode::OK, &b"ok"[..])
    );
    assert_eq!(bench.body("/").await, "");
    assert_eq!(
        bench.fake.started(),
        1,
        "blank lines between objects are no doubt"
    );
}

// A5: bytes that are no text cannot travel as JSON, and do no harm.
#[tokio::test(start_paused = true)]
async fn a_json_body_is_text_of_any_size() {
    let bench = bench(Format::Json);
    let unicode = "grüße 🚀 \"quoted\" \\ \u{2028} </script>";
    let reply = bench.call("/", unicode.as_bytes()).await.unwrap();
    assert_eq!(reply.body, unicode.as_bytes());
    let large: &'static [u8] = "ü{\"}".repeat(1_000_000).into_bytes().leak();
    assert!(bench.call("/", large).await.unwrap().body == large);
    let reply = bench.call("/", b"a\xffb").await.unwrap();
    assert_eq!(reply.body, "a\u{fffd}b");
    assert_eq!(bench.fake.started(), 1);
}

// C1, C11, C12
#[tokio::test(start_paused = true)]
async fn what_is_no_json_answer_is_a_502_that_says_why() {
    let bench = bench(Format::Json);
    for (body, why) in [
        ("garbage", "Listening on port 80"),
        ("wrong type", "invalid type"),
        ("bad status", "status_code"),
        ("injection", "header value"),
        ("deep", "invalid type"),
    ] {
        let fault = bench
            .call("/", body.as_bytes())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            fault.starts_with("invalid json response from function err: ") && fault.contains(why),
            "{body}: {fault}"
        );
    }
    assert_eq!(bench.fake.started(), 5, "none of them is used again");
}

// C2, C3
#[tokio::test(start_paused = true)]
async fn what_follows_a_json_answer_reaches_nobody() {
    let bench = bench(Format::Json);
    assert_eq!(bench.call("/", b"extra").await.unwrap().body, "fine");
    assert_eq!(bench.call("/", b"mine").await.unwrap().body, "mine");
    assert_eq!(bench.fake.started(), 2);
}

fn event_answer(call: &serde_json::Value) -> String {
    let reply = |kind: &str, data: serde_json::Value| {
        serde_json::json!({
            "contentType": kind, "data": data,
            "extensions": { "protocol": { "status_code": 201, "headers": { "X-A": ["1"] } } },
        })
        .to_string()
    };
    match call["data"].as_str() {
        Some("text") => reply("text/plain", "Grüße".into()),
        Some("image") => reply("image/png", "x".into()),
        Some("garbage") => "garbage".to_owned(),
        _ => reply("application/json", call.clone()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cloudevent_carries_json_both_ways() {
    let bench = bench(Format::CloudEvent);
    let mut request = bench.request("/t/a/b", b"{\n \"a\": [1, \"\xc3\xbc\"] }");
    request
        .headers
        .insert("content-type", HeaderValue::from_static("application/json"));
    let id = request.id.to_string();
    let reply = bench.send(request).await.unwrap();
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(reply.headers["x-a"], "1");
    assert_eq!(reply.headers["content-type"], "application/json");
    let mut event: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(event["extensions"]["deadline"].take().is_string());
    assert_eq!(
        event,
        serde_json::json!({
            "cloudEventsVersion": "0.1", "eventID": id, "source": "http://localhost/t/a/b",
            "eventType": "http", "eventTypeVersion": "", "eventTime": "0001-01-01T00:00:00Z",
            "schemaURL": "", "contentType": "application/json", "data": { "a": [1, "ü"] },
            "extensions": {
                "deadline": null,
                "protocol": {
                    "type": "http", "method": "POST", "request_url": "http://localhost/t/a/b",
                    "headers": { "Content-Length": ["19"], "Content-Type": ["application/json"] },
                },
            },
        })
    );
    let reply = bench.call("/", b"\"text\"").await.unwrap();
    assert_eq!(reply.body, "Grüße");
    // What no number or string of ours can hold passes as it is, on one line.
    let odd = b"{\"n\": 123456789012345678901234567890.5,\n\"s\": \"\\\\ \\\" \\u00fc\"}";
    let reply = bench.call("/", odd).await.unwrap();
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(text.contains("\\\\ \\\" ü"), "{text}");
    let reply = bench.call("/", b"").await.unwrap();
    let event: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(event["data"].is_null());
}

#[tokio::test(start_paused = true)]
async fn what_no_cloudevent_can_carry_is_refused_by_name() {
    let bench = bench(Format::CloudEvent);
    let fault = bench.call("/", b"plain text").await.unwrap_err();
    assert_eq!(fault.blame(), crate::invoke::Blame::Caller);
    assert!(fault.to_string().contains("has to be JSON"), "{fault}");
    for body in [&b"\"caf\xe9\""[..], b"{\"a\":}", b"[1] [2]", b"\"\n\""] {
        let body: &'static [u8] = body.to_vec().leak();
        let fault = bench.call("/", body).await.unwrap_err();
        assert_eq!(fault.blame(), crate::invoke::Blame::Caller, "{fault}");
    }
    assert_eq!(bench.fake.started(), 0, "no container is bothered");
    let fault = bench.call("/", b"\"image\"").await.unwrap_err();
    assert_eq!(fault.to_string(), "Error: Unknown content type");
    let fault = bench
        .call("/", b"\"garbage\"")
        .await
        .unwrap_err()
        .to_string();
    assert!(fault.starts_with("invalid json response"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_passed_on_and_answered_as_it_is() {
    let bench = bench(Format::CloudEvent);
    let mut request = bench.request("/", b"{\"eventID\":\"mine\",\"data\":\"text\"}");
    let event = HeaderValue::from_static("application/cloudevents+json");
    request.headers.insert("content-type", event.clone());
    let reply = bench.send(request).await.unwrap();
    assert_eq!(reply.headers["content-type"], event);
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(answer["data"], "Grüße");
    assert_eq!(reply.status, StatusCode::CREATED);
}

/// What a shell script does: read all, write, exit.
async fn one_shot(mut io: FakeIo) -> i64 {
    let mut body = Vec::new();
    io.stdin.read_to_end(&mut body).await.unwrap();
    match body.as_slice() {
        b"env" => {
            for (name, value) in &io.env {
                let line = format!("{name}={value}\n");
                io.stdout.write_all(line.as_bytes()).await.unwrap();
            }
            0
        }
        b"fail" => {
            io.stdout.write_all(b"half an answer").await.unwrap();
            3
        }
        b"hang" => std::future::pending().await,
        _ => {
            io.stdout.write_all(&body).await.unwrap();
            0
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cold_function_gets_a_container_for_every_call() {
    let bench = bench(Format::Default);
    let every_byte: &'static [u8] = (0..=255).cycle().take(5 << 20).collect::<Vec<u8>>().leak();
    assert!(bench.call("/", every_byte).await.unwrap().body == every_byte);
    let reply = bench.call("/", b"").await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
    assert_eq!(bench.fake.started(), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cold_function_is_told_of_its_call_by_its_environment() {
    let bench = bench(Format::Default);
    let mut request = bench.request("/r/a/f?x=1", b"env");
    request
        .headers
        .append("x-two", HeaderValue::from_static("1"));
    request
        .headers
        .append("x-two", HeaderValue::from_static("2"));
    let id = request.id.to_string();
    let reply = bench.send(request).await.unwrap();
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    for line in [
        &format!("FN_CALL_ID={id}"),
        "FN_METHOD=POST",
        "FN_REQUEST_URL=http://localhost/r/a/f?x=1",
        "FN_HEADER_X-Two=1, 2",
        "FN_HEADER_X_TWO=1, 2",
        "FN_FORMAT=default",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in {text}"
        );
    }
    assert!(
        text.lines().any(|l| l.starts_with("FN_DEADLINE=2")),
        "{text}"
    );
}

// C18
#[tokio::test(start_paused = true)]
async fn a_cold_function_that_fails_gives_no_half_answer() {
    let bench = bench(Format::Default);
    let fault = bench.call("/", b"fail").await.unwrap_err();
    assert_eq!(fault.to_string(), "container exit code 3");
    assert!(matches!(
        bench.call("/", b"hang").await,
        Err(Fault::TimedOut)
    ));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn cold_containers_are_bounded() {
    let bench = bench(Format::Default);
    let calls = (0..40).map(|_| bench.call("/", b"x"));
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.unwrap().body, "x");
    }
    assert!(
        bench.fake.most_alive() <= 8 + 4,
        "{}",
        bench.fake.most_alive()
    );
}
