//! The house rules that no compiler checks: which room may see which, which crate may be used
//! where, what a door may hold, how long files get, and what must never be written down.
//!
//! Everything here looks at text, so it is quick and needs nothing built; only what a dependency
//! asks of a toolchain has to be asked of cargo. Each rule is a function from files to findings,
//! tried on small samples first and then on the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::{fmt, fs};

/// Which rooms a room may see, besides itself. `*` stands for all of them.
const ROOMS: [(&str, &[&str]); 15] = [
    ("alarm", &[]),
    ("model", &[]),
    ("config", &["model"]),
    ("store", &["model"]),
    ("launcher", &["model"]),
    ("pool", &["alarm", "launcher", "model"]),
    ("format", &["model", "pool", "launcher"]),
    (
        "invoke",
        &["format", "pool", "launcher", "model", "store", "telemetry"],
    ),
    ("gateway", &["alarm", "model", "store", "invoke", "format"]),
    ("index", &["launcher", "model", "store"]),
    ("api", &["index", "model", "store"]),
    ("telemetry", &["config", "model"]),
    ("build", &["model", "config"]),
    ("cli", &["model", "config", "build"]),
    ("server", &["*"]),
];

/// Files that may see one room more than the room they are in.
const EXTRA_SIGHT: [(&str, &str); 3] = [
    ("src/cli/start.rs", "server"),
    ("src/cli/import.rs", "store"),
    ("src/main.rs", "cli"),
];

/// Foreign crates, and the only places that may use them.
const FENCES: [(&str, &[&str]); 10] = [
    (
        "bollard",
        &[
            "src/launcher/docker/",
            "src/build/",
            "src/launcher/conformance.rs",
        ],
    ),
    ("sqlx", &["src/store/"]),
    ("axum", &["src/api/"]),
    ("clap", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("dialoguer", &["src/cli/"]),
    ("httparse", &["crates/wire/"]),
    ("anyhow", &["src/main.rs", "src/cli/"]),
    // A function of an old FDK speaks of hyper and means what the FDK has for it.
    (
        "hyper",
        &[
            "src/gateway/",
            "src/launcher/docker/attach.rs",
            "src/cli/fake_server.rs",
            "fdk/tests/compat_01.rs",
        ],
    ),
    (
        "hyper_util",
        &[
            "src/gateway/",
            "src/launcher/docker/attach.rs",
            "src/cli/fake_server.rs",
        ],
    ),
];

/// The engines, which everybody but the composition root knows as a `Launcher` only.
const ENGINES: [&str; 2] = ["DockerLauncher", "ProcessLauncher"];

const DOOR_ITEMS: [&str; 5] = ["fn", "struct", "enum", "impl", "trait"];

const MAX_MEDIAN_LINES: usize = 200;
const MAX_LINES: usize = 800;

/// Text that only means something on the machine or in the moment in which it was written. In two
/// pieces each, so that this file may be searched like any other.
const UNWANTED: [&str; 7] = [
    concat!("/wo", "rk/"),
    concat!("/tmp/", "wt/"),
    concat!("index.", "crates.io"),
    concat!("spar", "se+"),
    concat!("issue", " #"),
    concat!("in this", " session"),
    concat!("sub", "agent"),
];

/// The page that says what may go wrong around a call, and its cases: a letter, and how many.
const ROBUSTNESS: &str = "docs/robustness.md";
const CASES: [(char, usize); 3] = [('A', 19), ('B', 8), ('C', 22)];

/// Folders that hold what was made, not what was written.
const SKIPPED_DIRS: [&str; 6] = [
    ".git",
    "target",
    "data",
    "artifacts",
    "corpus",
    "node_modules",
];
/// Anything longer is not something that a person wrote.
const MAX_TEXT_BYTES: u64 = 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
struct File {
    /// From the root of the repository, with `/` between the parts.
    path: String,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

// === Reading the tree ===

/// Every text file of the repository.
fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the repository can be read") {
            let entry = entry.expect("a folder of the repository can be read");
            let kind = entry.file_type().expect("an entry has a type");
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                if !SKIPPED_DIRS.contains(&name.as_str()) {
                    dirs.push(entry.path());
                }
                continue;
            }
            let short = entry.metadata().is_ok_and(|m| m.len() <= MAX_TEXT_BYTES);
            // In a linked worktree `.git` is a file that names a folder of this machine.
            if !kind.is_file() || !short || name == ".git" {
                continue;
            }
            // What is not UTF-8 is not text.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                let path = entry.path();
                let path = path.strip_prefix(root).expect("entries are below the root");
                files.push(File {
                    path: path.to_string_lossy().replace('\\', "/"),
                    text,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 100, "this is not the repository: {root:?}");
    files
}

/// The Rust of the server, the shared crates and the FDK, with comments and strings blanked.
fn sources() -> Vec<File> {
    tree()
        .into_iter()
        .filter(|file| {
            let ours = ["src/", "crates/", "fdk/"];
            file.path.ends_with(".rs") && ours.iter().any(|dir| file.path.starts_with(dir))
        })
        .map(|file| File {
            text: code_of(&file.text),
            path: file.path,
        })
        .collect()
}

/// The code alone: every byte of a comment, a string or a character becomes a space, so that
/// lines and columns stay where they are.
fn code_of(text: &str) -> String {
    let ranges: Vec<_> = others(text).into_iter().map(|(_, range)| range).collect();
    blanked(text, &ranges)
}

/// The comments alone, where they stand.
fn comments_of(text: &str) -> String {
    let mut rest = Vec::new();
    let mut at = 0;
    for (other, range) in others(text) {
        if other == Other::Comment {
            rest.push(at..range.start);
            at = range.end;
        }
    }
    rest.push(at..text.len());
    blanked(text, &rest)
}

fn blanked(text: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        for byte in &mut bytes[range.clone()] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).expect("only whole comments and strings were replaced, or kept")
}

