use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::build::error::BuildError;
use crate::build::plan::Progress;

/// Lines of a tool that are kept for the error; a compiler says what matters at the end.
const KEPT_LINES: usize = 400;

/// Runs the `build:` commands of func.yaml one after the other in `dir`.
pub(super) async fn run(
    dir: &Path,
    steps: &[String],
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    for step in steps {
        progress.step(&format!("Running {step}"));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(step).current_dir(dir);
        shell.arg("sh").stdin(Stdio::null());
        shell
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = shell
            .spawn()
            .map_err(BuildError::io("run", Path::new("sh")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (mut out, err) = tokio::join!(lines(out, progress), lines(err, progress));
        out.extend(err);
        finish(child, step, &out).await?;
    }
    Ok(())
}

/// Reads a tool's output to its end, reporting every line; gives the last ones back.
pub(super) async fn lines<R: AsyncRead + Unpin>(
    source: Option<R>,
    progress: &dyn Progress,
) -> Vec<String> {
    let mut kept = std::collections::VecDeque::new();
    let Some(source) = source else {
        return Vec::new();
    };
    let mut reader = BufReader::new(source);
    let mut raw = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut raw).await {
        let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
        raw.clear();
        progress.line(&line);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    kept.into()
}

pub(super) async fn finish(
    mut child: Child,
    command: &str,
    output: &[String],
) -> Result<(), BuildError> {
    let status = child
        .wait()
        .await
        .map_err(BuildError::io("wait for", Path::new(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Command {
        command: command.to_owned(),
        output: output.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::image::tests::Recorder;

    #[tokio::test]
    async fn steps_run_in_order_until_one_fails_and_its_words_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let steps = ["echo one > a", "cat a; echo bad >&2; exit 3", "touch never"];
        let steps = steps.map(str::to_owned);
        let recorder = Recorder::default();
        let error = run(dir.path(), &steps, &recorder).await.unwrap_err();
        assert_eq!(error.to_string(), "cat a; echo bad >&2; exit 3 failed");
        assert_eq!(error.output(), Some("one\nbad"));
        assert!(!dir.path().join("never").exists());
        assert!(recorder.text().contains("Running echo one > a\n"));
    }
}
