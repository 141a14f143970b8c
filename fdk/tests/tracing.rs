//! Log lines of a real process.

#[path = "common/output.rs"]
mod output;
#[path = "common/process.rs"]
mod process;

use output::{call, log};
use process::ROLE;

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

fn log_of(role: &str, settings: &[(&str, &str)]) -> String {
    let input = [(7, "a b"), (8, "c\nd")].map(|(id, body)| {
        format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\nFn_call_id: {id}\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n{body}",
            body.len()
        )
    });
    let output = call(role, settings, &input.concat());
    assert!(output.status.success());
    log(&output)
}

fn events_carry_the_ids_of_their_call() {
    let ids = |id| format!("call_id={id} trace_id=4bf92f3577b34da6a3ce929d0e0e4736 target=tracing");
    let (first, second) = (ids(7), ids(8));
    assert_eq!(
        log_of("lines", &[]),
        format!(
            "level=INFO {first} msg=before n=6 body=\"a b\"\n\
             level=WARN {first} msg=\"later a b\"\n\
             level=INFO {second} msg=before n=6 body=\"c\\nd\"\n\
             level=WARN {second} msg=\"later c\\nd\"\n"
        )
    );
}

fn a_level_can_be_asked_for() {
    let log = log_of("lines", &[("RUST_LOG", "debug")]);
    assert_eq!(log.matches("msg=\"not asked for\"").count(), 2, "{log}");
    assert_eq!(log_of("lines", &[("RUST_LOG", "error")]), "");
}

fn a_logger_of_the_programs_own_stays() {
    let log = log_of("own", &[]);
    assert!(
        !log.contains("level=WARN") && log.contains("level=INFO"),
        "{log}"
    );
}
