use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// Longest source of a trigger, in bytes.
const MAX_SOURCE: usize = 1024;
const MAX_PARAMETER: usize = 64;

/// The source of a trigger, read: a path whose segments may be parameters.
///
/// `{name}` stands for one segment that is not empty, `{name:int}` for a whole number of 64 bits,
/// `{name:alpha}` for ASCII letters, and `{*name}` at the end for all segments that are left,
/// which may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
}

/// What one piece of a path, between two slashes, has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    Parameter { name: String, kind: Kind },
}

/// What a parameter stands for, the most particular first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Int,
    Alpha,
    Any,
    /// This segment and all that follow.
    Rest,
}

/// Why a text is no source of a trigger. Names what is wrong and what is expected.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidPattern(String);

impl Kind {
    const CONSTRAINTS: [(&str, Self); 2] = [("int", Self::Int), ("alpha", Self::Alpha)];

    /// Whether a segment is what this kind stands for; only [`Kind::Rest`] takes an empty one.
    pub fn fits(self, segment: &str) -> bool {
        match self {
            // The library's number may have a plus in front, which is no digit of anything.
            Self::Int => !segment.starts_with('+') && segment.parse::<i64>().is_ok(),
            Self::Alpha => !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphabetic()),
            Self::Any => !segment.is_empty(),
            Self::Rest => true,
        }
    }
}

impl Pattern {
    /// Reads a source.
    pub fn parse(source: &str) -> Result<Self, InvalidPattern> {
        check_path(source)?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut texts = source.split('/').skip(1).peekable();
        while let Some(text) = texts.next() {
            let segment = Segment::parse(text)?;
            if let Segment::Parameter { name, kind } = &segment {
                if *kind == Kind::Rest && texts.peek().is_some() {
                    let text = shown(text);
                    return Err(InvalidPattern(format!("{text} is only allowed at the end")));
                }
                if segments.iter().any(|s| s.parameter() == Some(name)) {
                    return Err(InvalidPattern(format!(
                        "parameter {name} is there twice, expected every name once"
                    )));
                }
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// Whether it stands for one path only: itself.
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|s| s.parameter().is_none())
    }

    /// What stands between its slashes, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The shape of a source that is stored. A text with braces that is no pattern, from a time in
    /// which there were none, stands for itself.
    pub fn shape_of(source: &str) -> Cow<'_, str> {
        if source.contains('{')
            && let Ok(pattern) = Self::parse(source)
        {
            return Cow::Owned(pattern.shape());
        }
        Cow::Borrowed(source)
    }

    /// The pattern without the names of its parameters. Of two patterns with one shape neither is
    /// more particular, so that nobody could say which of them a path is meant for; of two with
    /// different shapes the first difference tells.
    pub fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter { kind, .. } => match kind {
                    Kind::Int => "{:int}",
                    Kind::Alpha => "{:alpha}",
                    Kind::Any => "{}",
                    Kind::Rest => "{*}",
                },
            });
        }
        shape
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let Some(inner) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) else {
            if text.contains(['{', '}']) {
                return Err(InvalidPattern(format!(
                    "segment {} is not allowed, expected a parameter to be all of it, such as \
                     {{id}}",
                    shown(text)
                )));
            }
            return Ok(Self::Literal(text.to_owned()));
        };
        let (name, kind) = match (inner.strip_prefix('*'), inner.split_once(':')) {
            (Some(name), _) => (name, Kind::Rest),
            (None, None) => (inner, Kind::Any),
            (None, Some((name, constraint))) => {
                let known = Kind::CONSTRAINTS.iter().find(|(c, _)| *c == constraint);
                let Some((_, kind)) = known else {
                    return Err(InvalidPattern(format!(
                        "constraint {} is unknown, expected int or alpha",
                        shown(constraint)
                    )));
                };
                (name, *kind)
            }
        };
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.starts_with(first) || !name.chars().all(legal) || name.len() > MAX_PARAMETER {
            return Err(InvalidPattern(format!(
                "the name of parameter {} is not allowed, expected a letter or _, then letters, \
                 digits or _, at most {MAX_PARAMETER}",
                shown(text)
            )));
        }
        Ok(Self::Parameter {
            name: name.to_owned(),
            kind,
        })
    }

    fn parameter(&self) -> Option<&String> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter { name, .. } => Some(name),
        }
    }
}

/// A piece of a source, fit for one line of a terminal.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}")
}

