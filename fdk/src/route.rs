//! Methods and paths: see [`crate::http`].

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;

/// How a function is called, and what it needs.
#[derive(Debug, Clone)]
pub struct Route {
    pub(crate) methods: Vec<Method>,
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
    annotations: BTreeMap<String, serde_json::Value>,
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

/// Calls by any method.
pub fn any(pattern: impl Into<String>) -> Route {
    Route::new(Vec::new(), pattern.into())
}

/// Calls by GET and HEAD.
pub fn get(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::GET, Method::HEAD], pattern.into())
}

/// Calls by POST.
pub fn post(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::POST], pattern.into())
}

/// Calls by PUT.
pub fn put(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::PUT], pattern.into())
}

/// Calls by PATCH.
pub fn patch(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::PATCH], pattern.into())
}

/// Calls by DELETE.
pub fn delete(pattern: impl Into<String>) -> Route {
    Route::new(vec![Method::DELETE], pattern.into())
}

/// Calls by these methods.
pub fn on(methods: impl IntoIterator<Item = Method>, pattern: impl Into<String>) -> Route {
    Route::new(methods.into_iter().collect(), pattern.into())
}

impl Route {
    fn new(methods: Vec<Method>, pattern: String) -> Self {
        Self {
            methods,
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

    /// Anything else that the server should know of the function.
    #[must_use]
    pub fn annotation(mut self, name: impl Into<String>, value: serde_json::Value) -> Self {
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

    /// The parameters of `path`, decoded, if it fits.
    pub(crate) fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut params = Vec::new();
        let mut segments = split(path);
        for part in split(&self.pattern) {
            let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
            let Some(name) = name else {
                if decode(segments.next()?)? != part {
                    return None;
                }
                continue;
            };
            if let Some(rest) = name.strip_prefix('*') {
                let left: Vec<&str> = segments.by_ref().collect();
                params.push((rest.to_owned(), decode(&left.join("/"))?));
                continue;
            }
            let value = decode(segments.next()?)?;
            let (name, fits) = match name.split_once(':') {
                None => (name, !value.is_empty()),
                Some((name, "int")) => (name, value.parse::<i64>().is_ok()),
                Some((name, "alpha")) => {
                    let alpha = value.chars().all(char::is_alphabetic);
                    (name, alpha && !value.is_empty())
                }
                Some((name, _)) => (name, false),
            };
            if !fits {
                return None;
            }
            params.push((name.to_owned(), value));
        }
        segments.next().is_none().then_some(params)
    }

    /// Whether calls by `method` are for this route.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// The segments of a path; a slash at its end means nothing.
fn split(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    path.split('/').filter(move |_| !path.is_empty())
}

fn decode(segment: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(segment);
    decoded.decode_utf8().ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_segment_by_segment() {
        let table = [
            ("/", "/", Some("")),
            ("/add", "/add", Some("")),
            ("/add", "/add/", Some("")),
            ("/add", "/ad", None),
            ("/add", "/add/x", None),
            ("/fib/{index:int}", "/fib/6", Some("index=6")),
            ("/fib/{index:int}", "/fib/-6", Some("index=-6")),
            ("/fib/{index:int}", "/fib/abc", None),
            ("/fib/{index:int}", "/fib", None),
            ("/{a:alpha}/{b}", "/x/%2Fy", Some("a=x b=/y")),
            ("/{a:alpha}/{b}", "/1/y", None),
            ("/{a:odd}", "/1", None),
            ("/files/{*rest}", "/files/a/b%20c", Some("rest=a/b c")),
            ("/files/{*rest}", "/files", Some("rest=")),
            ("/{a}", "/%ff", None),
        ];
        for (pattern, path, expected) in table {
            let found = any(pattern).matches(path).map(|params| {
                let named: Vec<_> = params.iter().map(|(n, v)| format!("{n}={v}")).collect();
                named.join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{pattern} {path}");
        }
    }
}
