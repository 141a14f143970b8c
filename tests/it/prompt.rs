//! Questions of the command line, at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use tokio::process::Command;

use crate::support::{Backend, Gateway, PATIENCE};

/// Runs a command at a terminal of its own and types `keys` when it asks; its exit code, and what
/// stood on the terminal.
async fn at_a_terminal(gateway: &Gateway, args: &[&str], keys: &[u8]) -> (Option<i32>, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let open = || File::options().read(true).write(true).open(&name).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(Path::new(env!("CARGO_BIN_EXE_fn")))
        .args(args)
        .env("FN_API_URL", gateway.url(""))
        .env("HOME", home.path())
        .env("TERM", "xterm")
        .stdin(Stdio::from(open()))
        .stdout(Stdio::from(open()))
        .stderr(Stdio::from(open()))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut terminal = File::from(ours);
    let keys = keys.to_vec();
    let read = tokio::task::spawn_blocking(move || {
        let (mut shown, mut piece, mut typed) = (Vec::new(), [0; 1024], false);
        // A terminal that nobody else has open any more is an error to read.
        while let Ok(read @ 1..) = terminal.read(&mut piece) {
            shown.extend_from_slice(&piece[..read]);
            if !typed && String::from_utf8_lossy(&shown).contains('?') {
                terminal.write_all(&keys).unwrap();
                typed = true;
            }
        }
        String::from_utf8_lossy(&shown).into_owned()
    });
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    let code = ended.unwrap().unwrap().code();
    let shown = tokio::time::timeout(PATIENCE, read).await;
    (code, shown.unwrap().unwrap())
}

async fn is_there(gateway: &Gateway, name: &str) -> bool {
    gateway.get(&format!("/v1/apps/{name}")).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_a_yes() {
    let gateway = Gateway::start(Backend::Process).await;
    let app = json!({"name": "shop"}).to_string();
    assert_eq!(gateway.post("/v2/apps", app).await.status, 200);
    let delete = ["delete", "app", "shop"];
    for no in ["n", "\r", "\x1b", "xn"] {
        let (code, shown) = at_a_terminal(&gateway, &delete, no.as_bytes()).await;
        assert_eq!(code, Some(1), "{no:?}: {shown}");
        assert!(
            shown.contains("Delete app shop and everything in it?"),
            "{shown}"
        );
        assert!(shown.contains("nothing was deleted"), "{no:?}: {shown}");
        assert!(is_there(&gateway, "shop").await, "{no:?}");
    }
    let (code, shown) = at_a_terminal(&gateway, &delete, b"y").await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Deleted app shop"), "{shown}");
    assert!(!is_there(&gateway, "shop").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_asked_about() {
    let gateway = Gateway::start(Backend::Process).await;
    let app = json!({"name": "shop"}).to_string();
    assert_eq!(gateway.post("/v2/apps", app).await.status, 200);
    for (args, words) in [
        (&["delete", "app", "gone"][..], "app gone does not exist"),
        (
            &["delete", "function", "shop", "f"],
            "function f does not exist in app shop",
        ),
        (
            &["delete", "route", "shop", "/p"],
            "route /p does not exist in app shop",
        ),
        (&["delete", "context", "c"], "context c"),
    ] {
        let (code, shown) = at_a_terminal(&gateway, args, b"y").await;
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains(words), "{shown}");
        assert!(shown.contains("hint:"), "{shown}");
        assert!(!shown.contains('?'), "{shown}");
    }
}
