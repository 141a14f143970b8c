//! What a request's path means.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::format::Via;
use crate::model::{Callable, Format, clean_path};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/r/{app}[/path]`: a v1 route. The path is in its one spelling.
    Route { app: Cow<'a, str>, path: String },
    /// `/t/{app}[/source]`: a trigger. Sources are matched as written, a final slash counts.
    Trigger {
        app: Cow<'a, str>,
        source: Cow<'a, str>,
        /// The source before it was decoded: a slash in a parameter is none between two.
        raw: &'a str,
    },
    /// `/invoke/{id}`: a function.
    Invoke { id: &'a str },
    /// Everything else.
    Control,
}

impl<'a> Target<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        if let Some(rest) = path.strip_prefix("/r/") {
            let (app, path) = split(rest);
            return match (decode(app), decode(path)) {
                (Some(app), Some(path)) if !app.is_empty() => Self::Route {
                    app,
                    path: clean_path(&path),
                },
                _ => Self::Control,
            };
        }
        if let Some(rest) = path.strip_prefix("/t/") {
            let (app, raw) = split(rest);
            return match (decode(app), decode(raw)) {
                (Some(app), Some(source)) if !app.is_empty() => Self::Trigger { app, source, raw },
                _ => Self::Control,
            };
        }
        match path.strip_prefix("/invoke/") {
            Some(id) if !id.is_empty() && !id.contains('/') => Self::Invoke { id },
            _ => Self::Control,
        }
    }

    /// How a call comes in here.
    pub(super) fn via(&self) -> Via {
        match self {
            Self::Invoke { .. } => Via::Invoke,
            _ => Via::Http,
        }
    }

    /// Whether the caller may set the platform's own headers, but for those that name the call:
    /// who calls a function of today's Fn itself does so.
    pub(super) fn speaks_fn(&self, callable: &Callable) -> bool {
        self.via() == Via::Invoke && callable.format == Format::HttpStream
    }

    /// Whether errors take the nested shape of the v1 API.
    pub(super) fn is_v1(&self) -> bool {
        matches!(self, Self::Route { .. })
    }
}

/// The app, and what follows it with its slash.
fn split(rest: &str) -> (&str, &str) {
    match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    }
}

/// Percent-decoded once; `None` for what no name can be.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let text = if text.contains('%') {
        percent_decode_str(text).decode_utf8().ok()?
    } else {
        Cow::Borrowed(text)
    };
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route<'a>(app: &'a str, path: &str) -> Target<'a> {
        Target::Route {
            app: app.into(),
            path: path.to_owned(),
        }
    }

    fn trigger<'a>(app: &'a str, source: &'a str) -> Target<'a> {
        Target::Trigger {
            app: app.into(),
            source: source.into(),
            raw: source,
        }
    }

    // A16: paths are decoded and cleaned once, before they are matched.
    #[test]
    fn paths_are_matched_in_one_spelling() {
        for (path, target) in [
            ("/r/a", route("a", "/")),
            ("/r/a/", route("a", "/")),
            ("/r/a/hello", route("a", "/hello")),
            ("/r/a//x/./y/../hello/", route("a", "/x/hello")),
            ("/r/a/%2e%2e/hello", route("a", "/hello")),
            ("/r/my%20app/h%C3%A9", route("my app", "/hé")),
            ("/r/a/../../v2/apps", route("a", "/v2/apps")),
            ("/t/a", trigger("a", "/")),
            ("/t/a/hi", trigger("a", "/hi")),
            ("/t/a/hi/", trigger("a", "/hi/")),
            (
                "/t/a/h%2Fi",
                Target::Trigger {
                    app: "a".into(),
                    source: "/h/i".into(),
                    raw: "/h%2Fi",
                },
            ),
            ("/invoke/01X", Target::Invoke { id: "01X" }),
        ] {
            assert_eq!(Target::of(path), target, "{path}");
        }
    }

    #[test]
    fn everything_else_is_the_control_planes() {
        for path in [
            "/",
            "/r",
            "/r/",
            "/r//x",
            "/t/",
            "/invoke",
            "/invoke/",
            "/invoke/a/b",
            "/v2/apps",
        ]
        .into_iter()
        .chain(["/r/a/%00", "/r/%ff/x", "/health"])
        {
            assert_eq!(Target::of(path), Target::Control, "{path}");
        }
    }
}
