use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::diff::{FieldChange, described, differences};
use super::origin::origin;
use super::problem::{Problem, quoted, sorted};
use super::read::{Declared, DeclaredTrigger, Index, clashes};
use crate::model::{
    Annotations, App, Config, DEFAULT_IDLE_TIMEOUT_SECS, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_SECS,
    FnId, Format, Function, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB, MAX_TIMEOUT_SECS,
    METHODS_ANNOTATION, Methods, Pattern, SCALE_ANNOTATION, STREAMING_ANNOTATION, Scale, Timestamp,
    Trigger, TriggerId, check_annotations, check_config, nearest,
};
use crate::store::{Amendment, AppContents};

/// What is wanted of an image's functions, beside what the image says itself.
#[derive(Clone, Debug)]
pub struct Choices {
    pub image: String,
    /// How calls are put to the functions.
    pub format: Format,
    /// For functions about which the image says nothing; the config and the annotations are for
    /// all of them.
    pub defaults: Override,
    pub annotations: Annotations,
    /// The functions that are wanted; all of them where it is empty.
    pub only: Vec<String>,
    /// By the function's name: what wins over the image's own word.
    pub overrides: BTreeMap<String, Override>,
    /// Deploy what can be, without the functions that have problems.
    pub skip_invalid: bool,
    /// Leave functions that came from this image before and that it no longer declares.
    pub keep_missing: bool,
}

/// Values of one function, or for those that have none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    pub memory_mb: Option<u64>,
    pub timeout_secs: Option<u32>,
    pub idle_timeout_secs: Option<u32>,
    /// As the annotation holds it.
    pub scale: Option<Value>,
    pub config: Config,
}

/// What an app becomes by an image, or why it does not.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Sorted; each in one line.
    pub problems: Vec<Problem>,
    /// By name; none if nothing can be deployed.
    pub rows: Vec<Row>,
    /// Nothing if nothing can be deployed.
    pub amendment: Option<Amendment>,
}

/// What becomes of one function.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub outcome: Outcome,
    /// What differs from how it was.
    pub changes: Vec<FieldChange>,
    pub memory_mb: u64,
    pub timeout_secs: u32,
    /// Sources and methods, as declared.
    pub triggers: Vec<(String, Methods)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created,
    Updated,
    Unchanged,
    Removed,
    /// It is no longer declared, and stays.
    Kept,
    /// It has problems; whatever the app has of that name stays as it is.
    Skipped,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
            Self::Kept => "kept",
            Self::Skipped => "skipped",
        }
    }
}

/// Compares what `index` declares with what `contents` has, and says what `app` is to have.
pub fn plan(index: &Index, app: &App, contents: Option<&AppContents>, choices: &Choices) -> Plan {
    let mut planner = Planner::new(index, app, contents, choices);
    // What is skipped stays as it is, and may be in the way of others.
    let (mut problems, skipped) = loop {
        let problems = planner.problems();
        let concerned = problems.iter().flat_map(Problem::functions);
        let skipped: BTreeSet<String> = concerned.cloned().collect();
        if !choices.skip_invalid || skipped == planner.skipped {
            break (problems, skipped);
        }
        planner.skipped = skipped;
    };
    let fatal = problems.iter().any(|problem| !problem.can_be_skipped());
    if fatal || (!problems.is_empty() && !choices.skip_invalid) {
        return Plan {
            problems,
            ..Plan::default()
        };
    }
    if planner.wanted.iter().all(|d| skipped.contains(&d.name)) {
        problems.push(Problem::general(
            "index: no function without problems is left",
        ));
        return Plan {
            problems: sorted(problems),
            ..Plan::default()
        };
    }
    let (rows, amendment) = planner.amendment(&skipped);
    Plan {
        problems,
        rows,
        amendment: Some(amendment),
    }
}

struct Planner<'a> {
    index: &'a Index,
    app: &'a App,
    choices: &'a Choices,
    origin: &'a str,
    wanted: Vec<&'a Declared>,
    /// Of these nothing changes.
    skipped: BTreeSet<String>,
    functions: BTreeMap<&'a str, &'a Function>,
    triggers: &'a [Trigger],
    app_differs: bool,
}

/// Triggers of functions that this deployment leaves alone.
#[derive(Default)]
struct Staying<'a> {
    by_name: BTreeMap<&'a str, Vec<&'a Function>>,
    by_shape: BTreeMap<Cow<'a, str>, Vec<(&'a Function, &'a Trigger)>>,
}

impl<'a> Staying<'a> {
    fn add(&mut self, owner: &'a Function, trigger: &'a Trigger) {
        let same_name = self.by_name.entry(&trigger.name).or_default();
        same_name.push(owner);
        let shape = Pattern::shape_of(&trigger.source);
        let same_shape = self.by_shape.entry(shape).or_default();
        same_shape.push((owner, trigger));
    }
}

