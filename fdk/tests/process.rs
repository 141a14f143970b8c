//! A real process between real pipes: what only shows there.

#[path = "common/output.rs"]
mod output;
#[path = "common/port.rs"]
mod port;
#[path = "common/process.rs"]
mod process;
#[path = "common/socket.rs"]
mod socket;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use fdk::{Bytes, Ndjson, Path, Response, State, StatusCode, Streamed, http};
use futures_util::StreamExt;

use output::{call, log};
use port::serve;
use process::{ROLE, start};
use socket::Listening;

fn main() -> ExitCode {
    if std::env::var_os(ROLE).is_some() {
        return match role() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "Error: {error:?}");
                ExitCode::FAILURE
            }
        };
    }
    prints_become_logs();
    children_cannot_eat_the_next_request();
    the_end_of_stdin_is_a_clean_exit();
    half_a_request_is_a_failure();
    an_unknown_format_is_refused_at_once();
    the_same_program_speaks_every_format();
    the_index_is_told_without_a_startup();
    a_startup_that_fails_is_told_and_ends_the_process();
    state_is_let_go_at_the_end();
    lines_come_back_one_by_one();
    a_slow_reader_does_not_stop_others();
    a_million_lines_take_no_more_memory_than_a_few();
    it_can_be_tried_out_with_any_client();
    a_body_that_memory_cannot_hold_is_no_other_call();
    ExitCode::SUCCESS
}

fn role() -> fdk::Result<()> {
    match std::env::var(ROLE).as_deref() {
        Ok("app") => app().run_blocking(),
        Ok("tokio") => tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?
            .block_on(app().run()),
        Ok("length") => fdk::run(|body: Bytes| body.len().to_string()),
        Ok("copies") => fdk::run(|body: String| body.repeat(4)),
        Ok("raw") => {
            let mut conn = fdk::raw::Conn::stdio()?;
            while let Some(call) = conn.next_call()? {
                let length = call.body().len().to_string();
                conn.respond(Response::new(StatusCode::OK).body(length))?;
            }
            Ok(())
        }
        _ => fdk::run(function),
    }
}

struct Db(String);

fn app() -> fdk::App {
    fdk::App::new()
        .startup(|config: fdk::Config| async move {
            let db = config.require("DB")?;
            if db == "away" {
                return Err(fdk::Error::msg("no database"));
            }
            if db == "bad" {
                return Err(fdk::Error::param("DB", "is no address"));
            }
            Ok(Db(db))
        })
        .shutdown(|State(db): State<Db>| async move {
            let _ = writeln!(std::io::stderr(), "closed {}", db.0);
            fdk::Ok(())
        })
        .function(
            "db",
            http::any("/db/{n:int}"),
            |State(db): State<Db>, Path(n): Path<u32>| format!("{} {n}", db.0),
        )
        .function("double", http::post("/double"), |rows: Ndjson<u64>| {
            Streamed(rows.map(|row| row.map(|n| 2 * n)))
        })
        .function("memory", http::any("/memory"), || peak_kb().to_string())
        .function("flood", http::any("/flood"), |whole: String| {
            tokio::spawn(async {
                loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let _ = writeln!(std::io::stderr(), "tick");
                }
            });
            let pieces = (0..FLOOD >> 10).map(|_| fdk::Ok(Bytes::from_static(&[b'x'; 1 << 10])));
            let flood = Response::new(StatusCode::OK);
            if whole == "whole" {
                flood.body(vec![b'x'; FLOOD])
            } else {
                flood.stream(futures_util::stream::iter(pieces))
            }
        })
}

/// More than a pipe holds.
const FLOOD: usize = 1 << 20;

/// The most memory this process had, in KB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

