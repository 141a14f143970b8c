use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::model::Format;
use crate::store::conformance::an_app;
use crate::store::import::{Counts, FnDatabase, ImportError};
use crate::store::{SqliteStore, Store as _, StoreError, StoreRead as _};

const APP: &str = "01CQBJ9ZM5NG8G00GZJ0000001";
const FUNCTION: &str = "01CQBJ9ZM5NG8G00GZJ0000002";
const TRIGGER: &str = "01CQBJ9ZM5NG8G00GZJ0000003";

/// Tables as Fn servers of late 2018 have them.
const TABLES: &str = "
CREATE TABLE apps (id VARCHAR(256), name VARCHAR(256), config TEXT, annotations TEXT,
    syslog_url TEXT, created_at VARCHAR(256), updated_at VARCHAR(256));
CREATE TABLE routes (app_id VARCHAR(256), path VARCHAR(256), image VARCHAR(256),
    format VARCHAR(16), memory INT, cpus INT, timeout INT, idle_timeout INT, tmpfs_size INT,
    type VARCHAR(16), headers TEXT, config TEXT, annotations TEXT, created_at TEXT,
    updated_at VARCHAR(256));
CREATE TABLE fns (id VARCHAR(256), name VARCHAR(256), app_id VARCHAR(256), image VARCHAR(256),
    format VARCHAR(16), memory INT, timeout INT, idle_timeout INT, config TEXT, annotations TEXT,
    created_at VARCHAR(256), updated_at VARCHAR(256));
CREATE TABLE triggers (id VARCHAR(256), name VARCHAR(256), app_id VARCHAR(256),
    fn_id VARCHAR(256), created_at VARCHAR(256), updated_at VARCHAR(256), type VARCHAR(256),
    source VARCHAR(256), annotations TEXT);
INSERT INTO apps VALUES ('01CQBJ9ZM5NG8G00GZJ0000001', 'shop', '{\"A\":\"1\"}', NULL, '',
    '2018-09-17T10:00:00.123Z', '2018-09-17T10:00:00.123Z');
INSERT INTO routes VALUES ('01CQBJ9ZM5NG8G00GZJ0000001', '/cart', 'cart:1', 'http', 256, '500m',
    20, 60, 0, 'async', '{\"X-A\":[\"b\"]}', 'null', '{\"a\":1}', '2018-09-17T10:00:00.123Z', '');
INSERT INTO fns VALUES ('01CQBJ9ZM5NG8G00GZJ0000002', 'pay', '01CQBJ9ZM5NG8G00GZJ0000001', 'pay:1',
    'http-stream', 128, 30, 30, '{}', '{}', '2018-09-17T10:00:00.123Z', '');
INSERT INTO triggers VALUES ('01CQBJ9ZM5NG8G00GZJ0000003', 't', '01CQBJ9ZM5NG8G00GZJ0000001',
    '01CQBJ9ZM5NG8G00GZJ0000002', '', '', 'http', '/pay', '{}');
";

