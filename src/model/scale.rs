use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::model::{Annotations, Format};

/// Holds, as an object, how many containers a function is given. An annotation, because clients
/// of Fn keep those they do not know.
pub const SCALE_ANNOTATION: &str = "kiln/scale";

const MAX_CONTAINERS: u64 = 10_000;
const MAX_CALLS: u64 = 1_000_000;

/// What decides how many containers a function has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScaleMode {
    /// One starts when a call has to wait.
    #[default]
    Demand,
    /// As many as there are calls, divided by how many of them one container is to serve.
    Target,
    /// One more or one fewer, as the last samples say.
    Vote,
}

impl ScaleMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Target => "target",
            Self::Vote => "vote",
        }
    }
}

impl fmt::Display for ScaleMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ScaleMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Demand, Self::Target, Self::Vote]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(())
    }
}

/// How many containers a function has, and what decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub mode: ScaleMode,
    /// Kept warm even where nobody calls.
    pub min: u32,
    /// Never exceeded; the server's own bound where there is none.
    pub max: Option<u32>,
    /// Calls per container before another is wanted.
    pub target: u32,
    /// Most containers that one decision starts.
    pub step: u32,
    /// Between two samples.
    pub interval: Duration,
    /// How long samples are kept.
    pub window: Duration,
    /// Calls that may wait; the server's own bound where there is none.
    pub max_waiting: Option<u32>,
    /// Waiting calls per container above which a vote is for more.
    pub vote_ratio: u32,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            mode: ScaleMode::Demand,
            min: 0,
            max: None,
            target: 1,
            step: 4,
            interval: Duration::from_secs(1),
            window: Duration::from_secs(120),
            max_waiting: None,
            vote_ratio: 1,
        }
    }
}

/// A setting of a scale that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key}: {value} is not allowed, expected {expected}")]
pub struct InvalidScale {
    /// Empty where the whole is no object.
    pub key: String,
    pub value: String,
    pub expected: String,
}

impl Scale {
    pub const KEYS: [&str; 9] = [
        "mode",
        "min",
        "max",
        "target",
        "step",
        "interval",
        "window",
        "max_waiting",
        "vote_ratio",
    ];

    /// The scale among `annotations`; the defaults where there is none.
    pub fn of(annotations: &Annotations) -> Result<Self, InvalidScale> {
        match annotations.get(SCALE_ANNOTATION) {
            None => Ok(Self::default()),
            Some(Value::Object(settings)) => Self::parse(settings),
            Some(other) => Err(refused("", other, "an object".to_owned())),
        }
    }

    /// As [`of`](Self::of), for a function of that format: a container that serves one call
    /// cannot be kept for another.
    pub fn for_format(annotations: &Annotations, format: Format) -> Result<Self, InvalidScale> {
        let scale = Self::of(annotations)?;
        if scale.min > 0 && !format.is_hot() {
            let expected = format!("0: {format} starts a container for every call");
            return Err(refused("min", &scale.min.into(), expected));
        }
        Ok(scale)
    }

    /// Reads settings; those that are missing have their defaults.
    pub fn parse(settings: &Map<String, Value>) -> Result<Self, InvalidScale> {
        if let Some(key) = settings.keys().find(|k| !Self::KEYS.contains(&k.as_str())) {
            let expected = format!("one of {}", Self::KEYS.join(", "));
            return Err(InvalidScale {
                key: "key".to_owned(),
                value: shown(&Value::from(key.as_str())),
                expected,
            });
        }
        let number = |key: &str, from, to| number(settings, key, from, to);
        let defaults = Self::default();
        let scale = Self {
            mode: mode(settings)?,
            min: number("min", 0, MAX_CONTAINERS)?.unwrap_or(defaults.min),
            max: number("max", 1, MAX_CONTAINERS)?,
            target: number("target", 1, MAX_CALLS)?.unwrap_or(defaults.target),
            step: number("step", 1, MAX_CONTAINERS)?.unwrap_or(defaults.step),
            interval: number("interval", 1, 30)?
                .map_or(defaults.interval, |secs| Duration::from_secs(secs.into())),
            window: number("window", 60, 300)?
                .map_or(defaults.window, |secs| Duration::from_secs(secs.into())),
            max_waiting: number("max_waiting", 1, MAX_CALLS)?,
            vote_ratio: number("vote_ratio", 1, MAX_CALLS)?.unwrap_or(defaults.vote_ratio),
        };
        match scale.max {
            Some(max) if scale.min > max => {
                let expected = format!("a whole number from 0 to {max}, which is max");
                Err(refused("min", &scale.min.into(), expected))
            }
            _ => Ok(scale),
        }
    }
}

