//! Functions as they were written for fdk 0.1, in processes of their own and on its test bench.
#![expect(
    unused_extern_crates,
    clippy::needless_pass_by_value,
    reason = "this is what programs of 0.1 look like"
)]

extern crate fdk;

#[path = "common/output.rs"]
mod output;
#[path = "common/process.rs"]
mod process;
#[path = "common/socket.rs"]
mod socket;

use std::env;
use std::io::{Read, Write};
use std::process::{Output, exit};

use fdk::compat::hyper;

use output::{call, log};
use process::ROLE;
use socket::Listening;

struct Greeter {
    greeting: String,
    calls: u32,
}

fn init(context: &fdk::RuntimeContext) -> Result<Greeter, fdk::FunctionError> {
    match context.config().get("GREETING") {
        Some(greeting) => Ok(Greeter {
            greeting: greeting.clone(),
            calls: 0,
        }),
        None => Err(fdk::FunctionError::initialization("there is no greeting")),
    }
}

fn greet(state: &mut Greeter, name: String) -> Result<String, fdk::FunctionError> {
    state.calls += 1;
    match name.trim() {
        "" => Err(fdk::FunctionError::invalid_input("who is it?\n")),
        "nobody" => Err(fdk::FunctionError::bad_request("nobody is there")),
        "out" => Err(fdk::FunctionError::other("the greeter is out")),
        "coerce" => Err(fdk::FunctionError::coercion("cannot be coerced")),
        "panic" => panic!("the greeter fell"),
        name => Ok(format!("{} {}, {}!", state.greeting, name, state.calls)),
    }
}

/// What a user of 0.1 made of its own.
struct Sum(Vec<i64>);

impl fdk::InputCoercible for Sum {
    fn try_decode(request: hyper::Request) -> Result<Self, fdk::FunctionError> {
        let body = fdk::body_as_bytes(request.body())?;
        let text = String::from_utf8(body).map_err(fdk::FunctionError::invalid_input)?;
        let mut numbers = Vec::new();
        for word in text.split_whitespace() {
            numbers.push(word.parse().map_err(|error: std::num::ParseIntError| {
                fdk::FunctionError::invalid_input(format!("{}: {}", word, error))
            })?);
        }
        Ok(Self(numbers))
    }
}

struct Total(i64);

impl fdk::OutputCoercible for Total {
    fn try_encode(self) -> Result<hyper::Response, fdk::FunctionError> {
        if self.0 < 0 {
            return Err(fdk::FunctionError::io("below zero"));
        }
        Ok(fdk::success(self.0.to_string()))
    }
}

