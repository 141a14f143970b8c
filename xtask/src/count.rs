//! `cargo xtask count`: how many instructions a call takes, part by part, against what is recorded.
//!
//! A clock says nothing on a machine that others use; a count does. It is taken of the development
//! build, in which nothing is inlined and every part can be told from the others, and which whoever
//! runs the tests has anyway. So only its changes mean anything. The function is as `fn build` makes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::load::Call;
use crate::process::output;
use crate::subject::{Ground, Kiln, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records what is counted.
    #[arg(long)]
    update: bool,
}

/// What is counted, and the function whose work it is, with all that it calls.
const PARTS: [(&str, &str); 8] = [
    (
        "the call, without the server's HTTP",
        "gateway::handle::Gateway::answer::{{closure}}",
    ),
    (
        "watch the request's bytes",
        "wire::watch::RequestWatch::advance",
    ),
    ("find the function", "store::catalog::Catalog::trigger"),
    (
        "check a container out",
        "pool::driver::Pool::check_out::{{closure}}",
    ),
    ("begin the exchange", "format::exchange::begin"),
    (
        "write the request's head",
        "wire::encode::encode_request_head",
    ),
    (
        "read the response",
        "wire::response::ResponseDecoder::decode",
    ),
    ("give the container back", "pool::slot::Slot::give_back"),
];

/// What a function does for a call that echoes, all in all.
const FUNCTION: &str = "answer in a Rust function";

const RECORD: &str = "xtask/counts.json";
/// How much more than what is recorded is too much, in hundredths.
const TOLERANCE: u64 = 10;
const CALLS: u64 = 400;

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let counts = count(folder.path()).await?;
    if args.update {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        std::fs::write(RECORD, text)?;
    }
    if !cfg!(target_arch = "x86_64") {
        print("recorded are the instructions of x86-64 only, so nothing is compared here");
    }
    let recorded = std::fs::read_to_string(RECORD).context(RECORD)?;
    let recorded: BTreeMap<String, u64> = serde_json::from_str(&recorded)?;
    let (table, worse) = compare(&counts, &recorded);
    print(&table);
    ensure!(
        worse.is_empty() || !cfg!(target_arch = "x86_64"),
        "more instructions than recorded: {}; spend fewer, or say why and record them with --update",
        worse.join(", ")
    );
    Ok(())
}

/// The table, and what takes too many.
fn compare(
    counts: &BTreeMap<&str, u64>,
    recorded: &BTreeMap<String, u64>,
) -> (String, Vec<String>) {
    let mut table = format!(
        "{:<38} {:>10} {:>10}\n",
        "instructions per call", "now", "recorded"
    );
    let mut worse = Vec::new();
    for (part, now) in counts {
        let before = recorded.get(*part).copied().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{part:<38} {now:>10} {before:>10}");
        if *now > before + before * TOLERANCE / 100 {
            worse.push(format!("{part} ({now}, not {before})"));
        }
    }
    (table, worse)
}

async fn count(folder: &Path) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let profile = folder.join("profile");
    let out = format!("--callgrind-out-file={}", profile.display());
    let tool = ["valgrind", "--tool=callgrind", &out];
    let ground = Ground::new(folder, Path::new("target/debug/fn")).under(&tool);
    let settings = [("FN_LAUNCHER", "process")];
    let kiln = Kiln::start("count", &ground, &settings).await?;
    let scale = json!({ "kiln/scale": { "min": 1, "max": 1 } });
    // What tells how many containers are there reads the auxiliary vector, in which valgrind leaves
    // an address out; the first call waits for them just as well.
    kiln.function("counted", &scale).await?;
    let call = Call::new(kiln.address(), &path("counted"), 200);
    let statuses = call.in_a_row(CALLS).await?;
    ensure!(statuses.keys().eq([&200]), "statuses {statuses:?}");
    kiln.stop().await?;
    // The file is there when the program has ended.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut annotate = Command::new("callgrind_annotate");
    annotate
        .args(["--inclusive=yes", "--threshold=100"])
        .arg(profile);
    let annotated = output(&mut annotate).await?;
    let mut counts = BTreeMap::from([(FUNCTION, in_a_function(folder).await?)]);
    for (part, function) in PARTS {
        counts.insert(part, inclusive(&annotated, function)? / CALLS);
    }
    Ok(counts)
}