/// What is not code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Comment,
    Literal,
}

/// Where the comments, the strings and the characters are.
fn others(text: &str) -> Vec<(Other, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (other, end) = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => (Other::Comment, line_end(bytes, at)),
            b'/' if bytes[at..].starts_with(b"/*") => (Other::Comment, comment_end(bytes, at)),
            b'r' if at == 0 || bytes[at - 1] == b'b' || !is_word(bytes[at - 1]) => {
                (Other::Literal, raw_string_end(bytes, at))
            }
            b'"' => (Other::Literal, quoted_end(bytes, at, b'"')),
            b'\'' => (Other::Literal, char_end(bytes, at)),
            _ => (Other::Literal, at),
        };
        if end == at {
            at += 1;
            continue;
        }
        found.push((other, at..end));
        at = end;
    }
    found
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..].iter().position(|b| *b == b'\n');
    length.map_or(bytes.len(), |length| start + length)
}

/// Block comments nest.
fn comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of `r"..."` or `r#"..."#` that starts at `start`; `start` where there is none.
fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..]
        .iter()
        .take_while(|b| **b == b'#')
        .count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return start;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let rest = &bytes[open + 1..];
    let length = rest.windows(close.len()).position(|w| w == close);
    length.map_or(bytes.len(), |length| open + 1 + length + close.len())
}

fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character; `start` where the quote begins a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start + 1) {
        Some(b'\\') => quoted_end(bytes, start, b'\''),
        Some(first) => {
            let length = match first {
                0..=0x7f => 1,
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            let close = start + 1 + length;
            if bytes.get(close) == Some(&b'\'') {
                close + 1
            } else {
                start
            }
        }
        None => start,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands alone in `text`.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = *at > 0 && is_word(bytes[at - 1]);
            let after = bytes.get(at + word.len()).is_some_and(|b| is_word(*b));
            !before && !after
        })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn finding(file: &File, at: usize, what: String) -> Finding {
    Finding {
        path: file.path.clone(),
        line: line_of(&file.text, at),
        what,
    }
}

// === The rules ===

/// The room of a file: the folder, or the file, right below `src`.
fn room_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    rest.split_once('/')
        .map_or_else(|| rest.strip_suffix(".rs"), |(room, _)| Some(room))
}

/// The names at the root of our crate that the code mentions, with where.
fn mentioned_rooms(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = &file.text;
    for root in ["crate", "kiln"] {
        for at in words(code, root) {
            names_after(code, at + root.len(), &mut found);
        }
    }
    // `src/pool/lane.rs` is two modules deep, so two `super`s lead out of its room.
    let inner = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = inner.matches('/').count();
    let climb = vec!["super"; depth].join("::");
    if depth > 0 {
        for at in words(code, &climb) {
            names_after(code, at + climb.len(), &mut found);
        }
    }
    found
}

/// Reads `::name`, or `::{name::.., name}`, from `at` on.
fn names_after(code: &str, at: usize, found: &mut Vec<(usize, String)>) {
    let Some(rest) = code[at..].strip_prefix("::") else {
        return;
    };
    let start = at + 2;
    let Some(group) = rest.strip_prefix('{') else {
        found.extend(name_at(code, start));
        return;
    };
    let (mut depth, mut fresh) = (0_usize, true);
    for (offset, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if c.is_whitespace() => {}
            _ if fresh => {
                fresh = false;
                found.extend(name_at(code, start + 1 + offset));
            }
            _ => {}
        }
    }
}