fn inspect(_: &mut (), request: hyper::Request) -> Result<hyper::Response, fdk::FunctionError> {
    if *request.method() == hyper::Method::Delete {
        return Ok(hyper::Response::new().with_status(hyper::StatusCode::MethodNotAllowed));
    }
    let kind = request.headers().get::<hyper::header::ContentType>();
    let own = request.headers().get_raw("x-own").and_then(|raw| raw.one());
    let text = format!(
        "{} {} {:?} {} {}",
        request.method(),
        request.path(),
        request.query(),
        kind.map(|kind| kind.to_string()).unwrap_or_default(),
        String::from_utf8_lossy(own.unwrap_or_default()),
    );
    let mut response = hyper::Response::new()
        .with_status(hyper::StatusCode::Accepted)
        .with_header(hyper::header::ContentType::plaintext())
        .with_body(text);
    response.headers_mut().set_raw("X-Answer", "yes");
    Ok(response)
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "this is what programs of 0.1 look like"
)]
fn main() {
    let Ok(role) = env::var(ROLE) else {
        return tests();
    };
    let exit_code = match role.as_str() {
        "hello" => fdk::Function::new(fdk::STATELESS).run(|_, i: String| {
            println!("a print of the function's");
            Ok(format!(
                "Hello, {}!\n",
                if i.is_empty() { "world".to_string() } else { i }
            ))
        }),
        "greet" => fdk::Function::new(init).run(greet),
        "echo" => fdk::Function::new(fdk::STATELESS).run(|_, r: hyper::Request| {
            use hyper::header::{ContentLength, ContentType};
            use hyper::{Get, StatusCode};

            let (method, uri, _, headers, body) = r.deconstruct();
            Ok(match (method, uri.path()) {
                (Get, "/missing") => hyper::Response::new().with_status(StatusCode::NotFound),
                (Get, _) => fdk::client_error("nothing to echo"),
                _ => match headers.get::<ContentLength>() {
                    Some(&ContentLength(0)) | None => fdk::no_content(),
                    Some(_) => hyper::Response::new()
                        .with_header(headers.get().cloned().unwrap_or_else(ContentType::json))
                        .with_body(body),
                },
            })
        }),
        "sum" => {
            fdk::Function::new(fdk::STATELESS).run(|_, sum: Sum| Ok(Total(sum.0.into_iter().sum())))
        }
        "inspect" => fdk::Function::new(fdk::STATELESS).run(inspect),
        "json" => fdk::Function::new(fdk::STATELESS)
            .run(|_, value: serde_json::Value| Ok(serde_json::json!({ "was": value }))),
        "threads" => fdk::Function::new(fdk::STATELESS).run(|_, _: ()| {
            let status = std::fs::read_to_string("/proc/self/status")?;
            let threads = status.lines().find(|line| line.starts_with("Threads:"));
            Ok(threads.unwrap_or_default().to_string())
        }),
        "config" => {
            let function: fdk::Function<String> = fdk::Function::new(|context| {
                let mut names: Vec<_> = context.config().keys().cloned().collect();
                names.sort();
                Ok(names.join(" "))
            });
            function.run(|names: &mut String, _: ()| Ok(names.clone()))
        }
        _ => fdk::Function::new(fdk::STATELESS).run(|_, _: Vec<u8>| Ok(())),
    };
    exit(exit_code);
}

fn tests() {
    stdout_is_the_log_and_not_the_answer();
    errors_of_callers_are_400_and_the_function_goes_on();
    other_errors_are_500_and_end_the_process();
    an_initializer_that_fails_is_told_to_the_first_caller();
    the_question_for_its_functions_is_answered_without_an_initializer();
    types_of_ones_own_are_read_and_written();
    a_whole_request_is_seen_and_a_whole_response_said();
    parts_of_requests_are_matched_as_they_were();
    values_of_json_and_nothing_at_all_are_answers();
    there_is_no_server_within_the_function();
    the_default_format_is_the_usual_one();
    a_format_that_nobody_knows_is_refused();
    it_speaks_the_formats_that_came_later();
    the_test_bench_runs_functions();
    the_test_bench_tells_of_failures();
    the_test_bench_takes_whole_requests();
}

const HTTP: (&str, &str) = ("FN_FORMAT", "http");
const GREETING: (&str, &str) = ("GREETING", "Hi");

fn post(body: &str) -> String {
    format!(
        "POST /r/app/route HTTP/1.1\r\nContent-Length: {}\r\nFn_call_id: 7\r\n\r\n{body}",
        body.len()
    )
}

/// Status and body of each answer.
fn answers(output: &Output) -> Vec<(u16, String)> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.split("HTTP/1.1 ")
        .filter(|answer| !answer.is_empty())
        .map(|answer| {
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            (head[..3].parse().expect("a status"), body.to_owned())
        })
        .collect()
}

fn stdout_is_the_log_and_not_the_answer() {
    let output = call("hello", &[HTTP], &(post("Änn") + &post("")));
    let expected = [
        (200, "Hello, Änn!\n".to_owned()),
        (200, "Hello, world!\n".to_owned()),
    ];
    assert_eq!(answers(&output), expected);
    assert_eq!(
        log(&output).matches("a print of the function's\n").count(),
        2
    );
    assert_eq!(output.status.code(), Some(0));
}

fn errors_of_callers_are_400_and_the_function_goes_on() {
    let input = post("") + &post("nobody") + &post("Ann");
    let output = call("greet", &[HTTP, GREETING], &input);
    let expected = [
        (400, "who is it?\n".to_owned()),
        (400, "nobody is there".to_owned()),
        (200, "Hi Ann, 3!".to_owned()),
    ];
    assert_eq!(answers(&output), expected);
    assert_eq!(output.status.code(), Some(0), "the last call counts");

    let output = call("greet", &[HTTP, GREETING], &(post("Ann") + &post("")));
    assert_eq!(output.status.code(), Some(1));
    let output = call("greet", &[HTTP, GREETING], "");
    assert_eq!(output.status.code(), Some(0), "no call is no failure");
}