/// Of the one program that was built in `folder`.
async fn in_a_function(folder: &Path) -> anyhow::Result<u64> {
    let mut built = std::fs::read_dir(folder.join("bin"))?;
    let program = built.next().context("no function was built")??.path();
    // What it does once, whoever calls, is in both.
    let (few, many) = (CALLS / 4, CALLS / 4 + CALLS);
    let few = collected(&program, folder, few).await?;
    let many = collected(&program, folder, many).await?;
    Ok((many - few) / CALLS)
}

/// What a server writes for a call.
fn request() -> String {
    let (host, path) = ("127.0.0.1:8080", path("counted"));
    let body = "x".repeat(200);
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nFn-Call-Depth: 1\r\n\
         Fn_call_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\nFn_deadline: 2036-11-22T23:14:30.385Z\r\n\
         Fn_method: POST\r\nFn_request_url: http://{host}{path}\r\n\r\n{body}",
        body.len(),
    )
}

/// How many instructions the function runs through from its start to its end, with so many `calls`.
async fn collected(program: &Path, folder: &Path, calls: u64) -> anyhow::Result<u64> {
    let (requests, log) = (folder.join("requests"), folder.join("collected"));
    std::fs::write(&requests, request().repeat(usize::try_from(calls)?))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(format!("--log-file={}", log.display()));
    command.arg(program).env("FN_FORMAT", "http");
    command.stdin(std::fs::File::open(requests)?);
    let answers = output(&mut command).await?;
    let answered = answers.matches("HTTP/1.1 200 OK\r\n").count();
    ensure!(
        answered as u64 == calls,
        "the function answered {answered} of {calls} calls"
    );
    let said = std::fs::read_to_string(log)?;
    let line = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = line.context("valgrind tells no number of instructions")?;
    Ok(count.trim().parse()?)
}

/// The count of the line about `function`: `1,234 (5.6%)  file:crate::function [program]`.
fn inclusive(annotated: &str, function: &str) -> anyhow::Result<u64> {
    let is_of = |line: &&str| {
        let name = line.split(" [").next().unwrap_or_default();
        name.ends_with(function)
    };
    // A function with code of several files in it has a line for each, and one for all: the first.
    let Some(line) = annotated.lines().find(is_of) else {
        bail!("nothing is known of {function}");
    };
    let count = line.split_whitespace().next().unwrap_or_default();
    Ok(count.replace(',', "").parse()?)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOTATED: &str = "\
        1,200 (50.0%)  src/pool/slot.rs:kiln::pool::slot::Slot::give_back [/fn]\n\
        100 ( 5.0%)  core/src/ptr.rs:kiln::pool::slot::Slot::give_back [/fn]\n\
        50 ( 2.0%)  src/pool/slot.rs:kiln::pool::slot::Slot::give_back::{{closure}} [/fn]\n";

    #[test]
    fn a_functions_count_is_found_by_the_end_of_its_name() {
        assert_eq!(
            inclusive(ANNOTATED, "pool::slot::Slot::give_back").unwrap(),
            1200
        );
        assert_eq!(
            inclusive(ANNOTATED, "Slot::give_back::{{closure}}").unwrap(),
            50
        );
        assert!(inclusive(ANNOTATED, "Slot::give").is_err());
    }

    #[test]
    fn more_than_a_tenth_beyond_what_is_recorded_is_too_much() {
        let recorded = BTreeMap::from([("a".to_owned(), 100), ("b".to_owned(), 100)]);
        let worse = |now| compare(&BTreeMap::from([("a", now), ("b", 50)]), &recorded).1;
        assert!(worse(110).is_empty());
        assert_eq!(worse(111), ["a (111, not 100)"]);
    }
}
