//! Methods and paths: see [`crate::http`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// How a function is called, and what it needs: see [the module](crate::http) for an example.
#[derive(Debug, Clone)]
pub struct Route {
    /// All of them, if none is named.
    pub(crate) methods: Vec<Method>,
    /// Nobody could call it.
    pub(crate) closed: bool,
    pub(crate) pattern: String,
    pub(crate) needs: Needs,
    pub(crate) bound: Bound,
}

/// What a function asks of the server, as the index says it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Needs {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Expects::is_empty")]
    expects: Expects,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, Box<RawValue>>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Expects {
    config: Vec<Setting>,
    secrets: Vec<String>,
}

impl Expects {
    fn is_empty(&self) -> bool {
        self.config.is_empty() && self.secrets.is_empty()
    }
}

#[derive(Debug, Clone, Serialize)]
struct Setting {
    name: String,
    required: bool,
}

/// What applies to this function only.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bound {
    /// Types for which the app's converters and the built-in ones are not asked.
    pub(crate) strict: Vec<std::any::TypeId>,
}

/// Calls by any method; as in [the example](crate::http).
pub fn any(pattern: impl Into<String>) -> Route {
    Route::new(Vec::new(), pattern.into())
}

/// Calls by GET and HEAD; as in [the example](crate::http).
pub fn get(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::GET, Method::HEAD], pattern.into())
}

/// Calls by POST; as in [the example](crate::http).
pub fn post(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::POST], pattern.into())
}

/// Calls by PUT; as in [the example](crate::http).
pub fn put(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::PUT], pattern.into())
}

/// Calls by PATCH; as in [the example](crate::http).
pub fn patch(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::PATCH], pattern.into())
}

/// Calls by DELETE; as in [the example](crate::http).
pub fn delete(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::DELETE], pattern.into())
}

/// Calls by these methods, of which there is one at least.
///
/// ```
/// use fdk::{App, Method, http};
///
/// let route = http::on([Method::PUT, Method::PATCH], "/item");
/// let app = App::new().function("set", route, || "set").test();
/// app.call(Method::PATCH, "/item").wait().assert_text("set");
/// assert_eq!(app.get("/item").wait().status(), 405);
/// ```
pub fn on(methods: impl IntoIterator<Item = Method>, pattern: impl Into<String>) -> Route {
    let methods: Vec<Method> = methods.into_iter().collect();
    let closed = methods.is_empty();
    Route {
        closed,
        ..Route::new(methods, pattern.into())
    }
}

impl Route {
    fn new(methods: Vec<Method>, pattern: String) -> Self {
        Self {
            methods,
            closed: false,
            pattern,
            needs: Needs::default(),
            bound: Bound::default(),
        }
    }