fn name_at(code: &str, at: usize) -> Option<(usize, String)> {
    let name: String = code[at..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some((at, name))
}

/// Rooms see only what the table lets them see, and every room is in the table.
fn wrong_directions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(room) = room_of(&file.path) else {
            continue;
        };
        let allowed = match ROOMS.iter().find(|(name, _)| *name == room) {
            Some((_, allowed)) => *allowed,
            // The map of the rooms, and the program: both are at the root.
            None if room == "lib" || room == "main" => &[],
            None => {
                let what = format!("room {room} is not in the table of tests/tidy.rs");
                findings.push(finding(file, 0, what));
                continue;
            }
        };
        for (at, name) in mentioned_rooms(file) {
            let is_room = ROOMS.iter().any(|(room, _)| *room == name);
            let extra = EXTRA_SIGHT.contains(&(file.path.as_str(), name.as_str()));
            let fine = name == room || allowed.contains(&"*") || allowed.contains(&name.as_str());
            if is_room && !fine && !extra {
                findings.push(finding(file, at, format!("{room} may not see {name}")));
            }
        }
    }
    findings
}

/// Foreign crates stay behind their fences.
fn fence_breaks(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (name, places) in FENCES {
            if places.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            for at in words(&file.text, name).filter(|at| is_crate_path(&file.text, *at, name)) {
                let what = format!("{name} may only be used in {}", places.join(", "));
                findings.push(finding(file, at, what));
            }
        }
    }
    findings
}

/// Whether the word is the name of a crate here, not a field, a local or the end of a path.
fn is_crate_path(code: &str, at: usize, name: &str) -> bool {
    let before = code[..at].trim_end();
    let after = code[at + name.len()..].trim_start();
    let inner = before
        .strip_suffix("::")
        .is_some_and(|path| path.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    let imported = words(before, "use").any(|word| word + 3 == before.len())
        || words(before, "crate").any(|word| word + 5 == before.len());
    !inner && (after.starts_with("::") || imported)
}

/// Outside their room and the composition root nobody knows which engine it is.
fn engines_named(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let room = room_of(&file.path);
        if !file.path.starts_with("src/") || matches!(room, Some("launcher" | "server")) {
            continue;
        }
        for name in ENGINES {
            for at in words(&file.text, name) {
                let what = format!("{name} is for server.rs; use the Launcher trait");
                findings.push(finding(file, at, what));
            }
        }
    }
    findings
}

/// A door, `src/<room>/mod.rs`, starts with a page about its room and holds no logic.
fn doors_with_more_than_a_page(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let is_door = file.path.starts_with("src/")
            && file.path.ends_with("/mod.rs")
            && file.path.matches('/').count() == 2;
        if !is_door {
            continue;
        }
        if !file.text.starts_with("//!") {
            let what = "a door starts with a page about its room, in //! lines".to_owned();
            findings.push(finding(file, 0, what));
        }
        let code = code_of(&file.text);
        for item in DOOR_ITEMS {
            for at in words(&code, item) {
                findings.push(finding(file, at, format!("a door holds no `{item}`")));
            }
        }
    }
    findings
}

fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.contains("/tests/")
        || name.ends_with("tests.rs")
        || name.starts_with("fake")
        || name == "conformance.rs"
}

/// Lines up to the inline tests, which are the last thing in a file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let inline = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1] == "mod tests {";
    lines.windows(2).position(inline).unwrap_or(lines.len())
}

/// No file is too long to be read, and most are short.
fn files_too_long(files: &[File]) -> Vec<Finding> {
    let files: Vec<&File> = files.iter().filter(|f| !is_test_file(&f.path)).collect();
    let mut findings = Vec::new();
    for file in &files {
        let lines = lines_without_tests(&file.text);
        if lines > MAX_LINES {
            let what = format!("{lines} lines without inline tests, at most {MAX_LINES}");
            findings.push(finding(file, 0, what));
        }
    }
    let mut lengths: Vec<usize> = files.iter().map(|f| f.text.lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    if median > MAX_MEDIAN_LINES {
        findings.push(Finding {
            path: "src".to_owned(),
            line: 1,
            what: format!("the median file has {median} lines, at most {MAX_MEDIAN_LINES}"),
        });
    }
    findings
}

/// Nothing is written down that only made sense where it was written.
fn unwanted_words(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let text = file.text.to_ascii_lowercase();
        for unwanted in UNWANTED {
            for (at, _) in text.match_indices(unwanted) {
                // The same inside a longer path is somebody else's folder.
                let longer = unwanted.starts_with('/') && at > 0 && {
                    let before = text.as_bytes()[at - 1];
                    is_word(before) || matches!(before, b'.' | b'-' | b'}')
                };
                if !longer {
                    findings.push(finding(
                        file,
                        at,
                        format!("`{unwanted}` does not belong here"),
                    ));
                }
            }
        }
    }
    findings
}

