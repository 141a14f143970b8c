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
    what_goes_on_behind_its_last_call_ends_at_the_next_signal();
    a_call_that_is_not_answered_is_no_success();
    a_shutdown_that_has_begun_is_not_cut_short();
    a_runtime_that_is_busy_is_waited_for();
    what_is_dropped_is_the_programs_own();
    #[cfg(feature = "compat")]
    an_old_function_that_is_dropped_ends_behind_its_call();
    who_was_killed_can_start_again();
    ExitCode::SUCCESS
}

const HTTP: (&str, &str) = ("FN_FORMAT", "http");
const DEFAULT: (&str, &str) = ("FN_FORMAT", "default");
const STREAM: (&str, &str) = ("FN_FORMAT", "http-stream");

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
        "reads" => App::new()
            .startup(started)
            .function("f", http::any("/f"), function)
            .run_blocking(),
        "reads and closes" => app().startup(started).run_blocking(),
        "closes slowly" => App::new()
            .state(Db)
            .shutdown(|_: State<Db>| async {
                tell("begun");
                std::thread::park_timeout(Duration::from_millis(500));
                tell("closed");
                fdk::Ok(())
            })
            .function("f", http::any("/f"), function)
            .run_blocking(),
        "busy" | "stuck" => {
            let time = if role == "busy" { "busy" } else { "long" };
            let busy = async {
                function(time.to_owned());
                fdk::Ok(())
            };
            within_tokio(async { tokio::try_join!(app().run(), busy).map(drop) })
        }
        "drops" => within_tokio(async {
            let dropped = tokio::time::timeout(Duration::from_millis(10), app().run()).await;
            assert!(dropped.is_err(), "it ended by itself");
            function("busy".to_owned());
            tell("done");
            fdk::Ok(())
        }),
        #[cfg(feature = "compat")]
        "drops an old one" => within_tokio(async {
            let run = fdk::Function::run(|_: &mut fdk::RuntimeContext, body: String| {
                Ok::<_, fdk::FunctionError>(function(body))
            });
            let dropped = tokio::time::timeout(Duration::from_millis(10), run).await;
            assert!(dropped.is_err(), "it ended by itself");
            tell("dropped");
            std::future::pending().await
        }),
        _ => within_tokio(app().run()),
    }
}

fn within_tokio<T>(future: impl Future<Output = fdk::Result<T>>) -> fdk::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?
        .block_on(future)
}

struct Started;

async fn started(_: fdk::Config) -> fdk::Result<Started> {
    tell("begun");
    fdk::Ok(Started)
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
        "busy" => 3,
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
        Self::over_pipes(role, HTTP)
    }

    fn over_pipes(role: &str, format: (&str, &str)) -> Self {
        let mut child = start(role, &[format]);
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
        let mut function = Listening::start(role, &[STREAM]);
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

/// A process that does not outlive a test that fails.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn end(child: Child) -> Box<dyn FnOnce() -> Option<i32>> {
    let mut child = Owned(child);
    Box::new(move || child.0.wait().expect("its end").code())
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

fn what_goes_on_behind_its_last_call_ends_at_the_next_signal() {
    let mut function = Running::over_stdin("goes on");
    function.call("slow");
    function.logs("begun");
    function.terminate();
    function.answered("slow");
    function.logs("closed");
    function.logs("begun");
    function.terminate();
    assert_eq!(function.ended().0, Some(143));
}

fn a_call_that_is_not_answered_is_no_success() {
    for role in ["reads", "reads and closes"] {
        let mut function = Running::over_pipes(role, DEFAULT);
        function.logs("begun");
        function.terminate();
        let (status, log, answers) = function.ended();
        assert!(matches!(status, Some(1 | 143)), "{role}: {status:?} {log}");
        assert_eq!(answers.len(), 0, "{role}");
    }
    let mut child = start("plain", &[DEFAULT]);
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"slow").expect("it reads");
    drop(stdin);
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    log.read_line(&mut String::new()).expect("a log");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"slow");
}

fn a_shutdown_that_has_begun_is_not_cut_short() {
    let mut function = Running::over_stdin("closes slowly");
    function.calls = Box::new(io::empty());
    function.logs("begun");
    function.terminate();
    let (status, log, _) = function.ended();
    assert_eq!((status, log.as_str()), (Some(0), "closed\n"));
}

fn a_runtime_that_is_busy_is_waited_for() {
    let [busy, stuck] = ["busy", "stuck"].map(|role| {
        let mut function = Running::over_stdin(role);
        function.logs("begun");
        function.terminate();
        function
    });
    let (status, log, _) = busy.ended();
    assert_eq!((status, log.as_str()), (Some(0), "closed\n"));
    let (status, log, _) = stuck.ended();
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("nothing was shut down"), "{log}");
}

fn what_is_dropped_is_the_programs_own() {
    let mut function = Running::over_stdin("drops");
    function.logs("begun");
    function.terminate();
    function.logs("done");
    assert_eq!(function.ended().0, Some(0));
}

#[cfg(feature = "compat")]
fn an_old_function_that_is_dropped_ends_behind_its_call() {
    let mut function = Running::over_stdin("drops an old one");
    function.logs("dropped");
    function.call("\"slow\"");
    function.logs("begun");
    function.terminate();
    function.answered("\"slow\"");
    assert_eq!(function.ended().0, Some(0));
}

fn who_was_killed_can_start_again() {
    let mut killed = Listening::start("plain", &[STREAM]);
    killed.child.kill().expect("it runs");
    killed.child.wait().expect("its end");
    let place = format!("unix:{}", killed.socket.display());
    let _again = Owned(start("plain", &[STREAM, ("FN_LISTENER", &place)]));
    let began = Instant::now();
    while std::os::unix::net::UnixStream::connect(&killed.socket).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody listens");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
