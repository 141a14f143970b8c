//! What differs between a function as it is and as it is to be.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Function, Trigger};

/// One value that becomes another; neither is shown where it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub field: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The image's name is left out: another version of it is what a deployment is about.
pub(super) fn differences(old: &Function, new: &Function) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut compare = |field: &str, old: String, new: String| {
        if old != new {
            changes.push(FieldChange {
                field: field.to_owned(),
                from: Some(old),
                to: Some(new),
            });
        }
    };
    compare(
        "memory",
        old.memory_mb.to_string(),
        new.memory_mb.to_string(),
    );
    compare(
        "timeout",
        old.timeout_secs.to_string(),
        new.timeout_secs.to_string(),
    );
    let idle = |f: &Function| f.idle_timeout_secs.to_string();
    compare("idle_timeout", idle(old), idle(new));
    compare("format", old.format.to_string(), new.format.to_string());
    changes.extend(keys("config", &old.config, &new.config));
    changes.extend(keys("annotation", &old.annotations, &new.annotations));
    changes
}

/// The keys whose values differ; the values may be secrets.
fn keys<V: PartialEq>(
    what: &str,
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
) -> Vec<FieldChange> {
    let all: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    all.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| FieldChange {
            field: format!("{what} {key}"),
            from: None,
            to: None,
        })
        .collect()
}

/// A trigger in a few words.
pub(super) fn described(trigger: &Trigger) -> String {
    format!("{} {}", trigger.methods(), trigger.source)
}
