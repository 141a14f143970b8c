//! A function that is given all its calls at once.

use std::io::Write;
use std::process::Output;

use crate::process::start;

/// All that a function says to `input`.
pub(crate) fn call(role: &str, settings: &[(&str, &str)], input: &str) -> Output {
    let mut child = start(role, settings);
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A function that refuses to start reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends with its stdin")
}

pub(crate) fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
