use std::path::Path;

use reqwest::Method;

use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::wire::{App, AppBody, AppChange, AppTarget};
use crate::config::{AppFile, Deployment, Manifest, ManifestError};
use crate::model::Config;

/// The app to deploy to, as it was before the deployment.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    /// The app on the server; `None` where it is still to be created, or where the v1 API is
    /// used, which creates apps by itself.
    existing: Option<App>,
    file: Option<AppFile>,
}

/// `app.yaml` beside the function, or above it where several functions share an app.
pub(super) fn read_app_file(dir: &Path) -> Result<Option<AppFile>, ManifestError> {
    if let Some(file) = AppFile::find(dir)? {
        return Ok(Some(file));
    }
    AppFile::find(&dir.join(".."))
}

pub(super) async fn find_target(
    name: &str,
    file: Option<AppFile>,
    may_create: bool,
    manifest: &Manifest,
    api: &Api,
) -> anyhow::Result<Target> {
    let mut target = Target {
        name: name.to_owned(),
        existing: None,
        // A file about another app says nothing about this one.
        file: file.filter(|file| file.name == name),
    };
    if matches!(manifest.deployment, Deployment::Route { .. }) {
        return Ok(target);
    }
    target.existing = api.find_app(name).await?;
    if target.existing.is_none() && !may_create {
        let message = format!("app {name} does not exist");
        return Err(Failure::new(message)
            .hint("create it with --create-app")
            .into());
    }
    Ok(target)
}

impl Target {
    /// The app's configuration, as far as it is known.
    pub(super) fn config(&self) -> Config {
        let mut config = self
            .existing
            .as_ref()
            .map(|app| app.config.clone())
            .unwrap_or_default();
        if let Some(file) = &self.file {
            config.extend(file.config.clone());
        }
        config
    }

    /// The app for a deployment that brings its functions along with it.
    pub(super) fn index_target(&self) -> AppTarget {
        let file = self.file.as_ref();
        AppTarget {
            name: self.name.clone(),
            // Where it was not allowed to be missing, somebody would have said so.
            create: self.existing.is_none(),
            config: file.map(|f| f.config.clone()).unwrap_or_default(),
            annotations: file.map(|f| f.annotations.clone()).unwrap_or_default(),
            syslog_url: file.and_then(|f| f.syslog_url.clone()),
        }
    }

    /// The app's id in the v2 API, after creating it or bringing it to what its file says.
    pub(super) async fn ensure(&self, api: &Api) -> anyhow::Result<String> {
        let Some(app) = &self.existing else {
            let file = self.file.as_ref();
            let new = App {
                name: self.name.clone(),
                config: file.map(|f| f.config.clone()).unwrap_or_default(),
                annotations: file.map(|f| f.annotations.clone()).unwrap_or_default(),
                syslog_url: file.and_then(|f| f.syslog_url.clone()),
                ..App::default()
            };
            let app: App = api.send(Method::POST, &["v2", "apps"], &new).await?;
            return Ok(app.id);
        };
        if let Some(change) = self.change() {
            let _: App = api
                .send(Method::PUT, &["v2", "apps", &app.id], &change)
                .await?;
        }
        Ok(app.id.clone())
    }

    /// The same for the v1 API, where the route has created the app.
    pub(super) async fn ensure_v1(&self, api: &Api) -> anyhow::Result<()> {
        if let Some(app) = self.change() {
            let body = AppBody { app };
            let parts = ["v1", "apps", &self.name];
            let _: serde_json::Value = api.send(Method::PATCH, &parts, &body).await?;
        }
        Ok(())
    }

    fn change(&self) -> Option<AppChange> {
        let file = self.file.as_ref()?;
        let nothing =
            file.config.is_empty() && file.annotations.is_empty() && file.syslog_url.is_none();
        (!nothing).then(|| AppChange {
            name: None,
            config: file.config.clone(),
            annotations: file.annotations.clone(),
            syslog_url: file.syslog_url.clone(),
        })
    }
}
