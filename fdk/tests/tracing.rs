//! Log lines of a real process.

use std::io::Write;
use std::process::{Command, Stdio};

const ROLE: &str = "FDK_TEST_FUNCTION";

fn main() -> fdk::Result<()> {
    match std::env::var(ROLE).as_deref() {
        Ok("own") => {
            struct Mute;
            impl log::Log for Mute {
                fn enabled(&self, _: &log::Metadata<'_>) -> bool {
                    false
                }
                fn log(&self, _: &log::Record<'_>) {}
                fn flush(&self) {}
            }
            let _ = log::set_boxed_logger(Box::new(Mute));
            return fdk::run(function);
        }
        Ok(_) => return fdk::run(function),
        Err(_) => {}
    }
    events_carry_the_ids_of_their_call();
    a_level_can_be_asked_for();
    a_logger_of_the_programs_own_stays();
    Ok(())
}

async fn function(body: String) -> String {
    tracing::info!(n = 6, body, "before");
    std::future::ready(()).await;
    log::warn!("later {body}");
    tracing::debug!("not asked for");
    body
}

fn log_of(settings: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().expect("the test knows its own path"))
        .env(ROLE, "1")
        .env("FN_FORMAT", "http")
        .env_remove("RUST_LOG")
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test can start itself");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    for (id, body) in [(7, "a b"), (8, "c\nd")] {
        let request = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\nFn_call_id: {id}\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n{body}",
            body.len()
        );
        stdin.write_all(request.as_bytes()).expect("a call");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success());
    String::from_utf8(output.stderr).expect("text")
}

fn events_carry_the_ids_of_their_call() {
    let ids = |id| format!("call_id={id} trace_id=4bf92f3577b34da6a3ce929d0e0e4736 target=tracing");
    let (first, second) = (ids(7), ids(8));
    assert_eq!(
        log_of(&[]),
        format!(
            "level=INFO {first} msg=before n=6 body=\"a b\"\n\
             level=WARN {first} msg=\"later a b\"\n\
             level=INFO {second} msg=before n=6 body=\"c\\nd\"\n\
             level=WARN {second} msg=\"later c\\nd\"\n"
        )
    );
}

fn a_level_can_be_asked_for() {
    let log = log_of(&[("RUST_LOG", "debug")]);
    assert_eq!(log.matches("msg=\"not asked for\"").count(), 2, "{log}");
    assert_eq!(log_of(&[("RUST_LOG", "error")]), "");
}

fn a_logger_of_the_programs_own_stays() {
    let log = log_of(&[(ROLE, "own")]);
    assert!(
        !log.contains("level=WARN") && log.contains("level=INFO"),
        "{log}"
    );
}