fn mode(settings: &Map<String, Value>) -> Result<ScaleMode, InvalidScale> {
    let Some(value) = settings.get("mode") else {
        return Ok(ScaleMode::default());
    };
    let mode = value.as_str().and_then(|text| text.parse().ok());
    mode.ok_or_else(|| refused("mode", value, "demand, target or vote".to_owned()))
}

fn number(
    settings: &Map<String, Value>,
    key: &str,
    from: u64,
    to: u64,
) -> Result<Option<u32>, InvalidScale> {
    let Some(value) = settings.get(key) else {
        return Ok(None);
    };
    let number = value.as_u64().filter(|n| (from..=to).contains(n));
    match number.and_then(|n| u32::try_from(n).ok()) {
        Some(number) => Ok(Some(number)),
        None => {
            let expected = format!("a whole number from {from} to {to}");
            Err(refused(key, value, expected))
        }
    }
}

fn refused(key: &str, value: &Value, expected: String) -> InvalidScale {
    InvalidScale {
        key: key.to_owned(),
        value: shown(value),
        expected,
    }
}

/// A value in one short line; texts without their quotes, as they were typed.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.escape_default().to_string(),
        other => other.to_string(),
    };
    text.chars().take(60).collect()
}

/// What containers use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub memory_bytes: u64,
    /// Processor time since their starts.
    pub cpu: Duration,
}

/// One look at a function's load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScaleSample {
    /// How long ago it was taken.
    pub age: Duration,
    pub waiting: usize,
    pub running: usize,
    pub have: usize,
}

/// What a function has, what it should have, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaleStatus {
    pub mode: ScaleMode,
    pub min: usize,
    pub max: usize,
    /// Containers that are there: busy or idle.
    pub have: usize,
    pub busy: usize,
    pub idle: usize,
    pub starting: usize,
    pub waiting: usize,
    /// How many there should be, by the last decision.
    pub target: usize,
    /// `out`, `in` or `none`.
    pub vote: &'static str,
    pub reason: String,
    /// Why the last container failed, and how long none is started for it.
    pub failure: Option<(String, Duration)>,
    /// The oldest first; none in mode `demand`, which looks at calls and not at times.
    pub samples: Vec<ScaleSample>,
    /// Of all that are there; none if none of them can tell.
    pub usage: Option<Usage>,
}

/// Whether a server takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainStatus {
    /// No new ones are taken.
    pub draining: bool,
    /// Calls in flight.
    pub calls: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Scale, String> {
        let annotations = [(SCALE_ANNOTATION.to_owned(), value)].into();
        Scale::of(&annotations).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_as_it_always_was() {
        assert_eq!(Scale::of(&Annotations::new()), Ok(Scale::default()));
        assert_eq!(parse(json!({})), Ok(Scale::default()));
        let scale = parse(json!({"mode": "target", "min": 2, "max": 2, "interval": 30})).unwrap();
        assert_eq!((scale.mode, scale.min), (ScaleMode::Target, 2));
        assert_eq!(scale.interval, Duration::from_secs(30));
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        let number = |key, value, from, to| {
            format!("{key}: {value} is not allowed, expected a whole number from {from} to {to}")
        };
        for (value, error) in [
            (json!({"max": 0}), number("max", "0", 1, 10_000)),
            (json!({"max": "3"}), number("max", "3", 1, 10_000)),
            (json!({"min": -1}), number("min", "-1", 0, 10_000)),
            (json!({"step": 0}), number("step", "0", 1, 10_000)),
            (json!({"interval": 0}), number("interval", "0", 1, 30)),
            (json!({"interval": 31}), number("interval", "31", 1, 30)),
            (json!({"window": 59}), number("window", "59", 60, 300)),
            (json!({"window": 301}), number("window", "301", 60, 300)),
            (
                json!({"mode": "x"}),
                "mode: x is not allowed, expected demand, target or vote".to_owned(),
            ),
            (
                json!({"min": 4, "max": 3}),
                "min: 4 is not allowed, expected a whole number from 0 to 3, which is max"
                    .to_owned(),
            ),
            (
                json!("x"),
                ": x is not allowed, expected an object".to_owned(),
            ),
        ] {
            assert_eq!(parse(value.clone()), Err(error), "{value}");
        }
        let unknown = parse(json!({"maximum": 1})).unwrap_err();
        assert!(unknown.starts_with("key: maximum is not allowed, expected one of mode, min"));
    }
}
