//! A function that does what its caller's query says, most of it wrong. The tests' function.

#![expect(
    clippy::disallowed_methods,
    reason = "hanging and exiting are this function's job"
)]

mod answer;
mod body;
mod cold;
mod frame;
mod index;
mod listen;
mod request;

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::FromRawFd;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use request::Request;

fn main() -> io::Result<()> {
    // SAFETY: nothing else in this program owns or uses fd 1.
    let mut out = Some(unsafe { File::from_raw_fd(1) });
    if let Some(out) = out
        .as_mut()
        .filter(|_| std::env::var_os("FN_INDEXING").is_some())
    {
        return index::serve(&mut io::stdin().lock(), out);
    }
    misstart(&mut out)?;
    match std::env::var("FN_FORMAT").as_deref() {
        Ok("http-stream") => listen::serve(),
        Ok("json" | "cloudevent") => frame::serve(&mut out),
        Ok("default") => cold::serve(&mut out),
        _ => converse(&mut io::stdin().lock(), &mut out),
    }
}

/// Answers requests until there are no more, or the connection is to end.
fn converse(input: &mut impl BufRead, out: &mut Option<File>) -> io::Result<()> {
    while let Some(mut request) = request::read_head(input)? {
        if request.has("neverread") {
            hang();
        }
        if request.has("shuts") {
            shut();
        }
        let early = request.has("early") || request.has("shuts");
        if !early && !request.has("ignores") {
            request.read_body(input)?;
        }
        if request.has("overread") {
            let _ = input.fill_buf()?;
        }
        disturb(&request, out)?;
        if let Some(out) = out.as_mut().filter(|_| !request.has("garbage")) {
            answer::write(&request, out)?;
        }
        if early && !request.has("shuts") {
            request.read_body(input)?;
        }
        if request.has("leave") {
            leave(request.number("ms").unwrap_or(0));
        }
        if request.has("close") || request.has("hangup") {
            break;
        }
    }
    Ok(())
}

/// Closes stdin; whoever reads from it afterwards gets an error.
fn shut() {
    // SAFETY: nothing else owns fd 0, and nothing is opened in its place before it is read again.
    drop(unsafe { File::from_raw_fd(0) });
}

/// Reads no more requests, but takes its time to end.
fn leave(millis: u64) -> ! {
    shut();
    pause(millis);
    std::process::exit(2)
}

/// What goes wrong before the first request: `MISBEHAVE_START=exit:N|sleep:MS|alloc:MB|garbage`.
fn misstart(out: &mut Option<File>) -> io::Result<()> {
    let Ok(start) = std::env::var("MISBEHAVE_START") else {
        return Ok(());
    };
    match start.split_once(':').unwrap_or((&start, "")) {
        ("exit", code) => std::process::exit(code.parse().unwrap_or(1)),
        ("sleep", millis) => pause(millis.parse().unwrap_or(0)),
        ("alloc", megabytes) => allocate(megabytes.parse().ok()),
        ("garbage", _) => print(out, b"Starting up, please wait...\n")?,
        _ => eprintln!("unknown MISBEHAVE_START: {start}"),
    }
    Ok(())
}

/// What goes wrong between request and answer, in this order.
fn disturb(request: &Request, out: &mut Option<File>) -> io::Result<()> {
    if request.has("sleep") {
        pause(request.number("ms").unwrap_or(1000));
    }
    if request.has("grandchild") {
        leave_grandchild(request.number("ms").unwrap_or(60_000))?;
    }
    if request.has("greedychild") {
        feed_greedy_child(request.number("mb").unwrap_or(1024))?;
    }
    if request.has("prints") {
        print(out, b"a stray print\n")?;
    }
    if request.has("flood") {
        flood(request.number("n").unwrap_or(1024 * 1024))?;
    }
    if request.has("alloc") {
        allocate(request.number("mb"));
    }
    if request.has("closeout") {
        *out = None;
        hang();
    }
    if request.has("garbage") {
        print(out, b"this is not HTTP\r\n\r\n")?;
    }
    if request.has("crash") {
        std::process::abort();
    }
    if request.has("exit") {
        std::process::exit(code(request));
    }
    Ok(())
}

fn code(request: &Request) -> i32 {
    request
        .number("code")
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or(0)
}

fn print(out: &mut Option<File>, text: &[u8]) -> io::Result<()> {
    out.as_mut().map_or(Ok(()), |out| out.write_all(text))
}

fn pause(millis: u64) {
    sleep(Duration::from_millis(millis));
}

fn hang() -> ! {
    loop {
        pause(60_000);
    }
}

/// A process that keeps our stdout open for a while, whatever becomes of us.
fn leave_grandchild(millis: u64) -> io::Result<()> {
    Command::new(std::env::current_exe()?)
        .env("MISBEHAVE_START", format!("sleep:{millis}"))
        .stdin(std::process::Stdio::null())
        .spawn()
        .map(drop)
}

/// A process that takes more memory than there may be, and is gone before we answer.
fn feed_greedy_child(megabytes: u64) -> io::Result<()> {
    Command::new(std::env::current_exe()?)
        .env("MISBEHAVE_START", format!("alloc:{megabytes}"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .map(drop)
}

fn flood(bytes: u64) -> io::Result<()> {
    let line = b"stderr stderr stderr stderr stderr stderr stderr stderr stderr\n";
    let mut left = bytes;
    let mut stderr = io::stderr().lock();
    while left > 0 {
        let length = line.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stderr.write_all(&line[..length])?;
        left -= length as u64;
    }
    Ok(())
}

/// Touches every page, so that the kernel has to find them; without a bound, until it cannot.
fn allocate(megabytes: Option<u64>) {
    let mut held = Vec::new();
    while megabytes.is_none_or(|megabytes| (held.len() as u64) < megabytes) {
        held.push(vec![1_u8; 1024 * 1024]);
        std::hint::black_box(&held);
    }
}
