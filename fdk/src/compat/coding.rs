//! How functions of 0.2 read what they are called with, and write what they answer.

use std::fmt;

use http::HeaderValue;
use http::header::GetAll;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::FunctionError;
use crate::params::{Pairs, Text};

/// The formats of 0.2.
///
/// ```no_run
/// use fdk::compat::ContentType;
/// use fdk::{FunctionError, RuntimeContext};
///
/// fn is_json(context: &mut RuntimeContext, _: ()) -> Result<bool, FunctionError> {
///     Ok(context.content_type() == ContentType::JSON)
/// }
/// # let _ = fdk::Function::run(is_json);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`, and whatever is not known.
    JSON,
    /// `text/yaml` or `application/yaml`
    YAML,
    /// `application/xml` or `text/xml`
    XML,
    /// `text/plain`
    Plain,
    /// `application/x-www-form-urlencoded`
    URLEncoded,
}

impl ContentType {
    /// The format that a `Content-Type` names. Its parameters, such as a charset, do not matter.
    pub(crate) fn of(value: &str) -> Self {
        let kind = value.split(';').next().unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/yaml" | "application/yaml" | "text/x-yaml" | "application/x-yaml" => Self::YAML,
            "text/xml" | "application/xml" => Self::XML,
            "text/plain" | "text/*" => Self::Plain,
            "application/x-www-form-urlencoded" => Self::URLEncoded,
            kind if kind.ends_with("+yaml") => Self::YAML,
            // A browser's first wish is a page, which nobody writes here.
            kind if kind.ends_with("+xml") && kind != "application/xhtml+xml" => Self::XML,
            _ => Self::JSON,
        }
    }

    /// The `Content-Type` of what is written so.
    pub(crate) fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::JSON => "application/json",
            Self::YAML => "text/yaml; charset=utf-8",
            Self::XML => "application/xml",
            Self::Plain => "text/plain; charset=utf-8",
            Self::URLEncoded => "application/x-www-form-urlencoded",
        })
    }
}

/// The formats that a caller accepts, what it likes best first; never none.
pub(crate) fn accepted(values: &GetAll<'_, HeaderValue>) -> Vec<ContentType> {
    let texts = values.iter().filter_map(|value| value.to_str().ok());
    let mut wanted: Vec<(f32, ContentType)> = texts
        .flat_map(|text| text.split(','))
        .map(|range| (weight(range), ContentType::of(range)))
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut formats = Vec::new();
    for (_, format) in wanted {
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    if formats.is_empty() {
        formats.push(ContentType::JSON);
    }
    formats
}

fn weight(range: &str) -> f32 {
    let mut parameters = range.split(';').skip(1);
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse())?
            .ok()
    });
    weight.unwrap_or(1.0)
}

fn misfit(error: impl fmt::Display) -> FunctionError {
    FunctionError::Coercion {
        inner: format!("cannot read the input: {error}"),
    }
}

/// Reads an input.
pub(crate) fn decode<T: DeserializeOwned>(
    format: ContentType,
    body: &[u8],
) -> Result<T, FunctionError> {
    if body.is_empty() {
        return nothing().ok_or_else(|| misfit("it is empty"));
    }
    let text = || std::str::from_utf8(body).map_err(misfit);
    match format {
        ContentType::JSON => serde_json::from_slice(body).map_err(misfit),
        ContentType::YAML => serde_yaml::from_slice(body).map_err(misfit),
        ContentType::XML if is_too_deep(text()?) => Err(misfit("it is nested too deep")),
        ContentType::XML => quick_xml::de::from_str(text()?).map_err(misfit),
        ContentType::Plain => {
            T::deserialize(Text(text()?)).map_err(|error| misfit(error.into_error("body", false)))
        }
        ContentType::URLEncoded => T::deserialize(Pairs::parse(body))
            .map_err(|error| misfit(error.into_error("body", false))),
    }
}

/// As deep as JSON and YAML may be.
const DEPTH: usize = 128;

/// Whether a document would take more stack than there is: the parser calls itself for each level.
fn is_too_deep(xml: &str) -> bool {
    let mut reader = Reader::from_str(xml);
    let mut depth: usize = 0;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) if depth == DEPTH => return true,
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            // Who reads it comes no further, either.
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// What no input at all stands for.
fn nothing<T: DeserializeOwned>() -> Option<T> {
    let empty = [
        Value::Null,
        Value::String(String::new()),
        Value::Object(serde_json::Map::new()),
        Value::Array(Vec::new()),
    ];
    empty
        .into_iter()
        .find_map(|value| serde_json::from_value(value).ok())
}

