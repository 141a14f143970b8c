use std::collections::BTreeMap;

use reqwest::Method;

use crate::cli::client::CALL;
use crate::cli::deploy::DeployArgs;
use crate::cli::deploy::app::Target;
use crate::cli::failure::{EXPECTED, Failure};
use crate::cli::index::{heading, judge, methods};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::{FieldChange, IndexDeploy, IndexDeployed, Outcome, Settings, is_empty};
use crate::config::{FunctionOverride, Indexing, Manifest};
use crate::model::{SCALE_ANNOTATION, STREAMING_ANNOTATION};

/// What the server was asked about an image of several functions, and what it says.
pub(super) struct Inquiry<'a> {
    args: &'a DeployArgs,
    session: &'a Session,
    body: IndexDeploy,
}

/// Whether the image declares its functions.
pub(super) enum Answer {
    /// It does, and they fit; this is what is to change.
    Declared,
    /// They are as func.yaml says; why, in words.
    FuncYaml(String),
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(
        args: &'a DeployArgs,
        session: &'a Session,
        target: &Target,
        manifest: &Manifest,
        image: &str,
    ) -> Self {
        let nothing = Indexing::default();
        let indexing = manifest.indexing.as_ref().unwrap_or(&nothing);
        let mut annotations = manifest.annotations.clone();
        // The image says of each function whether it streams.
        annotations.remove(STREAMING_ANNOTATION);
        let defaults = Settings {
            memory: manifest.memory_mb,
            timeout: manifest.timeout_secs,
            idle_timeout: manifest.idle_timeout_secs,
            scale: annotations.remove(SCALE_ANNOTATION),
            config: manifest.config.clone(),
        };
        let functions = indexing.overrides.iter();
        let body = IndexDeploy {
            app: target.index_target(),
            image: image.to_owned(),
            indexing: manifest.indexing.is_some(),
            reindex: args.reindex,
            format: manifest.format_given.then(|| manifest.format.to_string()),
            defaults: Some(defaults).filter(|settings| !is_empty(settings)),
            annotations,
            only: indexing.only.clone(),
            functions: functions
                .map(|(name, own)| (name.clone(), settings(own)))
                .collect::<BTreeMap<_, _>>(),
            dry_run: true,
            skip_invalid: args.skip_invalid,
            keep_missing: args.keep_missing,
        };
        Self {
            args,
            session,
            body,
        }
    }

    /// Has the image asked, and everything checked, before anything is changed.
    pub(super) async fn ask(&mut self, manifest: &Manifest) -> anyhow::Result<Answer> {
        let told = self.send().await?;
        // What it answers is known from here on.
        self.body.reindex = false;
        match told.index.state.as_str() {
            "valid" | "invalid" => {}
            "off" => {
                return Ok(Answer::FuncYaml(
                    "indexing is off on this server, using func.yaml".to_owned(),
                ));
            }
            "declined" => {
                return Ok(Answer::FuncYaml(
                    "falling back to func.yaml: the image declined to index".to_owned(),
                ));
            }
            "undeclared" => {
                return Ok(Answer::FuncYaml(
                    "the image does not index, using func.yaml".to_owned(),
                ));
            }
            _ => {
                let failed = judge(&told.index).err();
                let failed = failed.unwrap_or_else(|| Failure::new("the image was not indexed"));
                return Err(failed.code(EXPECTED).into());
            }
        }
        let indexing = manifest.indexing.as_ref();
        for key in indexing.map(|i| i.ignored.as_slice()).unwrap_or_default() {
            output::note(&format!(
                "warning: {key}: ignored: the image declares its functions"
            ));
        }
        output::note(&heading(&told.index));
        for warning in &told.index.warnings {
            output::note(&format!("warning: {}: {warning}", told.index.image));
        }
        for problem in &told.problems {
            output::note(problem);
        }
        if told.changes.is_empty() {
            let count = match told.problems.len() {
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            };
            let message = format!(
                "{}: {count} with what the image declares; nothing was changed",
                self.body.image
            );
            let failure = Failure::new(message);
            return Err(if self.args.skip_invalid {
                failure.into()
            } else {
                failure
                    .hint("leave out the functions that are concerned with --skip-invalid")
                    .into()
            });
        }
        if self.args.dry_run {
            show(&told)?;
            output::line(&format!(
                "Would deploy app {}: {}",
                self.body.app.name,
                counts(&told.changes)
            ))?;
        }
        Ok(Answer::Declared)
    }

