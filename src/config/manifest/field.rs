use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_yaml::{Mapping, Value};

use crate::config::manifest::error::{ManifestError, show, show_text};
use crate::model::{Annotations, Config, nearest};

/// The keys of one mapping of the file, taken one by one.
pub(in crate::config) struct Fields<'a> {
    file: &'a str,
    /// Where this mapping stands, e.g. `triggers[0].`; empty at the top.
    prefix: String,
    map: Mapping,
}

impl<'a> Fields<'a> {
    /// Refuses keys that are not in `allowed`, so that a typo does not go unnoticed.
    pub(in crate::config) fn new(
        file: &'a str,
        prefix: String,
        map: Mapping,
        allowed: &[&str],
    ) -> Result<Self, ManifestError> {
        for key in map.keys() {
            let key = key.as_str().unwrap_or_default();
            if !allowed.contains(&key) {
                return Err(unknown(file, &prefix, key, allowed));
            }
        }
        Ok(Self { file, prefix, map })
    }

    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The value of `key`; a key without a value counts as absent, as it does in Fn.
    pub(in crate::config) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Whether `key` has a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// All that is left, as JSON; keys without a value count as absent.
    pub(super) fn into_json(mut self) -> Result<serde_json::Value, ManifestError> {
        self.map.retain(|_, value| !value.is_null());
        let mapping = std::mem::take(&mut self.map);
        serde_json::to_value(mapping)
            .map_err(|error| self.refuse("", "a value", format!("plain values: {error}")))
    }

    pub(in crate::config) fn refuse(
        &self,
        key: &str,
        value: &str,
        expected: impl Display,
    ) -> ManifestError {
        ManifestError::Value {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            value: value.to_owned(),
            expected: expected.to_string(),
        }
    }

    pub(in crate::config) fn missing(&self, key: &str, expected: impl Display) -> ManifestError {
        ManifestError::Missing {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            expected: expected.to_string(),
        }
    }

    pub(in crate::config) fn text(
        &mut self,
        key: &str,
        expected: &str,
    ) -> Result<Option<String>, ManifestError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.refuse(key, &show(&other), expected)),
        }
    }

    /// Text that `parse` accepts.
    pub(in crate::config) fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ManifestError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let text = scalar(&value);
        match text.as_deref().and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.refuse(key, &show(&value), expected)),
        }
    }

    pub(in crate::config) fn number(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        unit: &str,
    ) -> Result<Option<u64>, ManifestError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (from, to) = (range.start(), range.end());
                let expected = format!("a whole number of {unit} from {from} to {to}");
                Err(self.refuse(key, &show(&value), expected))
            }
        }
    }

    pub(in crate::config) fn list(&mut self, key: &str) -> Result<Vec<Value>, ManifestError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Sequence(items)) => Ok(items),
            Some(other) => Err(self.refuse(key, &show(&other), "a list")),
        }
    }

    pub(in crate::config) fn mapping(&mut self, key: &str) -> Result<Mapping, ManifestError> {
        match self.take(key) {
            None => Ok(Mapping::new()),
            Some(Value::Mapping(map)) => Ok(map),
            Some(other) => Err(self.refuse(key, &show(&other), "keys and values")),
        }
    }

    /// The mappings of a list, each as its own fields.
    pub(in crate::config) fn items(
        &mut self,
        key: &str,
        allowed: &[&str],
    ) -> Result<Vec<Self>, ManifestError> {
        let mut items = Vec::new();
        for (index, item) in self.list(key)?.into_iter().enumerate() {
            let place = format!("{key}[{index}]");
            let Value::Mapping(map) = item else {
                return Err(self.refuse(&place, &show(&item), "keys and values"));
            };
            items.push(Self::new(
                self.file,
                format!("{}{place}.", self.prefix),
                map,
                allowed,
            )?);
        }
        Ok(items)
    }

    pub(in crate::config) fn texts(&mut self, key: &str) -> Result<Vec<String>, ManifestError> {
        let mut texts = Vec::new();
        for (index, item) in self.list(key)?.into_iter().enumerate() {
            let Value::String(text) = item else {
                return Err(self.refuse(&format!("{key}[{index}]"), &show(&item), "text"));
            };
            texts.push(text);
        }
        Ok(texts)
    }
}