fn other_errors_are_500_and_end_the_process() {
    let table = [
        ("out", "the greeter is out"),
        ("coerce", "cannot be coerced"),
        ("panic", "internal server error"),
    ];
    for (name, told) in table {
        let output = call("greet", &[HTTP, GREETING], &(post(name) + &post("Ann")));
        assert_eq!(answers(&output), [(500, told.to_owned())]);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
    let output = call("greet", &[HTTP, GREETING], &post("panic"));
    assert!(
        log(&output).contains("the greeter fell"),
        "{}",
        log(&output)
    );

    let output = call("sum", &[HTTP], &post("1 -2"));
    assert_eq!(answers(&output), [(500, "below zero".to_owned())]);
    assert_eq!(output.status.code(), Some(2));
}

fn an_initializer_that_fails_is_told_to_the_first_caller() {
    for input in [post("Ann") + &post("Bo"), String::new()] {
        let output = call("greet", &[HTTP], &input);
        let told = (500, "there is no greeting".to_owned());
        let expected = if input.is_empty() { vec![] } else { vec![told] };
        assert_eq!(answers(&output), expected);
        assert_eq!(output.status.code(), Some(2));
        assert!(log(&output).contains("there is no greeting"));
    }
}

// A deploy asks images, which have no configuration yet.
fn the_question_for_its_functions_is_answered_without_an_initializer() {
    let input = "GET /_fn/index HTTP/1.1\r\nFn-Control: index\r\nContent-Length: 0\r\n\r\n";
    let output = call("greet", &[HTTP, ("FN_INDEXING", "1")], input);
    let answers = answers(&output);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, 501, "{answers:?}");
    assert!(answers[0].1.contains("use_func_yaml"), "{answers:?}");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", log(&output));
}

fn types_of_ones_own_are_read_and_written() {
    let output = call("sum", &[HTTP], &(post("1 2 39") + &post("1 x")));
    let answers = answers(&output);
    assert_eq!(answers[0], (200, "42".to_owned()));
    assert_eq!(answers[1].0, 400);
    assert!(answers[1].1.starts_with("x: "), "{answers:?}");
}

fn a_whole_request_is_seen_and_a_whole_response_said() {
    let input = "PUT /r/app/route?a=1 HTTP/1.1\r\nContent-Type: text/plain\r\nX-Own: mine\r\n\
                 Content-Length: 0\r\n\r\nDELETE / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    let output = call("inspect", &[HTTP], input);
    let told = r#"PUT /r/app/route Some("a=1") text/plain mine"#;
    assert_eq!(
        answers(&output),
        [(202, told.to_owned()), (405, String::new())]
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("X-Answer: yes\r\n"), "{said}");
    // 0.1 left the length out where a function made a response of its own.
    assert!(said.contains(&format!("Content-Length: {}\r\n", told.len())));
    assert_eq!(output.status.code(), Some(1));
}

fn parts_of_requests_are_matched_as_they_were() {
    let get = "GET /missing HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    let input = get.to_owned() + &get.replace("missing", "") + &post("") + &post("{}");
    let output = call("echo", &[HTTP], &input);
    let expected = [(404, ""), (400, "nothing to echo"), (204, ""), (200, "{}")];
    let expected = expected.map(|(status, body)| (status, body.to_owned()));
    assert_eq!(answers(&output), expected);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("Content-Type: application/json\r\n"),
        "{said}"
    );
}