#[expect(
    clippy::print_stdout,
    reason = "a function may print, and must not break its answer"
)]
fn function(body: String) -> fdk::Result<String> {
    match body.as_str() {
        "print" => {
            println!("a print");
            print!("half a line");
            Command::new("echo").arg("a child's print").status()?;
        }
        "eat" => {
            let child = Command::new("cat").stdout(Stdio::piped()).output()?;
            return Ok(format!(
                "{} {}",
                child.stdout.len(),
                std::io::stdin().read(&mut [0])?
            ));
        }
        _ => {}
    }
    Ok(body)
}

fn post(body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\nFn_call_id: 7\r\n\r\n{body}",
        body.len()
    )
}

fn answer(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nFn-Call-Id: 7\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

// C1
fn prints_become_logs() {
    let output = call(
        "body",
        &[("FN_FORMAT", "http")],
        &(post("print") + &post("next")),
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        answer("print") + &answer("next")
    );
    let log = log(&output);
    for line in ["a print\n", "half a line", "a child's print\n"] {
        assert!(log.contains(line), "{log}");
    }
    assert!(output.status.success());
}

// B8
fn children_cannot_eat_the_next_request() {
    let output = call("body", &[], &(post("eat") + &post("next")));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        answer("0 0") + &answer("next")
    );
}

fn the_end_of_stdin_is_a_clean_exit() {
    let output = call("body", &[], "");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
}

fn half_a_request_is_a_failure() {
    let output = call("body", &[], "POST / HTTP/1.1\r\n");
    assert_eq!(output.status.code(), Some(1));
    let log = log(&output);
    assert!(log.contains("stream ended within the head"), "{log}");
}

fn an_unknown_format_is_refused_at_once() {
    let output = call("body", &[("FN_FORMAT", "xml")], &post("x"));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let log = log(&output);
    assert!(
        log.contains("FN_FORMAT is \"xml\", expected http, json"),
        "{log}"
    );
}

fn the_same_program_speaks_every_format() {
    let output = call("body", &[("FN_FORMAT", "http")], &post("Änn"));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\r\n\r\nÄnn"));

    let json = |body: &str| {
        format!(
            "{{\"call_id\":\"7\",\"deadline\":\"2018-06-01T10:00:30.000Z\",\"body\":\"{body}\",\
             \"content_type\":\"text/plain\",\"protocol\":{{\"type\":\"http\",\"method\":\"POST\",\
             \"request_url\":\"http://h/t/a/f?x=1\",\"headers\":{{\"Host\":[\"h\"]}}}}}}\n"
        )
    };
    let output = call(
        "body",
        &[("FN_FORMAT", "json")],
        &(json("Änn") + &json("b")),
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&answers[0]["body"], &answers[1]["body"]),
        (&"Änn".into(), &"b".into())
    );
    assert_eq!(answers[0]["protocol"]["status_code"], 200);
    assert_eq!(answers[0]["content_type"], "text/plain; charset=utf-8");

    // Its end is known whatever is in it, so it costs its caller an answer and nobody else's.
    let odd = "{\"call_id\":7,\"body\":null}\n{\"body\":null}\n";
    let output = call(
        "body",
        &[("FN_FORMAT", "json")],
        &(odd.to_owned() + &json("c")),
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let statuses: Vec<_> = said
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|answer| answer["protocol"]["status_code"].as_u64())
        .collect();
    assert_eq!(statuses, [Some(400), Some(200), Some(200)]);

    let event = "{\"cloudEventsVersion\":\"0.1\",\"eventID\":\"7\",\"contentType\":\"application/json\",\
                 \"extensions\":{\"protocol\":{\"method\":\"POST\",\"request_url\":\"http://h/\"}},\
                 \"data\":{\"a\":[1]}}\n";
    let output = call("body", &[("FN_FORMAT", "cloudevent")], event);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["data"], "{\"a\":[1]}", "text, as the function says");
    assert_eq!(answer["contentType"], "text/plain");
    assert_eq!(answer["eventID"], "7");

    let settings = [
        ("FN_FORMAT", "default"),
        ("FN_METHOD", "POST"),
        ("FN_REQUEST_URL", "http://h/t/a/f"),
        ("FN_CALL_ID", "7"),
    ];
    let output = call("body", &settings, "Änn");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Änn");
    assert!(output.status.success());

    over_a_socket();
}

