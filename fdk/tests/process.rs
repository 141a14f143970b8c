//! A real process between real pipes: what only shows there.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitCode, Output, Stdio};

const ROLE: &str = "FDK_TEST_FUNCTION";

fn main() -> ExitCode {
    if std::env::var_os(ROLE).is_some() {
        return match fdk::run(function) {
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
    another_format_is_refused_at_once();
    ExitCode::SUCCESS
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

fn start(settings: &[(&str, &str)]) -> Child {
    let program = std::env::current_exe().expect("the test knows its own path");
    Command::new(program)
        .env(ROLE, "1")
        .env_remove("FN_FORMAT")
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test can start itself")
}

fn call(settings: &[(&str, &str)], input: &str) -> Output {
    let mut child = start(settings);
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A function that refuses to start reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child
        .wait_with_output()
        .expect("the function ends with its stdin")
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
    let output = call(&[("FN_FORMAT", "http")], &(post("print") + &post("next")));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        answer("print") + &answer("next")
    );
    let log = String::from_utf8_lossy(&output.stderr);
    for line in ["a print\n", "half a line", "a child's print\n"] {
        assert!(log.contains(line), "{log}");
    }
    assert!(output.status.success());
}

// B8
fn children_cannot_eat_the_next_request() {
    let output = call(&[], &(post("eat") + &post("next")));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        answer("0 0") + &answer("next")
    );
}

fn the_end_of_stdin_is_a_clean_exit() {
    let output = call(&[], "");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
}

fn half_a_request_is_a_failure() {
    let output = call(&[], "POST / HTTP/1.1\r\n");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("stream ended within the head"), "{log}");
}

fn another_format_is_refused_at_once() {
    let output = call(&[("FN_FORMAT", "json")], &post("x"));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        log.contains("FN_FORMAT is \"json\" but this function speaks \"http\" only"),
        "{log}"
    );
}
