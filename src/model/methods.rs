use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

use crate::model::Annotations;

/// Holds, as a list, the methods that a trigger takes. An annotation, because clients of Fn keep
/// those they do not know.
pub const METHODS_ANNOTATION: &str = "kiln/methods";

const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Longest piece of what was found in a message.
const LONGEST_SHOWN: usize = 60;

/// The methods that a trigger takes: any at all, or some of those that HTTP defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u8);

/// Not a list of methods that a trigger can take.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{found} is not allowed, expected {expected}")]
pub struct InvalidMethods {
    pub found: String,
    pub expected: String,
}

impl Methods {
    /// Every method, also those that nobody has heard of.
    pub const ANY: Self = Self(u8::MAX);

    /// What a list of names says, in any case.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidMethods> {
        let mut methods = Self(0);
        for name in names {
            let upper = name.to_ascii_uppercase();
            let bit = bit(&upper).ok_or_else(|| InvalidMethods {
                found: shown(name),
                expected: format!("one of {}", KNOWN.join(", ")),
            })?;
            if methods.0 & bit != 0 {
                return Err(InvalidMethods {
                    found: format!("{} twice", shown(name)),
                    expected: "each method once".to_owned(),
                });
            }
            methods.0 |= bit;
        }
        if methods.0 == 0 {
            return Err(InvalidMethods {
                found: "an empty list".to_owned(),
                expected: format!("one or more of {}", KNOWN.join(", ")),
            });
        }
        Ok(methods)
    }

    /// The methods among `annotations`; any where nothing is said.
    pub fn of(annotations: &Annotations) -> Result<Self, InvalidMethods> {
        let wrong = |value: &Value| InvalidMethods {
            found: value.to_string().chars().take(LONGEST_SHOWN).collect(),
            expected: "a list of methods".to_owned(),
        };
        match annotations.get(METHODS_ANNOTATION) {
            None => Ok(Self::ANY),
            Some(Value::Array(items)) => {
                let names = items.iter().map(|item| item.as_str().ok_or(item));
                let names: Vec<&str> = names.collect::<Result<_, _>>().map_err(wrong)?;
                Self::parse(names)
            }
            Some(other) => Err(wrong(other)),
        }
    }

    /// As the annotation has them; `None` for any.
    pub fn to_annotation(self) -> Option<Value> {
        (self != Self::ANY).then(|| self.names().collect())
    }

    /// The names, in the order in which people list them; none for any.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = self != Self::ANY;
        KNOWN
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| named && self.0 & (1 << at) != 0)
            .map(|(_, name)| name)
    }

    /// Whether `method` is one of them, in so many words.
    pub fn names_one(self, method: &str) -> bool {
        self == Self::ANY || bit(method).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Whether a request of `method` is taken: what answers GET answers HEAD (RFC 9110, 9.3.2).
    pub fn allow(self, method: &str) -> bool {
        self.names_one(method) || (method == "HEAD" && self.names_one("GET"))
    }

    /// Whether some method is in both.
    pub fn overlap(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// All that are in either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What an `Allow` header says; HEAD goes with GET.
    pub fn allow_header(self) -> String {
        let taken: Vec<&str> = KNOWN.into_iter().filter(|name| self.allow(name)).collect();
        taken.join(", ")
    }
}

/// A name in quotes, fit for one line of a terminal.
fn shown(name: &str) -> String {
    let start: String = name.chars().take(LONGEST_SHOWN).collect();
    format!("{start:?}")
}

fn bit(method: &str) -> Option<u8> {
    let at = KNOWN.iter().position(|known| *known == method)?;
    Some(1 << at)
}

/// As people write them: `ANY`, or the names, with commas between them.
impl FromStr for Methods {
    type Err = InvalidMethods;

    fn from_str(text: &str) -> Result<Self, InvalidMethods> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::ANY);
        }
        Self::parse(text.split(',').map(str::trim))
    }
}

/// As in tables: `ANY`, or the names.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return f.write_str("ANY");
        }
        for (at, name) in self.names().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Result<String, String> {
        let annotations = [(METHODS_ANNOTATION.to_owned(), value)].into();
        let methods = Methods::of(&annotations).map_err(|error| error.to_string())?;
        Ok(methods.to_string())
    }

    #[test]
    fn methods_are_names_that_http_knows() {
        assert_eq!(Methods::of(&Annotations::new()), Ok(Methods::ANY));
        assert_eq!(of(json!(["post", "GET"])), Ok("GET,POST".to_owned()));
        for (value, error) in [
            (
                json!([]),
                "an empty list is not allowed, expected one or more of GET, HEAD, POST",
            ),
            (
                json!(["FETCH"]),
                "\"FETCH\" is not allowed, expected one of GET, HEAD, POST",
            ),
            (
                json!(["GET", "get"]),
                "\"get\" twice is not allowed, expected each method once",
            ),
            (json!([1]), "1 is not allowed, expected a list of methods"),
            (
                json!("GET"),
                "\"GET\" is not allowed, expected a list of methods",
            ),
        ] {
            let said = of(value.clone()).unwrap_err();
            assert!(said.starts_with(error), "{value}: {said}");
        }
    }

    #[test]
    fn what_answers_get_answers_head() {
        let get = Methods::parse(["GET"]).unwrap();
        assert!(get.allow("HEAD") && !get.names_one("HEAD") && !get.allow("POST"));
        assert_eq!(get.allow_header(), "GET, HEAD");
        assert!(Methods::ANY.allow("PROPFIND"));
        assert!(!get.overlap(Methods::parse(["HEAD", "POST"]).unwrap()));
        assert!(get.overlap(Methods::ANY));
    }

    #[test]
    fn an_annotation_reads_back_as_it_was_written() {
        for names in [&["GET"][..], &["POST", "DELETE"], &KNOWN] {
            let methods = Methods::parse(names.iter().copied()).unwrap();
            let annotation = methods.to_annotation().unwrap();
            let annotations = [(METHODS_ANNOTATION.to_owned(), annotation)].into();
            assert_eq!(Methods::of(&annotations), Ok(methods));
            assert_eq!(methods.to_string().parse(), Ok(methods));
        }
        assert_eq!("any".parse(), Ok(Methods::ANY));
        assert_eq!("get, Post".parse(), Methods::parse(["GET", "POST"]));
        assert!("".parse::<Methods>().is_err());
        assert_eq!(Methods::ANY.to_annotation(), None);
    }
}
