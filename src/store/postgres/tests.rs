use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::model::{App, Callable};
use crate::store::conformance::{a_call, a_route, an_app, conformance};
use crate::store::{
    AppFilter, CallStore as _, Conflict, PostgresStore, Registry, StoreError, StoreRead as _,
};

/// Long enough for a busy machine; gateways hear of each other in milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// The URL of a new, empty database; `None`, and a word about it, where there is no server.
async fn database(test: &str) -> Option<String> {
    let server = std::env::var("FN_TEST_POSTGRES_URL").unwrap_or_default();
    if server.is_empty() {
        println!("skipped: {test}: FN_TEST_POSTGRES_URL names no server, see scripts/postgres-up");
        return None;
    }
    let mut admin = PgConnection::connect(&server).await.unwrap();
    let name = format!("kiln_{}", ulid::Ulid::generate()).to_lowercase();
    let create = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .unwrap();
    let (place, _) = server.rsplit_once('/').unwrap();
    Some(format!("{place}/{name}"))
}

async fn gateway(url: &str) -> Registry {
    let store = PostgresStore::open(url, 0).await.unwrap();
    Registry::open(Arc::new(store)).await.unwrap()
}

async fn with_route(registry: &Registry, name: &str) -> App {
    let app = registry.create_app(an_app(name)).await.unwrap();
    registry.create_route(a_route(&app, "/x")).await.unwrap();
    app
}

fn shown(registry: &Registry, app: &str) -> Option<Arc<Callable>> {
    registry.catalog().route(app, "/x").ok()
}

