use serde_json::Value;
use thiserror::Error;

use crate::model::{Annotations, Config};

const MAX_ANNOTATIONS: usize = 100;
const MAX_ANNOTATION_KEY_BYTES: usize = 128;
const MAX_ANNOTATION_VALUE_BYTES: usize = 512;

/// Linux takes 128 KiB for one entry of an environment, with its `=` and final NUL.
const MAX_CONFIG_ENTRY_BYTES: usize = 131_070;
/// Linux takes about 2 MiB for arguments and environment; an app's and a function's config both
/// have to fit.
const MAX_CONFIG_BYTES: usize = 524_288;

/// Why configuration or annotations cannot be kept, in the words of Fn where it has some.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct InvalidValues {
    /// The one that is wrong; nothing where it is all of them together.
    pub key: Option<String>,
    pub text: &'static str,
}

impl InvalidValues {
    fn at(key: &str, text: &'static str) -> Self {
        Self {
            key: Some(key.to_owned()),
            text,
        }
    }

    const fn together(text: &'static str) -> Self {
        Self { key: None, text }
    }
}

/// A container's environment cannot hold other entries; without this check each call would fail.
pub fn check_config(config: &Config) -> Result<(), InvalidValues> {
    let mut total = 0;
    for (key, value) in config {
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(InvalidValues::at(
                key,
                "Invalid config key, config keys must be non-empty and free of '=' and NUL",
            ));
        }
        if value.contains('\0') {
            return Err(InvalidValues::at(
                key,
                "Invalid config value, config values must be free of NUL",
            ));
        }
        let bytes = key.len() + value.len();
        if bytes > MAX_CONFIG_ENTRY_BYTES {
            return Err(InvalidValues::at(
                key,
                "Invalid config value length, a config key and its value may not be larger than 131070 bytes together",
            ));
        }
        total += bytes;
    }
    if total > MAX_CONFIG_BYTES {
        return Err(InvalidValues::together(
            "Invalid config change, all config keys and values may not be larger than 524288 bytes together",
        ));
    }
    Ok(())
}

/// The limits that Fn has for annotations.
pub fn check_annotations(annotations: &Annotations) -> Result<(), InvalidValues> {
    if annotations.len() > MAX_ANNOTATIONS {
        return Err(InvalidValues::together(
            "Invalid annotation change, new key(s) exceed maximum permitted number of annotations keys (100)",
        ));
    }
    for (key, value) in annotations {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidValues::at(
                key,
                "Invalid annotation key, annotation keys must be non-empty ascii strings excluding whitespace",
            ));
        }
        if key.len() > MAX_ANNOTATION_KEY_BYTES {
            return Err(InvalidValues::at(
                key,
                "Invalid annotation key length, annotation keys may not be larger than 128 bytes",
            ));
        }
        let storable = match value {
            Value::Null | Value::Bool(_) => false,
            Value::String(text) => !text.is_empty(),
            Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
        };
        if !storable {
            return Err(InvalidValues::at(
                key,
                "Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays",
            ));
        }
        if value.to_string().len() > MAX_ANNOTATION_VALUE_BYTES {
            return Err(InvalidValues::at(
                key,
                "Invalid annotation value length, annotation values may not be larger than 512 bytes when serialized as JSON",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn annotations_are_refused_with_the_text_for_their_fault() {
        const KEY: &str = "Invalid annotation key, annotation keys must be non-empty ascii strings excluding whitespace";
        const KEY_LENGTH: &str =
            "Invalid annotation key length, annotation keys may not be larger than 128 bytes";
        const VALUE: &str = "Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays";
        const VALUE_LENGTH: &str = "Invalid annotation value length, annotation values may not be larger than 512 bytes when serialized as JSON";
        let long_key = "k".repeat(129);
        for (key, value, expected) in [
            ("", json!(1), KEY),
            ("a b", json!(1), KEY),
            ("ä", json!(1), KEY),
            ("a\0", json!(1), KEY),
            (&long_key, json!(1), KEY_LENGTH),
            ("a", json!(null), VALUE),
            ("a", json!(""), VALUE),
            ("a", json!(true), VALUE),
            ("a", json!("x".repeat(511)), VALUE_LENGTH),
        ] {
            let refusal = check_annotations(&[(key.to_owned(), value)].into()).unwrap_err();
            assert_eq!(refusal, InvalidValues::at(key, expected));
        }
        let fine = [("a/b.c~!".to_owned(), json!("x".repeat(510)))].into();
        assert_eq!(check_annotations(&fine), Ok(()));
        let many = |count: i32| (0..count).map(|n| (n.to_string(), json!(1))).collect();
        assert_eq!(check_annotations(&many(100)), Ok(()));
        let refusal = check_annotations(&many(101)).unwrap_err();
        assert_eq!(
            refusal,
            InvalidValues::together(
                "Invalid annotation change, new key(s) exceed maximum permitted number of annotations keys (100)"
            )
        );
    }

    #[test]
    fn config_must_fit_into_an_environment() {
        for (key, value) in [("", "v"), ("a=b", "v"), ("a\0", "v"), ("a", "\0")] {
            let map = [(key.to_owned(), value.to_owned())].into();
            let refusal = check_config(&map).unwrap_err();
            assert_eq!(refusal.key.as_deref(), Some(key), "{key:?}={value:?}");
        }
        let large = |bytes: usize, entries: usize| -> Config {
            let entry = |n: usize| (n.to_string(), "x".repeat(bytes - 1));
            (0..entries).map(entry).collect()
        };
        assert_eq!(check_config(&large(131_070, 4)), Ok(()));
        for (bytes, entries, key, expected) in [
            (
                131_071,
                1,
                Some("0"),
                "Invalid config value length, a config key and its value may not be larger than 131070 bytes together",
            ),
            (
                131_070,
                5,
                None,
                "Invalid config change, all config keys and values may not be larger than 524288 bytes together",
            ),
        ] {
            let refusal = check_config(&large(bytes, entries)).unwrap_err();
            assert_eq!((refusal.key.as_deref(), refusal.text), (key, expected));
        }
        let map = [("a.b-C".to_owned(), "=\n".to_owned())].into();
        assert_eq!(check_config(&map), Ok(()));
    }
}