fn over_a_socket() {
    let function = Listening::start("body", &[("FN_FORMAT", "http-stream")]);
    let link = std::fs::read_link(&function.socket).expect("a link");
    assert!(link.is_relative() && link.parent() == Some(std::path::Path::new("")));
    let (mut first, mut second) = (function.connect(), function.connect());
    let plain =
        "POST /call HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: 8\r\nContent-Length: 2\r\n\r\nhi";
    let wrapped = "POST /call HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: 9\r\nContent-Length: 5\r\n\
                   Fn-Http-Method: PUT\r\nFn-Http-Request-Url: http://h/t/a/f\r\nFn-Http-H-X-Own: 1\r\nFn-Http-H-Fn_call_id: forged\r\n\
                   Fn-Http-H-Fn-Function: forged\r\n\r\nquery";
    for stream in [&mut first, &mut second] {
        for _ in 0..2 {
            let answer = exchange(stream, plain, "hi");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("Fn-Call-Id: 8\r\n"), "{answer}");
        }
        let answer = exchange(stream, wrapped, "query");
        assert!(answer.contains("Fn-Http-Status: 200\r\n"), "{answer}");
        assert!(answer.contains("Content-Type: text/plain"), "{answer}");
        assert!(
            answer.contains("Fn-Call-Id: 9\r\n"),
            "the caller's is no id: {answer}"
        );
        // The request that brings it is no HEAD, so its answer has all that it says.
        let answer = exchange(stream, &wrapped.replace("PUT", "HEAD"), "query");
        assert!(answer.contains("Fn-Http-Status: 200\r\n"), "{answer}");
    }
}

/// Sends a request and reads until the answer ends with `end`.
fn exchange(stream: &mut (impl Read + Write), request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(format!("\r\n\r\n{end}").as_bytes()) {
        let mut buf = [0; 4096];
        let length = stream.read(&mut buf).expect("an answer");
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buf[..length]);
    }
    String::from_utf8(answer).expect("text")
}

const INDEX: &str =
    "GET /_fn/index HTTP/1.1\r\nHost: fn\r\nFn-Control: index\r\nContent-Length: 0\r\n\r\n";

fn the_index_is_told_without_a_startup() {
    for role in ["app", "tokio"] {
        let settings = [("FN_INDEXING", "1"), ("DB", "away")];
        let output = call(role, &settings, INDEX);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains("Content-Type: application/vnd.fn.index+json"),
            "{head}"
        );
        let index: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let names: Vec<_> = index["functions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|function| function["name"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(names, ["db", "double", "memory", "flood"]);
    }
    // Elsewhere it is a call like any other, with a body that is no request.
    let settings = [("DB", "db"), ("FN_FN_NAME", "db")];
    let hidden = "GET /t/a/db/2 HTTP/1.1\r\n\r\n";
    let asked = format!(
        "POST /t/a/db/1 HTTP/1.1\r\nFn-Control: index\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let output = call("app", &settings, &asked);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.ends_with("\r\n\r\ndb 1") && text.matches("HTTP/1.1").count() == 1,
        "{text}"
    );
    // One function without a route leaves that to func.yaml.
    let output = call("body", &[("FN_INDEXING", "1")], INDEX);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("HTTP/1.1 501 "), "{text}");
}

fn a_startup_that_fails_is_told_and_ends_the_process() {
    // Callers are told what is meant for them, and nothing else.
    for (db, told, callers) in [
        (Some("away"), "startup failed: no database", false),
        (Some("bad"), "startup failed: DB: is no address", true),
        (None, "startup failed: the setting DB is missing", false),
    ] {
        let settings: Vec<_> = db.map(|db| ("DB", db)).into_iter().collect();
        let output = call("app", &settings, &post("x"));
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let log = log(&output);
        assert!(log.contains(told), "{log}");
        let line = "fn-error: init-failed: DB: is no address\n";
        assert_eq!(log.contains(line), callers, "{log}");
        assert_eq!(log.contains("fn-error"), callers, "{log}");
    }
}

