use reqwest::Method;

use crate::cli::client::Api;
use crate::cli::deploy::app::Target;
use crate::cli::wire::{Function, Page, Trigger};
use crate::config::{Manifest, TriggerSpec};
use crate::model::{
    DEFAULT_IDLE_TIMEOUT_SECS, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_SECS, METHODS_ANNOTATION,
};

/// Puts the function and its triggers by the v2 API, and gives the URLs to call.
///
/// Triggers that the file no longer names stay: other people may have made them.
pub(super) async fn put(
    api: &Api,
    target: &Target,
    manifest: &Manifest,
    triggers: &[TriggerSpec],
    image: &str,
) -> anyhow::Result<Vec<String>> {
    let app_id = target.ensure(api).await?;
    let existing = api.find_function(&app_id, &manifest.name).await?;
    let wanted = function(&app_id, manifest, image, existing.as_ref());
    let function: Function = match &existing {
        None => api.send(Method::POST, &["v2", "fns"], &wanted).await?,
        Some(old) => {
            api.send(Method::PUT, &["v2", "fns", &old.id], &wanted)
                .await?
        }
    };
    // The answer to PUT does not say where the function is called; the list did.
    let endpoint = function
        .endpoint()
        .or_else(|| existing.as_ref().and_then(Function::endpoint));
    let mut urls = vec![match endpoint {
        Some(url) => url.to_owned(),
        None => api.url(&["invoke", &function.id]).to_string(),
    }];
    for spec in triggers {
        urls.push(put_trigger(api, target, &function, spec).await?);
    }
    Ok(urls)
}

async fn put_trigger(
    api: &Api,
    target: &Target,
    function: &Function,
    spec: &TriggerSpec,
) -> anyhow::Result<String> {
    let query = [
        ("app_id", function.app_id.as_str()),
        ("fn_id", function.id.as_str()),
        ("name", spec.name.as_str()),
    ];
    let page: Page<Trigger> = api.get(&["v2", "triggers"], &query).await?;
    let existing = page
        .items
        .unwrap_or_default()
        .into_iter()
        .find(|trigger| trigger.name == spec.name);
    let mut annotations = spec.annotations.clone();
    // The server keeps what an update does not name, and the file says it all about methods.
    if existing
        .as_ref()
        .is_some_and(|old| old.annotations.contains_key(METHODS_ANNOTATION))
    {
        let any = serde_json::Value::Null;
        annotations
            .entry(METHODS_ANNOTATION.to_owned())
            .or_insert(any);
    }
    let wanted = Trigger {
        id: existing
            .as_ref()
            .map(|old| old.id.clone())
            .unwrap_or_default(),
        app_id: function.app_id.clone(),
        fn_id: function.id.clone(),
        name: spec.name.clone(),
        source: spec.source.clone(),
        kind: "http".to_owned(),
        annotations,
    };
    let trigger: Trigger = match &existing {
        None => api.send(Method::POST, &["v2", "triggers"], &wanted).await?,
        Some(old) => {
            let parts = ["v2", "triggers", &old.id];
            api.send(Method::PUT, &parts, &wanted).await?
        }
    };
    let moved = existing
        .as_ref()
        .is_some_and(|old| old.source != spec.source);
    let before = existing
        .as_ref()
        .filter(|_| !moved)
        .and_then(Trigger::endpoint);
    Ok(match trigger.endpoint().or(before) {
        Some(url) => url.to_owned(),
        None => {
            let mut parts = vec!["t", target.name.as_str()];
            parts.extend(spec.source.split('/').skip(1));
            api.url(&parts).to_string()
        }
    })
}

fn function(
    app_id: &str,
    manifest: &Manifest,
    image: &str,
    existing: Option<&Function>,
) -> Function {
    // A server keeps what an update does not name, so a format that the file has dropped must be
    // named to go back; otherwise a file without one says nothing, as tools of its era did.
    let drifted = existing
        .and_then(|old| old.format.as_deref())
        .is_some_and(|format| format != manifest.format.as_str());
    // Somebody may have set them with fn update; a new one gets what Fn's client gives it.
    let is_new = existing.is_none();
    Function {
        id: existing.map(|old| old.id.clone()).unwrap_or_default(),
        app_id: app_id.to_owned(),
        name: manifest.name.clone(),
        image: image.to_owned(),
        format: (manifest.format_given || drifted).then(|| manifest.format.to_string()),
        memory: manifest
            .memory_mb
            .or_else(|| is_new.then_some(DEFAULT_MEMORY_MB)),
        timeout: manifest
            .timeout_secs
            .or_else(|| is_new.then_some(DEFAULT_TIMEOUT_SECS)),
        idle_timeout: manifest
            .idle_timeout_secs
            .or_else(|| is_new.then_some(DEFAULT_IDLE_TIMEOUT_SECS)),
        config: manifest.config.clone(),
        annotations: manifest.annotations.clone(),
    }
}
