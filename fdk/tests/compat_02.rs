//! Functions as they were written for fdk 0.2, in processes of their own.
#![expect(
    clippy::single_component_path_imports,
    clippy::print_stderr,
    reason = "this is what programs of 0.2 look like"
)]

#[path = "common/output.rs"]
mod output;
#[path = "common/process.rs"]
mod process;
#[path = "common/socket.rs"]
mod socket;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::Duration;

use fdk::{Function, FunctionError, Result, RuntimeContext};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio;

use output::{call, log};
use process::ROLE;
use socket::Listening;

// As `fn init` made it.
#[tokio::main]
async fn hello() -> Result<()> {
    if let Err(e) = Function::run(|_: &mut RuntimeContext, i: String| {
        Ok(format!(
            "Hello {}!",
            if i.is_empty() {
                "world"
            } else {
                i.trim_end_matches("\n")
            }
        ))
    })
    .await
    {
        eprintln!("{}", e);
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

fn double(ctx: &mut RuntimeContext, order: Order) -> std::result::Result<Order, FunctionError> {
    match order.count {
        0 => return Err(FunctionError::new_user_error("nothing ordered".to_owned())),
        1 => {
            return Err(FunctionError::InvalidInput {
                inner: "one is too few".to_string(),
            });
        }
        2 => return Err(FunctionError::BadRequest),
        3 => {
            return Err(FunctionError::System {
                inner: "the stock is unknown".into(),
            });
        }
        4 => std::fs::metadata("/nowhere/at/all").map(|_| ())?,
        5 => ctx.set_status_code(7)?,
        6 => ctx.add_response_header("X-Bad".to_owned(), "two\nlines".to_owned()),
        7 => panic!("seven"),
        9 => ctx.set_status_code(503)?,
        10 => ctx.set_status_code(404)?,
        _ => ctx.set_status_code(201)?,
    }
    ctx.add_response_header("X-Item".to_owned(), order.item.clone());
    ctx.add_response_header("Fn-Http-H-X-Old".to_owned(), "1".to_owned());
    assert_eq!(ctx.response_headers().len(), 2);
    Ok(Order {
        count: 2 * order.count,
        ..order
    })
}

#[tokio::main(flavor = "current_thread")]
async fn order() -> Result<()> {
    Function::run(double).await?;
    Ok(())
}

/// Tells all that the context knows.
#[tokio::main]
async fn context() -> std::result::Result<(), FunctionError> {
    // The future may be given away.
    tokio::spawn(Function::run(
        |ctx: &mut RuntimeContext, asked: Option<Vec<String>>| {
            let mut told = vec![
                ctx.app_id(),
                ctx.app_name(),
                ctx.function_id(),
                ctx.function_name(),
                ctx.call_id(),
                format!("{:?} {:?}", ctx.content_type(), ctx.accept_type()),
                ctx.config().get("OWN").cloned().unwrap_or_default(),
                ctx.config().contains_key("EMPTY").to_string(),
                format!("{:?}", ctx.get_status_code()),
            ];
            for name in asked.unwrap_or_default() {
                told.push(ctx.header(name).unwrap_or_else(|| "-".to_owned()));
            }
            let own = ctx.headers();
            told.push(own.contains_key("x-own").to_string());
            Ok(told)
        },
    ))
    .await
    .expect("it does not panic")
}

/// Waits in the function, and goes on beside it.
#[tokio::main(flavor = "current_thread")]
async fn slow() -> Result<()> {
    tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            eprintln!("tick");
        }
    });
    Function::run(|_: &mut RuntimeContext, _: ()| {
        eprintln!("begun");
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(async {
            let waited = tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                "waited"
            });
            waited.await.map_err(|error| FunctionError::Server {
                inner: error.to_string(),
            })
        })
    })
    .await?;
    Ok(())
}