fn state_is_let_go_at_the_end() {
    for role in ["app", "tokio"] {
        let settings = [("DB", "db"), ("FN_FN_NAME", "db")];
        let request = "GET /t/a/db/6 HTTP/1.1\r\nFn_call_id: 7\r\n\r\n";
        let output = call(role, &settings, &request.repeat(3));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.matches("\r\n\r\ndb 6").count(), 3, "{said}");
        let log = log(&output);
        assert_eq!(log, "closed db\n");
        assert!(output.status.success());
    }
}

const CHUNKED: &str =
    "POST /t/a/double HTTP/1.1\r\nFn_call_id: 7\r\nTransfer-Encoding: chunked\r\n\r\n";

// Each answer is waited for before the next line is sent, so one that waits for all would hang.
fn lines_come_back_one_by_one() {
    for role in ["app", "tokio"] {
        let settings = [("DB", "db"), ("FN_FN_NAME", "double")];
        let mut child = start(role, &settings);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        for round in 0..2 {
            stdin.write_all(CHUNKED.as_bytes()).expect("a head");
            for line in 1..=3 {
                stdin
                    .write_all(format!("2\r\n{line}\n\r\n").as_bytes())
                    .expect("a line");
                let end = format!("\r\n2\r\n{}\n\r\n", 2 * line);
                let mut answer = String::from("\r\n");
                while !answer.ends_with(&end) {
                    let mut buf = [0; 4096];
                    let length = stdout.read(&mut buf).expect("an answer");
                    assert_ne!(length, 0, "{round} {answer}");
                    answer.push_str(std::str::from_utf8(&buf[..length]).expect("text"));
                }
            }
            stdin.write_all(b"0\r\n\r\n").expect("an end");
            let mut end = [0; 5];
            stdout.read_exact(&mut end).expect("an end");
            assert_eq!(&end, b"0\r\n\r\n");
        }
        drop(stdin);
        assert!(child.wait().expect("its end").success());
    }
}

fn a_slow_reader_does_not_stop_others() {
    for body in ["whole", ""] {
        let settings = [("DB", "db"), ("FN_FN_NAME", "flood")];
        let mut child = start("tokio", &settings);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(post(body).as_bytes()).expect("a call");
        // Far more than there is time for until the pipe is full.
        let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let ticks = log.lines().map_while(Result::ok).take(50);
        assert_eq!(ticks.filter(|line| line == "tick").count(), 50);
        let mut stdout = child.stdout.take().expect("stdout is piped");
        drop(stdin);
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("an answer");
        let (_, sent) = said.split_once("\r\n\r\n").expect("a head");
        assert_eq!(sent.matches('x').count(), FLOOD, "{body}");
        child.wait().expect("its end");
    }
}

fn a_million_lines_take_no_more_memory_than_a_few() {
    let peak_after = |lines: u64| {
        let mut child = start("app", &[("DB", "db")]);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let writer = std::thread::spawn(move || {
            let double = CHUNKED.replace("Fn_call_id", "Fn-Function: double\r\nFn_call_id");
            stdin.write_all(double.as_bytes()).expect("a head");
            use std::fmt::Write as _;

            let mut chunk = String::new();
            for line in 1..=lines {
                let _ = writeln!(chunk, "{line}");
                if chunk.len() > 60_000 || line == lines {
                    let framed = format!("{:x}\r\n{chunk}\r\n", chunk.len());
                    stdin.write_all(framed.as_bytes()).expect("lines");
                    chunk.clear();
                }
            }
            let memory = "GET / HTTP/1.1\r\nFn-Function: memory\r\nFn_call_id: 8\r\n\r\n";
            stdin
                .write_all(format!("0\r\n\r\n{memory}").as_bytes())
                .expect("an end");
        });
        let mut answer = Vec::new();
        stdout.read_to_end(&mut answer).expect("answers");
        writer.join().expect("the writer");
        assert!(child.wait().expect("its end").success());
        let answer = String::from_utf8(answer).expect("text");
        assert!(
            answer.contains(&format!("\n{}\n\r\n", 2 * lines)),
            "the last line"
        );
        let (_, peak) = answer.rsplit_once("\r\n\r\n").expect("a body");
        peak.parse::<u64>().expect("a number")
    };
    let (few, many) = (peak_after(1000), peak_after(1_000_000));
    assert!(many < few + 4096, "{few} KB and {many} KB");
}

