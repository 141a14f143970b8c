//! What Fn's own client sends, byte for byte, against a real engine.

use std::process::Command;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Backend, Example, Gateway, read_answer};

/// The image that the client built and named; dropping it takes the name away again.
struct Tag(&'static str);

impl Tag {
    fn put(name: &'static str, image: &str) -> Self {
        let tagged = Command::new("docker")
            .args(["tag", image, name])
            .output()
            .unwrap();
        assert!(tagged.status.success(), "{tagged:?}");
        Self(name)
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        // Takes the name away, as the image has another one.
        let _ = Command::new("docker").args(["rmi", self.0]).output();
    }
}

/// Sends `request` as it is; the head and the body of the answer, which must tell its length.
async fn exchange(gateway: &Gateway, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length: usize = header(head, "Content-Length").unwrap().parse().unwrap();
    assert_eq!(body.len(), length);
    (head.to_owned(), body.to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(&start))
}

/// The body with `<id>` and `<time>` in the place of what differs from run to run.
fn masked(body: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap();
    let mut text = body.to_owned();
    for (key, mask) in [
        ("app_id", "<id>"),
        ("created_at", "<time>"),
        ("updated_at", "<time>"),
    ] {
        let value = answer["route"][key].as_str().unwrap();
        text = text.replace(value, mask);
    }
    text
}

// Contract 12.1 to 12.3: client 0.4.48, `fn deploy --app myapp --local` and `fn call myapp /hello`.
#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_and_a_call_of_an_old_client_are_answered_as_by_fn() {
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        let _tag = Tag::put("hello:0.0.2", &Example::Hello.image(&gateway).await);

        let deploy = "PUT /v1/apps/myapp/routes/hello HTTP/1.1\r\n\
            Host: localhost:8080\r\n\
            User-Agent: Go-http-client/1.1\r\n\
            Content-Length: 124\r\n\
            Accept: application/json\r\n\
            Content-Type: application/json\r\n\
            Accept-Encoding: gzip\r\n\r\n\
            {\"route\":{\"path\":\"/hello\",\"image\":\"hello:0.0.2\",\"memory\":128,\
            \"type\":\"sync\",\"format\":\"http\",\"timeout\":30,\"idle_timeout\":30}}\n";
        for done in ["created", "updated"] {
            let (head, body) = exchange(&gateway, deploy).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}\n{body}");
            assert_eq!(
                header(&head, "Content-Type"),
                Some("application/json; charset=utf-8")
            );
            let expected = format!(
                "{{\"message\":\"Route successfully {done}\",\"route\":{{\"app_id\":\"<id>\",\
                \"path\":\"/hello\",\"image\":\"hello:0.0.2\",\"memory\":128,\"cpus\":\"\",\
                \"headers\":{{}},\"type\":\"sync\",\"format\":\"http\",\"timeout\":30,\
                \"idle_timeout\":30,\"tmpfs_size\":0,\"config\":{{}},\
                \"created_at\":\"<time>\",\"updated_at\":\"<time>\"}}}}\n"
            );
            assert_eq!(masked(&body), expected);
        }

        let call = "POST /r/myapp/hello HTTP/1.1\r\n\
            Host: localhost:8080\r\n\
            User-Agent: Go-http-client/1.1\r\n\
            Content-Length: 14\r\n\
            Content-Type: application/json\r\n\
            Accept-Encoding: gzip\r\n\r\n\
            {\"name\":\"Ann\"}";
        for _ in 0..2 {
            let (head, body) = exchange(&gateway, call).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}\n{body}");
            assert_eq!(body, "Hello {\"name\":\"Ann\"}\n");
            let id = header(&head, "Fn-Call-Id").unwrap();
            assert_eq!(id.len(), 26, "{head}");
            assert_eq!(header(&head, "Fn_call_id"), Some(id));
            assert!(
                header(&head, "Content-Type")
                    .unwrap()
                    .starts_with("text/plain")
            );
        }
        assert_eq!(
            gateway.containers().await.len(),
            1,
            "the second call was hot"
        );

        for (path, message) in [
            ("/r/nope/x", "App not found"),
            ("/r/myapp/x", "Route not found"),
        ] {
            let get = format!("GET {path} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
            let (head, body) = exchange(&gateway, &get).await;
            assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
            let expected = format!("{{\"error\":{{\"message\":\"{message}\"}}}}\n");
            assert_eq!(body, expected);
        }
    }
}

