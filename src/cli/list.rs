use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::client::{Api, ClientError};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::{App, Function, Page, Route, RoutePage, Trigger};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(subcommand)]
    what: What,
    /// Show the list as JSON.
    #[arg(long, global = true)]
    output: Option<OutputArg>,
    /// Show at most this many.
    #[arg(short, long, global = true, default_value_t = 100)]
    number: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputArg {
    Json,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All apps.
    #[command(visible_aliases = ["app", "a"])]
    Apps,
    /// The functions of an app.
    #[command(visible_aliases = ["fns", "function", "fn", "f"])]
    Functions { app: String },
    /// The routes of an app.
    #[command(visible_aliases = ["route", "r"])]
    Routes { app: String },
    /// The triggers of an app, or of one of its functions.
    #[command(visible_aliases = ["trigger", "trigs", "t"])]
    Triggers {
        app: String,
        function: Option<String>,
    },
}

pub(super) async fn run(args: &ListArgs, session: &Session) -> anyhow::Result<()> {
    let (api, most) = (&session.api, args.number);
    match &args.what {
        What::Apps => {
            let apps: Vec<App> = all(api, &["v2", "apps"], &[], most).await?;
            let row = |app: &App| vec![app.name.clone(), app.id.clone()];
            show(args, &["NAME", "ID"], &apps, row)
        }
        What::Functions { app } => {
            let app = app_id(api, app).await?;
            let query = [("app_id", app.as_str())];
            let functions: Vec<Function> = all(api, &["v2", "fns"], &query, most).await?;
            let row = |f: &Function| vec![f.name.clone(), f.image.clone(), f.id.clone()];
            show(args, &["NAME", "IMAGE", "ID"], &functions, row)
        }
        What::Routes { app } => {
            let routes = routes(api, app, most).await?;
            let row = |r: &Route| {
                let mut parts = vec!["r", app.as_str()];
                parts.extend(r.path.split('/').skip(1));
                vec![r.path.clone(), r.image.clone(), api.url(&parts).to_string()]
            };
            show(args, &["PATH", "IMAGE", "ENDPOINT"], &routes, row)
        }
        What::Triggers { app, function } => triggers(args, api, app, function.as_deref()).await,
    }
}

async fn triggers(
    args: &ListArgs,
    api: &Api,
    app_name: &str,
    function: Option<&str>,
) -> anyhow::Result<()> {
    let app = app_id(api, app_name).await?;
    let of_function = match function {
        None => None,
        Some(name) => match api.find_function(&app, name).await? {
            Some(function) => Some(function.id),
            None => {
                let message = format!("function {name} does not exist in app {app_name}");
                return Err(Failure::new(message).into());
            }
        },
    };
    let mut query = vec![("app_id", app.as_str())];
    query.extend(of_function.as_deref().map(|id| ("fn_id", id)));
    let triggers: Vec<Trigger> = all(api, &["v2", "triggers"], &query, args.number).await?;
    let row = |t: &Trigger| {
        let endpoint = t.endpoint().unwrap_or_default().to_owned();
        vec![
            t.name.clone(),
            t.kind.clone(),
            t.source.clone(),
            endpoint,
            t.id.clone(),
        ]
    };
    show(
        args,
        &["NAME", "TYPE", "SOURCE", "ENDPOINT", "ID"],
        &triggers,
        row,
    )
}

fn show<T: Serialize>(
    args: &ListArgs,
    head: &[&str],
    items: &[T],
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    match args.output {
        Some(OutputArg::Json) => output::json(&items),
        None => {
            let rows: Vec<Vec<String>> = items.iter().map(row).collect();
            Ok(output::table(head, &rows)?)
        }
    }
}

async fn app_id(api: &Api, name: &str) -> anyhow::Result<String> {
    match api.find_app(name).await? {
        Some(app) => Ok(app.id),
        None => Err(Failure::new(format!("app {name} does not exist"))
            .hint("see fn list apps")
            .into()),
    }
}

/// Page after page of a v2 list.
async fn all<T: DeserializeOwned>(
    api: &Api,
    parts: &[&str],
    query: &[(&str, &str)],
    most: usize,
) -> Result<Vec<T>, ClientError> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = query.to_vec();
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page: Page<T> = api.get(parts, &query).await?;
        if !add(&mut items, page.items, &page.next_cursor, &cursor, most) {
            return Ok(items);
        }
        cursor = page.next_cursor;
    }
}

/// Page after page of the v1 list of routes.
async fn routes(api: &Api, app: &str, most: usize) -> Result<Vec<Route>, ClientError> {
    let mut routes = Vec::new();
    let mut cursor = String::new();
    loop {
        let query = [("cursor", cursor.as_str())];
        let used = if cursor.is_empty() {
            &query[..0]
        } else {
            &query
        };
        let page: RoutePage = api.get(&["v1", "apps", app, "routes"], used).await?;
        if !add(&mut routes, page.routes, &page.next_cursor, &cursor, most) {
            return Ok(routes);
        }
        cursor = page.next_cursor;
    }
}

/// Takes a page over; false where it was the last one to ask for.
fn add<T>(items: &mut Vec<T>, page: Option<Vec<T>>, next: &str, cursor: &str, most: usize) -> bool {
    let page = page.unwrap_or_default();
    let empty = page.is_empty();
    items.extend(page);
    items.truncate(most);
    // A cursor that leads nowhere must not keep us asking.
    !empty && !next.is_empty() && next != cursor && items.len() < most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_server::FakeServer;

    #[tokio::test]
    async fn pages_are_followed_to_the_end() {
        let server = FakeServer::start(&[
            (
                200,
                r#"{"items":[{"id":"1","name":"a"}],"next_cursor":"YQ"}"#,
            ),
            (200, r#"{"items":[{"id":"2","name":"b"}],"next_cursor":""}"#),
        ])
        .await;
        let apps: Vec<App> = all(&server.api(), &["v2", "apps"], &[], 100).await.unwrap();
        assert_eq!(apps.len(), 2);
        assert_eq!(server.asked(), ["GET /v2/apps", "GET /v2/apps?cursor=YQ"]);
    }

    #[tokio::test]
    async fn a_cursor_that_leads_nowhere_ends_the_list() {
        let same = (200, r#"{"routes":[{"path":"/a"}],"next_cursor":"x"}"#);
        let server = FakeServer::start(&[same, same, same]).await;
        assert_eq!(routes(&server.api(), "a", 100).await.unwrap().len(), 2);
        let server = FakeServer::start(&[same]).await;
        assert_eq!(routes(&server.api(), "a", 1).await.unwrap().len(), 1);
        let server = FakeServer::start(&[(200, r#"{"message":"none","routes":null}"#)]).await;
        assert!(routes(&server.api(), "a", 1).await.unwrap().is_empty());
    }
}
