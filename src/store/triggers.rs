//! Which trigger takes a request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::model::{Callable, Kind, Methods, Pattern, Segment, Trigger};
use crate::store::Miss;
use crate::store::clash::has_parameters;

/// The triggers of one app. Most have no parameters, and are found in one look.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    /// Those whose source stands for itself.
    exact: HashMap<String, Place>,
    /// The others, segment by segment; `None` where there are none.
    patterns: Option<Box<Node>>,
}

/// What takes requests for one source.
#[derive(Debug)]
struct Place {
    first: Choice,
    /// For other methods. Empty but for a few.
    others: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    methods: Methods,
    callable: Arc<Callable>,
}

/// Where patterns have come to after some segments. What is more particular comes first.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Self>,
    parameters: Vec<(Kind, Self)>,
    /// What takes requests whose path ends here.
    here: Option<Place>,
}

impl Place {
    fn new(choice: Choice) -> Self {
        Self {
            first: choice,
            others: Vec::new(),
        }
    }

    fn choices(&self) -> impl Iterator<Item = &Choice> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Who takes `method`; else all that is taken here joins `allowed`.
    fn find(&self, method: &str, allowed: &mut Option<Methods>) -> Option<&Arc<Callable>> {
        if self.first.methods == Methods::ANY {
            return Some(&self.first.callable);
        }
        // What names HEAD itself goes before what takes it with GET.
        let named = self
            .choices()
            .find(|choice| choice.methods.names_one(method));
        let found = named.or_else(|| self.choices().find(|choice| choice.methods.allow(method)));
        if found.is_none() {
            for choice in self.choices() {
                let all = allowed.map_or(choice.methods, |all| all.and(choice.methods));
                *allowed = Some(all);
            }
        }
        found.map(|choice| &choice.callable)
    }
}

impl<'a> FromIterator<(&'a Trigger, Arc<Callable>)> for Triggers {
    fn from_iter<I: IntoIterator<Item = (&'a Trigger, Arc<Callable>)>>(all: I) -> Self {
        let mut triggers = Self::default();
        for (trigger, callable) in all {
            triggers.add(trigger, callable);
        }
        triggers
    }
}

impl Triggers {
    fn add(&mut self, trigger: &Trigger, callable: Arc<Callable>) {
        let choice = Choice {
            methods: trigger.methods(),
            callable,
        };
        let pattern = has_parameters(&trigger.source)
            .then(|| Pattern::parse(&trigger.source).ok())
            .flatten();
        let Some(pattern) = pattern else {
            match self.exact.get_mut(&trigger.source) {
                Some(place) => place.others.push(choice),
                None => {
                    let place = Place::new(choice);
                    self.exact.insert(trigger.source.clone(), place);
                }
            }
            return;
        };
        let mut node = &mut **self.patterns.get_or_insert_default();
        for segment in pattern.segments() {
            node = node.child(segment);
        }
        match &mut node.here {
            Some(place) => place.others.push(choice),
            None => node.here = Some(Place::new(choice)),
        }
    }

    /// Who takes a request of `method` for `path`, which is `raw` decoded.
    pub(super) fn find(&self, path: &str, raw: &str, method: &str) -> Result<&Arc<Callable>, Miss> {
        let mut allowed = None;
        let exact = self.exact.get(path);
        if let Some(callable) = exact.and_then(|place| place.find(method, &mut allowed)) {
            return Ok(callable);
        }
        if let Some(patterns) = &self.patterns
            && let Some(segments) = raw.strip_prefix('/')
            && let Some(callable) = patterns.find(Some(segments), method, &mut allowed)
        {
            return Ok(callable);
        }
        Err(allowed.map_or(Miss::Target, Miss::Method))
    }
}

/// Whether a parameter, decoded, would lead out of where a function looks it up, as `../x` does for
/// who takes it for a file's name.
fn climbs(parameter: &str) -> bool {
    let mut pieces = parameter.split('/');
    pieces.any(|piece| matches!(piece, "." | ".."))
}

/// Of a path that can be decoded, each segment can.
fn decoded(text: &str) -> Cow<'_, str> {
    let text = percent_decode_str(text).decode_utf8();
    text.unwrap_or_default()
}

