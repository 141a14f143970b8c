//! A test that starts itself as the function.

use std::process::{Child, Command, Stdio};

/// Names the function that a process is; where it is not set, the process is the test.
pub(crate) const ROLE: &str = "FDK_TEST_FUNCTION";

pub(crate) fn command(role: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test knows its own path"));
    command
        .env(ROLE, role)
        .env_remove("FN_FORMAT")
        .env_remove("FN_LISTENER")
        .env_remove("RUST_LOG")
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn start(role: &str, settings: &[(&str, &str)]) -> Child {
    let child = command(role, settings).spawn();
    child.expect("the test can start itself")
}
