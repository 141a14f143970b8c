//! SIGTERM, wherever calls come from and whoever runs the function.

#[path = "common/port.rs"]
mod port;
#[path = "common/process.rs"]
mod process;
#[path = "common/socket.rs"]
mod socket;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, ExitCode};
use std::time::{Duration, Instant};

use fdk::{App, State, http};
use rustix::process::{Pid, Signal, kill_process};

use port::serve;
use process::{ROLE, start};
use socket::Listening;

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return match run(&role) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(&format!("Error: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    who_waits_for_a_call_ends_at_once();
    a_call_in_flight_is_answered_and_no_other_is_begun();
    a_startup_is_not_waited_for();
    a_call_that_takes_too_long_is_broken_off();
    the_second_signal_does_not_wait();
    behind_the_end_of_stdin_it_is_the_programs_own();
    ExitCode::SUCCESS
}

const HTTP: (&str, &str) = ("FN_FORMAT", "http");

/// A program that only answers, and one with a shutdown in each way to run it.
const ROLES: [&str; 3] = ["plain", "app", "tokio"];

fn run(role: &str) -> fdk::Result<()> {
    match role {
        "plain" => fdk::run(function),
        "app" => app().run_blocking(),
        "starts" => App::new()
            .startup(async |_| {
                tell("begun");
                std::future::pending::<fdk::Result<()>>().await
            })
            .function("f", http::any("/f"), function)
            .run_blocking(),
        "goes on" => {
            app().run_blocking()?;
            function("long".to_owned());
            Ok(())
        }
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?
            .block_on(app().run()),
    }
}

struct Db;

fn app() -> App {
    App::new()
        .state(Db)
        .shutdown(|_: State<Db>| async {
            tell("closed");
            fdk::Ok(())
        })
        .function("f", http::any("/f"), |state: State<Db>, body: String| {
            drop(state);
            function(body)
        })
        .function("waits", http::any("/waits"), async || {
            tell("begun");
            std::future::pending::<()>().await;
        })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a function that computes holds its thread"
)]
fn function(body: String) -> String {
    let time = match body.as_str() {
        "slow" => 1,
        "long" => 60,
        _ => return body,
    };
    tell("begun");
    std::thread::sleep(Duration::from_secs(time));
    body
}

fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// A function that runs: the way to call it, its log and its end.
struct Running {
    id: Pid,
    calls: Box<dyn Duplex>,
    log: Box<dyn BufRead>,
    end: Box<dyn FnOnce() -> Option<i32>>,
}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

struct Pipes(ChildStdin, ChildStdout);

impl Read for Pipes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1.read(buf)
    }
}

impl Write for Pipes {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Running {
    fn over_stdin(role: &str) -> Self {
        let mut child = start(role, &[HTTP]);
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        Self {
            id: Pid::from_child(&child),
            calls: Box::new(Pipes(stdin, stdout)),
            log: Box::new(BufReader::new(stderr)),
            end: end(child),
        }
    }

    fn over_a_socket(role: &str) -> Self {
        let mut function = Listening::start(role, &[("FN_FORMAT", "http-stream")]);
        let stderr = function.child.stderr.take().expect("stderr is piped");
        Self {
            id: Pid::from_child(&function.child),
            calls: Box::new(function.connect()),
            log: Box::new(BufReader::new(stderr)),
            end: Box::new(move || function.child.wait().expect("its end").code()),
        }
    }

    fn tried_out(role: &str) -> Self {
        let (child, address, log) = serve(role, &[]);
        Self {
            id: Pid::from_child(&child),
            calls: Box::new(TcpStream::connect(address).expect("a connection")),
            log: Box::new(log),
            end: end(child),
        }
    }

