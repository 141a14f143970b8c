use std::collections::HashMap;

use crate::model::AppId;
use crate::store::import::FnDatabase;
use crate::store::{Resource, Store, StoreError};

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub apps: usize,
    pub routes: usize,
    pub functions: usize,
    pub triggers: usize,
}

/// What an import did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub created: Counts,
    /// There already, and left alone.
    pub present: Counts,
    /// What was not taken over, and why.
    pub skipped: Vec<(String, String)>,
}

/// What is to be done with one thing of Fn's.
enum Step {
    Created,
    Present,
    Skipped(String),
}

impl ImportReport {
    fn add(&mut self, step: Step, what: String, count: fn(&mut Counts) -> &mut usize) {
        match step {
            Step::Created => *count(&mut self.created) += 1,
            Step::Present => *count(&mut self.present) += 1,
            Step::Skipped(why) => self.skipped.push((what, why)),
        }
    }
}

impl FnDatabase {
    /// What an import into an empty store would do.
    pub fn into_nothing(&self) -> ImportReport {
        ImportReport {
            created: Counts {
                apps: self.apps.len(),
                routes: self.routes.len(),
                functions: self.functions.len(),
                triggers: self.triggers.len(),
            },
            present: Counts::default(),
            skipped: self.refused.clone(),
        }
    }

    /// Puts into `store` what is not there yet, or with `dry_run` says only what that is. What is
    /// there under the same id stays as it is, so an import may be repeated.
    pub async fn write_to(
        &self,
        store: &dyn Store,
        dry_run: bool,
    ) -> Result<ImportReport, StoreError> {
        let mut report = ImportReport {
            skipped: self.refused.clone(),
            ..ImportReport::default()
        };
        // Names of the apps whose contents can follow.
        let mut apps: HashMap<AppId, &str> = HashMap::new();
        for app in &self.apps {
            let step = if found(store.app(app.id).await)? {
                Step::Present
            } else if found(store.app_by_name(&app.name).await)? {
                Step::Skipped("another app has this name".to_owned())
            } else if dry_run {
                Step::Created
            } else {
                created(store.create_app(app).await)?
            };
            if !matches!(step, Step::Skipped(_)) {
                apps.insert(app.id, &app.name);
            }
            report.add(step, format!("app {}", app.name), |c| &mut c.apps);
        }
        for route in &self.routes {
            let app = apps.get(&route.app_id);
            let there = store.route(route.app_id, &route.path);
            let step = bring(app, there, store.create_route(route), dry_run).await?;
            let what = format!("route {}{}", app.unwrap_or(&"?"), route.path);
            report.add(step, what, |c| &mut c.routes);
        }
        for function in &self.functions {
            let app = apps.get(&function.app_id);
            let there = store.function(function.id);
            let step = bring(app, there, store.create_function(function), dry_run).await?;
            let what = format!("function {} {}", app.unwrap_or(&"?"), function.name);
            report.add(step, what, |c| &mut c.functions);
        }
        for trigger in &self.triggers {
            let app = apps.get(&trigger.app_id);
            let there = store.trigger(trigger.id);
            let step = bring(app, there, store.create_trigger(trigger), dry_run).await?;
            let what = format!("trigger {} {}", app.unwrap_or(&"?"), trigger.name);
            report.add(step, what, |c| &mut c.triggers);
        }
        Ok(report)
    }
}

/// What becomes of a part of an app.
async fn bring<T>(
    app: Option<&&str>,
    there: impl Future<Output = Result<T, StoreError>>,
    create: impl Future<Output = Result<(), StoreError>>,
    dry_run: bool,
) -> Result<Step, StoreError> {
    if app.is_none() {
        Ok(orphan())
    } else if found(there.await)? {
        Ok(Step::Present)
    } else if dry_run {
        Ok(Step::Created)
    } else {
        created(create.await)
    }
}

fn orphan() -> Step {
    Step::Skipped("its app is not there".to_owned())
}

fn found<T>(answer: Result<T, StoreError>) -> Result<bool, StoreError> {
    match answer {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn created(answer: Result<(), StoreError>) -> Result<Step, StoreError> {
    match answer {
        Ok(()) => Ok(Step::Created),
        Err(taken @ (StoreError::Conflict(_) | StoreError::Clash { .. })) => {
            Ok(Step::Skipped(taken.to_string()))
        }
        Err(StoreError::NotFound(Resource::Function)) => {
            Ok(Step::Skipped("its function is not there".to_owned()))
        }
        Err(StoreError::NotFound(_)) => Ok(orphan()),
        Err(error) => Err(error),
    }
}
