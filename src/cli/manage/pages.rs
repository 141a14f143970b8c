use clap::Args;
use serde_json::Value;

use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::manage::show::OutputFlag;

/// Which part of a list is wanted.
#[derive(Debug, Args)]
pub(super) struct PageFlags {
    /// Show at most this many.
    #[arg(short = 'n', long, default_value_t = 100)]
    pub(super) number: usize,
    /// Start behind the entry that this cursor of the server stands for.
    #[arg(long)]
    pub(super) cursor: Option<String>,
    #[command(flatten)]
    pub(super) output: OutputFlag,
}

impl PageFlags {
    /// For looking something up in a list that has no filter for it.
    pub(super) fn everything() -> Self {
        Self {
            number: usize::MAX,
            cursor: None,
            output: OutputFlag::default(),
        }
    }
}

/// The entries of a list, page after page. `member` is where a page has them: `items` in the v2
/// API, the name of the thing in v1.
pub(super) async fn collect(
    api: &Api,
    parts: &[&str],
    query: &[(&str, &str)],
    member: &str,
    flags: &PageFlags,
) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut cursor = flags.cursor.clone().unwrap_or_default();
    loop {
        let mut query = query.to_vec();
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let mut page: Value = api.get(parts, &query).await?;
        // Fn leaves the member out, or null, where there is nothing.
        let entries = match page.get_mut(member).map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                return Err(Failure::new(format!("the server's {member} are no list"))
                    .hint("see whether the address is that of an Fn server")
                    .into());
            }
        };
        let empty = entries.is_empty();
        items.extend(entries);
        items.truncate(flags.number);
        let next = page.get("next_cursor").and_then(Value::as_str);
        let next = next.unwrap_or_default();
        // A cursor that leads nowhere must not keep us asking.
        if empty || next.is_empty() || next == cursor || items.len() >= flags.number {
            return Ok(items);
        }
        cursor = next.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_server::FakeServer;

    fn most(number: usize) -> PageFlags {
        PageFlags {
            number,
            cursor: None,
            output: OutputFlag::default(),
        }
    }

    #[tokio::test]
    async fn pages_are_followed_to_the_end() {
        let server = FakeServer::start(&[
            (200, r#"{"items":[{"name":"a"}],"next_cursor":"YQ"}"#),
            (200, r#"{"items":[{"name":"b"}],"next_cursor":""}"#),
        ])
        .await;
        let parts = ["v2", "apps"];
        let apps = collect(&server.api(), &parts, &[], "items", &most(100)).await;
        assert_eq!(apps.unwrap().len(), 2);
        assert_eq!(server.asked(), ["GET /v2/apps", "GET /v2/apps?cursor=YQ"]);
    }

    #[tokio::test]
    async fn a_cursor_that_leads_nowhere_ends_the_list() {
        let parts = ["v1", "apps", "a", "routes"];
        let same = (200, r#"{"routes":[{"path":"/a"}],"next_cursor":"x"}"#);
        for (answers, number, count) in [
            (&[same, same, same][..], 100, 2),
            (&[same], 1, 1),
            (&[(200, r#"{"routes":null}"#)], 1, 0),
            (&[(200, "{}")], 1, 0),
        ] {
            let server = FakeServer::start(answers).await;
            let routes = collect(&server.api(), &parts, &[], "routes", &most(number)).await;
            assert_eq!(routes.unwrap().len(), count);
        }
    }

    #[tokio::test]
    async fn a_list_may_start_at_a_cursor() {
        let server = FakeServer::start(&[(200, "{}")]).await;
        let flags = PageFlags {
            cursor: Some("YQ".to_owned()),
            ..most(1)
        };
        let parts = ["v2", "apps"];
        collect(&server.api(), &parts, &[], "items", &flags)
            .await
            .unwrap();
        assert_eq!(server.asked(), ["GET /v2/apps?cursor=YQ"]);
    }
}
