use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, SqliteConnection, query, query_scalar};
use thiserror::Error;

use crate::model::{App, Function, Route, Trigger};
use crate::store::StoreError;
use crate::store::import::row::{self, Refusal, text};

const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table'";

/// The table in which our own migrations are noted.
const OURS: &str = "_sqlx_migrations";

/// Why nothing was taken over.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{} is no database of an Fn server", path.display())]
    NotFn { path: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an Fn server has deployed, as its file says.
#[derive(Debug, Default)]
pub struct FnDatabase {
    pub(super) apps: Vec<App>,
    pub(super) routes: Vec<Route>,
    pub(super) functions: Vec<Function>,
    pub(super) triggers: Vec<Trigger>,
    /// Rows that cannot be taken over, and why.
    pub(super) refused: Vec<(String, Refusal)>,
}

impl FnDatabase {
    /// Reads all of `file` and changes nothing in it.
    pub async fn read(file: &Path) -> Result<Self, ImportError> {
        Self::read_all(file)
            .await
            .map_err(|source| ImportError::Read {
                path: file.to_owned(),
                source: source.into(),
            })?
            .ok_or_else(|| ImportError::NotFn {
                path: file.to_owned(),
            })
    }

    async fn read_all(file: &Path) -> Result<Option<Self>, sqlx::Error> {
        let mut connection = open(file).await?;
        let tables = tables(&mut connection).await?;
        if !is_fn(&tables) {
            return Ok(None);
        }
        let has = |table: &str| tables.iter().any(|name| name == table);
        let mut found = Self::default();
        let refused = &mut found.refused;
        let apps = query("SELECT * FROM apps")
            .fetch_all(&mut connection)
            .await?;
        found.apps = rows(&apps, ("app", "name"), row::app, refused);
        if has("routes") {
            let routes = query("SELECT * FROM routes")
                .fetch_all(&mut connection)
                .await?;
            found.routes = rows(&routes, ("route", "path"), row::route, refused);
        }
        if has("fns") {
            let functions = query("SELECT * FROM fns")
                .fetch_all(&mut connection)
                .await?;
            found.functions = rows(&functions, ("function", "name"), row::function, refused);
        }
        if has("triggers") {
            let triggers = query("SELECT * FROM triggers")
                .fetch_all(&mut connection)
                .await?;
            found.triggers = rows(&triggers, ("trigger", "name"), row::trigger, refused);
        }
        Ok(Some(found))
    }
}

fn rows<T>(
    rows: &[SqliteRow],
    (kind, name): (&str, &str),
    read: fn(&SqliteRow) -> Result<T, Refusal>,
    refused: &mut Vec<(String, Refusal)>,
) -> Vec<T> {
    let mut found = Vec::new();
    for row in rows {
        match read(row) {
            Ok(value) => found.push(value),
            Err(why) => refused.push((format!("{kind} {}", text(row, name)), why)),
        }
    }
    found
}

/// Whether the file at `path` is the database of an Fn server, as far as can be told.
pub(in crate::store) async fn is_fn_database(path: &Path) -> bool {
    let names = async { tables(&mut open(path).await?).await };
    names.await.is_ok_and(|names| is_fn(&names))
}

fn is_fn(tables: &[String]) -> bool {
    let has = |table: &str| tables.iter().any(|name| name == table);
    has("apps") && !has(OURS)
}

async fn open(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .connect()
        .await
}

async fn tables(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    query_scalar(TABLES).fetch_all(connection).await
}