fn it_can_be_tried_out_with_any_client() {
    let (mut child, address, _log) = serve("app", &[("DB", "db")]);
    let mut kept = TcpStream::connect(&address).expect("a connection");
    let mut other = TcpStream::connect(&address).expect("another connection");
    other.write_all(b"what?\r\n\r\n").expect("nonsense");
    for stream in [
        &mut kept,
        &mut TcpStream::connect(&address).expect("a third one"),
    ] {
        let request = "GET /db/6 HTTP/1.1\r\nHost: h\r\n\r\n";
        let answer = exchange(stream, request, "db 6");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let missing = exchange(
        &mut kept,
        "GET /db/x HTTP/1.1\r\nHost: h\r\n\r\n",
        NO_FUNCTION,
    );
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    child.kill().expect("it runs still");
    child.wait().expect("its end");
}

const NO_FUNCTION: &str = r#"{"error":"no function for /db/x"}"#;

// What a function has for its body is less than what its server lets through.
fn a_body_that_memory_cannot_hold_is_no_other_call() {
    const SMALL: usize = 8 << 20;
    const COPIED: usize = 24 << 20;
    const LARGE: usize = 256 << 20;
    let program = std::env::current_exe().expect("the test knows its own path");
    for (role, length, chunked) in [
        ("length", SMALL, false),
        ("length", LARGE, false),
        ("length", LARGE, true),
        ("raw", LARGE, false),
        ("copies", COPIED, false),
    ] {
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -v 65536 && exec \"$0\""])
            .arg(&program)
            .env(ROLE, role)
            .env("FN_FORMAT", "http")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let writer = std::thread::spawn(move || {
            // All of it looks like calls.
            let hidden = b"GET / HTTP/1.1\r\n\r\n";
            let mut piece = hidden.repeat((1 << 20) / hidden.len() + 1);
            piece.truncate(1 << 20);
            let head = if chunked {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {length}")
            };
            write!(stdin, "POST / HTTP/1.1\r\n{head}\r\n\r\n")?;
            for _ in 0..length >> 20 {
                if chunked {
                    write!(stdin, "{:x}\r\n", piece.len())?;
                }
                stdin.write_all(&piece)?;
                if chunked {
                    write!(stdin, "\r\n")?;
                }
            }
            if chunked {
                write!(stdin, "0\r\n\r\n")?;
            }
            write!(stdin, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nnext")
        });
        let mut said = String::new();
        let mut stdout = child.stdout.take().expect("stdout is piped");
        stdout.read_to_string(&mut said).expect("answers");
        // It may have ended before all was written.
        let _ = writer.join().expect("the writer");
        let status = child.wait().expect("its end");
        let answers: Vec<_> = said.split("HTTP/1.1 ").skip(1).collect();
        let what = format!("{role} {length} {chunked}: {status} {said}");
        if length == COPIED {
            // The body fits, and what the function makes of it does not.
            assert!(answers.is_empty() && !status.success(), "{what}");
            continue;
        }
        assert!(answers.len() == 2 && status.success(), "{what}");
        assert!(answers[1].ends_with("\r\n\r\n4"), "{what}");
        let fits = answers[0].ends_with(&format!("\r\n\r\n{length}"));
        let refused = answers[0].starts_with("413 ") && answers[0].contains("too little memory");
        assert!(if length == SMALL { fits } else { refused }, "{what}");
    }
}
