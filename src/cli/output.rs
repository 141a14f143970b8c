//! All that the commands print. Results go to stdout, everything else to stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use dialoguer::Confirm;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::build::Progress;
use crate::config::variable;

/// One line of a result.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// A piece of a result as it is, without a line's end.
pub(super) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}

/// A result for programs.
pub(super) fn json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// A result for people: columns two spaces apart.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().cloned()).collect();
    for text in columns(&all) {
        line(&text)?;
    }
    Ok(())
}

/// Whether results go to a person and not into a file or another program.
pub(super) fn is_read_by_people() -> bool {
    io::stdout().is_terminal()
}

/// Whether somebody is there to answer a question.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question on stderr; no answer is a no.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    let ask = Confirm::new().with_prompt(question).default(false);
    match ask.interact_opt() {
        Ok(answer) => Ok(answer.unwrap_or(false)),
        Err(dialoguer::Error::IO(error)) => Err(error),
    }
}

/// Something worth knowing that is no result.
pub(super) fn note(text: &str) {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Why a command stopped: the error, its causes, what a tool wrote, and what to do.
pub(super) fn failure(causes: &[String], tool_output: Option<&str>, hint: Option<&str>) {
    if let Some(output) = tool_output {
        note(output.trim_end());
    }
    for (index, cause) in causes.iter().enumerate() {
        if index == 0 {
            note(&format!("{} {cause}", paint("error:", "1;31")));
        } else {
            note(&format!("{} {cause}", paint("caused by:", "1")));
        }
    }
    if let Some(hint) = hint {
        note(&format!("{} {hint}", paint("hint:", "1;36")));
    }
}

fn paint(word: &str, code: &str) -> String {
    if io::stderr().is_terminal() && variable("NO_COLOR").is_none() {
        format!("\x1b[{code}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

/// Rows as lines, every column as wide as its widest cell.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..most).map(width).collect();
    let show = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(show).collect()
}

/// The steps of a longer command: a spinner where somebody watches, plain lines elsewhere.
pub(super) struct Steps {
    bar: Option<ProgressBar>,
    current: Mutex<Option<String>>,
    verbose: bool,
}

impl Steps {
    pub(super) fn new(verbose: bool) -> Self {
        let watched = io::stderr().is_terminal() && !verbose;
        let bar = watched.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self {
            bar,
            current: Mutex::new(None),
            verbose,
        }
    }

    /// The last step is done.
    pub(super) fn done(&self) {
        let last = self.current.lock().take();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            if let Some(text) = last {
                note(&text);
            }
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Steps {
    fn step(&self, text: &str) {
        let before = self.current.lock().replace(text.to_owned());
        match &self.bar {
            None => note(text),
            Some(bar) => {
                if let Some(before) = before {
                    bar.println(before);
                }
                bar.set_message(text.to_owned());
            }
        }
    }

    fn line(&self, text: &str) {
        if self.verbose {
            note(text);
        } else if let (Some(bar), Some(step)) = (&self.bar, &*self.current.lock()) {
            let plain: String = text.chars().filter(|c| !c.is_control()).collect();
            bar.set_message(format!("{step}: {plain}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["NAME".to_owned(), "ID".to_owned()],
            vec!["hello".to_owned(), "01A".to_owned()],
            vec!["é".to_owned(), String::new()],
        ];
        let lines = columns(&rows);
        assert_eq!(lines, ["NAME   ID", "hello  01A", "é"]);
        assert!(columns(&[]).is_empty());
    }
}