fn main() -> Result<()> {
    match std::env::var(ROLE).as_deref() {
        Ok("hello") => return hello(),
        Ok("order") => return order(),
        Ok("context") => return Ok(context()?),
        Ok(_) => return slow(),
        Err(_) => {}
    }
    the_function_of_the_template_answers();
    an_empty_body_is_no_error();
    formats_are_chosen_by_content_type_and_accept();
    texts_that_are_not_ascii_survive_every_format();
    errors_are_told_by_whose_fault_they_are();
    what_cannot_be_sent_is_a_failure_and_no_end();
    the_context_knows_the_call();
    callers_by_http_see_status_and_headers();
    a_direct_call_has_its_status_in_a_header();
    a_server_that_names_no_format_speaks_over_its_socket();
    it_speaks_the_formats_that_came_before();
    a_function_that_waits_does_not_stop_others();
    what_does_not_start_is_an_error();
    sigterm_ends_it_and_not_its_call();
    Ok(())
}

const HTTP: (&str, &str) = ("FN_FORMAT", "http");

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /t/app/route HTTP/1.1\r\n{headers}Content-Length: {}\r\nFn_call_id: 7\r\n\
         Fn_request_url: http://h/t/app/route\r\n\r\n{body}",
        body.len()
    )
}

/// Head and body of each answer.
fn answers(output: &Output) -> Vec<(String, String)> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.split("HTTP/1.1 ")
        .filter(|answer| !answer.is_empty())
        .map(|answer| {
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            (head.to_owned(), body.to_owned())
        })
        .collect()
}

const PLAIN: &str = "Content-Type: text/plain\r\nAccept: text/plain\r\n";

fn the_function_of_the_template_answers() {
    let input = post(PLAIN, "Ann\n") + &post("Accept: */*\r\n", "\"Bo\"");
    let output = call("hello", &[HTTP], &input);
    let answers = answers(&output);
    assert_eq!(answers[0].1, "Hello Ann!");
    assert!(
        answers[0].0.contains("Content-Type: text/plain"),
        "{answers:?}"
    );
    assert_eq!(answers[1].1, "\"Hello Bo!\"");
    assert!(
        answers[1].0.contains("Content-Type: application/json"),
        "{answers:?}"
    );
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        log(&output)
    );
}

fn an_empty_body_is_no_error() {
    for headers in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: text/yaml\r\n",
    ] {
        let output = call("hello", &[HTTP], &post(headers, ""));
        assert_eq!(answers(&output)[0].1, "\"Hello world!\"");
    }
}

fn formats_are_chosen_by_content_type_and_accept() {
    let json = (
        "application/json; charset=utf-8",
        r#"{"item":"tea","count":8}"#,
    );
    let yaml = ("text/yaml", "item: tea\ncount: 8\n");
    let xml = (
        "text/xml;charset=utf-8",
        "<Order><item>tea</item><count>8</count></Order>",
    );
    let form = (
        "application/x-www-form-urlencoded; charset=UTF-8",
        "item=tea&count=8",
    );
    let bodies = [json, yaml, xml, form];
    for (kind, body) in bodies {
        for (wanted, expected) in bodies {
            let headers = format!("Content-Type: {kind}\r\nAccept: {wanted}\r\n");
            let output = call("order", &[HTTP], &post(&headers, body));
            let answers = answers(&output);
            assert!(answers[0].0.starts_with("201 "), "{answers:?}");
            assert_eq!(
                answers[0].1,
                expected.replace('8', "16"),
                "{kind} to {wanted}"
            );
            let plain = wanted.split(';').next().unwrap_or_default();
            let said = plain.replace("text/xml", "application/xml");
            let said = format!("Content-Type: {said}");
            assert!(answers[0].0.contains(&said), "{answers:?}");
        }
    }
    // What is not known is JSON, as it is where nothing is said.
    for headers in [
        "",
        "Accept: */*\r\n",
        "Content-Type: image/png\r\nAccept: image/png\r\n",
    ] {
        let output = call("order", &[HTTP], &post(headers, json.1));
        assert_eq!(answers(&output)[0].1, json.1.replace('8', "16"));
    }
    // A struct is no plain text.
    let output = call("order", &[HTTP], &post("Accept: text/plain\r\n", json.1));
    assert!(answers(&output)[0].0.starts_with("502 "));
    let output = call(
        "order",
        &[HTTP],
        &post("Accept: text/plain, */*\r\n", json.1),
    );
    assert_eq!(answers(&output)[0].1, json.1.replace('8', "16"));
}

