use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::hash::BuildHasher;
use std::io::Write as _;
use std::sync::LazyLock;

use crate::request::Request;

/// The content type and body that the request asks for; an echo if it does not.
pub fn of(request: &Request) -> (String, Vec<u8>) {
    let text = if request.has("len") {
        request.body.len().to_string()
    } else if request.has("headers") {
        return ("text/plain; charset=utf-8".to_owned(), request.raw.clone());
    } else if request.has("env") {
        env()
    } else if request.has("id") {
        id()
    } else if request.has("writeout") {
        write_out()
    } else if request.has("grab") {
        grab()
    } else if request.has("binary") {
        return (
            "application/octet-stream".to_owned(),
            (0..=u8::MAX).collect(),
        );
    } else if request.has("big") {
        let length = usize::try_from(request.number("n").unwrap_or(0)).unwrap_or(0);
        return ("application/octet-stream".to_owned(), vec![b'x'; length]);
    } else {
        let content_type = request
            .header("content-type")
            .unwrap_or("application/octet-stream");
        return (content_type.to_owned(), request.body.clone());
    };
    ("text/plain; charset=utf-8".to_owned(), text.into_bytes())
}

fn env() -> String {
    let mut text = String::new();
    for (name, value) in std::env::vars_os() {
        let _ = writeln!(
            text,
            "{}={}",
            name.to_string_lossy(),
            value.to_string_lossy()
        );
    }
    text
}

/// Tells containers apart; the process id alone is 1 in each of them.
fn id() -> String {
    static ID: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    format!("{:016x} {}", *ID, std::process::id())
}

/// Takes as much as it is given of what a container has, each up to some thousands, and tells how
/// much that was.
fn grab() -> String {
    const MOST: usize = 4096;

    let sleeper = || {
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        thread.spawn(std::thread::park).ok()
    };
    let threads: Vec<_> = (0..MOST).map_while(|_| sleeper()).collect();
    let file = || OpenOptions::new().read(true).open("/").ok();
    let files = (0..MOST).map_while(|_| file()).collect::<Vec<_>>().len();
    let root = OpenOptions::new()
        .create(true)
        .append(true)
        .open("/grabbed");
    let mut text = format!(
        "threads {}\nfiles {files}\nroot {}\n",
        threads.len(),
        root.is_ok()
    );
    for thread in threads {
        thread.thread().unpark();
        let _ = thread.join();
    }
    let path = "/tmp/grabbed";
    let piece = vec![b'x'; 1 << 20];
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let written = (0..MOST).take_while(|_| file.write_all(&piece).is_ok());
        let _ = writeln!(text, "megabytes {}", written.count());
    }
    let _ = std::fs::remove_file(path);
    text
}

/// Opens them only: what is written to stdout would be part of the answer.
fn write_out() -> String {
    let mut text = String::new();
    for path in ["/dev/stderr", "/dev/stdout"] {
        let outcome = match OpenOptions::new().write(true).open(path) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        let _ = writeln!(text, "{path}: {outcome}");
    }
    text
}
