use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};

use crate::config::manifest::error::{ManifestError, one_line, show, show_text};

/// Largest file that is parsed at all; real ones are below 2 KiB.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;
/// Nodes that the document may have once anchors are expanded.
const MAX_NODES: usize = 10_000;
/// Text that the document may hold once anchors are expanded.
const MAX_TEXT: usize = 4 * MAX_MANIFEST_BYTES;

/// Parses YAML, or JSON where the file's name says so, into one mapping.
///
/// serde_yaml's own `Value` would expand a chain of anchors to gigabytes before we could count, so
/// the tree is built by a visitor that pays for every node from a budget.
pub(in crate::config) fn read_mapping(text: &str, file: &str) -> Result<Mapping, ManifestError> {
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLarge {
            file: file.to_owned(),
            size: text.len() as u64,
            max: MAX_MANIFEST_BYTES,
        });
    }
    let budget = Budget::default();
    let tree = if file.ends_with(".json") {
        let mut json = serde_json::Deserializer::from_str(text);
        Node(&budget)
            .deserialize(&mut json)
            .and_then(|tree| json.end().map(|()| tree))
            .map_err(|error| error.to_string())
    } else {
        Node(&budget)
            .deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| error.to_string())
    };
    let syntax = |reason: String| ManifestError::Syntax {
        file: file.to_owned(),
        reason,
    };
    match tree {
        Ok(Value::Mapping(mapping)) => Ok(mapping),
        Ok(Value::Null) => Err(syntax("empty, expected keys and values".to_owned())),
        Ok(other) => Err(syntax(format!(
            "{} is not allowed at the top, expected keys and values",
            show(&other)
        ))),
        Err(reason) => Err(syntax(one_line(&reason))),
    }
}

#[derive(Default)]
struct Budget {
    nodes: Cell<usize>,
    text: Cell<usize>,
}

impl Budget {
    fn pay<E: Error>(&self, text: &str) -> Result<(), E> {
        self.nodes.set(self.nodes.get() + 1);
        self.text.set(self.text.get() + text.len());
        if self.nodes.get() > MAX_NODES || self.text.get() > MAX_TEXT {
            return Err(E::custom("the anchors expand to too much, write them out"));
        }
        Ok(())
    }
}

struct Node<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        self.0.pay("")?;
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        self.0.pay("")?;
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        self.0.pay("")?;
        Ok(Value::Number(number.into()))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        self.0.pay("")?;
        Ok(Value::Number(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.0.pay(text)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.pay("")?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        self.deserialize(source)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.pay("")?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Node(self.0))? {
            list.push(item);
        }
        Ok(Value::Sequence(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.pay("")?;
        let mut mapping = Mapping::new();
        while let Some(key) = entries.next_key_seed(Node(self.0))? {
            let key = match key {
                Value::String(text) => text,
                // A number or `yes` as the name of a setting is what somebody typed, not a type.
                Value::Bool(_) | Value::Number(_) => show(&key),
                _ => {
                    let shown = show(&key);
                    return Err(A::Error::custom(format!(
                        "{shown} is not allowed as a key, expected text"
                    )));
                }
            };
            let value = entries.next_value_seed(Node(self.0))?;
            let shown = show_text(&key);
            if mapping.insert(Value::String(key), value).is_some() {
                return Err(A::Error::custom(format!(
                    "{shown} is given twice, expected every key once"
                )));
            }
        }
        Ok(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom(
            "a !tag is not allowed, expected a plain value",
        ))
    }
}