/// The quoted words of `text` for which `wanted` holds.
fn quoted(text: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let pieces = text.split('"').skip(1).step_by(2);
    pieces
        .filter(|piece| wanted(piece))
        .map(str::to_owned)
        .collect()
}

/// Names that the code knows and a page does not.
fn missing_from_page(names: &BTreeSet<String>, page: &File) -> Vec<Finding> {
    names
        .iter()
        .filter(|name| words(&page.text, name).next().is_none())
        .map(|name| finding(page, 0, format!("nothing about {name}")))
        .collect()
}

/// Links of a page to files that are not there.
fn dead_links(pages: &[File], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages.iter().filter(|f| f.path.ends_with(".md")) {
        let dir = page.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for (at, _) in page.text.match_indices("](") {
            let target = page.text[at + 2..].split([')', '#']).next();
            let target = target.unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !exists(&resolve(dir, target)) {
                findings.push(finding(page, at, format!("no file {target}")));
            }
        }
    }
    findings
}

fn resolve(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every case has a row on its page, the tests that the row names exist, and a comment in the
/// Rust of the repository names the case, so that a reader of either finds the other.
fn unproven_cases(files: &[File]) -> Vec<Finding> {
    let Some(page) = files.iter().find(|f| f.path == ROBUSTNESS) else {
        return vec![Finding {
            path: ROBUSTNESS.to_owned(),
            line: 1,
            what: "there is no such page".to_owned(),
        }];
    };
    let rust: Vec<&File> = files
        .iter()
        .filter(|file| {
            let ours = ["src/", "crates/", "fdk/", "tests/"];
            let inside = ours.iter().any(|dir| file.path.starts_with(dir));
            // What is said here is about pages, not about calls.
            inside && file.path.ends_with(".rs") && file.path != "tests/tidy.rs"
        })
        .collect();
    let functions: BTreeSet<String> = rust.iter().flat_map(|f| functions_of(&f.text)).collect();
    let comments: Vec<String> = rust.iter().map(|f| comments_of(&f.text)).collect();
    let mut findings = Vec::new();
    for (letter, count) in CASES {
        for number in 1..=count {
            let case = format!("{letter}{number}");
            let start = format!("| {case} |");
            let Some(row) = page.text.lines().position(|line| line.starts_with(&start)) else {
                findings.push(finding(page, 0, format!("no row for {case}")));
                continue;
            };
            let mut say = |what: String| {
                findings.push(Finding {
                    path: page.path.clone(),
                    line: row + 1,
                    what,
                });
            };
            let tests = tests_of(page.text.lines().nth(row).unwrap_or_default());
            if tests.is_empty() {
                say(format!("{case} names no test in its last column"));
            }
            for test in tests {
                let name = test.rsplit("::").next().unwrap_or(test);
                if !functions.contains(name) {
                    say(format!("{case}: no test {test}"));
                }
            }
            let named = |text: &String| words(text, &case).next().is_some();
            if !comments.iter().any(named) {
                say(format!("no comment beside a test names {case}"));
            }
        }
    }
    findings
}

/// The tests that the last column of a row names in backticks.
fn tests_of(row: &str) -> Vec<&str> {
    let row = row.trim_end();
    let row = row.strip_suffix('|').unwrap_or(row);
    let column = row.rsplit('|').next().unwrap_or_default();
    column.split('`').skip(1).step_by(2).collect()
}

/// The names of all functions.
fn functions_of(text: &str) -> Vec<String> {
    let code = code_of(text);
    let names = words(&code, "fn").filter_map(|at| {
        let rest = &code[at + 2..];
        let start = at + 2 + (rest.len() - rest.trim_start().len());
        name_at(&code, start).map(|(_, name)| name)
    });
    names.collect()
}

/// Conditions that join a `let` to others, which Rust reads since 1.88, in crates that say that
/// they need less.
fn let_chains(files: &[File]) -> Vec<Finding> {
    let old = |path: &str| path.starts_with("fdk/") || path.starts_with("crates/wire/");
    let mut found = Vec::new();
    for file in files.iter().filter(|file| old(&file.path)) {
        for at in words(&file.text, "let") {
            let before = file.text[..at].trim_end();
            let first = ["if", "while"].iter().any(|word| before.ends_with(word));
            if before.ends_with("&&") || (first && is_joined(&file.text[at..])) {
                found.push(Finding {
                    path: file.path.clone(),
                    line: file.text[..at].lines().count(),
                    what: "a condition joined to a `let`".to_owned(),
                });
            }
        }
    }
    found
}

/// Whether another condition follows that of the `let` which `text` begins with.
fn is_joined(text: &str) -> bool {
    let value = text.find('=').map_or("", |at| &text[at + 1..]);
    let mut depth = 0_usize;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => break,
            b'&' if depth == 0 && value[at..].starts_with("&& ") => return true,
            _ => {}
        }
    }
    false
}