fn check_path(source: &str) -> Result<(), InvalidPattern> {
    let refuse = |what: &str| Err(InvalidPattern(what.to_owned()));
    if !source.starts_with('/') {
        return refuse("it does not start with /");
    }
    if source.len() > MAX_SOURCE {
        return refuse("it is longer than 1024 bytes");
    }
    if source.contains("//") {
        return refuse("// is not allowed in it");
    }
    if source.contains(['?', '#']) {
        return refuse("? and # are not allowed in it: they end a path");
    }
    // Direction overrides could make it read as something else.
    let reorders = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let odd = |c: char| c.is_control() || c.is_whitespace() || reorders(c);
    if source.chars().any(odd) {
        return refuse("spaces and control characters are not allowed in it");
    }
    if source
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return refuse("segments . and .. are not allowed in it");
    }
    if source == "/_fn" || source.starts_with("/_fn/") {
        return refuse("/_fn is the platform's own");
    }
    Ok(())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter { name, kind } => match kind {
                    Kind::Int => write!(f, "/{{{name}:int}}")?,
                    Kind::Alpha => write!(f, "/{{{name}:alpha}}")?,
                    Kind::Any => write!(f, "/{{{name}}}")?,
                    Kind::Rest => write!(f, "/{{*{name}}}")?,
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_source_is_read_and_written_back() {
        for (source, literal, shape) in [
            ("/", true, "/"),
            ("/a/b/", true, "/a/b/"),
            ("/a.b/é", true, "/a.b/é"),
            ("/resize/{id:int}", false, "/resize/{:int}"),
            ("/{a}/x/{b:alpha}", false, "/{}/x/{:alpha}"),
            ("/files/{*rest}", false, "/files/{*}"),
        ] {
            let pattern = Pattern::parse(source).unwrap();
            assert_eq!(pattern.to_string(), source);
            assert_eq!(
                (pattern.is_literal(), pattern.shape().as_str()),
                (literal, shape)
            );
        }
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_reason() {
        for (source, reason) in [
            ("", "it does not start with /"),
            ("a", "it does not start with /"),
            ("/a//b", "// is not allowed in it"),
            ("/a/../b", "segments . and .. are not allowed in it"),
            ("/a?b", "? and # are not allowed in it: they end a path"),
            ("/a#b", "? and # are not allowed in it: they end a path"),
            (
                "/a b",
                "spaces and control characters are not allowed in it",
            ),
            ("/_fn/index", "/_fn is the platform's own"),
            ("/_fn", "/_fn is the platform's own"),
            (
                "/{id:uuid}",
                "constraint \"uuid\" is unknown, expected int or alpha",
            ),
            (
                "/{a}/{a}",
                "parameter a is there twice, expected every name once",
            ),
            ("/{*a}/b", "\"{*a}\" is only allowed at the end"),
        ] {
            assert_eq!(
                Pattern::parse(source).unwrap_err().to_string(),
                reason,
                "{source}"
            );
        }
        for source in [
            "/x{a}",
            "/{a",
            "/a}",
            "/{}",
            "/{1a}",
            "/{a-b}",
            "/{*}",
            "/{*a:int}",
        ] {
            let reason = Pattern::parse(source).unwrap_err().to_string();
            assert!(
                reason.contains("is not allowed, expected"),
                "{source}: {reason}"
            );
        }
        assert!(Pattern::parse(&format!("/{}", "a".repeat(1024))).is_err());
    }

    #[test]
    fn a_constraint_says_which_segments_fit() {
        for (kind, fits, not) in [
            (
                Kind::Int,
                &["0", "-7", "9223372036854775807"][..],
                &["", "+7", "7a", "9223372036854775808", "1.0"][..],
            ),
            (Kind::Alpha, &["a", "Zz"], &["", "a1", "é", "-"]),
            (Kind::Any, &["a", "1", "é", "a b"], &[""]),
            (Kind::Rest, &["", "a"], &[]),
        ] {
            for text in fits {
                assert!(kind.fits(text), "{kind:?} {text:?}");
            }
            for text in not {
                assert!(!kind.fits(text), "{kind:?} {text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader_and_what_it_reads_it_can_write(source in "/?([a-c/{}:*.?# ]|int|alpha){0,12}") {
            if let Ok(pattern) = Pattern::parse(&source) {
                prop_assert_eq!(pattern.to_string(), source);
            }
        }
    }
}
