use std::path::Path;

use clap::Args;
use reqwest::Method;

use crate::cli::client::CALL;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::{Declared, IndexReport, IndexRequest};

/// The image does not index, or declines to.
const NOT_INDEXED: u8 = 3;
/// It could not be run, or did not answer.
const NO_ANSWER: u8 = 4;

const FOLDER: &str = "there is a folder of that name: fn deploy --dry-run builds it, and says what it \
                      declares";

#[derive(Debug, Args)]
pub(super) struct IndexArgs {
    /// The image to ask.
    image: String,
    /// Print the server's whole answer as JSON.
    #[arg(long)]
    json: bool,
    /// Seconds until the image has to have answered [default: the server's FN_INDEX_TIMEOUT].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: Option<u64>,
    /// Ask again, although the server knows what this image answers.
    #[arg(long)]
    reindex: bool,
}

pub(super) async fn run(args: &IndexArgs, session: &Session) -> anyhow::Result<()> {
    let request = IndexRequest {
        image: args.image.clone(),
        reindex: args.reindex,
        timeout: args.timeout,
    };
    let parts = ["v2", "index"];
    let answer: serde_json::Value = session
        .api
        .send_within(CALL, Method::POST, &parts, &request)
        .await?;
    if args.json {
        output::json(&answer)?;
    }
    let report: IndexReport = serde_json::from_value(answer)?;
    if !args.json && report.state == "valid" {
        output::line(&heading(&report))?;
        let rows: Vec<Vec<String>> = report.functions.iter().flat_map(rows).collect();
        output::table(
            &["NAME", "METHODS", "PATH", "MEMORY", "TIMEOUT", "ABOUT"],
            &rows,
        )?;
    }
    let judged = judge(&report);
    let unknown = !STATES.contains(&report.state.as_str());
    if unknown && Path::new(&args.image).is_dir() {
        return Ok(judged.map_err(|failure| failure.hint(FOLDER))?);
    }
    Ok(judged?)
}

/// A stranger's words, which may not move the cursor about.
fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// What a server says of an image that it could ask, or knows that it need not.
const STATES: [&str; 5] = ["valid", "invalid", "off", "undeclared", "declined"];

/// Notes what is odd, and fails where there is no valid index.
pub(super) fn judge(report: &IndexReport) -> Result<(), Failure> {
    for line in &report.log {
        output::note(&format!("stderr: {}", plain(line)));
    }
    for problem in &report.problems {
        output::note(problem);
    }
    for warning in &report.warnings {
        output::note(&format!("warning: {}: {warning}", report.image));
    }
    let message = report.message.clone().unwrap_or_default();
    let failure = Failure::new(format!("{}: {message}", report.image));
    match report.state.as_str() {
        "valid" => Ok(()),
        "invalid" => Err(failure),
        "off" => Err(failure
            .code(NOT_INDEXED)
            .hint("start the server with FN_FEATURE_FLAGS=EnableWorkerIndexing")),
        "undeclared" => Err(failure
            .code(NOT_INDEXED)
            .hint("build it with indexing: true in func.yaml, or with LABEL fn.indexing=true")),
        "declined" => Err(failure.code(NOT_INDEXED)),
        _ => Err(failure.code(NO_ANSWER)),
    }
}

/// What was asked, and how long that took.
pub(super) fn heading(report: &IndexReport) -> String {
    let count = match report.functions.len() {
        1 => "1 function".to_owned(),
        count => format!("{count} functions"),
    };
    let digest = report.digest.as_deref().unwrap_or_default();
    let took = match report.millis {
        Some(millis) => format!("{millis} ms"),
        None => "known".to_owned(),
    };
    format!(
        "Indexing {} ... {count} ({}{took})",
        report.image,
        short(digest)
    )
}

/// The start of an image's id; a program's says nothing that its name does not.
fn short(digest: &str) -> String {
    const DIGITS: usize = 12;
    match digest.split_once(':') {
        Some(("sha256", hex)) => {
            let start: String = hex.chars().take(DIGITS).collect();
            format!("sha256:{start}, ")
        }
        _ => String::new(),
    }
}

/// A line for each path.
fn rows(declared: &Declared) -> Vec<Vec<String>> {
    let value = |number: Option<u64>, unit: &str| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number}{unit}"))
    };
    let own = [
        value(declared.memory, "MB"),
        value(declared.timeout, "s"),
        declared.description.clone(),
    ];
    let mut paths: Vec<(String, String)> = declared
        .triggers
        .iter()
        .map(|trigger| (methods(&trigger.methods), trigger.source.clone()))
        .collect();
    if paths.is_empty() {
        paths.push(("-".to_owned(), "by id only".to_owned()));
    }
    let row = |(at, (methods, path)): (usize, (String, String))| {
        let name = if at == 0 { declared.name.as_str() } else { "" };
        let mut row = vec![name.to_owned(), methods, path];
        if at == 0 {
            row.extend(own.iter().cloned());
        }
        row
    };
    paths.into_iter().enumerate().map(row).collect()
}

/// As in tables: `ANY`, or the names.
pub(super) fn methods(names: &[String]) -> String {
    match names {
        [] => "ANY".to_owned(),
        names => names.join(","),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::args::run_line;
    use crate::cli::failure::code;
    use crate::cli::fake_server::FakeServer;

    async fn index(answer: &'static str, line: &str) -> Result<(), (u8, String)> {
        let server = FakeServer::start(&[(200, answer)]).await;
        let done = run_line(line, &[("FN_API_URL", &server.base)]).await;
        assert_eq!(server.asked().len(), 1);
        done.map_err(|error| (code(&error), error.to_string()))
    }

    #[tokio::test]
    async fn each_outcome_has_its_exit_code() {
        for (answer, expected) in [
            (
                r#"{"image":"i","state":"valid","functions":[{"name":"f"}]}"#,
                None,
            ),
            (
                r#"{"image":"i","state":"invalid","message":"m","problems":["p"]}"#,
                Some(1),
            ),
            (r#"{"image":"i","state":"off","message":"m"}"#, Some(3)),
            (
                r#"{"image":"i","state":"undeclared","message":"m"}"#,
                Some(3),
            ),
            (r#"{"image":"i","state":"declined","message":"m"}"#, Some(3)),
            (
                r#"{"image":"i","state":"failed","message":"m","log":["l"]}"#,
                Some(4),
            ),
        ] {
            for line in ["fn index i", "fn index i --json"] {
                let done = index(answer, line).await.err();
                let wanted = expected.map(|code| (code, "i: m".to_owned()));
                assert_eq!(done, wanted, "{line}: {answer}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_asked_is_what_was_typed() {
        let server = FakeServer::start(&[(200, r#"{"image":"i","state":"valid"}"#)]).await;
        let line = "fn index i --timeout 5 --reindex";
        run_line(line, &[("FN_API_URL", &server.base)])
            .await
            .unwrap();
        assert_eq!(
            server.asked(),
            [r#"POST /v2/index {"image":"i","reindex":true,"timeout":5}"#]
        );
    }
}