    /// Has the app changed.
    pub(super) async fn apply(&mut self) -> anyhow::Result<()> {
        self.body.dry_run = false;
        let done = self.send().await?;
        if !done.applied {
            for problem in &done.problems {
                output::note(problem);
            }
            judge(&done.index).map_err(|failed| failed.code(EXPECTED))?;
            let message = format!(
                "app {} has changed meanwhile, and the functions no longer fit; nothing was \
                 deployed",
                self.body.app.name
            );
            return Err(Failure::new(message).hint("deploy again").into());
        }
        show(&done)?;
        output::line(&format!(
            "Deployed app {}: {}",
            self.body.app.name,
            counts(&done.changes)
        ))?;
        Ok(())
    }

    async fn send(&self) -> anyhow::Result<IndexDeployed> {
        let parts = ["v2", "index", "deploy"];
        let api = &self.session.api;
        Ok(api
            .send_within(CALL, Method::POST, &parts, &self.body)
            .await?)
    }
}

fn settings(own: &FunctionOverride) -> Settings {
    Settings {
        memory: own.memory_mb,
        timeout: own.timeout_secs,
        idle_timeout: own.idle_timeout_secs,
        scale: own.scale.clone(),
        config: own.config.clone(),
    }
}

fn show(told: &IndexDeployed) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = told.changes.iter().flat_map(rows).collect();
    for line in output::columns(&rows) {
        output::line(&format!("  {line}"))?;
    }
    Ok(())
}

/// A line for each path of a function; the first says what becomes of it.
fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let mut paths: Vec<(String, String)> = outcome
        .triggers
        .iter()
        .map(|trigger| (methods(&trigger.methods), trigger.url.clone()))
        .collect();
    if paths.is_empty() {
        paths.push(match outcome.outcome.as_str() {
            "removed" | "kept" | "skipped" => (String::new(), String::new()),
            _ => ("-".to_owned(), "by id only".to_owned()),
        });
    }
    let said = match described(&outcome.changes) {
        changes if changes.is_empty() => outcome.outcome.clone(),
        changes => format!("{} ({changes})", outcome.outcome),
    };
    let limit = |number: u64, unit: &str| match outcome.triggers.is_empty() && number == 0 {
        true => String::new(),
        false => format!("{number}{unit}"),
    };
    let gone = outcome.outcome == "removed";
    let row = |(at, (methods, path)): (usize, (String, String))| match (at, gone) {
        (0, false) => vec![
            outcome.name.clone(),
            methods,
            path,
            limit(outcome.memory, "MB"),
            limit(outcome.timeout, "s"),
            said.clone(),
        ],
        (0, true) => {
            let mut row = vec![String::new(); 6];
            row[0].clone_from(&outcome.name);
            row[5].clone_from(&said);
            row
        }
        _ => vec![String::new(), methods, path],
    };
    paths.into_iter().enumerate().map(row).collect()
}

fn described(changes: &[FieldChange]) -> String {
    let one = |change: &FieldChange| match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("{} {from} -> {to}", change.field),
        (None, Some(to)) => format!("{} {to}", change.field),
        (Some(_), None) => format!("{} removed", change.field),
        (None, None) => change.field.clone(),
    };
    let all: Vec<String> = changes.iter().map(one).collect();
    all.join(", ")
}

/// How many of each outcome there are, in the order of their weight.
fn counts(outcomes: &[Outcome]) -> String {
    let kinds = [
        "created",
        "updated",
        "removed",
        "unchanged",
        "kept",
        "skipped",
    ];
    let all: Vec<String> = kinds
        .iter()
        .enumerate()
        .filter_map(|(at, kind)| {
            let count = outcomes.iter().filter(|o| o.outcome == *kind).count();
            // The first four are always told.
            (count > 0 || at < 4).then(|| format!("{count} {kind}"))
        })
        .collect();
    all.join(", ")
}