async fn fn_file(path: &Path, more: &'static str) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    for statements in [TABLES, more] {
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

const fn one_each() -> Counts {
    Counts {
        apps: 1,
        routes: 1,
        functions: 1,
        triggers: 1,
    }
}

#[tokio::test]
async fn everything_comes_over_with_its_ids_and_a_second_time_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fn.db");
    fn_file(&file, "").await;
    let before = std::fs::read(&file).unwrap();
    let store = SqliteStore::open(dir.path().join("new.db")).await.unwrap();
    let source = FnDatabase::read(&file).await.unwrap();

    let dry = source.write_to(&store, true).await.unwrap();
    assert!(store.load_all().await.unwrap().is_empty());
    let report = source.write_to(&store, false).await.unwrap();
    assert_eq!(report, dry);
    assert_eq!(report, source.into_nothing());
    assert_eq!(report.created, one_each());
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);

    let contents = store.contents(APP.parse().unwrap()).await.unwrap();
    assert_eq!(contents.app.name, "shop");
    assert_eq!(contents.app.config["A"], "1");
    assert_eq!(
        contents.app.created_at.to_string(),
        "2018-09-17T10:00:00.123Z"
    );
    let route = &contents.routes[0];
    assert_eq!(
        (&*route.path, route.format, route.memory_mb),
        ("/cart", Format::Http, 256)
    );
    assert_eq!(route.cpus.unwrap().get(), 500);
    assert_eq!(route.headers["X-A"], ["b"]);
    assert_eq!(contents.functions[0].id.to_string(), FUNCTION);
    assert_eq!(contents.triggers[0].id.to_string(), TRIGGER);
    assert_eq!(contents.triggers[0].source, "/pay");

    let again = source.write_to(&store, false).await.unwrap();
    assert_eq!(
        (again.created, again.present),
        (Counts::default(), one_each())
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_named_and_stops_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fn.db");
    let more = "
        INSERT INTO apps (id, name) VALUES ('x', 'odd');
        INSERT INTO fns (id, name, app_id, image, format) VALUES
            ('01CQBJ9ZM5NG8G00GZJ0000004', 'f', '01CQBJ9ZM5NG8G00GZJ0000001', 'f:1', 'xml');
        INSERT INTO routes (app_id, path, image) VALUES
            ('01CQBJ9ZM5NG8G00GZJ0000009', '/lost', 'i');
        INSERT INTO triggers SELECT '01CQBJ9ZM5NG8G00GZJ0000005', 'x', app_id, fn_id, '', '', type,
            '/a/{x}', '{}' FROM triggers;
        INSERT INTO triggers SELECT '01CQBJ9ZM5NG8G00GZJ0000006', 'y', app_id, fn_id, '', '', type,
            '/a/{y}', '{}' FROM triggers WHERE name = 't';";
    fn_file(&file, more).await;
    let store = SqliteStore::open(dir.path().join("new.db")).await.unwrap();
    let source = FnDatabase::read(&file).await.unwrap();
    let report = source.write_to(&store, false).await.unwrap();
    let created = Counts {
        triggers: 2,
        ..one_each()
    };
    assert_eq!(report.created, created);
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|(what, why)| format!("{what}: {why}"))
        .collect();
    assert_eq!(
        skipped,
        [
            "app odd: its id \"x\" is no id",
            "function f: its format \"xml\" is unknown here",
            "route ?/lost: its app is not there",
            "trigger shop y: trigger source /a/{y} matches the same paths as /a/{x}",
        ]
    );
}

#[tokio::test]
async fn an_app_whose_name_is_taken_stays_out_with_all_that_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fn.db");
    fn_file(&file, "").await;
    let store = SqliteStore::open(dir.path().join("new.db")).await.unwrap();
    store.create_app(&an_app("shop")).await.unwrap();
    let source = FnDatabase::read(&file).await.unwrap();
    for dry_run in [true, false] {
        let report = source.write_to(&store, dry_run).await.unwrap();
        assert_eq!(report.created, Counts::default());
        assert_eq!(report.skipped.len(), 4);
        assert_eq!(report.skipped[0].1, "another app has this name");
    }
}

#[tokio::test]
async fn servers_without_routes_or_functions_can_be_imported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fn.db");
    fn_file(
        &file,
        "DROP TABLE routes; DROP TABLE fns; DROP TABLE triggers;
         ALTER TABLE apps ADD COLUMN shape VARCHAR(256);
         ALTER TABLE apps DROP COLUMN annotations;",
    )
    .await;
    let source = FnDatabase::read(&file).await.unwrap();
    assert_eq!(source.into_nothing().created.apps, 1);
}

#[tokio::test]
async fn other_files_are_refused_and_an_fn_file_is_not_opened_as_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fn.db");
    fn_file(&file, "").await;
    let refused = SqliteStore::open(&file).await.unwrap_err();
    let StoreError::Unavailable(reason) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.to_string().contains("fn import"), "{reason}");

    let ours = dir.path().join("new.db");
    SqliteStore::open(&ours).await.unwrap().close().await;
    let answer = FnDatabase::read(&ours).await;
    assert!(
        matches!(answer, Err(ImportError::NotFn { .. })),
        "{answer:?}"
    );
    let answer = FnDatabase::read(&dir.path().join("none.db")).await;
    assert!(
        matches!(answer, Err(ImportError::Read { .. })),
        "{answer:?}"
    );
}