/// The version of Rust that `root` and each crate that it is built with asks for, by its id in what
/// `cargo metadata` says; one that asks for nothing is content with any.
fn toolchains(metadata: &serde_json::Value, root: &str) -> BTreeMap<String, Vec<u32>> {
    let all = |list: &serde_json::Value| list.as_array().cloned().unwrap_or_default();
    let packages = all(&metadata["packages"]);
    let by_id: BTreeMap<_, _> = packages.iter().map(|p| (p["id"].as_str(), p)).collect();
    let nodes = all(&metadata["resolve"]["nodes"]);
    let nodes: BTreeMap<_, _> = nodes.iter().map(|n| (n["id"].as_str(), n)).collect();
    let mut open: Vec<_> = packages.iter().filter(|p| p["name"] == root).collect();
    let mut asked = BTreeMap::new();
    while let Some(package) = open.pop() {
        let id = package["id"].as_str().unwrap_or_default().to_owned();
        let version = package["rust_version"].as_str().unwrap_or("0");
        let version = version.split('.').filter_map(|part| part.parse().ok());
        if asked.insert(id, version.take(2).collect()).is_some() {
            continue;
        }
        for needed in all(&nodes[&package["id"].as_str()]["deps"]) {
            // Those for tests and builds have another kind.
            if all(&needed["dep_kinds"])
                .iter()
                .any(|k| k["kind"].is_null())
            {
                open.extend(by_id.get(&needed["pkg"].as_str()));
            }
        }
    }
    asked
}

fn assert_none(rule: &str, findings: &[Finding]) {
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{rule}\n{}\n", list.join("\n"));
}

// === The tree keeps the rules ===

#[test]
fn rooms_see_only_the_rooms_below_them() {
    let rule = "rooms depend in one direction; the table is at the top of tests/tidy.rs";
    assert_none(rule, &wrong_directions(&sources()));
}

#[test]
fn foreign_crates_stay_behind_their_fences() {
    let rule = "a foreign crate is known to one room, so that it can be replaced";
    assert_none(rule, &fence_breaks(&sources()));
}

#[test]
fn engines_are_known_by_their_trait() {
    let rule = "which launcher it is, only the composition root decides";
    assert_none(rule, &engines_named(&sources()));
}

#[test]
fn doors_hold_a_page_and_no_logic() {
    let rule = "src/<room>/mod.rs is a page about the room and its `pub use` lines";
    assert_none(rule, &doors_with_more_than_a_page(&tree()));
}

#[test]
fn files_are_short_enough_to_be_read() {
    let rust: Vec<File> = tree()
        .into_iter()
        .filter(|f| f.path.ends_with(".rs") && !f.path.starts_with("tests/"))
        .collect();
    assert_none(
        "a file is split before it is too long",
        &files_too_long(&rust),
    );
}

#[test]
fn nothing_is_written_down_that_only_made_sense_here() {
    let rule = "no paths of one machine, no mirrors, no talk of the moment";
    assert_none(rule, &unwanted_words(&tree()));
}

#[test]
fn the_fdk_says_nothing_that_its_oldest_toolchain_cannot_read() {
    assert_none("too new for the FDK", &let_chains(&sources()));
}

