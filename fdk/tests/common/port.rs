//! A function that is tried out by hand.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use crate::process::command;

/// A function with `--serve`, where it listens, and what else it logs.
pub(crate) fn serve(
    role: &str,
    settings: &[(&str, &str)],
) -> (Child, String, BufReader<ChildStderr>) {
    let mut child = command(role, settings)
        .args(["--serve", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the test can start itself");
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    log.read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on http://");
    let address = address.expect("an address").to_owned();
    (child, address, log)
}