impl Node {
    fn child(&mut self, segment: &Segment) -> &mut Self {
        let kind = match segment {
            Segment::Literal(text) => return self.literals.entry(text.clone()).or_default(),
            Segment::Parameter { kind, .. } => *kind,
        };
        let at = match self
            .parameters
            .binary_search_by_key(&kind, |(kind, _)| *kind)
        {
            Ok(at) => at,
            Err(at) => {
                self.parameters.insert(at, (kind, Self::default()));
                at
            }
        };
        &mut self.parameters[at].1
    }

    /// What takes all that is left of a path, also where that is nothing.
    fn rest(&self) -> Option<&Place> {
        let (kind, node) = self.parameters.last()?;
        node.here.as_ref().filter(|_| *kind == Kind::Rest)
    }

    /// `path`: what is left of it, not decoded, without the slash in front; nothing at its end. Each node is
    /// looked at once at most, because there is one way to it.
    fn find(
        &self,
        path: Option<&str>,
        method: &str,
        allowed: &mut Option<Methods>,
    ) -> Option<&Arc<Callable>> {
        let Some(path) = path else {
            let here = self.here.as_ref();
            return here
                .and_then(|place| place.find(method, allowed))
                .or_else(|| self.rest()?.find(method, allowed));
        };
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        let segment = decoded(segment);
        if let Some(next) = self.literals.get(&*segment)
            && let Some(found) = next.find(rest, method, allowed)
        {
            return Some(found);
        }
        self.parameters
            .iter()
            .filter(|(kind, _)| {
                kind.fits(&segment)
                    && match kind {
                        Kind::Rest => !climbs(&decoded(path)),
                        _ => !climbs(&segment),
                    }
            })
            .find_map(|(kind, next)| {
                let rest = rest.filter(|_| *kind != Kind::Rest);
                next.find(rest, method, allowed)
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::METHODS_ANNOTATION;
    use crate::store::conformance::{a_function, a_trigger, an_app};

    /// Sources with the methods they take, none for any; the function is named by the source.
    fn triggers(sources: &[(&str, &[&str])]) -> Triggers {
        let app = an_app("a");
        let all: Vec<_> = sources
            .iter()
            .map(|(source, names)| {
                let mut function = a_function(&app, source);
                function.name = format!("{} {source}", names.join(","));
                let mut trigger = a_trigger(&function, "t", source);
                if !names.is_empty() {
                    let key = METHODS_ANNOTATION.to_owned();
                    trigger.annotations.insert(key, serde_json::json!(names));
                }
                let callable = Callable::from_function(&app, &function, &[]);
                (trigger, Arc::new(callable))
            })
            .collect();
        all.iter().map(|(t, c)| (t, Arc::clone(c))).collect()
    }

    fn found(triggers: &Triggers, request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let decoded = percent_decode_str(path).decode_utf8().unwrap();
        match triggers.find(&decoded, path, method) {
            Ok(callable) => callable.name.trim().to_owned(),
            Err(Miss::Method(methods)) => format!("405 {}", methods.allow_header()),
            Err(_) => "404".to_owned(),
        }
    }

    const SOURCES: &[(&str, &[&str])] = &[
        ("/", &[]),
        ("/a/b", &[]),
        ("/a/{x}", &[]),
        ("/a/{n:int}", &[]),
        ("/a/{w:alpha}/c", &[]),
        ("/a/{x}/{y}", &[]),
        ("/a/b/c/{*rest}", &[]),
        ("/files/{*rest}", &[]),
        ("/{any}", &["POST"]),
        ("/items", &["GET"]),
        ("/items", &["POST", "DELETE"]),
        ("/fib/{i:int}", &["GET"]),
        ("/old{brace", &[]),
    ];

    #[test]
    fn the_most_particular_source_takes_a_request() {
        let triggers = triggers(SOURCES);
        for (request, expected) in [
            ("GET /", "/"),
            ("GET /a/b", "/a/b"),
            ("GET /a/c", "/a/{x}"),
            ("GET /a/7", "/a/{n:int}"),
            ("GET /a/-7", "/a/{n:int}"),
            ("GET /a/%C3%A9%20b", "/a/{x}"),
            ("GET /a/b%2Fc", "/a/{x}"),
            ("GET /%61/b", "/a/b"),
            ("GET /%61/%37", "/a/{n:int}"),
            ("GET /a/", "404"),
            ("GET /a", "405 POST"),
            ("POST /a", "POST /{any}"),
            ("GET /a/b/c", "/a/b/c/{*rest}"),
            ("GET /a/1/c", "/a/{x}/{y}"),
            ("GET /a/b/d", "/a/{x}/{y}"),
            ("GET /a/b/c/", "/a/b/c/{*rest}"),
            ("GET /a/b/c/d/e", "/a/b/c/{*rest}"),
            ("GET /a/b/d/e", "404"),
            ("GET /files/", "/files/{*rest}"),
            ("GET /files/x/y/", "/files/{*rest}"),
            ("GET /files", "/files/{*rest}"),
            ("GET /files//x", "/files/{*rest}"),
            ("GET /old{brace", "/old{brace"),
            // Nothing leads a function out of where it looks up what a parameter says.
            ("GET /files/../x", "404"),
            ("GET /files/a/%2e%2e/x", "404"),
            ("GET /files/..%2Fx", "404"),
            ("GET /a/..", "404"),
            ("GET /a/x%2F..", "404"),
            ("GET /a/%25ff%2F..", "404"),
            ("GET /files/%25ff/..", "404"),
            ("GET /files/..x/.y", "/files/{*rest}"),
            // What is escaped twice is no step up for who decodes once.
            ("GET /a/%252e%252e", "/a/{x}"),
            ("GET /files/%252e%252e/x", "/files/{*rest}"),
            ("GET /nope/nope", "404"),
            ("GET nope", "404"),
        ] {
            assert_eq!(found(&triggers, request), expected, "{request}");
        }
    }

    #[test]
    fn methods_are_part_of_the_choice() {
        let triggers = triggers(SOURCES);
        for (request, expected) in [
            ("GET /items", "GET /items"),
            ("HEAD /items", "GET /items"),
            ("POST /items", "POST,DELETE /items"),
            ("PUT /items", "405 GET, HEAD, POST, DELETE"),
            ("GET /fib/6", "GET /fib/{i:int}"),
            ("POST /fib/6", "405 GET, HEAD"),
            ("POST /fib/x", "404"),
            ("PROPFIND /a/b", "/a/b"),
            ("PROPFIND /fib/6", "405 GET, HEAD"),
        ] {
            assert_eq!(found(&triggers, request), expected, "{request}");
        }
    }

    proptest! {
        #[test]
        fn the_order_in_which_triggers_are_made_does_not_matter(
            order in Just(SOURCES.to_vec()).prop_shuffle(),
            path in "(/(a|b|c|7|items|files|fib|)){0,4}",
            method in "GET|POST|PUT",
        ) {
            let request = format!("{method} {path}");
            prop_assert_eq!(found(&triggers(&order), &request), found(&triggers(SOURCES), &request));
        }

        #[test]
        fn a_path_is_taken_by_a_pattern_that_it_fits(path in "(/(a|b|7|)){1,4}") {
            let fits = |source: &str| {
                let pattern = Pattern::parse(source).unwrap();
                let mut texts = path[1..].split('/');
                for segment in pattern.segments() {
                    match segment {
                        Segment::Parameter { kind: Kind::Rest, .. } => return true,
                        Segment::Parameter { kind, .. } => {
                            if !texts.next().is_some_and(|text| kind.fits(text)) {
                                return false;
                            }
                        }
                        Segment::Literal(literal) => {
                            if texts.next() != Some(literal) {
                                return false;
                            }
                        }
                    }
                }
                texts.next().is_none()
            };
            let sources = ["/a/{x}", "/{n:int}/b", "/{x}/{y}", "/b/{*rest}", "/a/b/{z:alpha}", "/7"];
            let all: Vec<(&str, &[&str])> = sources.iter().map(|s| (*s, &[][..])).collect();
            let found = found(&triggers(&all), &format!("GET {path}"));
            match sources.contains(&found.as_str()) {
                true => prop_assert!(fits(&found), "{} takes {}", found, path),
                false => prop_assert!(!sources.iter().any(|s| fits(s)), "nobody takes {}", path),
            }
        }
    }
}