#[test]
fn the_fdk_depends_on_nothing_that_its_oldest_toolchain_cannot_build() {
    let host = std::process::Command::new("rustc").arg("-vV").output();
    let host = String::from_utf8(host.expect("rustc runs").stdout).expect("rustc writes text");
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let told = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--all-features", "--filter-platform"])
        .arg(host.expect("rustc names its host"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    let told = serde_json::from_slice(&told.stdout).expect("cargo answers with JSON");
    let asked = toolchains(&told, "kiln-fdk");
    assert!(asked.len() > 20, "too few to be all: {asked:?}");
    let (_, stated) = asked
        .iter()
        .find(|(id, _)| id.contains("#kiln-fdk@"))
        .expect("the FDK is among them");
    let newer: Vec<_> = asked.iter().filter(|(_, asks)| *asks > stated).collect();
    assert!(newer.is_empty(), "asks for more than {stated:?}: {newer:?}");
}

#[test]
fn every_setting_is_documented() {
    let files = tree();
    let is_setting = |text: &str| {
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        text.strip_prefix("FN_")
            .is_some_and(|rest| rest.chars().all(plain) && !rest.is_empty())
    };
    let mut settings = BTreeSet::new();
    for file in files.iter().filter(|f| f.path.starts_with("src/")) {
        let lines = lines_without_tests(&file.text);
        if !is_test_file(&file.path) {
            let code: Vec<&str> = file.text.lines().take(lines).collect();
            for line in code {
                settings.extend(quoted(line, is_setting));
            }
        }
    }
    // What the server puts into a function's environment, and what names a file of a setting.
    settings.retain(|name| !name.ends_with("_FILE"));
    assert!(settings.contains("FN_PORT"), "{settings:?}");
    let page = files.iter().find(|f| f.path == "docs/settings.md");
    let page = page.expect("docs/settings.md is there");
    assert_none(
        "docs/settings.md has every setting",
        &missing_from_page(&settings, page),
    );
}

#[test]
fn every_key_of_a_function_file_is_documented() {
    let files = tree();
    let source = files
        .iter()
        .find(|f| f.path == "src/config/manifest/parse.rs");
    let source = source.expect("the parser of func.yaml is there");
    let tables = source
        .text
        .lines()
        .skip_while(|l| !l.starts_with("const COMMON_KEYS"));
    let tables: Vec<&str> = tables.take_while(|l| !l.starts_with("/// ")).collect();
    let keys = quoted(&tables.join("\n"), |_| true);
    assert!(
        keys.contains("idle_timeout") && keys.contains("triggers"),
        "{keys:?}"
    );
    let page = files.iter().find(|f| f.path == "docs/func-yaml.md");
    let page = page.expect("docs/func-yaml.md is there");
    assert_none(
        "docs/func-yaml.md has every key",
        &missing_from_page(&keys, page),
    );
}

#[test]
fn pages_link_to_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let findings = dead_links(&tree(), |path| root.join(path).exists());
    assert_none("a link leads somewhere", &findings);
}

#[test]
fn every_case_of_robustness_has_its_tests() {
    let rule = "docs/robustness.md names a test for every case, and a comment names the case";
    assert_none(rule, &unproven_cases(&tree()));
}

// === The rules can fail ===

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("f(\"b \\\" c\")", "f(        )"),
        ("f(r#\"b \" c\"#) d", "f(          ) d"),
        ("f(br\"b\\\") d", "f(b     ) d"),
        ("f('\"') g('\\'')", "f(   ) g(    )"),
        ("f('ü') d", "f(    ) d"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("for r in rows {\"x\"}", "for r in rows {   }"),
        ("\"two\nlines\"", "    \n      "),
    ] {
        assert_eq!(code_of(text), code, "{text}");
    }
}

#[test]
fn comments_are_told_from_code_and_strings() {
    for (text, comments) in [
        ("a // b\nc", "  // b\n "),
        ("f(\"// b\") /* ü */", "          /* ü */"),
        ("'\"' // \"", "    // \""),
        ("", ""),
    ] {
        assert_eq!(comments_of(text), comments, "{text}");
    }
}

#[test]
fn a_case_without_a_row_a_test_or_a_comment_is_found() {
    assert_eq!(
        shown(&unproven_cases(&[])),
        ["docs/robustness.md:1: there is no such page"]
    );
    let cases = CASES.iter().flat_map(|(letter, count)| {
        let numbers = 1..=*count;
        numbers.map(move |number| format!("{letter}{number}"))
    });
    let cases: Vec<String> = cases.collect();
    let rows = cases
        .iter()
        .map(|case| format!("| {case} | a `|` | `it::a::b`, `c` |\n"));
    let rows = format!("| ID | Case | Tests |\n{}", rows.collect::<String>());
    let comments = cases.iter().map(|case| format!("// {case}: why\n"));
    let comments = comments.collect::<String>();
    let code = format!("{comments}async fn b() {{}}\nfn c() {{}}\n");
    let found = |rows: &str, code: &str| {
        let page = file(ROBUSTNESS, rows);
        shown(&unproven_cases(&[page, file("tests/it/a.rs", code)]))
    };
    assert_eq!(found(&rows, &code), [""; 0]);
    assert_eq!(
        found(&rows.replace("| A2 |", "| A0 |"), &code),
        ["docs/robustness.md:1: no row for A2"]
    );
    assert_eq!(
        found(&rows.replacen("it::a::b", "it::a::d", 1), &code),
        ["docs/robustness.md:2: A1: no test it::a::d"]
    );
    assert_eq!(
        found(&rows.replacen("`it::a::b`, `c`", "by hand", 1), &code),
        ["docs/robustness.md:2: A1 names no test in its last column"]
    );
    // A string is no comment, and A11 is not A1.
    assert_eq!(
        found(&rows, &code.replace("// A1:", "const A: &str = \"A1\";")),
        ["docs/robustness.md:2: no comment beside a test names A1"]
    );
}