/// A request as Go's client writes it.
fn go_request(verb: &str, path: &str, body: &str) -> String {
    let framing = if body.is_empty() {
        String::new()
    } else {
        format!(
            "Content-Length: {}\r\nContent-Type: application/json\r\n",
            body.len()
        )
    };
    format!(
        "{verb} {path} HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: Go-http-client/1.1\r\n\
         {framing}Accept: application/json\r\nAccept-Encoding: gzip\r\n\r\n{body}"
    )
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

// Contract 12.4: client 0.6.63, `fn create app a; fn deploy --app a --local; fn invoke a f`, a
// second deploy, and a trigger in func.yaml. Today's clients send no format: it is http-stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_and_a_call_of_todays_client_are_answered_as_by_fn() {
    for backend in [Backend::Link, Backend::Attach] {
        let gateway = Gateway::start(backend).await;
        let _tag = Tag::put("f:0.0.2", &Example::Misbehave.image(&gateway).await);
        let _next = Tag::put("f:0.0.3", &Example::Misbehave.image(&gateway).await);
        let send = async |verb: &str, path: &str, body: &str| {
            let (head, body) = exchange(&gateway, &go_request(verb, path, body)).await;
            assert!(
                head.starts_with("HTTP/1.1 200 OK\r\n"),
                "{path}: {head}\n{body}"
            );
            body
        };

        let app = parsed(&send("POST", "/v2/apps", "{\"name\":\"a\"}\n").await);
        let a = app["id"].as_str().unwrap();
        assert_eq!((a.len(), &app["name"]), (26, &Value::from("a")));
        let found = parsed(&send("GET", "/v2/apps?name=a", "").await);
        assert_eq!(found["items"][0], app);
        let list = format!("/v2/fns?app_id={a}&name=f");
        assert_eq!(send("GET", &list, "").await, "{\"items\":[]}\n");

        let function = |tag: &str| {
            format!(
                "{{\"app_id\":\"{a}\",\"name\":\"f\",\"image\":\"f:{tag}\",\"memory\":128,\
                 \"timeout\":30,\"idle_timeout\":30,\"config\":{{}}}}\n"
            )
        };
        let created = parsed(&send("POST", "/v2/fns", &function("0.0.2")).await);
        let f = created["id"].as_str().unwrap();
        let endpoint = format!("http://localhost:8080/invoke/{f}");
        assert_eq!(
            created["annotations"]["fnproject.io/fn/invokeEndpoint"],
            Value::from(endpoint)
        );
        assert_eq!(parsed(&send("GET", &list, "").await)["items"][0], created);

        let invoke = format!(
            "POST /invoke/{f} HTTP/1.1\r\nHost: localhost:8080\r\n\
             User-Agent: Go-http-client/1.1\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\
             Accept-Encoding: gzip\r\n\r\nhello"
        );
        for _ in 0..2 {
            let (head, body) = exchange(&gateway, &invoke).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}\n{body}");
            assert_eq!(body, "hello");
            assert_eq!(header(&head, "Fn-Call-Id").unwrap().len(), 26);
            assert_eq!(header(&head, "Content-Type"), Some("text/plain"));
        }

        let updated = send("PUT", &format!("/v2/fns/{f}"), &function("0.0.3")).await;
        assert_eq!(parsed(&updated)["image"], "f:0.0.3");
        let triggers = format!("/v2/triggers?app_id={a}&fn_id={f}&name=t");
        assert_eq!(send("GET", &triggers, "").await, "{\"items\":[]}\n");
        let trigger = format!(
            "{{\"app_id\":\"{a}\",\"fn_id\":\"{f}\",\"name\":\"t\",\"source\":\"/t\",\
             \"type\":\"http\"}}\n"
        );
        send("POST", "/v2/triggers", &trigger).await;
        let call = "GET /t/a/t?mode=status&code=201 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
        let (head, _) = exchange(&gateway, call).await;
        assert!(head.starts_with("HTTP/1.1 201 Created\r\n"), "{head}");
        assert_eq!(header(&head, "X-Function"), Some("misbehave"));
    }
}
