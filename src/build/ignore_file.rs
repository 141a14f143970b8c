use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::build::error::BuildError;

/// The patterns of a `.dockerignore`.
///
/// Docker's rules differ from git's: every pattern starts at the root of the folder, and the last
/// pattern that fits a path *or one of its parents* decides, so that `docs` after `!docs/a` wins.
/// Each line therefore becomes a matcher of its own, and the order is ours to apply.
#[derive(Debug, Default)]
pub(super) struct IgnoreFile {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    matcher: Gitignore,
    /// A line with `!` brings back what earlier lines took away.
    keeps: bool,
}

impl IgnoreFile {
    pub(super) fn parse(text: &str) -> Result<Self, BuildError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for line in text.lines() {
            if line.starts_with('#') {
                continue;
            }
            let trimmed = line.trim();
            let (keeps, pattern) = match trimmed.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, trimmed),
            };
            let pattern = clean(pattern);
            if pattern.is_empty() {
                continue;
            }
            let bad = || BuildError::BadPattern {
                pattern: trimmed.to_owned(),
            };
            let mut builder = GitignoreBuilder::new("");
            builder.allow_unclosed_class(false);
            builder.add_line(None, &pattern).map_err(|_| bad())?;
            let matcher = builder.build().map_err(|_| bad())?;
            lines.push(Line { matcher, keeps });
        }
        Ok(Self { lines })
    }

    /// Whether `path`, relative to the folder, stays out of the image's context.
    pub(super) fn excludes(&self, path: &Path, is_dir: bool) -> bool {
        self.lines
            .iter()
            .rev()
            .find(|line| line.fits(path, is_dir))
            .is_some_and(|line| !line.keeps)
    }

    /// Whether something inside an excluded folder may have to be sent all the same.
    pub(super) fn has_exceptions(&self) -> bool {
        self.lines.iter().any(|line| line.keeps)
    }
}

impl Line {
    fn fits(&self, path: &Path, is_dir: bool) -> bool {
        self.matcher
            .matched_path_or_any_parents(path, is_dir)
            .is_ignore()
    }
}

/// `/a/./b/../c/` as `/a/c`: anchored, without the parts that go nowhere. Empty for the root.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("/{}", parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_follow_docker_and_not_git() {
        for (text, path, excluded) in [
            // Anchored at the root, unlike git.
            ("target", "target", true),
            ("target", "target/debug/x", true),
            ("target", "a/target", false),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("**/*.md", "docs/a/README.md", true),
            ("**/*.md", "README.md", true),
            ("*/temp*", "a/temporary", true),
            ("*/temp*", "a/b/temporary", false),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("/foo/bar", "foo/bar", true),
            ("foo/", "foo/bar", true),
            // A trailing slash does not mean folders only.
            ("foo/", "foo", true),
            ("./a/../b", "b/x", true),
            ("**", "anything/at/all", true),
            // The last fitting line decides, also through a parent.
            ("*.md\n!README.md", "README.md", false),
            ("docs\n!docs/a", "docs/a", false),
            ("!docs/a\ndocs", "docs/a", true),
            ("*\n!src", "src/main.rs", false),
            ("# target\n\n  target  ", "target/x", true),
            (".", "a", false),
            ("", "a", false),
        ] {
            let file = IgnoreFile::parse(text).unwrap();
            assert_eq!(
                file.excludes(Path::new(path), false),
                excluded,
                "{text:?} {path}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_patterns_never_panic(text in "[a-c*?!/.#\\\\{}\\[\\] \n-]{0,40}", path in "[a-c.]{1,3}(/[a-c.]{1,3}){0,3}") {
            if let Ok(file) = IgnoreFile::parse(&text) {
                file.excludes(Path::new(&path), false);
            }
        }
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let error = IgnoreFile::parse("ok\na[").unwrap_err();
        assert_eq!(error.to_string(), ".dockerignore: a[ is not a pattern");
    }
}