fn values_of_json_and_nothing_at_all_are_answers() {
    let output = call("json", &[HTTP], &(post(r#"{"a":"Ä"}"#) + &post("{")));
    let answers = answers(&output);
    assert_eq!(answers[0], (200, r#"{"was":{"a":"Ä"}}"#.to_owned()));
    assert_eq!(answers[1].0, 400);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Content-Type: application/json"));

    let output = call("nothing", &[HTTP], &post("x"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("HTTP/1.1 204 No Content\r\n"), "{said}");
}

// 0.1 had three threads, and a server on the loopback interface.
fn there_is_no_server_within_the_function() {
    let output = call("threads", &[HTTP], &post(""));
    assert_eq!(answers(&output), [(200, "Threads:\t1".to_owned())]);
}

fn the_default_format_is_the_usual_one() {
    let environment = [
        ("FN_METHOD", "POST"),
        ("FN_REQUEST_URL", "http://host/r/app/route?b=2"),
        ("FN_HEADER_X-Own", "mine"),
        ("FN_HEADER_X_OWN", "mine"),
    ];
    let said = |output: &Output, body: &str| {
        assert_eq!(String::from_utf8_lossy(&output.stdout), body);
    };
    for settings in [
        vec![],
        vec![("FN_FORMAT", "")],
        vec![("FN_FORMAT", "default")],
    ] {
        let settings = [&settings[..], &environment[..]].concat();
        let output = call("hello", &settings, "Änn");
        said(&output, "Hello, Änn!\n");
        assert_eq!(output.status.code(), Some(0));
        let output = call("inspect", &settings, "");
        said(&output, r#"POST /r/app/route Some("b=2")  mine"#);
    }
    // 0.1 refused calls without these.
    let output = call("hello", &[], "Ann");
    said(&output, "Hello, Ann!\n");
    assert_eq!(output.status.code(), Some(0));

    let output = call("greet", &[GREETING], "");
    said(&output, "who is it?\n");
    assert_eq!(output.status.code(), Some(1));
    let output = call("greet", &[GREETING], "out");
    said(&output, "the greeter is out");
    assert_eq!(output.status.code(), Some(2));

    let output = call("config", &environment, "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("FN_METHOD"), "{said}");
    assert!(!said.contains("FN_HEADER"), "{said}");
}

fn a_format_that_nobody_knows_is_refused() {
    let output = call("hello", &[("FN_FORMAT", "protobuf")], &post("Ann"));
    assert_eq!(output.status.code(), Some(2));
    assert!(log(&output).contains("protobuf"), "{}", log(&output));
    assert!(answers(&output).is_empty());
}

fn it_speaks_the_formats_that_came_later() {
    let frame = |body: &str| {
        format!(
            "{{\"call_id\":\"7\",\"body\":\"{body}\",\"content_type\":\"text/plain\",\
             \"protocol\":{{\"type\":\"http\",\"method\":\"POST\",\"request_url\":\"http://h/r/a/f\"}}}}\n"
        )
    };
    let input = frame("Änn") + &frame("") + &frame("out") + &frame("Bo");
    let output = call("greet", &[("FN_FORMAT", "json"), GREETING], &input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let told: Vec<_> = answers
        .iter()
        .map(|answer| (&answer["protocol"]["status_code"], &answer["body"]))
        .collect();
    let expected = [
        (&200.into(), &"Hi Änn, 1!".into()),
        (&400.into(), &"who is it?\n".into()),
        (&500.into(), &"the greeter is out".into()),
    ];
    assert_eq!(told, expected);
    assert_eq!(output.status.code(), Some(2));

    let event = "{\"cloudEventsVersion\":\"0.1\",\"eventID\":\"7\",\"contentType\":\"text/plain\",\
                 \"extensions\":{\"protocol\":{\"method\":\"POST\",\"request_url\":\"http://h/\"}},\
                 \"data\":\"Bo\"}\n";
    let output = call("greet", &[("FN_FORMAT", "cloudevent"), GREETING], event);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"data\":\"Hi Bo, 1!\""));

    over_a_socket();
}

fn over_a_socket() {
    let settings = [("FN_FORMAT", "http-stream"), GREETING];
    let mut function = Listening::start("greet", &settings);
    let mut stream = function.connect();
    let table = [
        ("Ann", "200", "Hi Ann, 1!"),
        ("nobody", "400", "nobody is there"),
        ("out", "500", "the greeter is out"),
    ];
    for (name, status, told) in table {
        let request = format!(
            "POST /call HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: 8\r\nContent-Length: {}\r\n\
             Fn-Http-Method: POST\r\nFn-Http-Request-Url: http://h/t/a/f\r\n\r\n{name}",
            name.len()
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        while !answer.ends_with(told) {
            let mut buf = [0; 4096];
            let length = stream.read(&mut buf).expect("an answer");
            assert_ne!(length, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&buf[..length]).expect("text"));
        }
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains(&format!("Fn-Http-Status: {status}\r\n")),
            "{answer}"
        );
        assert!(!answer.contains("Fn-Http-H-Content-Length"), "{answer}");
    }
    let end = function.child.wait().expect("its end");
    assert_eq!(end.code(), Some(2));
}

fn texts(bench: &mut fdk::FunctionTestbench<Greeter>) -> Vec<(u16, String)> {
    let responses = bench.drain_responses();
    responses
        .into_iter()
        .map(|response| {
            let status = response.status().as_u16();
            let body = fdk::body_as_bytes(response.body()).expect("a body");
            (status, String::from_utf8(body).expect("text"))
        })
        .collect()
}

fn the_test_bench_runs_functions() {
    let mut testbench = fdk::FunctionTestbench::new(init).with_config("GREETING", "Hello");
    testbench.enqueue_simple("Ann");
    testbench.enqueue_simple("Bo").enqueue_simple("");
    let exit_code = testbench.run(greet);
    assert_eq!(exit_code, 1);
    assert_eq!(testbench.responses().len(), 3);
    assert_eq!(
        testbench.responses()[2].status(),
        hyper::StatusCode::BadRequest
    );
    let said = String::from_utf8_lossy(testbench.output()).into_owned();
    assert_eq!(said.matches("HTTP/1.1 ").count(), 3, "{said}");
    assert!(testbench.errlog().is_empty());
    let expected = [
        (200, "Hello Ann, 1!".to_owned()),
        (200, "Hello Bo, 2!".to_owned()),
        (400, "who is it?\n".to_owned()),
    ];
    assert_eq!(texts(&mut testbench), expected);
    assert!(testbench.responses().is_empty());

    testbench.set_config("GREETING", "Bye");
    testbench.enqueue_simple("Ann");
    assert_eq!(testbench.run(greet), 0);
    assert_eq!(texts(&mut testbench), [(200, "Bye Ann, 1!".to_owned())]);
    assert_eq!(testbench.run(greet), 0, "what ran does not run again");
    assert!(testbench.responses().is_empty() && testbench.output().is_empty());
}

fn the_test_bench_tells_of_failures() {
    let mut testbench = fdk::FunctionTestbench::new(init);
    testbench.enqueue_simple("Ann").enqueue_simple("Bo");
    assert_eq!(testbench.run(greet), 2);
    let told = (500, "there is no greeting".to_owned());
    assert_eq!(texts(&mut testbench), std::slice::from_ref(&told));
    assert_eq!(testbench.run(greet), 2);
    assert_eq!(texts(&mut testbench), [told]);

    testbench.set_config("GREETING", "Hi");
    testbench
        .enqueue_simple("Ann")
        .enqueue_simple("out")
        .enqueue_simple("Bo");
    assert_eq!(testbench.run(greet), 2);
    assert_eq!(
        texts(&mut testbench).len(),
        2,
        "nobody is called behind a failure"
    );
}

fn the_test_bench_takes_whole_requests() {
    let mut request = hyper::Request::new(
        hyper::Method::Post,
        "http://host/some/path?c=3".parse().expect("a URI"),
    );
    request
        .headers_mut()
        .set(hyper::header::ContentType::json());
    request.headers_mut().set_raw("X-Own", "mine");
    request.set_body("body");
    let mut testbench = fdk::FunctionTestbench::new(fdk::STATELESS);
    testbench.enqueue(request);
    assert_eq!(testbench.run(inspect), 0);
    let response = testbench.drain_responses().pop().expect("a response");
    assert_eq!(response.status(), hyper::StatusCode::Accepted);
    let answer = response
        .headers()
        .get_raw("x-answer")
        .and_then(|raw| raw.one());
    assert_eq!(answer, Some(&b"yes"[..]));
    let body = fdk::body_as_bytes(response.body()).expect("a body");
    assert_eq!(
        String::from_utf8_lossy(&body),
        r#"POST /some/path Some("c=3") application/json mine"#
    );
}
