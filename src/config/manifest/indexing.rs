use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use crate::config::manifest::error::{ManifestError, show, show_text};
use crate::config::manifest::field::{Fields, config};
use crate::model::{
    Config, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB, MAX_TIMEOUT_SECS, SCALE_ANNOTATION, Scale,
};

/// The key of `functions` that is no function's name.
const ONLY: &str = "only";
const KEYS: [&str; 5] = ["memory", "timeout", "idle_timeout", "scale", "config"];

/// That the image is asked for its functions, and what the folder says about those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Indexing {
    /// The functions that are wanted; all of them where it is empty.
    pub only: Vec<String>,
    /// By the function's name: what wins over the image's own word.
    pub overrides: BTreeMap<String, FunctionOverride>,
    /// Keys of the file that say what the image says itself.
    pub ignored: Vec<&'static str>,
}

/// What a folder says about one function of its image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionOverride {
    pub memory_mb: Option<u64>,
    pub timeout_secs: Option<u32>,
    pub idle_timeout_secs: Option<u32>,
    /// As the annotation holds it.
    pub scale: Option<serde_json::Value>,
    pub config: Config,
}

/// `indexing` and `functions`; `None` where the folder declares its function itself.
pub(super) fn indexing(fields: &mut Fields<'_>) -> Result<Option<Indexing>, ManifestError> {
    let wanted = fields.parsed("indexing", "true or false", |text| text.parse().ok())?;
    let given = fields.has("functions");
    if wanted != Some(true) {
        if given {
            let expected = "indexing: true in the file as well: it says more about the functions \
                            that the image declares";
            return Err(fields.refuse("functions", "a mapping", expected));
        }
        return Ok(None);
    }
    let mut indexing = Indexing {
        ignored: ["triggers", "path"]
            .into_iter()
            .filter(|key| fields.has(key))
            .collect(),
        ..Indexing::default()
    };
    fields.take("path");
    for (name, value) in fields.mapping("functions")? {
        let name = name.as_str().unwrap_or_default().to_owned();
        if name == ONLY {
            indexing.only = only(fields, value)?;
            continue;
        }
        let place = format!("functions.{}", show_text(&name));
        let map = match value {
            Value::Mapping(map) => map,
            Value::Null => Mapping::new(),
            other => return Err(fields.refuse(&place, &show(&other), "keys and values")),
        };
        let mut fields = Fields::new(fields.file(), format!("{place}."), map, &KEYS)?;
        indexing.overrides.insert(name, function(&mut fields)?);
    }
    Ok(Some(indexing))
}

fn only(fields: &Fields<'_>, value: Value) -> Result<Vec<String>, ManifestError> {
    let place = "functions.only";
    let expected = "a list of names of functions";
    let Value::Sequence(items) = value else {
        return Err(fields.refuse(place, &show(&value), expected));
    };
    let names: Option<Vec<String>> = items
        .iter()
        .map(|item| {
            item.as_str()
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
        })
        .collect();
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err(fields.refuse(place, "an empty or other item", expected)),
    }
}

fn function(fields: &mut Fields<'_>) -> Result<FunctionOverride, ManifestError> {
    let mut seconds = |key: &str, longest: u32| {
        let given = fields.number(key, 1..=u64::from(longest), "seconds")?;
        Ok(given.and_then(|seconds| u32::try_from(seconds).ok()))
    };
    let timeout_secs = seconds("timeout", MAX_TIMEOUT_SECS)?;
    let idle_timeout_secs = seconds("idle_timeout", MAX_IDLE_TIMEOUT_SECS)?;
    Ok(FunctionOverride {
        memory_mb: fields.number("memory", 1..=MAX_MEMORY_MB, "megabytes")?,
        timeout_secs,
        idle_timeout_secs,
        scale: scale(fields)?,
        config: config(fields, "config")?,
    })
}

fn scale(fields: &mut Fields<'_>) -> Result<Option<serde_json::Value>, ManifestError> {
    if !fields.has("scale") {
        return Ok(None);
    }
    let map = fields.mapping("scale")?;
    let inner = format!("{}scale.", fields.prefix());
    let json = Fields::new(fields.file(), inner, map, &Scale::KEYS)?.into_json()?;
    let annotations = [(SCALE_ANNOTATION.to_owned(), json.clone())].into();
    match Scale::of(&annotations) {
        Ok(_) => Ok(Some(json)),
        Err(error) => {
            let key = format!("scale.{}", error.key);
            Err(fields.refuse(&key, &error.value, error.expected))
        }
    }
}