#[test]
fn an_import_against_the_direction_is_found() {
    for text in [
        "use crate::gateway::Fault;",
        "fn f() -> crate::gateway::Fault {}",
        "use crate::{\n    model,\n    launcher::{a, b},\n    gateway,\n};",
        "use super::super::gateway::Fault;",
    ] {
        let findings = wrong_directions(&[file("src/pool/driver.rs", text)]);
        assert_eq!(findings.len(), 1, "{text}");
        assert_eq!(findings[0].what, "pool may not see gateway");
    }
    let grouped = "use crate::{model,\n gateway};";
    let findings = wrong_directions(&[file("src/pool/driver.rs", grouped)]);
    assert_eq!(
        shown(&findings),
        ["src/pool/driver.rs:2: pool may not see gateway"]
    );
}

#[test]
fn an_import_along_the_direction_is_not_found() {
    for (path, text) in [
        ("src/pool/driver.rs", "use crate::launcher::{gateway, x};"),
        ("src/pool/driver.rs", "use super::gateway;"),
        ("src/api/v1/apps.rs", "use super::super::gateway;"),
        ("src/cli/start.rs", "crate::server::run()"),
        ("src/server.rs", "use crate::{api, gateway, store};"),
        ("src/server/identity.rs", "use crate::config::ServerConfig;"),
        ("src/main.rs", "use kiln::cli;"),
        ("src/lib.rs", "pub mod gateway;"),
        ("crates/wire/src/lib.rs", "use crate::gateway;"),
    ] {
        assert_eq!(
            shown(&wrong_directions(&[file(path, text)])),
            [""; 0],
            "{path}"
        );
    }
}

#[test]
fn only_the_start_command_sees_the_server_and_main_sees_the_commands_alone() {
    let list = wrong_directions(&[file("src/cli/list.rs", "use crate::server;")]);
    assert_eq!(shown(&list), ["src/cli/list.rs:1: cli may not see server"]);
    let main = wrong_directions(&[file("src/main.rs", "use kiln::{cli, server};")]);
    assert_eq!(shown(&main), ["src/main.rs:1: main may not see server"]);
}

#[test]
fn a_room_that_nobody_entered_in_the_table_is_found() {
    let findings = wrong_directions(&[file("src/attic/mod.rs", "")]);
    assert_eq!(findings.len(), 1);
}

#[test]
fn a_foreign_crate_over_its_fence_is_found() {
    for (path, text, found) in [
        ("src/pool/a.rs", "use bollard::Docker;", true),
        ("src/pool/a.rs", "use bollard as b;", true),
        ("src/pool/a.rs", "let d = ::bollard::Docker::new();", true),
        ("src/pool/a.rs", "use {bollard::Docker, x};", true),
        ("src/launcher/process/a.rs", "use bollard::Docker;", true),
        ("src/launcher/docker/a.rs", "use bollard::Docker;", false),
        ("src/api/mod.rs", "use hyper::body::Incoming;", true),
        ("src/gateway/serve.rs", "use hyper::body::Incoming;", false),
        ("src/config/a.rs", "use crate::model::clap;", false),
        ("src/config/a.rs", "self.clap.take()", false),
        ("fdk/src/run.rs", "use anyhow::Result;", true),
        ("src/store/a.rs", "use http::StatusCode;", false),
    ] {
        let findings = fence_breaks(&[file(path, text)]);
        assert_eq!(!findings.is_empty(), found, "{path}: {text}");
    }
}

#[test]
fn an_engine_named_outside_is_found() {
    let text = "\nuse crate::launcher::DockerLauncher;";
    let findings = engines_named(&[file("src/pool/a.rs", text), file("src/server.rs", text)]);
    let expected = "src/pool/a.rs:2: DockerLauncher is for server.rs; use the Launcher trait";
    assert_eq!(shown(&findings), [expected]);
}

