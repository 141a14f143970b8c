use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::store::{PostgresStore, SqliteStore, Store, StoreError};

/// Names a database and how to reach it, in the form of `FN_DB_URL`.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite3:///path/to/file`; `sqlite://` is understood as well.
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/database?sslmode=..`, as Postgres' own programs take it.
    Postgres(String),
}

/// The URL is of no database that there is a store for.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "FN_DB_URL {shown} is not supported, expected sqlite3:///path/to/file or \
     postgres://user:password@host/database"
)]
pub struct UnsupportedUrl {
    /// Without a password.
    shown: String,
}

impl FromStr for StoreUrl {
    type Err = UnsupportedUrl;

    fn from_str(text: &str) -> Result<Self, UnsupportedUrl> {
        match text.split_once("://") {
            Some(("sqlite3" | "sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
                Ok(Self::Postgres(text.to_owned()))
            }
            _ => Err(UnsupportedUrl {
                shown: without_password(text),
            }),
        }
    }
}

/// Errors and logs must not show a password.
impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite3://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl StoreUrl {
    /// Opens the store; a database server that does not answer is tried `retries` times more.
    pub async fn open(&self, retries: u32) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
            Self::Postgres(url) => Arc::new(PostgresStore::open(url, retries).await?),
        })
    }
}

fn without_password(url: &str) -> String {
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://...@{place}"),
        _ => url.to_owned(),
    };
    // A password may be a parameter, too.
    match shown.split_once('?') {
        Some((place, _)) => format!("{place}?..."),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_of_the_databases_there_are() {
        for (text, shown) in [
            ("sqlite3:///srv/fn.db", "sqlite3:///srv/fn.db"),
            ("sqlite://fn.db", "sqlite3://fn.db"),
            ("postgres://u:secret@h:1/db", "postgres://...@h:1/db"),
            ("postgresql://h/db?password=secret", "postgresql://h/db?..."),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), shown);
        }
        for text in [
            "sqlite3://",
            "postgres://",
            "mysql://u:secret@h/db",
            "fn.db",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.starts_with("FN_DB_URL "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