/// A plain value as the text somebody typed.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Environment values: a number or a flag is taken as it is written.
pub(in crate::config) fn config(
    fields: &mut Fields<'_>,
    key: &str,
) -> Result<Config, ManifestError> {
    let mut config = Config::new();
    for (name, value) in fields.mapping(key)? {
        let name = name.as_str().unwrap_or_default().to_owned();
        let place = format!("{key}.{}", show_text(&name));
        if name.is_empty() || name.contains(['=', '\0']) {
            let expected = "a name without = and without NUL";
            return Err(fields.refuse(key, &show_text(&name), expected));
        }
        let text = match &value {
            Value::Null => Some(String::new()),
            other => scalar(other),
        };
        match text {
            Some(text) if !text.contains('\0') => config.insert(name, text),
            _ => return Err(fields.refuse(&place, &show(&value), "text, a number or a flag")),
        };
    }
    Ok(config)
}

/// Annotations by the rules of the API, so that a bad one is found before anything is built.
pub(in crate::config) fn annotations(
    fields: &mut Fields<'_>,
) -> Result<Annotations, ManifestError> {
    const MAX_KEY: usize = 128;
    const MAX_VALUE: usize = 512;
    const MAX_COUNT: usize = 100;
    let map = fields.mapping("annotations")?;
    if map.len() > MAX_COUNT {
        let count = format!("{} keys", map.len());
        return Err(fields.refuse("annotations", &count, "at most 100 keys"));
    }
    let mut annotations = Annotations::new();
    for (name, value) in map {
        let name = name.as_str().unwrap_or_default().to_owned();
        let printable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        if !printable || name.len() > MAX_KEY {
            let expected = "a name of 1 to 128 printable ASCII characters without spaces";
            return Err(fields.refuse("annotations", &show_text(&name), expected));
        }
        let place = format!("annotations.{name}");
        let expected = "a text, number, list or mapping of at most 512 bytes as JSON";
        let json = match serde_json::to_value(&value) {
            Ok(json) if !json.is_null() && json != "" => json,
            _ => return Err(fields.refuse(&place, &show(&value), expected)),
        };
        if json.to_string().len() > MAX_VALUE {
            return Err(fields.refuse(&place, &show(&value), expected));
        }
        annotations.insert(name, json);
    }
    Ok(annotations)
}

/// Response headers: one value or a list of them for each name.
pub(super) fn headers(
    fields: &mut Fields<'_>,
) -> Result<BTreeMap<String, Vec<String>>, ManifestError> {
    let mut headers = BTreeMap::new();
    for (name, value) in fields.mapping("headers")? {
        let name = name.as_str().unwrap_or_default().to_owned();
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(fields.refuse("headers", &show_text(&name), "the name of an HTTP header"));
        }
        let values = match value {
            Value::Sequence(values) => values,
            one => vec![one],
        };
        let mut texts = Vec::new();
        for value in values {
            let text = scalar(&value).filter(|text| http::HeaderValue::from_str(text).is_ok());
            let Some(text) = text else {
                let place = format!("headers.{name}");
                let expected = "one line of text, or a list of them";
                return Err(fields.refuse(&place, &show(&value), expected));
            };
            texts.push(text);
        }
        headers.insert(name, texts);
    }
    Ok(headers)
}

fn unknown(file: &str, prefix: &str, key: &str, allowed: &[&str]) -> ManifestError {
    let nearest = nearest(key, allowed.iter().copied())
        .map_or_else(String::new, |known| format!(", did you mean {known}?"));
    ManifestError::UnknownKey {
        file: file.to_owned(),
        key: format!("{prefix}{}", show_text(key)),
        nearest,
        allowed: allowed.join(", "),
    }
}