fn texts_that_are_not_ascii_survive_every_format() {
    let output = call("hello", &[HTTP], &post(PLAIN, "Änn 漢"));
    assert_eq!(answers(&output)[0].1, "Hello Änn 漢!");
    let table = [
        (
            "application/xml",
            "<Order><item>Öl 漢</item><count>8</count></Order>",
        ),
        (
            "application/x-www-form-urlencoded",
            "item=%C3%96l+%E6%BC%A2&count=8",
        ),
        ("application/json", r#"{"item":"Öl 漢","count":8}"#),
        ("text/yaml", "item: Öl 漢\ncount: 8\n"),
    ];
    for (kind, body) in table {
        let headers = format!("Content-Type: {kind}\r\nAccept: {kind}\r\n");
        let output = call("order", &[HTTP], &post(&headers, body));
        let answers = answers(&output);
        assert_eq!(answers[0].1, body.replace('8', "16"), "{kind}");
        assert!(answers[0].0.contains("X-Item: Öl 漢"), "{answers:?}");
    }
}

fn ordered(count: u32) -> String {
    format!(r#"{{"item":"tea","count":{count}}}"#)
}

fn errors_are_told_by_whose_fault_they_are() {
    let table = [
        (0, "nothing ordered"),
        (1, "one is too few"),
        (2, "bad request"),
        (3, "function failed"),
        (4, "function failed"),
        (5, "invalid status code"),
    ];
    let input: String = table
        .iter()
        .map(|(count, _)| post("", &ordered(*count)))
        .collect();
    let output = call(
        "order",
        &[HTTP],
        &(input + &post("", "{") + &post("", &ordered(8))),
    );
    let answers = answers(&output);
    for ((_, told), (head, body)) in table.iter().zip(&answers) {
        assert!(head.starts_with("502 "), "{head}");
        assert_eq!(body, told);
    }
    assert!(
        answers[6].1.starts_with("cannot read the input: "),
        "{answers:?}"
    );
    assert!(answers[7].0.starts_with("201 "), "{answers:?}");
    let log = log(&output);
    assert!(
        log.contains("the stock is unknown") && log.contains("No such file"),
        "{log}"
    );
    assert!(!log.contains("nothing ordered"), "{log}");
    assert!(output.status.success());
}

fn what_cannot_be_sent_is_a_failure_and_no_end() {
    let input = post("", &ordered(6)) + &post("", &ordered(7)) + &post("", &ordered(8));
    let output = call("order", &[HTTP], &input);
    let answers = answers(&output);
    assert_eq!(answers[0].1, "function failed");
    assert!(answers[1].0.starts_with("500 "), "{answers:?}");
    assert!(answers[2].0.starts_with("201 "), "{answers:?}");
    let log = log(&output);
    assert!(
        log.contains("X-Bad") && log.contains("the function panicked: seven"),
        "{log}"
    );
}

const SETTINGS: [(&str, &str); 6] = [
    ("FN_APP_ID", "app-id"),
    ("FN_APP_NAME", "app-name"),
    ("FN_FN_ID", "fn-id"),
    ("FN_FN_NAME", "fn-name"),
    ("OWN", "own"),
    ("EMPTY", ""),
];

const ASKED: &str =
    r#"["X-Own","Fn-Http-H-X-Own","Fn-Http-Method","Fn-Http-Request-Url","Fn-Call-Id","X-Away"]"#;

fn told(body: &str, call: &str, rest: &[&str]) {
    let told: Vec<String> = serde_json::from_str(body).expect("JSON");
    let known = [
        "app-id",
        "app-name",
        "fn-id",
        "fn-name",
        call,
        "JSON JSON",
        "own",
        "false",
        "None",
    ];
    let expected: Vec<&str> = known.into_iter().chain(rest.iter().copied()).collect();
    assert_eq!(told, expected);
}

fn the_context_knows_the_call() {
    let settings = [&SETTINGS[..], &[HTTP]].concat();
    let output = call("context", &settings, &post("X-Own: mine\r\n", ASKED));
    let rest = [
        "mine",
        "mine",
        "POST",
        "http://h/t/app/route",
        "7",
        "-",
        "true",
    ];
    told(&answers(&output)[0].1, "7", &rest);
    let output = call("context", &settings, &post("", ""));
    told(&answers(&output)[0].1, "7", &["false"]);
}

/// A function that listens, and a connection to it.
struct Connected {
    stream: UnixStream,
    _function: Listening,
}

impl Connected {
    fn start(role: &str, settings: &[(&str, &str)]) -> Self {
        let function = Listening::start(role, settings);
        Self {
            stream: function.connect(),
            _function: function,
        }
    }

    /// Head and body of the answer.
    fn call(&mut self, headers: &str, body: &str) -> (String, String) {
        let request = format!(
            "POST /call HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: 8\r\nContent-Length: {}\r\n\
             {headers}\r\n{body}",
            body.len()
        );
        self.stream
            .write_all(request.as_bytes())
            .expect("a request");
        let mut answer = Vec::new();
        loop {
            let mut buf = [0; 4096];
            let length = self.stream.read(&mut buf).expect("an answer");
            assert_ne!(length, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buf[..length]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}

const STREAM: (&str, &str) = ("FN_FORMAT", "http-stream");
const WRAPPED: &str = "Fn-Intent: httprequest\r\nFn-Http-Method: PUT\r\n\
                       Fn-Http-Request-Url: http://h/t/a/f?x=1\r\nFn-Http-H-X-Own: mine\r\n";

fn has(head: &str, transport: &str, headers: &[&str]) {
    assert!(
        head.starts_with(&format!("HTTP/1.1 {transport} ")),
        "{head}"
    );
    for header in headers {
        assert!(head.lines().any(|line| line == *header), "{header}: {head}");
    }
}

fn callers_by_http_see_status_and_headers() {
    let mut function = Connected::start("order", &[STREAM]);
    let (head, body) = function.call(WRAPPED, &ordered(8));
    has(
        &head,
        "200",
        &[
            "Fn-Http-Status: 201",
            "Fn-Http-H-X-Item: tea",
            "Fn-Http-H-X-Old: 1",
            "Content-Type: application/json",
        ],
    );
    assert_eq!(body, ordered(16));
    let accept = format!("{WRAPPED}Fn-Http-H-Accept: text/yaml; q=0.9\r\n");
    let (_, body) = function.call(&accept, &ordered(8));
    assert_eq!(body, "item: tea\ncount: 16\n");

    let (head, body) = function.call(WRAPPED, &ordered(0));
    has(&head, "200", &["Fn-Http-Status: 502"]);
    assert_eq!(body, "nothing ordered");
    let (head, _) = function.call(WRAPPED, &ordered(3));
    has(&head, "502", &[]);
    let (head, _) = function.call(WRAPPED, &ordered(8));
    has(&head, "200", &["Fn-Http-Status: 201"]);

    let settings = [&SETTINGS[..], &[STREAM]].concat();
    let mut function = Connected::start("context", &settings);
    let (_, body) = function.call(WRAPPED, ASKED);
    let rest = [
        "mine",
        "mine",
        "PUT",
        "http://h/t/a/f?x=1",
        "8",
        "-",
        "true",
    ];
    told(&body, "8", &rest);
}

fn a_direct_call_has_its_status_in_a_header() {
    let mut function = Connected::start("order", &[STREAM]);
    let (head, body) = function.call("", &ordered(8));
    has(&head, "200", &["Fn-Http-Status: 201", "X-Item: tea"]);
    assert_eq!(body, ordered(16));
    for (count, status) in [(9, "Fn-Http-Status: 503"), (10, "Fn-Http-Status: 404")] {
        let (head, body) = function.call("", &ordered(count));
        has(&head, "200", &[status]);
        assert_eq!(body, ordered(2 * count));
    }
    let (head, body) = function.call("", &ordered(0));
    has(&head, "200", &["Fn-Http-Status: 502"]);
    assert_eq!(body, "nothing ordered");
    let (head, _) = function.call("", &ordered(3));
    has(&head, "502", &[]);
}

fn a_server_that_names_no_format_speaks_over_its_socket() {
    let mut function = Connected::start("hello", &[]);
    let (head, body) = function.call("Content-Type: text/plain\r\n", "Ann");
    has(&head, "200", &[]);
    assert_eq!(body, "\"Hello Ann!\"");
}

fn it_speaks_the_formats_that_came_before() {
    let frame = |body: &str, kind: &str| {
        format!(
            "{{\"call_id\":\"7\",\"body\":\"{body}\",\"content_type\":\"{kind}\",\
             \"protocol\":{{\"type\":\"http\",\"method\":\"POST\",\"request_url\":\"http://h/r/a/f\",\
             \"headers\":{{\"Accept\":[\"text/plain\"]}}}}}}\n"
        )
    };
    let input = frame("Änn", "text/plain") + &frame("", "");
    let output = call("hello", &[("FN_FORMAT", "json")], &input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let bodies: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(bodies[0]["body"], "Hello Änn!");
    assert_eq!(bodies[1]["body"], "Hello world!");

    let event = "{\"cloudEventsVersion\":\"0.1\",\"eventID\":\"7\",\"contentType\":\"application/json\",\
                 \"extensions\":{\"protocol\":{\"method\":\"POST\",\"request_url\":\"http://h/\"}},\
                 \"data\":{\"item\":\"tea\",\"count\":8}}\n";
    let output = call("order", &[("FN_FORMAT", "cloudevent")], event);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["data"]["count"], 16);
    assert_eq!(answer["extensions"]["protocol"]["status_code"], 201);

    let settings = [
        ("FN_FORMAT", "default"),
        ("FN_HEADER_Content-Type", "text/plain"),
    ];
    let output = call("hello", &settings, "Änn");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\"Hello Änn!\"");
    assert!(output.status.success());
}

fn a_function_that_waits_does_not_stop_others() {
    let output = call("slow", &[HTTP], &post("", ""));
    assert_eq!(answers(&output)[0].1, "\"waited\"");
    let ticks = log(&output).matches("tick").count();
    assert!(ticks >= 2, "{ticks}");
}

fn what_does_not_start_is_an_error() {
    let output = call("order", &[("FN_FORMAT", "protobuf")], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(log(&output).contains("protobuf"), "{}", log(&output));
}

fn sigterm_ends_it_and_not_its_call() {
    for (role, headers, body, told) in [
        ("hello", PLAIN, "Ann", "Hello Ann!"),
        ("slow", "", "", "\"waited\""),
    ] {
        let mut function = Listening::start(role, &[STREAM]);
        let mut stream = function.connect();
        let request = post(headers, body);
        stream.write_all(request.as_bytes()).expect("a request");
        if role == "hello" {
            // It waits for another call then.
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
        } else {
            let mut log = BufReader::new(function.child.stderr.take().expect("stderr is piped"));
            let begun = log.by_ref().lines().map_while(std::io::Result::ok);
            assert!(begun.into_iter().any(|line| line == "begun"));
            std::thread::spawn(move || log.lines().count());
        }
        let id = Pid::from_child(&function.child);
        kill_process(id, Signal::TERM).expect("it runs");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.ends_with(told), "{role}: {answer}");
        let end = function.child.wait().expect("its end");
        assert_eq!(end.code(), Some(0), "{role}");
    }
}