impl<'a> Planner<'a> {
    fn new(
        index: &'a Index,
        app: &'a App,
        contents: Option<&'a AppContents>,
        choices: &'a Choices,
    ) -> Self {
        let functions = contents.map(|c| c.functions.as_slice()).unwrap_or_default();
        let only = &choices.only;
        let is_wanted = |declared: &&Declared| only.is_empty() || only.contains(&declared.name);
        Self {
            wanted: index.functions.iter().filter(is_wanted).collect(),
            skipped: BTreeSet::new(),
            functions: functions.iter().map(|f| (f.name.as_str(), f)).collect(),
            triggers: contents.map(|c| c.triggers.as_slice()).unwrap_or_default(),
            app_differs: contents.is_none_or(|contents| contents.app != *app),
            origin: origin(&choices.image),
            index,
            app,
            choices,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.index.problems.clone();
        // What nobody wants may be as it likes.
        let declared: Vec<&str> = self
            .index
            .functions
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        let only = &self.choices.only;
        if !only.is_empty() {
            problems.retain(|problem| problem.functions().iter().all(|f| only.contains(f)));
            // A clash of two may have been told as one with a third.
            clashes(self.wanted.iter().copied(), &mut problems);
        }
        let only = self
            .choices
            .only
            .iter()
            .map(|name| ("functions.only", name));
        let overrides = self
            .choices
            .overrides
            .keys()
            .map(|name| ("functions", name));
        for (key, name) in only.chain(overrides) {
            if !declared.contains(&name.as_str()) {
                problems.push(Problem::general(unknown(key, name, &declared)));
            }
        }
        let mut report = |text: String| problems.push(Problem::general(text));
        limits("defaults: ", &self.choices.defaults, &mut report);
        let staying = self.staying();
        for declared in &self.wanted {
            self.own_problems(declared, &staying, &mut problems);
        }
        sorted(problems)
    }

    fn own_problems(
        &self,
        declared: &Declared,
        staying: &Staying<'_>,
        problems: &mut Vec<Problem>,
    ) {
        let name = declared.name.as_str();
        let mut report = |text: String| problems.push(Problem::of(name, text));
        if let Some(own) = self.choices.overrides.get(name) {
            limits("", own, &mut report);
        }
        let present = self.functions.get(name).copied();
        let function = self.function(declared, present);
        if let Err(error) = Scale::for_format(&function.annotations, self.choices.format) {
            report(format!("scale.{error}"));
        }
        let config = &function.config;
        let has = |name: &String| self.app.config.contains_key(name) || config.contains_key(name);
        let required = declared
            .expects
            .config
            .iter()
            .filter(|value| value.required);
        for missing in required.filter(|value| !has(&value.name)) {
            let missing = quoted(&missing.name);
            report(format!(
                "expects.config {missing} has no value, expected one in func.yaml or in the app's \
                 config"
            ));
        }
        for missing in declared.expects.secrets.iter().filter(|name| !has(name)) {
            let missing = quoted(missing);
            report(format!(
                "expects.secrets {missing} has no value, expected one in func.yaml or in the app's \
                 config"
            ));
        }
        if let Some(present) = present
            && origin(&present.image) != self.origin
        {
            report(format!(
                "name is taken by a function of image {}, expected another name, or that function \
                 deleted first",
                quoted(origin(&present.image))
            ));
        }
        if let Err(error) = check_annotations(&function.annotations) {
            problems.push(Problem::of_values(name, "annotations", &error));
        }
        if let Err(error) = check_config(&function.config) {
            problems.push(Problem::of_values(name, "config", &error));
        }
        trigger_problems(declared, staying, problems);
    }

    fn staying(&self) -> Staying<'a> {
        let by_id: BTreeMap<_, &Function> = self.functions.values().map(|f| (f.id, *f)).collect();
        let wanted: BTreeSet<&str> = self.wanted.iter().map(|d| d.name.as_str()).collect();
        let mut staying = Staying::default();
        for trigger in self.triggers {
            let Some(owner) = by_id.get(&trigger.fn_id).copied() else {
                continue;
            };
            let declared = wanted.contains(owner.name.as_str());
            let leaves = self.is_ours(owner) && !self.choices.keep_missing;
            if !declared && !leaves || self.skipped.contains(&owner.name) {
                staying.add(owner, trigger);
            }
        }
        staying
    }

    fn is_ours(&self, function: &Function) -> bool {
        origin(&function.image) == self.origin
    }