#[test]
fn a_door_with_logic_or_without_a_page_is_found() {
    let logic = file("src/pool/mod.rs", "//! fn is a word here.\n\nstruct A;\n");
    let expected = ["src/pool/mod.rs:3: a door holds no `struct`"];
    assert_eq!(shown(&doors_with_more_than_a_page(&[logic])), expected);
    let blank = file("src/pool/mod.rs", "mod driver;\npub use driver::Pool;\n");
    assert_eq!(doors_with_more_than_a_page(&[blank]).len(), 1);
    let inner = file("src/api/tests/mod.rs", "fn helper() {}");
    assert_eq!(doors_with_more_than_a_page(&[inner]), []);
}

#[test]
fn a_file_that_is_too_long_is_found_and_its_inline_tests_do_not_count() {
    let tests = format!(
        "\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "    //\n".repeat(900)
    );
    let short = file("src/a/short.rs", &format!("fn f() {{}}\n{tests}"));
    assert_eq!(lines_without_tests(&short.text), 2);
    let long = file("src/a/long.rs", &"//\n".repeat(801));
    let empty = || file("src/a/empty.rs", "");
    let files = [empty(), empty(), empty(), short, long];
    let expected = ["src/a/long.rs:1: 801 lines without inline tests, at most 800"];
    assert_eq!(shown(&files_too_long(&files)), expected);
    let suite = file("src/a/conformance.rs", &"//\n".repeat(801));
    assert_eq!(files_too_long(&[suite]), []);
    let middling = file("src/a/b.rs", &"//\n".repeat(201));
    assert_eq!(files_too_long(&[middling]).len(), 1);
}

#[test]
fn a_path_of_one_machine_is_found_and_the_end_of_another_is_not() {
    let [path, ..] = UNWANTED;
    for (text, found) in [
        (format!("see {path}notes"), true),
        (format!("in `{path}x`"), true),
        (format!("/srv{path}x"), false),
        (format!("${{HOME}}{path}x"), false),
        (UNWANTED[4].to_uppercase() + "12", true),
        ("moby#21346".to_owned(), false),
    ] {
        let findings = unwanted_words(&[file("docs/a.md", &text)]);
        assert_eq!(!findings.is_empty(), found, "{text}");
    }
}

#[test]
fn a_joined_let_is_found_where_rust_is_old() {
    let chain = "if a &&\n    let Some(b) = c {}";
    for (path, text, count) in [
        ("fdk/src/a.rs", chain, 1),
        ("crates/wire/src/a.rs", chain, 1),
        ("src/pool/a.rs", chain, 0),
        ("fdk/src/a.rs", "if let Some(b) = c && a {}", 1),
        ("fdk/src/a.rs", "if let Some(b) = c {}", 0),
        ("fdk/src/a.rs", "if let Some(b) = c(a && d) { a && d }", 0),
        ("fdk/src/a.rs", "let Some(b) = c else { a && d };", 0),
    ] {
        assert_eq!(
            let_chains(&[file(path, text)]).len(),
            count,
            "{path}: {text}"
        );
    }
}

#[test]
fn the_toolchain_of_what_is_built_in_is_asked_for_and_that_of_tests_is_not() {
    let metadata = serde_json::json!({
        "packages": [
            { "id": "1", "name": "fdk", "rust_version": "1.85" },
            { "id": "2", "name": "built", "rust_version": "1.86.1" },
            { "id": "3", "name": "tests", "rust_version": "1.99" },
            { "id": "4", "name": "modest", "rust_version": null },
        ],
        "resolve": { "nodes": [
            { "id": "1", "deps": [
                { "pkg": "2", "dep_kinds": [{ "kind": null }] },
                { "pkg": "3", "dep_kinds": [{ "kind": "dev" }] },
            ] },
            { "id": "2", "deps": [{ "pkg": "4", "dep_kinds": [{ "kind": null }] }] },
            { "id": "4", "deps": [] },
        ] },
    });
    let asked = toolchains(&metadata, "fdk");
    let asked: Vec<_> = asked
        .iter()
        .map(|(name, v)| (name.as_str(), &v[..]))
        .collect();
    assert_eq!(asked, [("1", &[1, 85][..]), ("2", &[1, 86]), ("4", &[0])]);
}

#[test]
fn a_name_without_a_page_and_a_link_without_a_file_are_found() {
    let names = quoted("[\"port\", \"host\"]", |_| true);
    let page = file(
        "docs/settings.md",
        "The `port`, and [more](../a/b.md#c) [x](y.md).",
    );
    assert_eq!(
        shown(&missing_from_page(&names, &page)),
        ["docs/settings.md:1: nothing about host"]
    );
    let links = dead_links(&[page], |path| path == "a/b.md");
    assert_eq!(shown(&links), ["docs/settings.md:1: no file y.md"]);
}