/// Waits until the registry's catalog shows the app's route as `is` likes it.
async fn follows(registry: &Registry, app: &str, is: impl Fn(Option<&Arc<Callable>>) -> bool) {
    let seen = async {
        while !is(shown(registry, app).as_ref()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, seen).await.expect("the catalog follows");
}

#[tokio::test]
async fn postgres_keeps_the_store_contract() {
    let Some(url) = database("the store contract").await else {
        return;
    };
    conformance(&PostgresStore::open(&url, 0).await.unwrap()).await;
}

#[tokio::test]
async fn stores_that_open_one_new_database_at_once_agree_on_its_tables() {
    let Some(url) = database("concurrent migrations").await else {
        return;
    };
    let opened = (0..4).map(|_| PostgresStore::open(&url, 0));
    for store in futures_util::future::join_all(opened).await {
        assert!(store.unwrap().load_all().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_gateway_follows_what_another_deploys() {
    let Some(url) = database("two gateways").await else {
        return;
    };
    let (here, there) = (gateway(&url).await, gateway(&url).await);
    let app = with_route(&here, "a").await;
    follows(&there, "a", |route| route.is_some()).await;
    let update = here.update_route(app.id, "/x".to_owned(), |route| {
        route.image = "hello:0.0.2".to_owned();
        Ok::<_, ()>(())
    });
    update.await.unwrap();
    let new = |route: Option<&Arc<Callable>>| route.is_some_and(|r| r.image == "hello:0.0.2");
    follows(&there, "a", new).await;
    here.delete_app(app.id).await.unwrap();
    follows(&there, "a", |route| route.is_none()).await;
    let taken = there.create_app(an_app("a")).await;
    assert!(taken.is_ok(), "the name is free for both");
    let again = here.create_app(an_app("a")).await.unwrap_err();
    assert!(matches!(again, StoreError::Conflict(Conflict::AppName)));
}

#[tokio::test]
async fn a_gateway_does_not_follow_itself() {
    let Some(url) = database("own notifications").await else {
        return;
    };
    let (here, there) = (gateway(&url).await, gateway(&url).await);
    with_route(&here, "a").await;
    let deployed = shown(&here, "a").unwrap();
    follows(&there, "a", |route| route.is_some()).await;
    with_route(&there, "b").await;
    follows(&here, "b", |route| route.is_some()).await;
    let now = shown(&here, "a").unwrap();
    assert!(Arc::ptr_eq(&deployed, &now), "its containers stay");
}

#[tokio::test]
async fn a_redeploy_that_changes_nothing_reaches_the_others() {
    let Some(url) = database("redeploys").await else {
        return;
    };
    let (here, there) = (gateway(&url).await, gateway(&url).await);
    let app = with_route(&here, "a").await;
    follows(&there, "a", |route| route.is_some()).await;
    let before = shown(&there, "a").unwrap();
    let same = here.update_route(app.id, "/x".to_owned(), |_| Ok::<_, ()>(()));
    same.await.unwrap();
    let is_new = |route: Option<&Arc<Callable>>| !route.is_some_and(|r| Arc::ptr_eq(r, &before));
    follows(&there, "a", is_new).await;
}

#[tokio::test]
async fn a_database_that_goes_away_and_comes_back_is_survived() {
    let Some(url) = database("a lost database").await else {
        return;
    };
    let proxy = Proxy::start(&url).await;
    let (here, there) = (gateway(&proxy.url).await, gateway(&url).await);
    with_route(&here, "kept").await;
    let kept = shown(&here, "kept").unwrap();
    with_route(&there, "gone").await;
    follows(&here, "gone", |route| route.is_some()).await;

    proxy.cut();
    let list = AppFilter {
        limit: 10,
        ..AppFilter::default()
    };
    let answer = here.read().apps(&list).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    let answer = here.create_app(an_app("refused")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    assert!(shown(&here, "gone").is_some(), "calls go on");
    let app = there.read().app_by_name("gone").await.unwrap();
    there.delete_app(app.id).await.unwrap();
    with_route(&there, "missed").await;

    proxy.resume().await;
    follows(&here, "missed", |route| route.is_some()).await;
    follows(&here, "gone", |route| route.is_none()).await;
    let now = shown(&here, "kept").unwrap();
    assert!(Arc::ptr_eq(&kept, &now), "containers outlive the outage");
    assert_eq!(here.read().apps(&list).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_database_that_is_away_at_start_is_waited_for() {
    let Some(url) = database("a late database").await else {
        return;
    };
    let proxy = Proxy::start(&url).await;
    proxy.cut();
    let refused = PostgresStore::open(&proxy.url, 0).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)));
    let (opened, ()) = tokio::join!(PostgresStore::open(&proxy.url, 10), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.resume().await;
    });
    opened.unwrap();
}

#[tokio::test]
async fn a_database_that_refuses_us_is_not_waited_for() {
    let Some(url) = database("a refusal").await else {
        return;
    };
    let unknown = format!("{url}_unknown");
    let open = PostgresStore::open(&unknown, 1000);
    let answer = timeout(SOON, open).await.expect("no retries");
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn calls_of_many_gateways_end_up_in_one_list() {
    let Some(url) = database("calls of two gateways").await else {
        return;
    };
    let here = PostgresStore::open(&url, 0).await.unwrap();
    let there = PostgresStore::open(&url, 0).await.unwrap();
    let app = an_app("a");
    let calls: Vec<_> = (0..200).map(|_| a_call(app.id)).collect();
    // The same calls from both sides: a record that is repeated is no fault.
    let (a, b) = tokio::join!(here.record(&calls), there.record(&calls));
    a.unwrap();
    b.unwrap();
    assert_eq!(there.prune(SOON, 50).await.unwrap(), 150);
}

/// Stands between a store and the database, and can be cut.
struct Proxy {
    url: String,
    place: String,
    server: String,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let (_, rest) = url.split_once("://").unwrap();
        let (authority, _) = rest.split_once('/').unwrap();
        let server = authority.rsplit('@').next().unwrap().to_owned();
        let running = tokio::spawn(relay(listener, server.clone()));
        Self {
            url: url.replace(&server, &place),
            place,
            server,
            running: Mutex::new(Some(running)),
        }
    }

    fn cut(&self) {
        if let Some(running) = self.running.lock().take() {
            running.abort();
        }
    }

    async fn resume(&self) {
        let listener = TcpListener::bind(&self.place).await.unwrap();
        let running = tokio::spawn(relay(listener, self.server.clone()));
        *self.running.lock() = Some(running);
    }
}

/// Connections end with the task.
async fn relay(listener: TcpListener, server: String) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let server = server.clone();
        connections.spawn(async move {
            let mut server = TcpStream::connect(server).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await
        });
    }
}