    fn call(&mut self, body: &str) {
        let name = if body == "waits" { "waits" } else { "f" };
        let call = format!(
            "POST /{name} HTTP/1.1\r\nHost: h\r\nFn-Function: {name}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // One that has ended takes no more.
        let _ = self.calls.write_all(call.as_bytes());
    }

    /// Waits for an answer with this body.
    fn answered(&mut self, body: &str) {
        let end = format!("\r\n\r\n{body}");
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.calls.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
    }

    fn logs(&mut self, what: &str) {
        let mut line = String::new();
        while line.trim() != what {
            line.clear();
            let length = self.log.read_line(&mut line).expect("a log");
            assert_ne!(length, 0, "the log has no {what:?}");
        }
    }

    fn terminate(&self) {
        kill_process(self.id, Signal::TERM).expect("it runs");
    }

    /// How it ended, and what it said on its way that nobody has read yet.
    fn ended(mut self) -> (Option<i32>, String, Vec<u8>) {
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("a log");
        let mut answers = Vec::new();
        // A connection with a call that nobody reads is reset.
        let _ = self.calls.read_to_end(&mut answers);
        ((self.end)(), log, answers)
    }
}

fn end(mut child: Child) -> Box<dyn FnOnce() -> Option<i32>> {
    Box::new(move || child.wait().expect("its end").code())
}

fn everywhere(check: impl Fn(&str, Running)) {
    for role in ROLES {
        for start in [
            Running::over_stdin,
            Running::over_a_socket,
            Running::tried_out,
        ] {
            check(role, start(role));
        }
    }
}

fn shutdown_of(role: &str) -> &str {
    if role == "plain" { "" } else { "closed\n" }
}

fn who_waits_for_a_call_ends_at_once() {
    everywhere(|role, mut function| {
        function.call("quick");
        function.answered("quick");
        function.terminate();
        let (status, log, answers) = function.ended();
        assert_eq!(status, Some(0), "{role}: {log}");
        assert_eq!((log.as_str(), answers.len()), (shutdown_of(role), 0));
    });
}

fn a_call_in_flight_is_answered_and_no_other_is_begun() {
    everywhere(|role, mut function| {
        function.call("slow");
        function.logs("begun");
        function.terminate();
        function.call("slow");
        function.answered("slow");
        let (status, log, answers) = function.ended();
        assert_eq!(status, Some(0), "{role}: {log}");
        assert_eq!((log.as_str(), answers.len()), (shutdown_of(role), 0));
    });
}

fn a_startup_is_not_waited_for() {
    let mut function = Running::over_stdin("starts");
    function.logs("begun");
    function.terminate();
    let (status, log, _) = function.ended();
    assert_eq!((status, log.as_str()), (Some(0), ""));
}

fn a_call_that_takes_too_long_is_broken_off() {
    let began = Instant::now();
    let functions = [("app", "long"), ("tokio", "long"), ("tokio", "waits")].map(|(role, body)| {
        let mut function = Running::over_stdin(role);
        function.call(body);
        function.logs("begun");
        function.terminate();
        (role, body, function)
    });
    for (role, body, function) in functions {
        let (status, log, answers) = function.ended();
        assert_eq!((status, answers.len()), (Some(1), 0), "{role} {body}");
        assert!(
            log.contains("a call was broken off"),
            "{role} {body}: {log}"
        );
        // A runtime whose thread is held runs nothing else either.
        let closes = (role, body) != ("tokio", "long");
        assert_eq!(log.contains("closed"), closes, "{role} {body}: {log}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

fn the_second_signal_does_not_wait() {
    let mut function = Running::over_stdin("plain");
    function.call("long");
    function.logs("begun");
    // More than two, of which those that come at once are one.
    for _ in 0..100 {
        function.terminate();
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(function.ended().0, Some(143));
}

fn behind_the_end_of_stdin_it_is_the_programs_own() {
    let mut function = Running::over_stdin("goes on");
    function.calls = Box::new(io::empty());
    function.logs("closed");
    function.logs("begun");
    function.terminate();
    assert_eq!(function.ended().0, Some(143));
}
