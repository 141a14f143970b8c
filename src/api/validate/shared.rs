use serde_json::Value;

use crate::api::error::Invalid;
use crate::model::{
    Annotations, Config, Format, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB, SCALE_ANNOTATION, Scale,
};

/// Longest name of an app, function or trigger (Fn's limit since 2019; before it was 30).
pub(super) const MAX_NAME: usize = 255;

const MAX_ANNOTATIONS: usize = 100;
const MAX_ANNOTATION_KEY_BYTES: usize = 128;
const MAX_ANNOTATION_VALUE_BYTES: usize = 512;

/// Linux takes 128 KiB for one entry of an environment, with its `=` and final NUL.
const MAX_CONFIG_ENTRY_BYTES: usize = 131_070;
/// Linux takes about 2 MiB for arguments and environment; an app's and a function's config both
/// have to fit.
const MAX_CONFIG_BYTES: usize = 524_288;

const TOO_MANY_ANNOTATIONS: Invalid = Invalid::new(
    "Invalid annotation change, new key(s) exceed maximum permitted number of annotations keys (100)",
);

/// Letters and digits of any script, `_` and `-`.
pub(super) fn is_word(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// A text that databases, environments and logs all can hold, and that is one word to Docker.
pub(in crate::api) fn is_image(image: &str) -> bool {
    !image.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// A container's environment cannot hold other entries; without this check each call would fail.
pub(in crate::api) fn config(config: &Config) -> Result<(), Invalid> {
    let mut total = 0;
    for (key, value) in config {
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(Invalid::new(
                "Invalid config key, config keys must be non-empty and free of '=' and NUL",
            ));
        }
        if value.contains('\0') {
            return Err(Invalid::new(
                "Invalid config value, config values must be free of NUL",
            ));
        }
        let bytes = key.len() + value.len();
        if bytes > MAX_CONFIG_ENTRY_BYTES {
            return Err(Invalid::new(
                "Invalid config value length, a config key and its value may not be larger than 131070 bytes together",
            ));
        }
        total += bytes;
    }
    if total > MAX_CONFIG_BYTES {
        return Err(Invalid::new(
            "Invalid config change, all config keys and values may not be larger than 524288 bytes together",
        ));
    }
    Ok(())
}

/// Kinds of processors in the terms of Fn. Clients count on the refusal of other names; nothing
/// here is chosen by them, so they are not kept.
const SHAPES: [&str; 3] = ["GENERIC_X86", "GENERIC_ARM", "GENERIC_X86_ARM"];

/// Refuses a shape that has no such name.
pub(in crate::api) fn shape(name: Option<&str>, invalid: Invalid) -> Result<(), Invalid> {
    match name {
        None | Some("") => Ok(()),
        Some(name) if SHAPES.contains(&name) => Ok(()),
        Some(_) => Err(invalid),
    }
}

pub(in crate::api) fn annotations(annotations: &Annotations) -> Result<(), Invalid> {
    if annotations.len() > MAX_ANNOTATIONS {
        return Err(TOO_MANY_ANNOTATIONS);
    }
    for (key, value) in annotations {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Invalid::new(
                "Invalid annotation key, annotation keys must be non-empty ascii strings excluding whitespace",
            ));
        }
        if key.len() > MAX_ANNOTATION_KEY_BYTES {
            return Err(Invalid::new(
                "Invalid annotation key length, annotation keys may not be larger than 128 bytes",
            ));
        }
        let storable = match value {
            Value::Null | Value::Bool(_) => false,
            Value::String(text) => !text.is_empty(),
            Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
        };
        if !storable {
            return Err(Invalid::new(
                "Invalid annotation value, annotation values may only be non-empty strings, numbers, objects, or arrays",
            ));
        }
        if value.to_string().len() > MAX_ANNOTATION_VALUE_BYTES {
            return Err(Invalid::new(
                "Invalid annotation value length, annotation values may not be larger than 512 bytes when serialized as JSON",
            ));
        }
    }
    Ok(())
}

/// A scale that nobody could obey is refused where it is written, not where it is read.
pub(super) fn scale(annotations: &Annotations, format: Format) -> Result<(), Invalid> {
    match Scale::for_format(annotations, format) {
        Ok(_) => Ok(()),
        Err(error) => Err(Invalid(format!("{SCALE_ANNOTATION}: {error}").into())),
    }
}

pub(super) fn memory_mb(memory: u64) -> Result<u64, Invalid> {
    if (1..=MAX_MEMORY_MB).contains(&memory) {
        Ok(memory)
    } else {
        Err(Invalid::new(
            "memory value is out of range. It should be between 0 and 8192",
        ))
    }
}

/// `secs` if it is at least one second and at most `max`.
pub(super) fn seconds(secs: i64, max: u32, invalid: Invalid) -> Result<u32, Invalid> {
    match u32::try_from(secs) {
        Ok(secs) if (1..=max).contains(&secs) => Ok(secs),
        _ => Err(invalid),
    }
}

pub(super) fn idle_seconds(secs: i64, invalid: Invalid) -> Result<u32, Invalid> {
    seconds(secs, MAX_IDLE_TIMEOUT_SECS, invalid)
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
            let refusal = annotations(&[(key.to_owned(), value)].into()).unwrap_err();
            assert_eq!(refusal.to_string(), expected, "{key:?}");
        }
        let fine = [("a/b.c~!".to_owned(), json!("x".repeat(510)))].into();
        assert_eq!(annotations(&fine), Ok(()));
        let many = (0..101).map(|n| (n.to_string(), json!(1))).collect();
        assert_eq!(annotations(&many), Err(TOO_MANY_ANNOTATIONS));
    }

    #[test]
    fn config_must_fit_into_an_environment() {
        for (key, value) in [("", "v"), ("a=b", "v"), ("a\0", "v"), ("a", "\0")] {
            let map = [(key.to_owned(), value.to_owned())].into();
            assert!(config(&map).is_err(), "{key:?}={value:?}");
        }
        let large = |bytes: usize, entries: usize| -> Config {
            let entry = |n: usize| (n.to_string(), "x".repeat(bytes - 1));
            (0..entries).map(entry).collect()
        };
        assert_eq!(config(&large(131_070, 4)), Ok(()));
        for (bytes, entries, expected) in [
            (
                131_071,
                1,
                "Invalid config value length, a config key and its value may not be larger than 131070 bytes together",
            ),
            (
                131_070,
                5,
                "Invalid config change, all config keys and values may not be larger than 524288 bytes together",
            ),
        ] {
            let refusal = config(&large(bytes, entries)).unwrap_err();
            assert_eq!(refusal.to_string(), expected);
        }
        let map = [("a.b-C".to_owned(), "=\n".to_owned())].into();
        assert_eq!(config(&map), Ok(()));
    }
}