    fn amendment(&self, skipped: &BTreeSet<String>) -> (Vec<Row>, Amendment) {
        let mut amendment = Amendment {
            app: self.app_differs.then(|| self.app.clone()),
            ..Amendment::default()
        };
        let mut rows = Vec::new();
        for declared in &self.wanted {
            let name = declared.name.as_str();
            if skipped.contains(name) {
                // One of several with a name speaks for all.
                if !rows.iter().any(|row: &Row| row.name == name) {
                    rows.push(self.bare_row(name, Outcome::Skipped));
                }
                continue;
            }
            rows.push(self.put(declared, &mut amendment));
        }
        for function in self.functions.values().filter(|f| self.is_ours(f)) {
            if self.wanted.iter().any(|d| d.name == function.name) {
                continue;
            }
            let outcome = if skipped.contains(&function.name) {
                // Its image wants it and cannot say how.
                Outcome::Skipped
            } else if self.choices.keep_missing {
                Outcome::Kept
            } else {
                amendment.removed_functions.push(function.id);
                Outcome::Removed
            };
            rows.push(self.bare_row(&function.name, outcome));
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        (rows, amendment)
    }

    fn bare_row(&self, name: &str, outcome: Outcome) -> Row {
        let function = self.functions.get(name);
        Row {
            name: name.to_owned(),
            outcome,
            changes: Vec::new(),
            memory_mb: function.map_or(0, |f| f.memory_mb),
            timeout_secs: function.map_or(0, |f| f.timeout_secs),
            triggers: Vec::new(),
        }
    }

    fn put(&self, declared: &Declared, amendment: &mut Amendment) -> Row {
        let present = self.functions.get(declared.name.as_str()).copied();
        let function = self.function(declared, present);
        let mut changes = match present {
            Some(present) => differences(present, &function),
            None => Vec::new(),
        };
        let new_triggers = self.triggers_of(declared, &function, amendment);
        if present.is_some() {
            changes.extend(new_triggers);
        }
        let outcome = match present {
            None => Outcome::Created,
            Some(_) if changes.is_empty() => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        };
        let row = Row {
            name: declared.name.clone(),
            outcome,
            changes,
            memory_mb: function.memory_mb,
            timeout_secs: function.timeout_secs,
            triggers: declared
                .triggers
                .iter()
                .map(|trigger| (trigger.source.clone(), trigger.methods))
                .collect(),
        };
        if present != Some(&function) {
            amendment.functions.push(function);
        }
        row
    }

    fn function(&self, declared: &Declared, present: Option<&Function>) -> Function {
        let own = self.choices.overrides.get(&declared.name);
        let defaults = &self.choices.defaults;
        let now = Timestamp::now();
        let mut function = Function {
            id: present.map_or_else(FnId::generate, |f| f.id),
            app_id: self.app.id,
            name: declared.name.clone(),
            image: self.choices.image.clone(),
            format: self.choices.format,
            memory_mb: own
                .and_then(|own| own.memory_mb)
                .or(declared.memory_mb)
                .or(defaults.memory_mb)
                .unwrap_or(DEFAULT_MEMORY_MB),
            timeout_secs: own
                .and_then(|own| own.timeout_secs)
                .or(declared.timeout_secs)
                .or(defaults.timeout_secs)
                .unwrap_or(DEFAULT_TIMEOUT_SECS),
            idle_timeout_secs: own
                .and_then(|own| own.idle_timeout_secs)
                .or(declared.idle_timeout_secs)
                .or(defaults.idle_timeout_secs)
                .unwrap_or(DEFAULT_IDLE_TIMEOUT_SECS),
            config: self.config(declared, present),
            annotations: self.annotations(declared, present),
            created_at: present.map_or(now, |f| f.created_at),
            updated_at: present.map_or(now, |f| f.updated_at),
        };
        if let Some(present) = present
            && *present != function
        {
            function.updated_at = now.max(present.updated_at);
        }
        function
    }

    fn config(&self, declared: &Declared, present: Option<&Function>) -> Config {
        let mut config = present.map(|f| f.config.clone()).unwrap_or_default();
        config.extend(self.choices.defaults.config.clone());
        if let Some(own) = self.choices.overrides.get(&declared.name) {
            config.extend(own.config.clone());
        }
        config
    }

    /// What others keep on a function stays; what this deployment says of it does not.
    fn annotations(&self, declared: &Declared, present: Option<&Function>) -> Annotations {
        let mut all = present.map(|f| f.annotations.clone()).unwrap_or_default();
        all.remove(SCALE_ANNOTATION);
        all.extend(self.choices.annotations.clone());
        let own = self.choices.overrides.get(&declared.name);
        if let Some(scale) = &self.choices.defaults.scale {
            all.insert(SCALE_ANNOTATION.to_owned(), scale.clone());
        }
        all.extend(declared.annotations.clone());
        if let Some(scale) = own.and_then(|own| own.scale.as_ref()) {
            all.insert(SCALE_ANNOTATION.to_owned(), scale.clone());
        }
        all.remove(STREAMING_ANNOTATION);
        if declared.streaming {
            all.insert(STREAMING_ANNOTATION.to_owned(), "true".into());
        }
        all
    }

    /// Puts the function's triggers into the amendment, and says what is new about them.
    fn triggers_of(
        &self,
        declared: &Declared,
        function: &Function,
        amendment: &mut Amendment,
    ) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        let present = || self.triggers.iter().filter(|t| t.fn_id == function.id);
        let change = |field: &str, from: Option<String>, to: Option<String>| FieldChange {
            field: format!("trigger {field}"),
            from,
            to,
        };
        for gone in present().filter(|t| !declared.triggers.iter().any(|d| d.name == t.name)) {
            amendment.removed_triggers.push(gone.id);
            changes.push(change(&gone.name, Some(described(gone)), None));
        }
        for wanted in &declared.triggers {
            let old = present().find(|t| t.name == wanted.name);
            let mut trigger = trigger(wanted, function, old);
            if old == Some(&trigger) {
                continue;
            }
            if let Some(old) = old {
                trigger.updated_at = Timestamp::now().max(old.updated_at);
            }
            changes.push(change(
                &wanted.name,
                old.map(described),
                Some(described(&trigger)),
            ));
            amendment.triggers.push(trigger);
        }
        changes
    }
}

