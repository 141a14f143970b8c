//! Past calls and their logs, of an app, a route or a function.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::manage::find_function;
use crate::cli::manage::lookup::in_app;
use crate::cli::manage::pages::{PageFlags, collect};
use crate::cli::manage::show::{self, OutputFlag};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::wire::Call;
use crate::model::clean_path;

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "expected a time such as 2030-01-31T09:00:00Z".to_owned())
}

/// Where the server keeps the calls that are asked for.
struct Source {
    parts: Vec<String>,
    /// The member of a page of them: the two APIs differ.
    member: &'static str,
    path: Option<String>,
}

impl Source {
    /// Calls of routes are in the v1 API, those of a function in v2; v1 has an app's calls of
    /// either kind.
    async fn find(api: &Api, app: &str, of: Option<&str>) -> anyhow::Result<Self> {
        let function = match of {
            Some(name) if !name.starts_with('/') => Some(find_function(api, app, name).await?),
            _ => None,
        };
        Ok(match function {
            Some(function) => Self {
                parts: ["v2", "fns", &function.id, "calls"]
                    .map(str::to_owned)
                    .into(),
                member: "items",
                path: None,
            },
            None => Self {
                parts: ["v1", "apps", app, "calls"].map(str::to_owned).into(),
                member: "calls",
                path: of.map(clean_path),
            },
        })
    }

    /// Tells of what is not there in words that do not need the protocol.
    fn explain(
        &self,
        error: anyhow::Error,
        app: &str,
        of: Option<&str>,
        id: &str,
    ) -> anyhow::Error {
        let list = match of {
            Some(of) => format!("fn list calls {app} {of}"),
            None => format!("fn list calls {app}"),
        };
        let missing = Failure::new(format!("call {id} is not there, or no longer")).hint(format!(
            "see {list}; a call is kept when it has ended, and old ones are deleted"
        ));
        in_app(error, app, missing)
    }

    /// The id that people mean: `last` is the newest call, which is the first of the list.
    async fn id(&self, api: &Api, app: &str, of: Option<&str>, id: &str) -> anyhow::Result<String> {
        if id != "last" {
            return Ok(id.to_owned());
        }
        let mut query = vec![("per_page", "1")];
        query.extend(self.path.as_deref().map(|path| ("path", path)));
        let pages = PageFlags {
            number: 1,
            ..PageFlags::everything()
        };
        let calls = collect(api, &self.parts(&[]), &query, self.member, &pages)
            .await
            .map_err(|error| self.explain(error, app, of, id))?;
        let id = calls.first().and_then(|call| call.get("id"));
        match id.and_then(Value::as_str) {
            Some(id) => Ok(id.to_owned()),
            None => {
                let of = of.unwrap_or(app);
                Err(Failure::new(format!("{of} has not been called yet"))
                    .hint("call it with fn invoke; a call is kept when it has ended")
                    .into())
            }
        }
    }

    fn parts<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = self.parts.iter().map(String::as_str);
        own.chain(more.iter().copied()).collect()
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: fn list calls demo greet -n 5\n\
    The newest call is first. Calls that still run are not shown.")]
pub(in crate::cli) struct List {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// Only calls of this function, or of the route with this path, which starts with /.
    #[arg(value_name = "FUNCTION|PATH")]
    of: Option<String>,
    /// Only calls of the route with this path.
    #[arg(long, conflicts_with = "of", value_parser = super::route::path)]
    path: Option<String>,
    /// Only calls that came after this time, for example 2030-01-31T09:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from_time: Option<Timestamp>,
    /// Only calls that came before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<Timestamp>,
    #[command(flatten)]
    pages: PageFlags,
}

impl List {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let api = &session.api;
        let of = self.of.as_deref().or(self.path.as_deref());
        let source = Source::find(api, &self.app, of).await?;
        let seconds = |time: &Option<Timestamp>| time.map(|time| time.as_second().to_string());
        let (from, to) = (seconds(&self.from_time), seconds(&self.to_time));
        let query: Vec<(&str, &str)> = [
            ("path", &source.path),
            ("from_time", &from),
            ("to_time", &to),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
        let calls = collect(api, &source.parts(&[]), &query, source.member, &self.pages)
            .await
            .map_err(|error| {
                let missing = Failure::new("the calls are not there, or no longer")
                    .hint(format!("see fn list functions {}", self.app));
                in_app(error, &self.app, missing)
            })?;
        let row = |call: &Call| {
            let of = if call.path.is_empty() {
                &call.fn_id
            } else {
                &call.path
            };
            vec![
                call.id.clone(),
                call.status.clone(),
                of.clone(),
                call.created_at.clone(),
                call.completed_at.clone(),
                call.error.clone(),
            ]
        };
        let head = ["ID", "STATUS", "FUNCTION", "CREATED", "COMPLETED", "ERROR"];
        show::list(self.pages.output, &head, &calls, row)
    }
}

/// A call that has ended.
#[derive(Debug, Args)]
struct CallName {
    /// Name of the app.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    app: String,
    /// The function that was called, or the path of the route, which starts with /.
    #[arg(value_name = "FUNCTION|PATH")]
    of: Option<String>,
    /// Id of the call, which every response carries as Fn-Call-Id, or last for the newest one.
    #[arg(value_name = "ID|last", value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

impl CallName {
    /// What the server has of the call, at its own address and `more` behind that.
    async fn get(&self, api: &Api, more: &[&str]) -> anyhow::Result<Value> {
        let (app, of) = (self.app.as_str(), self.of.as_deref());
        let source = Source::find(api, app, of).await?;
        let id = source.id(api, app, of, &self.id).await?;
        let parts = [&[id.as_str()], more].concat();
        let answer = api.get(&source.parts(&parts), &[]).await;
        answer.map_err(|error| source.explain(error.into(), app, of, &id))
    }
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    name: CallName,
    #[command(flatten)]
    output: OutputFlag,
}

impl Get {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let answer = self.name.get(&session.api, &[]).await?;
        show::object(self.output, answer.get("call").unwrap_or(&answer))
    }
}

#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Example: fn get logs demo greet last"
)]
pub(in crate::cli) struct Log {
    #[command(flatten)]
    name: CallName,
    #[command(flatten)]
    output: OutputFlag,
}

/// A log as the v2 API gives it; v1 wraps it.
#[derive(Debug, Deserialize)]
struct LogBody {
    log: String,
}

impl Log {
    pub(super) async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let answer = self.name.get(&session.api, &["log"]).await?;
        let inner = answer.get("log").filter(|log| log.is_object());
        let body = inner.unwrap_or(&answer);
        let text = LogBody::deserialize(body)
            .map_err(|error| Failure::new("the server's log cannot be read").because(error))?
            .log;
        if self.output.is_json() {
            return output::json(body);
        }
        Ok(output::raw(text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_says_its_form() {
        assert!(time("2030-01-31T09:00:00Z").is_ok());
        assert!(time("2030-01-31T09:00:00+02:00").is_ok());
        for text in ["", "yesterday", "2030-01-31", "1700000000"] {
            let said = time(text).unwrap_err();
            assert_eq!(
                said, "expected a time such as 2030-01-31T09:00:00Z",
                "{text}"
            );
        }
    }
}
