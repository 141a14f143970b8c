//! What several operations let people give, and what it means on the wire.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::failure::Failure;
use crate::cli::wire::{AppChange, FunctionChange, RouteChange};
use crate::model::{Annotations, Config, Format, InvocationType};

/// Values for every function of an app, or for one function.
#[derive(Debug, Args)]
pub(super) struct ValueFlags {
    /// A configuration value, as KEY=VALUE; an update removes a key whose value is empty.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// An annotation, as KEY=VALUE; the value is JSON, or else text.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
}

impl ValueFlags {
    fn config(&self) -> Config {
        self.config.iter().cloned().collect()
    }

    fn annotations(&self) -> Annotations {
        annotations(&self.annotation)
    }
}

/// The properties of an app.
#[derive(Debug, Args)]
pub(super) struct AppFlags {
    #[command(flatten)]
    values: ValueFlags,
    /// Where the logs of the app's functions are sent, for example tcp://logs.example.com:514.
    #[arg(long, value_name = "URL")]
    syslog_url: Option<String>,
}

impl AppFlags {
    pub(super) fn change(&self) -> AppChange {
        AppChange {
            name: None,
            config: self.values.config(),
            annotations: self.values.annotations(),
            syslog_url: self.syslog_url.clone(),
        }
    }
}

/// What functions and routes have in common.
#[derive(Debug, Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    values: ValueFlags,
    /// The image to run.
    #[arg(short, long)]
    image: Option<String>,
    /// Memory of a container, in MB.
    #[arg(short, long, value_name = "MB")]
    memory: Option<u64>,
    /// Seconds that a call may take.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Seconds after which a container that nobody calls goes away.
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u32>,
    /// How a call is put to the function.
    #[arg(short, long, value_parser = PossibleValuesParser::new(Format::ALL.map(Format::as_str)))]
    format: Option<String>,
}

impl RunFlags {
    pub(super) fn function(&self) -> FunctionChange {
        FunctionChange {
            image: self.image.clone(),
            format: self.format.clone(),
            memory: self.memory,
            timeout: self.timeout,
            idle_timeout: self.idle_timeout,
            config: self.values.config(),
            annotations: self.values.annotations(),
            ..FunctionChange::default()
        }
    }
}

/// The properties of a route.
#[derive(Debug, Args)]
pub(super) struct RouteFlags {
    #[command(flatten)]
    run: RunFlags,
    /// Whether callers wait for the result.
    #[arg(short, long = "type", value_parser = PossibleValuesParser::new(TYPES))]
    kind: Option<String>,
    /// CPUs of a container, for example 0.5 or 500m.
    #[arg(long)]
    cpus: Option<String>,
    /// A header that every response carries, as KEY=VALUE.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
}

const TYPES: [&str; 2] = [
    InvocationType::Sync.as_str(),
    InvocationType::Async.as_str(),
];

impl RouteFlags {
    pub(super) fn route(&self) -> RouteChange {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &self.headers {
            headers.entry(name.clone()).or_default().push(value.clone());
        }
        let run = &self.run;
        RouteChange {
            path: None,
            image: run.image.clone(),
            memory: run.memory,
            cpus: self.cpus.clone(),
            kind: self.kind.clone(),
            format: run.format.clone(),
            timeout: run.timeout,
            idle_timeout: run.idle_timeout,
            headers,
            config: run.values.config(),
            annotations: run.values.annotations(),
        }
    }
}

/// The image of something new, which may stand last or behind its flag.
pub(super) fn image(
    positional: Option<&String>,
    flag: Option<String>,
) -> Result<Option<String>, Failure> {
    match (positional, flag) {
        (Some(_), Some(_)) => Err(Failure::new("two images are given")
            .hint("give it as the last argument or with --image")),
        (None, None) => Err(Failure::new("no image is given")
            .hint("give one with --image; fn build makes one of a folder")),
        (image, flag) => Ok(flag.or_else(|| image.cloned())),
    }
}

/// An update that changes nothing is a mistake.
pub(super) fn some<T: Default + PartialEq>(change: T) -> Result<T, Failure> {
    if change == T::default() {
        return Err(Failure::new("nothing to update is given").hint("see --help for what can be"));
    }
    Ok(change)
}

pub(super) fn annotations(pairs: &[(String, String)]) -> Annotations {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    pairs
        .iter()
        .map(|(key, text)| (key.clone(), value(text)))
        .collect()
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_json_where_it_can_be() {
        let pairs = ["a=1", "b=text", "c=\"1\"", "d={\"x\":[true]}", "e=k=v"];
        let pairs: Vec<_> = pairs.iter().map(|text| pair(text).unwrap()).collect();
        let json = serde_json::to_string(&annotations(&pairs)).unwrap();
        assert_eq!(
            json,
            r#"{"a":1,"b":"text","c":"1","d":{"x":[true]},"e":"k=v"}"#
        );
        for text in ["", "a", "=b"] {
            assert!(pair(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_is_given_once() {
        let last = "a".to_owned();
        assert_eq!(image(Some(&last), None).unwrap().as_deref(), Some("a"));
        assert_eq!(image(None, Some("b".into())).unwrap().as_deref(), Some("b"));
        assert!(image(Some(&last), Some("b".into())).is_err());
        assert!(image(None, None).is_err());
    }
}