    /// What the function is for.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.needs.description = Some(text.into());
        self
    }

    /// Most memory of a container, in MB.
    #[must_use]
    pub fn memory(mut self, mb: u64) -> Self {
        self.needs.memory = Some(mb);
        self
    }

    /// Longest time of a call, in seconds.
    #[must_use]
    pub fn timeout(mut self, seconds: u64) -> Self {
        self.needs.timeout = Some(seconds);
        self
    }

    /// How long a container waits for the next call, in seconds.
    #[must_use]
    pub fn idle_timeout(mut self, seconds: u64) -> Self {
        self.needs.idle_timeout = Some(seconds);
        self
    }

    /// A setting without which the function cannot be deployed.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>) -> Self {
        self.needs.expects.config.push(Setting {
            name: name.into(),
            required: true,
        });
        self
    }

    /// A secret without which the function cannot be deployed.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>) -> Self {
        self.needs.expects.secrets.push(name.into());
        self
    }

    /// Anything else that the server should know of the function. What has no JSON is null.
    ///
    /// ```
    /// use fdk::http;
    ///
    /// let route = http::get("/hot").annotation("kiln/scale", &serde_json::json!({ "min": 1 }));
    /// # let _ = route;
    /// ```
    #[must_use]
    pub fn annotation(mut self, name: impl Into<String>, value: &impl Serialize) -> Self {
        // As text from here on: a program without annotations needs nothing that writes values.
        let value = to_raw_value(value).unwrap_or_default();
        self.needs.annotations.insert(name.into(), value);
        self
    }

    /// [`Bind<T>`](crate::Bind) takes only what `T` itself converts: the app's converters and the
    /// built-in ones are not asked.
    #[must_use]
    pub fn no_fallback<T: 'static>(mut self) -> Self {
        self.bound.strict.push(std::any::TypeId::of::<T>());
        self
    }

    /// Whether its paths say more than which function is called.
    pub(crate) fn has_params(&self) -> bool {
        self.pattern.contains('{')
    }

    /// How `path` fits, if it does. The server has the same rules: a path is cut at its slashes, and
    /// then its segments are decoded.
    pub(crate) fn matches(&self, path: &str) -> Option<Fit> {
        let mut segments = path.split('/').skip(1).map(decode);
        let mut fit = Fit::default();
        for part in self.pattern.split('/').skip(1) {
            let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                if segments.next()?? != part {
                    return None;
                }
                fit.ranks.push(0);
                continue;
            };
            if let Some(rest) = name.strip_prefix('*') {
                let left: Option<Vec<_>> = segments.by_ref().collect();
                fit.params.push((rest.to_owned(), left?.join("/")));
                fit.ranks.push(4);
                continue;
            }
            let value = segments.next()??;
            let (name, kind) = name.split_once(':').unwrap_or((name, ""));
            let (rank, fits) = match kind {
                "int" => (1, !value.starts_with('+') && value.parse::<i64>().is_ok()),
                "alpha" => (2, value.bytes().all(|b| b.is_ascii_alphabetic())),
                _ => (3, kind.is_empty()),
            };
            if !fits || value.is_empty() {
                return None;
            }
            fit.params.push((name.to_owned(), value.into_owned()));
            fit.ranks.push(rank);
        }
        segments.next().is_none().then_some(fit)
    }

    /// Whether calls by `method` are for this route.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let decoded = percent_encoding::percent_decode_str(segment);
    decoded.decode_utf8().ok()
}

/// How a path fits a route.
#[derive(Debug, Default)]
pub(crate) struct Fit {
    /// The parameters, decoded.
    pub(crate) params: Vec<(String, String)>,
    /// How particular each segment is: a literal most of all, then numbers, letters, anything, and
    /// all that is left. Of two routes the first difference decides.
    pub(crate) ranks: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_segment_by_segment() {
        let table = [
            ("/", "/", Some("")),
            ("/add", "/add", Some("")),
            ("/add", "/add/", None),
            ("/add", "/ad", None),
            ("/add", "/add/x", None),
            ("/fib/{index:int}", "/fib/6", Some("index=6")),
            ("/fib/{index:int}", "/fib/-6", Some("index=-6")),
            ("/fib/{index:int}", "/fib/abc", None),
            ("/fib/{index:int}", "/fib", None),
            ("/{a:alpha}/{b}", "/x/%2Fy", Some("a=x b=/y")),
            ("/{a:alpha}/{b}", "/x%2Fy", None),
            ("/{a:alpha}/{b}", "/x/", None),
            ("/{n:int}", "/+6", None),
            ("/{a:alpha}", "/\u{e4}", None),
            ("/{a:alpha}/{b}", "/1/y", None),
            ("/{a:odd}", "/1", None),
            ("/files/{*rest}", "/files/a/b%20c", Some("rest=a/b c")),
            ("/files/{*rest}", "/files", Some("rest=")),
            ("/files/{*rest}", "/files/a/", Some("rest=a/")),
            ("/{a}", "/%ff", None),
        ];
        for (pattern, path, expected) in table {
            let found = any(pattern).matches(path).map(|fit| {
                let named: Vec<_> = fit.params.iter().map(|(n, v)| format!("{n}={v}")).collect();
                named.join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{pattern} {path}");
        }
    }
}