fn trigger(wanted: &DeclaredTrigger, function: &Function, old: Option<&Trigger>) -> Trigger {
    let now = Timestamp::now();
    let mut annotations = old.map(|t| t.annotations.clone()).unwrap_or_default();
    annotations.remove(METHODS_ANNOTATION);
    if let Some(methods) = wanted.methods.to_annotation() {
        annotations.insert(METHODS_ANNOTATION.to_owned(), methods);
    }
    Trigger {
        id: old.map_or_else(TriggerId::generate, |t| t.id),
        app_id: function.app_id,
        fn_id: function.id,
        name: wanted.name.clone(),
        source: wanted.source.clone(),
        annotations,
        created_at: old.map_or(now, |t| t.created_at),
        updated_at: old.map_or(now, |t| t.updated_at),
    }
}

/// Against what stays in the app; within the index it has been looked at.
fn trigger_problems(declared: &Declared, staying: &Staying<'_>, problems: &mut Vec<Problem>) {
    let name = declared.name.as_str();
    let of_another = |owner: &Function| owner.name != name;
    for trigger in &declared.triggers {
        let mut report = |text: String| {
            let text = format!("trigger {}: {text}", quoted(&trigger.name));
            problems.push(Problem::between(&[name], text));
        };
        let same_name = staying.by_name.get(trigger.name.as_str());
        if let Some(owner) = same_name.and_then(|all| all.iter().find(|owner| of_another(owner))) {
            report(format!(
                "the name is taken by function {} of this app (function {})",
                quoted(&owner.name),
                quoted(name)
            ));
        }
        let Some(pattern) = &trigger.pattern else {
            continue;
        };
        let same_shape = staying.by_shape.get(pattern.shape().as_str());
        let clash = same_shape.and_then(|all| {
            all.iter().find(|(owner, other)| {
                of_another(owner) && other.methods().overlap(trigger.methods)
            })
        });
        if let Some((owner, other)) = clash {
            report(format!(
                "{} and {} match the same paths (functions {}, {})",
                other.source,
                trigger.source,
                quoted(&owner.name),
                quoted(name)
            ));
        }
    }
}

/// Reports what of `own` nobody can have; `place` is in front of the fields.
fn limits(place: &str, own: &Override, report: &mut impl FnMut(String)) {
    let seconds = |secs: Option<u32>| secs.map(u64::from);
    for (field, value, max) in [
        ("memory", own.memory_mb, MAX_MEMORY_MB),
        (
            "timeout",
            seconds(own.timeout_secs),
            MAX_TIMEOUT_SECS.into(),
        ),
        (
            "idle_timeout",
            seconds(own.idle_timeout_secs),
            MAX_IDLE_TIMEOUT_SECS.into(),
        ),
    ] {
        if let Some(value) = value
            && !(1..=max).contains(&value)
        {
            report(format!("{place}{field} {value} is outside 1..{max}"));
        }
    }
}

fn unknown(key: &str, name: &str, declared: &[&str]) -> String {
    let nearest = nearest(name, declared.iter().copied()).map_or_else(String::new, |known| {
        format!(", did you mean {}?", quoted(known))
    });
    format!(
        "{key}: the image declares no function {}{nearest}",
        quoted(name)
    )
}
