//! JSON of clients, read more strictly than serde does by itself.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The object in `text`, or `None` for `null`.
///
/// Refused as well: an object that has a member twice, because parsers disagree about which one
/// counts (RFC 8259 §4), and nesting deeper than 128, in members that nobody reads too.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, serde_json::Error> {
    serde_json::from_slice::<Unambiguous>(text)?;
    let object: Option<Object<T>> = serde_json::from_slice(text)?;
    Ok(object.map(|Object(value)| value))
}

/// A `T` that was an object. By itself serde also takes an array of the members' values.
#[derive(Clone, Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        let value = serde_json::from_value(Value::Object(members)).map_err(D::Error::custom)?;
        Ok(Self(value))
    }
}

/// Any JSON in which no object has a member twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unambiguous, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format_args!("member {name} twice")));
            }
            members.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Point {
        x: Option<i64>,
        y: Option<Object<Inner>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        z: Option<i64>,
    }

    impl PartialEq for Object<Inner> {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    fn parsed(text: &str) -> Option<Option<Point>> {
        parse(text.as_bytes()).ok()
    }

    #[test]
    fn an_object_is_an_object_at_every_level() {
        let y = Some(Object(Inner { z: Some(2) }));
        let point = Point { x: Some(1), y };
        let text = r#" {"x": 1, "y": {"z": 2, "?": [1.5, true]}, "?": "a"} "#;
        assert_eq!(parsed(text), Some(Some(point)));
        assert_eq!(parsed("null"), Some(None));
        for text in ["[1,{\"z\":2}]", "{\"y\":[2]}", "1", "\"x\"", "true", ""] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_member_that_comes_twice_is_refused_wherever_it_is() {
        for text in [
            r#"{"x":1,"x":1}"#,
            r#"{"x":1,"\u0078":1}"#,
            r#"{"y":{"z":1,"z":2}}"#,
            r#"{"?":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_has_a_bound_even_where_nobody_reads() {
        for (depth, fine) in [(100, true), (200, false), (1_000_000, false)] {
            let text = format!("{{\"?\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(parsed(&text).is_some(), fine, "{depth}");
        }
    }
}
