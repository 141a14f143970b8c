//! How an update changes what is there: what is absent or zero stays.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::endpoint;
use crate::model::{Annotations, Config};

/// A JSON object of texts in which `null` reads as the empty text.
pub(super) type Texts = BTreeMap<String, Option<String>>;

/// A JSON object of lists of texts in which `null` reads as the empty list.
pub(super) type Lists = BTreeMap<String, Option<Vec<String>>>;

/// A value that is neither absent nor zero takes the place of the old one.
pub(super) fn set<T: Default + PartialEq>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value.filter(|value| *value != T::default()) {
        *slot = value;
    }
}

/// The config of something new.
pub(super) fn new_config(texts: Option<Texts>) -> Config {
    let texts = texts.unwrap_or_default();
    texts
        .into_iter()
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect()
}

/// An empty text deletes its key.
pub(super) fn config(config: &mut Config, texts: Option<Texts>) {
    for (key, value) in texts.unwrap_or_default() {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => config.insert(key, value),
            None => config.remove(&key),
        };
    }
}

/// An empty list deletes its header. Header names know no case.
pub(super) fn headers(headers: &mut BTreeMap<String, Vec<String>>, lists: Option<Lists>) {
    for (name, values) in lists.unwrap_or_default() {
        headers.retain(|old, _| !old.eq_ignore_ascii_case(&name));
        if let Some(values) = values.filter(|values| !values.is_empty()) {
            headers.insert(name, values);
        }
    }
}

/// The annotations of something new.
pub(super) fn new_annotations(values: Option<Annotations>) -> Annotations {
    let mut values = values.unwrap_or_default();
    endpoint::strip(&mut values);
    values
}

/// `null` and the empty text delete their key.
pub(super) fn annotations(annotations: &mut Annotations, values: Option<Annotations>) {
    for (key, value) in new_annotations(values) {
        match value {
            Value::Null => annotations.remove(&key),
            Value::String(text) if text.is_empty() => annotations.remove(&key),
            value => annotations.insert(key, value),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_text_deletes_a_config_key_and_others_stay() {
        let mut now: Config = [("a", "1"), ("b", "2"), ("c", "3")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let patch = serde_json::from_value(json!({"a": "", "b": null, "d": "4"})).unwrap();
        config(&mut now, Some(patch));
        assert_eq!(json!(now), json!({"c": "3", "d": "4"}));
        config(&mut now, None);
        assert_eq!(json!(now), json!({"c": "3", "d": "4"}));
    }

    #[test]
    fn an_empty_list_deletes_a_header_whatever_its_case() {
        let mut now = [("X-A", "1"), ("X-B", "2"), ("X-C", "3")]
            .map(|(k, v)| (k.to_owned(), vec![v.to_owned()]))
            .into();
        let patch = json!({"x-a": [], "X-B": null, "x-c": ["4", "5"]});
        headers(&mut now, Some(serde_json::from_value(patch).unwrap()));
        assert_eq!(json!(now), json!({"x-c": ["4", "5"]}));
    }

    #[test]
    fn null_or_an_empty_text_deletes_an_annotation() {
        let map = |value| serde_json::from_value::<Annotations>(value).unwrap();
        let mut now = map(json!({"a": 1, "b": 2, "c": 3}));
        let patch = map(json!({
            "a": null, "b": "", "d": {"x": 1}, "fnproject.io/fn/invokeEndpoint": "http://x"
        }));
        annotations(&mut now, Some(patch));
        assert_eq!(json!(now), json!({"c": 3, "d": {"x": 1}}));
    }
}