/// Writes an output in the first of these formats that has a way to write it.
pub(crate) fn encode<S: Serialize>(
    formats: &[ContentType],
    output: &S,
) -> Result<(ContentType, Vec<u8>), FunctionError> {
    let mut failed = None;
    for format in formats {
        match encode_as(*format, output) {
            Ok(body) => return Ok((*format, body)),
            Err(message) => {
                failed.get_or_insert(message);
            }
        }
    }
    let message = failed.unwrap_or_default();
    Err(FunctionError::Coercion {
        inner: format!("cannot write the output: {message}"),
    })
}

fn encode_as<S: Serialize>(format: ContentType, output: &S) -> Result<Vec<u8>, String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let json = || serde_json::to_string(output).map_err(|error| text(&error));
    let encoded = match format {
        ContentType::JSON => json()?,
        ContentType::YAML => serde_yaml::to_string(output).map_err(|error| text(&error))?,
        ContentType::XML => xml(output, &json()?).map_err(|error| text(&error))?,
        ContentType::Plain => plain(json()?)?,
        ContentType::URLEncoded => pairs(&json()?).map_err(|error| text(&error))?,
    };
    Ok(encoded.into_bytes())
}

/// A struct is the element of its name; anything else is named here, since a document has a root.
fn xml<S: Serialize>(output: &S, json: &str) -> Result<String, quick_xml::SeError> {
    if json.starts_with('[') {
        let message = "a list has no place in XML but within something".to_owned();
        return Err(quick_xml::SeError::Custom(message));
    }
    quick_xml::se::to_string(output)
        .or_else(|_| quick_xml::se::to_string_with_root("value", output))
}

/// A value that is one text.
fn plain(json: String) -> Result<String, String> {
    match json.as_bytes() {
        [b'"', ..] => serde_json::from_str(&json).map_err(|error| error.to_string()),
        [b'[' | b'{', ..] => Err("it is more than one text".to_owned()),
        b"null" => Ok(String::new()),
        _ => Ok(json),
    }
}

fn pairs(json: &str) -> Result<String, serde_json::Error> {
    let Fields(fields) = serde_json::from_str(json)?;
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        // What is absent has no pair.
        if value.get() != "null" {
            let value = plain(value.get().to_owned());
            encoded.append_pair(&name, &value.map_err(de::Error::custom)?);
        }
    }
    Ok(encoded.finish())
}

