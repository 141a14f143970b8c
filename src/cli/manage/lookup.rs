use reqwest::StatusCode;

use crate::cli::client::{Api, ClientError};
use crate::cli::failure::Failure;
use crate::cli::wire::{App, Function, Page, Trigger};

/// The app of a name, which has to be there.
pub(in crate::cli) async fn find_app(api: &Api, name: &str) -> anyhow::Result<App> {
    match api.find_app(name).await? {
        Some(app) => Ok(app),
        None => Err(no_app(name).into()),
    }
}

fn no_app(name: &str) -> Failure {
    Failure::new(format!("app {name} does not exist")).hint("see fn list apps")
}

/// The error of a request for something in an app that the v1 API knows by name; what is not
/// there is told as `missing` says.
pub(super) fn in_app(error: anyhow::Error, app: &str, missing: Failure) -> anyhow::Error {
    match error.downcast_ref() {
        Some(ClientError::Refused {
            status: StatusCode::NOT_FOUND,
            message,
            ..
        }) => match message.as_str() {
            "App not found" => no_app(app).into(),
            _ => missing.into(),
        },
        _ => error,
    }
}

/// The function of a name, which has to be there.
pub(in crate::cli) async fn find_function(
    api: &Api,
    app: &str,
    name: &str,
) -> anyhow::Result<Function> {
    let id = find_app(api, app).await?.id;
    match api.find_function(&id, name).await? {
        Some(function) => Ok(function),
        None => {
            let message = format!("function {name} does not exist in app {app}");
            let hint = format!("see fn list functions {app}");
            Err(Failure::new(message).hint(hint).into())
        }
    }
}

/// The trigger of a name, which has to be there.
pub(super) async fn find_trigger(
    api: &Api,
    app: &str,
    function: &str,
    name: &str,
) -> anyhow::Result<Trigger> {
    let owner = find_function(api, app, function).await?;
    let query = [
        ("app_id", owner.app_id.as_str()),
        ("fn_id", owner.id.as_str()),
        ("name", name),
    ];
    let page: Page<Trigger> = api.get(&["v2", "triggers"], &query).await?;
    let mut triggers = page.items.unwrap_or_default().into_iter();
    match triggers.find(|trigger| trigger.name == name) {
        Some(trigger) => Ok(trigger),
        None => {
            let message = format!("trigger {name} does not exist on function {function}");
            let hint = format!("see fn list triggers {app} {function}");
            Err(Failure::new(message).hint(hint).into())
        }
    }
}
