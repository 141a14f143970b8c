use reqwest::Method;

use crate::cli::client::Api;
use crate::cli::deploy::app::Target;
use crate::cli::wire::{Route, RouteBody, route_parts};
use crate::config::{Deployment, Manifest};

/// Puts the function as a route of the v1 API, and gives the URL to call.
pub(super) async fn put(
    api: &Api,
    target: &Target,
    manifest: &Manifest,
    image: &str,
) -> anyhow::Result<Vec<String>> {
    let route = route(manifest, image);
    let path = route.path.clone();
    let parts = route_parts(&target.name, &path);
    let _: serde_json::Value = api.send(Method::PUT, &parts, &RouteBody { route }).await?;
    target.ensure_v1(api).await?;
    let mut url = vec!["r", target.name.as_str()];
    url.extend(path.split('/').skip(1));
    Ok(vec![api.url(&url).to_string()])
}

fn route(manifest: &Manifest, image: &str) -> Route {
    let mut route = Route {
        image: image.to_owned(),
        memory: manifest.memory_mb,
        kind: manifest.kind.to_string(),
        format: manifest.format.to_string(),
        timeout: manifest.timeout_secs,
        idle_timeout: manifest.idle_timeout_secs,
        config: manifest.config.clone(),
        annotations: manifest.annotations.clone(),
        ..Route::default()
    };
    if let Deployment::Route {
        path,
        cpus,
        headers,
    } = &manifest.deployment
    {
        route.path.clone_from(path);
        route.cpus = cpus.map(|cpus| cpus.to_string()).unwrap_or_default();
        route.headers.clone_from(headers);
    }
    route
}
