use std::ops::Range;

use crate::config::manifest::error::ManifestError;
use crate::config::manifest::tree::read_mapping;
use crate::config::manifest::version::Version;

/// Raises the patch number of the file's version as an edit of that one word, so that comments,
/// order and quoting stay as they are. A file without a version gets the first one.
///
/// ```
/// use kiln::config::bump_patch;
///
/// let (text, version) = bump_patch("name: hello # mine\nversion: 0.0.1\n").unwrap();
/// assert_eq!(text, "name: hello # mine\nversion: 0.0.2\n");
/// assert_eq!(version.to_string(), "0.0.2");
/// ```
pub fn bump_patch(text: &str) -> Result<(String, Version), ManifestError> {
    let json = text.trim_start().starts_with('{');
    let file = if json { "func.json" } else { "func.yaml" };
    let before = read_mapping(text, file)?;
    let (edited, version) = if before.contains_key("version") {
        let place = if json { in_json(text) } else { in_yaml(text) };
        let place = place.ok_or(ManifestError::Bump)?;
        let old: Version = text[place.clone()]
            .parse()
            .map_err(|_| ManifestError::Bump)?;
        let new = old.next_patch();
        let mut edited = text.to_owned();
        edited.replace_range(place, &new.to_string());
        (edited, new)
    } else {
        insert(text, json)?
    };
    // The search for the word is simple minded; a parse of the result says whether it was right.
    let mut expected = before;
    expected.insert("version".into(), version.to_string().into());
    if read_mapping(&edited, file)? == expected {
        Ok((edited, version))
    } else {
        Err(ManifestError::Bump)
    }
}

/// The version's bytes in `version: 0.0.1 # why`, quoted or not, at the top level.
fn in_yaml(text: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("version:") {
            return word(line, line.len() - rest.len()).map(|r| start + r.start..start + r.end);
        }
        start += line.len();
    }
    None
}

/// The first word of `line` after `from`, without its quotes.
fn word(line: &str, from: usize) -> Option<Range<usize>> {
    let ends = |c: char| c.is_whitespace() || c == '"' || c == '\'' || c == ',';
    let begin = from + line[from..].find(|c: char| !ends(c))?;
    let length = line[begin..].find(ends).unwrap_or(line.len() - begin);
    Some(begin..begin + length)
}

/// The version's bytes in `"version": "0.0.1"`, at the top level of an object.
fn in_json(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at)?;
                let after = text[end..].trim_start();
                if depth == 1 && &text[at..end] == "\"version\"" && after.starts_with(':') {
                    let from = text.len() - after.len() + 1;
                    return word(text, from);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// One past the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn insert(text: &str, json: bool) -> Result<(String, Version), ManifestError> {
    let version = Version::first();
    let edited = if json {
        let at = text.find('{').ok_or(ManifestError::Bump)? + 1;
        let comma = if text[at..].trim_start().starts_with('}') {
            ""
        } else {
            ","
        };
        format!(
            "{}\"version\": \"{version}\"{comma}{}",
            &text[..at],
            &text[at..]
        )
    } else {
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        format!("{text}{newline}version: {version}\n")
    };
    Ok((edited, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_changes() {
        for (before, after) in [
            ("version: 0.0.1", "version: 0.0.2"),
            (
                "# top\nname: a\r\nversion: \"1.2.9\"  # keep\r\nmemory: 1\r\n",
                "# top\nname: a\r\nversion: \"1.2.10\"  # keep\r\nmemory: 1\r\n",
            ),
            (
                "config:\n  version: 9.9.9\nversion: '0.0.1'\n",
                "config:\n  version: 9.9.9\nversion: '0.0.2'\n",
            ),
            ("name: a", "name: a\nversion: 0.0.1\n"),
            (
                r#"{"config":{"version":"7"},"version" : "0.1.0", "name":"a"}"#,
                r#"{"config":{"version":"7"},"version" : "0.1.1", "name":"a"}"#,
            ),
            (r#"{"name":"a"}"#, r#"{"version": "0.0.1","name":"a"}"#),
        ] {
            assert_eq!(bump_patch(before).unwrap().0, after);
        }
    }

    #[test]
    fn a_file_that_hides_its_version_is_left_alone() {
        for text in [
            "\"version\": 0.0.1\n",
            "version: &v 0.0.1\n",
            "version: 1.0\n",
        ] {
            assert!(bump_patch(text).is_err(), "{text}");
        }
    }
}