/// The members of an object, or pairs in a list, in their order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with values")
            }

            fn visit_unit<E>(self) -> Result<Fields, E> {
                Ok(Fields(Vec::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = seq.next_element()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_any(Collect)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderMap;
    use http::header::ACCEPT;

    use super::ContentType::{JSON, Plain, URLEncoded, XML, YAML};
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Order {
        item: String,
        count: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    fn order() -> Order {
        Order {
            item: "Öl & <Brot>".to_owned(),
            count: 3,
            note: None,
        }
    }

    #[test]
    fn a_type_is_known_whatever_its_parameters() {
        let table = [
            ("application/json; charset=utf-8", JSON),
            ("application/problem+json", JSON),
            ("*/*", JSON),
            ("application/octet-stream", JSON),
            ("", JSON),
            ("text/html", JSON),
            ("Text/YAML;charset=utf-8", YAML),
            ("application/yaml", YAML),
            ("application/xml ; charset=utf-8", XML),
            ("application/atom+xml", XML),
            ("text/plain; charset=utf-8", Plain),
            (
                "application/x-www-form-urlencoded; charset=UTF-8",
                URLEncoded,
            ),
        ];
        for (value, expected) in table {
            assert_eq!(ContentType::of(value), expected, "{value:?}");
        }
    }

    #[test]
    fn what_a_caller_likes_best_comes_first() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let table: [(&str, &[ContentType]); 7] = [
            ("", &[JSON]),
            ("*/*", &[JSON]),
            ("text/plain;q=0.5, text/yaml", &[YAML, Plain]),
            ("text/plain, */*;q=0.1", &[Plain, JSON]),
            ("application/xml; charset=utf-8", &[XML]),
            ("text/yaml;q=0", &[JSON]),
            (browser, &[JSON, XML]),
        ];
        for (value, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            assert_eq!(accepted(&headers.get_all(ACCEPT)), expected, "{value:?}");
        }
        assert_eq!(accepted(&HeaderMap::new().get_all(ACCEPT)), [JSON]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for format in [JSON, YAML, XML, URLEncoded] {
            let (used, body) = encode(&[format], &order()).unwrap();
            assert_eq!(used, format);
            assert!(!body.contains(&0xd6), "{format:?} is Latin-1");
            assert_eq!(
                decode::<Order>(format, &body).unwrap(),
                order(),
                "{format:?}"
            );
        }
        for format in [JSON, YAML, XML, Plain] {
            let (_, body) = encode(&[format], &"Änn 漢").unwrap();
            assert_eq!(
                decode::<String>(format, &body).unwrap(),
                "Änn 漢",
                "{format:?}"
            );
            let (_, body) = encode(&[format], &7).unwrap();
            assert_eq!(decode::<i32>(format, &body).unwrap(), 7, "{format:?}");
        }
    }

    #[test]
    fn texts_are_as_they_should_be() {
        let told = |format, body: Result<(ContentType, Vec<u8>), FunctionError>| {
            let (used, body) = body.unwrap();
            assert_eq!(used, format);
            String::from_utf8(body).unwrap()
        };
        assert_eq!(told(Plain, encode(&[Plain], &"a \"b\"")), "a \"b\"");
        assert_eq!(told(Plain, encode(&[Plain], &1.1f32)), "1.1");
        assert_eq!(told(Plain, encode(&[Plain], &())), "");
        assert_eq!(
            told(URLEncoded, encode(&[URLEncoded], &order())),
            "item=%C3%96l+%26+%3CBrot%3E&count=3"
        );
        let list = [("b", Some(1)), ("a", None), ("b", Some(2))];
        assert_eq!(told(URLEncoded, encode(&[URLEncoded], &list)), "b=1&b=2");
        assert_eq!(
            told(XML, encode(&[XML], &order())),
            "<Order><item>Öl &amp; &lt;Brot&gt;</item><count>3</count></Order>"
        );
        assert_eq!(told(XML, encode(&[XML], &"Ä")), "<value>Ä</value>");
        let map = BTreeMap::from([("a", 1)]);
        assert_eq!(told(XML, encode(&[XML], &map)), "<value><a>1</a></value>");
    }

    #[test]
    fn another_format_takes_what_one_cannot_hold() {
        assert_eq!(
            encode(&[Plain, JSON], &[1, 2]).unwrap(),
            (JSON, b"[1,2]".to_vec())
        );
        for format in [Plain, URLEncoded, XML] {
            let error = encode(&[format], &[1, 2]).unwrap_err();
            assert!(error.is_user_error(), "{format:?}");
        }
    }

    #[test]
    fn an_empty_body_is_what_there_is_without_one() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        struct Options {
            verbose: Option<bool>,
            #[serde(default)]
            depth: u8,
        }

        for format in [JSON, YAML, XML, Plain, URLEncoded] {
            assert_eq!(decode::<String>(format, b"").unwrap(), "");
            assert_eq!(decode::<Option<u8>>(format, b"").unwrap(), None);
            assert!(decode::<Vec<u8>>(format, b"").unwrap().is_empty());
            assert_eq!(decode::<Options>(format, b"").unwrap(), Options::default());
            assert_eq!(decode::<Value>(format, b"").unwrap(), Value::Null);
            decode::<()>(format, b"").unwrap();
            let error = decode::<u8>(format, b"").unwrap_err();
            assert_eq!(error.to_string(), "cannot read the input: it is empty");
            assert!(decode::<Order>(format, b"").is_err());
        }
    }

    // Each level takes stack, and a caller may send many.
    #[test]
    fn what_is_nested_too_deep_is_refused() {
        for (format, open, close) in [(JSON, "[", "]"), (YAML, "[", "]"), (XML, "<a>", "</a>")] {
            let body = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
            decode::<Value>(format, body(100).as_bytes()).unwrap();
            let error = decode::<Value>(format, body(20_000).as_bytes()).unwrap_err();
            assert!(error.is_user_error(), "{format:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        for format in [JSON, YAML, XML, Plain] {
            let error = decode::<String>(format, b"\"\xc4nn\"").unwrap_err();
            assert!(error.is_user_error(), "{format:?}");
        }
    }
}
