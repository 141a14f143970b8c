//! What every [`Store`] must do, whatever database is behind it.

use std::slice::from_ref;
use std::time::Duration;

use crate::model::{
    App, AppId, Call, CallId, CallStatus, CallTarget, FinishedCall, FnId, Format, Function,
    InvocationType, METHODS_ANNOTATION, Route, Timestamp, Trigger, TriggerId,
};
use crate::store::{
    Amendment, AppContents, AppFilter, CallFilter, CallsOf, Conflict, FunctionFilter, Resource,
    RouteFilter, Store, StoreError, TriggerFilter, Verdict,
};

const LONG_AGO: Timestamp = Timestamp::from_millis(1_537_178_400_123);

/// Holds an empty `store` to the contract. The store is left with data in it.
pub(super) async fn conformance(store: &dyn Store) {
    apps_come_back_as_they_were_stored(store).await;
    apps_are_listed_by_name_in_pages(store).await;
    an_update_moves_its_time_only_if_something_changed(store).await;
    routes_belong_to_an_app(store).await;
    functions_belong_to_an_app(store).await;
    triggers_belong_to_a_function(store).await;
    triggers_that_take_the_same_requests_clash(store).await;
    an_amendment_is_stored_as_a_whole_or_not_at_all(store).await;
    an_amendment_may_bring_its_app_along(store).await;
    concurrent_amendments_see_each_other(store).await;
    what_is_deleted_during_an_amendment_stays_deleted(store).await;
    indexes_are_kept_by_digest_and_the_oldest_go(store).await;
    an_app_takes_all_that_is_its_own_along(store).await;
    concurrent_updates_all_count(store).await;
    concurrent_creates_of_one_name_have_one_winner(store).await;
    calls_come_back_as_they_were_recorded(store).await;
    calls_are_listed_newest_first_in_pages(store).await;
    concurrent_batches_are_all_stored(store).await;
    a_deleted_app_takes_its_calls_along(store).await;
    old_and_surplus_calls_are_pruned(store).await;
}

pub(super) fn an_app(name: &str) -> App {
    App {
        id: AppId::generate(),
        name: name.to_owned(),
        config: [("Key".to_owned(), "välue \" '".to_owned())].into(),
        annotations: [("a/b".to_owned(), serde_json::json!({"n": [1, "x"]}))].into(),
        syslog_url: Some("tcp://logs:514".to_owned()),
        created_at: LONG_AGO,
        updated_at: LONG_AGO,
    }
}

pub(super) fn a_route(app: &App, path: &str) -> Route {
    Route {
        app_id: app.id,
        path: path.to_owned(),
        image: "hello:0.0.1".to_owned(),
        memory_mb: 64,
        cpus: Some("0.5".parse().unwrap()),
        headers: [("X-A".to_owned(), vec!["1".to_owned(), "2".to_owned()])].into(),
        kind: InvocationType::Async,
        format: Format::Http,
        timeout_secs: 7,
        idle_timeout_secs: 8,
        tmpfs_mb: 9,
        config: [("K".to_owned(), "v".to_owned())].into(),
        annotations: [("a".to_owned(), serde_json::json!(1))].into(),
        created_at: LONG_AGO,
        updated_at: LONG_AGO,
    }
}

pub(super) fn a_function(app: &App, name: &str) -> Function {
    Function {
        id: FnId::generate(),
        app_id: app.id,
        name: name.to_owned(),
        image: "hello:0.0.1".to_owned(),
        format: Format::HttpStream,
        memory_mb: 64,
        timeout_secs: 7,
        idle_timeout_secs: 8,
        config: [("K".to_owned(), "v".to_owned())].into(),
        annotations: [("a".to_owned(), serde_json::json!("x"))].into(),
        created_at: LONG_AGO,
        updated_at: LONG_AGO,
    }
}

pub(super) fn a_trigger(function: &Function, name: &str, source: &str) -> Trigger {
    Trigger {
        id: TriggerId::generate(),
        app_id: function.app_id,
        fn_id: function.id,
        name: name.to_owned(),
        source: source.to_owned(),
        annotations: [("a".to_owned(), serde_json::json!([true]))].into(),
        created_at: LONG_AGO,
        updated_at: LONG_AGO,
    }
}

fn taking(mut trigger: Trigger, methods: &[&str]) -> Trigger {
    let value = serde_json::json!(methods);
    trigger
        .annotations
        .insert(METHODS_ANNOTATION.to_owned(), value);
    trigger
}

async fn triggers_that_take_the_same_requests_clash(store: &dyn Store) {
    let app = stored_app(store, "clashes").await;
    let f = a_function(&app, "f");
    store.create_function(&f).await.unwrap();
    let any = a_trigger(&f, "any", "/a/{x}");
    let get = taking(a_trigger(&f, "get", "/b"), &["GET"]);
    for trigger in [
        &any,
        &get,
        &a_trigger(&f, "literal", "/a/b"),
        &a_trigger(&f, "number", "/a/{x:int}"),
        &taking(a_trigger(&f, "post", "/b"), &["POST", "PUT"]),
    ] {
        store.create_trigger(trigger).await.unwrap();
    }
    let clash = |answer: Result<(), StoreError>| match answer {
        Err(StoreError::Clash { wanted, present }) => format!("{wanted} {present}"),
        other => panic!("{other:?} is no clash"),
    };
    let same_paths = a_trigger(&f, "same", "/a/{y}");
    let refused = store.create_trigger(&same_paths).await;
    assert_eq!(clash(refused), "/a/{y} /a/{x}");
    assert_not_found(store.trigger(same_paths.id).await, Resource::Trigger);
    assert_conflict(
        store.create_trigger(&a_trigger(&f, "same", "/b")).await,
        Conflict::TriggerSource,
    );
    // Elsewhere it may be.
    let other = stored_app(store, "clashes-2").await;
    let g = a_function(&other, "g");
    store.create_function(&g).await.unwrap();
    store
        .create_trigger(&a_trigger(&g, "same", "/a/{y}"))
        .await
        .unwrap();

    let mut to_any = |trigger: &mut Trigger| {
        trigger.annotations.remove(METHODS_ANNOTATION);
        Verdict::Apply
    };
    let widened = store.update_trigger(get.id, &mut to_any).await;
    assert_conflict(widened, Conflict::TriggerSource);
    assert_eq!(store.trigger(get.id).await.unwrap(), get);
    let mut rename = |trigger: &mut Trigger| {
        trigger.source = "/a/{renamed}".to_owned();
        Verdict::Apply
    };
    store.update_trigger(any.id, &mut rename).await.unwrap();
}

/// Stored functions f and g with a trigger each, of the same name.
async fn two_functions(store: &dyn Store, app: &App) -> [(Function, Trigger); 2] {
    let stored = ["f", "g"].map(async |name| {
        let function = a_function(app, name);
        store.create_function(&function).await.unwrap();
        let trigger = a_trigger(&function, name, &format!("/{name}"));
        store.create_trigger(&trigger).await.unwrap();
        (function, trigger)
    });
    let [f, g] = stored;
    [f.await, g.await]
}

async fn an_amendment_is_stored_as_a_whole_or_not_at_all(store: &dyn Store) {
    let app = stored_app(store, "amended").await;
    let [(f, of_f), (g, _)] = two_functions(store, &app).await;
    let before = store.contents(app.id).await.unwrap();

    // h takes the place of g and its path, f another memory and path, and the app a value.
    let h = a_function(&app, "h");
    let of_h = a_trigger(&h, "h", "/g");
    let mut amendment = Amendment {
        app: Some(App {
            config: [("K".to_owned(), "v".to_owned())].into(),
            ..app.clone()
        }),
        removed_functions: vec![g.id],
        removed_triggers: vec![of_f.id],
        functions: vec![
            Function {
                memory_mb: 77,
                ..f.clone()
            },
            h.clone(),
        ],
        triggers: vec![a_trigger(&f, "f", "/{new}"), of_h.clone()],
    };
    let good = amendment.clone();
    amendment.triggers.push(a_trigger(&f, "other", "/{same}"));
    let mut seen = None;
    let refused = store
        .amend("amended", &mut |contents| {
            seen = contents.cloned();
            Some(amendment.clone())
        })
        .await;
    assert!(
        matches!(refused, Err(StoreError::Clash { .. })),
        "{refused:?}"
    );
    assert_eq!(seen.as_ref(), Some(&before));
    assert_eq!(store.contents(app.id).await.unwrap(), before);
    let abandoned = store.amend("amended", &mut |_| None).await.unwrap();
    assert_eq!(abandoned, None);
    assert_eq!(store.contents(app.id).await.unwrap(), before);

    let applied = store.amend("amended", &mut |_| Some(good.clone())).await;
    assert_eq!(applied.unwrap(), Some(app.id));
    let after = store.contents(app.id).await.unwrap();
    assert_eq!(Some(after.app), good.app);
    assert_eq!(after.functions, good.functions);
    assert_eq!(after.triggers, good.triggers);
    let nothing = store
        .amend("amended", &mut |_| Some(Amendment::default()))
        .await;
    assert_eq!(nothing.unwrap(), Some(app.id));
}

async fn an_amendment_may_bring_its_app_along(store: &dyn Store) {
    let app = an_app("brought");
    let f = a_function(&app, "f");
    let mut amendment = Amendment {
        functions: vec![f.clone()],
        ..Amendment::default()
    };
    let homeless = store
        .amend("brought", &mut |_| Some(amendment.clone()))
        .await;
    assert_not_found(homeless, Resource::App);
    amendment.app = Some(app.clone());
    let stored = store
        .amend("brought", &mut |contents| {
            assert_eq!(contents, None);
            Some(amendment.clone())
        })
        .await;
    assert_eq!(stored.unwrap(), Some(app.id));
    assert_eq!(store.function(f.id).await.unwrap(), f);
    assert_eq!(store.app_by_name("brought").await.unwrap(), app);
}

async fn concurrent_amendments_see_each_other(store: &dyn Store) {
    let app = stored_app(store, "racing").await;
    let amend = async |n: usize| {
        let mut add = |contents: Option<&AppContents>| {
            let mut function = a_function(&app, &format!("f{n}"));
            function.memory_mb = contents.unwrap().functions.len() as u64 + 1;
            Some(Amendment {
                functions: vec![function],
                ..Amendment::default()
            })
        };
        store.amend("racing", &mut add).await.unwrap();
    };
    futures_util::future::join_all((0..8).map(amend)).await;
    let functions = store.contents(app.id).await.unwrap().functions;
    let mut counted: Vec<u64> = functions.iter().map(|f| f.memory_mb).collect();
    counted.sort_unstable();
    assert_eq!(counted, (1..=8).collect::<Vec<u64>>());
}

async fn what_is_deleted_during_an_amendment_stays_deleted(store: &dyn Store) {
    let app = stored_app(store, "deleting").await;
    let [(f, _), (_, of_g)] = two_functions(store, &app).await;

    let planned = tokio::sync::Notify::new();
    let amend = async {
        let mut change = |contents: Option<&AppContents>| {
            let present = contents.unwrap();
            // Many rows in front give the deletes the time to come in between.
            let new = (0..200).map(|n| a_function(&app, &format!("new-{n}")));
            let mut amendment = Amendment {
                functions: new.chain(present.functions.clone()).collect(),
                triggers: present.triggers[1..].to_vec(),
                ..Amendment::default()
            };
            for function in &mut amendment.functions {
                function.memory_mb = 77;
            }
            planned.notify_one();
            Some(amendment)
        };
        store.amend("deleting", &mut change).await.unwrap();
    };
    let delete = async {
        planned.notified().await;
        let (function, trigger) =
            tokio::join!(store.delete_function(f.id), store.delete_trigger(of_g.id));
        (function.unwrap(), trigger.unwrap())
    };
    let (deleted, ()) = tokio::join!(delete, amend);
    assert_eq!(deleted, (app.id, app.id));
    let left = store.contents(app.id).await.unwrap();
    assert!(left.functions.iter().all(|function| function.id != f.id));
    assert_eq!(left.triggers, []);
}

async fn indexes_are_kept_by_digest_and_the_oldest_go(store: &dyn Store) {
    assert_eq!(store.index("sha256:1").await.unwrap(), None);
    store.keep_index("sha256:1", b"{\"a\":1}").await.unwrap();
    store.keep_index("sha256:1", b"").await.unwrap();
    assert_eq!(store.index("sha256:1").await.unwrap(), Some(Vec::new()));
    // Times have milliseconds, and this one is to be the oldest by itself.
    let stored = Timestamp::now();
    while Timestamp::now() <= stored {
        tokio::task::yield_now().await;
    }
    for n in 2..=201 {
        store
            .keep_index(&format!("sha256:{n}"), b"x")
            .await
            .unwrap();
    }
    let kept = store.index("sha256:201").await.unwrap();
    assert_eq!(kept.as_deref(), Some(&b"x"[..]));
    assert_eq!(store.index("sha256:1").await.unwrap(), None);
}

/// A call of a route that succeeded just now.
pub(super) fn a_call(app: AppId) -> FinishedCall {
    let now = Timestamp::now();
    FinishedCall {
        call: Call {
            id: CallId::generate(),
            app_id: app,
            target: CallTarget::Route("/x".to_owned()),
            status: CallStatus::Success,
            created_at: now,
            started_at: Some(now),
            completed_at: now,
            error: None,
            blame: None,
        },
        log: b"one line\n".to_vec(),
    }
}

#[track_caller]
fn assert_not_found<T: std::fmt::Debug>(answer: Result<T, StoreError>, what: Resource) {
    match answer {
        Err(StoreError::NotFound(missing)) => assert_eq!(missing, what),
        other => panic!("{other:?} is not: {what} not found"),
    }
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(answer: Result<T, StoreError>, with: Conflict) {
    match answer {
        Err(StoreError::Conflict(conflict)) => assert_eq!(conflict, with),
        other => panic!("{other:?} is not a conflict of {with}"),
    }
}

async fn stored_app(store: &dyn Store, name: &str) -> App {
    let app = an_app(name);
    store.create_app(&app).await.unwrap();
    app
}

async fn apps_come_back_as_they_were_stored(store: &dyn Store) {
    let app = stored_app(store, "Zoë-1").await;
    assert_eq!(store.app(app.id).await.unwrap(), app);
    assert_eq!(store.app_by_name("Zoë-1").await.unwrap(), app);
    assert_not_found(store.app_by_name("zoë-1").await, Resource::App);
    assert_not_found(store.app(AppId::generate()).await, Resource::App);
    assert_conflict(store.create_app(&an_app("Zoë-1")).await, Conflict::AppName);
    store.delete_app(app.id).await.unwrap();
    assert_not_found(store.delete_app(app.id).await, Resource::App);
}

async fn apps_are_listed_by_name_in_pages(store: &dyn Store) {
    for name in ["list-b", "list-C", "list-a"] {
        stored_app(store, name).await;
    }
    let page = |name: Option<&str>, after: &str| AppFilter {
        name: name.map(str::to_owned),
        after: after.to_owned(),
        limit: 2,
    };
    let names = async |filter: AppFilter| {
        let apps = store.apps(&filter).await.unwrap();
        apps.into_iter().map(|a| a.name).collect::<Vec<_>>()
    };
    assert_eq!(names(page(None, "")).await, ["list-C", "list-a"]);
    assert_eq!(names(page(None, "list-a")).await, ["list-b"]);
    assert_eq!(names(page(Some("list-a"), "")).await, ["list-a"]);
    assert!(names(page(Some("list"), "")).await.is_empty());
    assert!(names(page(Some("list-a"), "list-a")).await.is_empty());
}

async fn an_update_moves_its_time_only_if_something_changed(store: &dyn Store) {
    let app = stored_app(store, "updated").await;
    let same = store.update_app(app.id, &mut |_| Verdict::Apply).await;
    assert_eq!(same.unwrap(), app);

    let abandoned = store
        .update_app(app.id, &mut |row| {
            row.config.clear();
            Verdict::Abandon
        })
        .await;
    assert_eq!(abandoned.unwrap(), app);

    let changed = store
        .update_app(app.id, &mut |row| {
            row.config.clear();
            row.syslog_url = None;
            Verdict::Apply
        })
        .await
        .unwrap();
    assert!(changed.updated_at > app.updated_at);
    assert_eq!(changed.created_at, app.created_at);
    assert_eq!(changed.syslog_url, None);
    assert_eq!(store.app(app.id).await.unwrap(), changed);
    let gone = store
        .update_app(AppId::generate(), &mut |_| Verdict::Apply)
        .await;
    assert_not_found(gone, Resource::App);
}

async fn routes_belong_to_an_app(store: &dyn Store) {
    let app = stored_app(store, "routes").await;
    assert_not_found(
        store.create_route(&a_route(&an_app("none"), "/a")).await,
        Resource::App,
    );
    let mut other = a_route(&app, "/b/c");
    other.image = "other:1".to_owned();
    other.cpus = None;
    let route = a_route(&app, "/a");
    store.create_route(&other).await.unwrap();
    store.create_route(&route).await.unwrap();
    assert_conflict(store.create_route(&route).await, Conflict::RoutePath);
    assert_eq!(store.route(app.id, "/a").await.unwrap(), route);
    assert_not_found(store.route(app.id, "/z").await, Resource::Route);

    let mut filter = RouteFilter {
        limit: 10,
        ..RouteFilter::default()
    };
    let all = [route.clone(), other.clone()];
    assert_eq!(store.routes(app.id, &filter).await.unwrap(), all);
    filter.image = Some("other:1".to_owned());
    assert_eq!(
        store.routes(app.id, &filter).await.unwrap(),
        from_ref(&other)
    );
    filter.image = None;
    filter.after = "/a".to_owned();
    assert_eq!(store.routes(app.id, &filter).await.unwrap(), [other]);
    let nowhere = store.routes(AppId::generate(), &filter).await.unwrap();
    assert!(nowhere.is_empty());

    let changed = store
        .update_route(app.id, "/a", &mut |row| {
            row.image = "hello:0.0.2".to_owned();
            row.headers.clear();
            row.cpus = None;
            Verdict::Apply
        })
        .await
        .unwrap();
    assert!(changed.updated_at > route.updated_at);
    assert_eq!(store.route(app.id, "/a").await.unwrap(), changed);
    store.delete_route(app.id, "/a").await.unwrap();
    assert_not_found(store.delete_route(app.id, "/a").await, Resource::Route);
}

async fn functions_belong_to_an_app(store: &dyn Store) {
    let app = stored_app(store, "functions").await;
    assert_not_found(
        store
            .create_function(&a_function(&an_app("none"), "f"))
            .await,
        Resource::App,
    );
    let (f, g) = (a_function(&app, "f"), a_function(&app, "g"));
    store.create_function(&g).await.unwrap();
    store.create_function(&f).await.unwrap();
    assert_conflict(
        store.create_function(&a_function(&app, "f")).await,
        Conflict::FunctionName,
    );
    assert_eq!(store.function(f.id).await.unwrap(), f);
    assert_not_found(store.function(FnId::generate()).await, Resource::Function);

    let mut filter = FunctionFilter {
        limit: 1,
        ..FunctionFilter::default()
    };
    assert_eq!(
        store.functions(app.id, &filter).await.unwrap(),
        from_ref(&f)
    );
    filter.after = "f".to_owned();
    assert_eq!(
        store.functions(app.id, &filter).await.unwrap(),
        from_ref(&g)
    );
    filter.name = Some("f".to_owned());
    assert!(store.functions(app.id, &filter).await.unwrap().is_empty());

    let changed = store
        .update_function(g.id, &mut |row| {
            row.image = "g:2".to_owned();
            row.format = Format::Json;
            Verdict::Apply
        })
        .await
        .unwrap();
    assert!(changed.updated_at > g.updated_at);
    assert_eq!(store.function(g.id).await.unwrap(), changed);
    assert_eq!(store.delete_function(g.id).await.unwrap(), app.id);
    assert_not_found(store.delete_function(g.id).await, Resource::Function);
}

async fn triggers_belong_to_a_function(store: &dyn Store) {
    let app = stored_app(store, "triggers").await;
    let (f, g) = (a_function(&app, "f"), a_function(&app, "g"));
    store.create_function(&f).await.unwrap();
    store.create_function(&g).await.unwrap();
    let mut stray = a_trigger(&f, "t", "/stray");
    stray.app_id = stored_app(store, "triggers-2").await.id;
    assert_not_found(store.create_trigger(&stray).await, Resource::Function);

    let of_f = a_trigger(&f, "t", "/f");
    let of_g = a_trigger(&g, "t", "/g");
    store.create_trigger(&of_f).await.unwrap();
    store.create_trigger(&of_g).await.unwrap();
    assert_conflict(
        store.create_trigger(&a_trigger(&f, "t", "/free")).await,
        Conflict::TriggerName,
    );
    assert_conflict(
        store.create_trigger(&a_trigger(&f, "free", "/g")).await,
        Conflict::TriggerSource,
    );
    assert_eq!(store.trigger(of_f.id).await.unwrap(), of_f);
    assert_not_found(
        store.trigger(TriggerId::generate()).await,
        Resource::Trigger,
    );

    let mut filter = TriggerFilter {
        limit: 1,
        ..TriggerFilter::default()
    };
    let mut seen = Vec::new();
    while let Some(next) = store.triggers(app.id, &filter).await.unwrap().pop() {
        filter.after = (next.name.clone(), next.id.to_string());
        seen.push(next.id);
    }
    let mut both = [of_f.id, of_g.id];
    both.sort();
    assert_eq!(seen, both, "triggers of one name are all listed");
    filter.after = Default::default();
    filter.fn_id = Some(g.id);
    filter.name = Some("t".to_owned());
    assert_eq!(
        store.triggers(app.id, &filter).await.unwrap(),
        from_ref(&of_g)
    );

    let move_to = async |source: &str| {
        let change = &mut |row: &mut Trigger| {
            row.source = source.to_owned();
            Verdict::Apply
        };
        store.update_trigger(of_g.id, change).await
    };
    assert_conflict(move_to("/f").await, Conflict::TriggerSource);
    assert_eq!(store.trigger(of_g.id).await.unwrap(), of_g);
    let moved = move_to("/g2").await.unwrap();
    assert_eq!(store.trigger(of_g.id).await.unwrap(), moved);

    assert_eq!(store.delete_trigger(of_f.id).await.unwrap(), app.id);
    assert_not_found(store.delete_trigger(of_f.id).await, Resource::Trigger);
    store.delete_function(g.id).await.unwrap();
    assert_not_found(store.trigger(of_g.id).await, Resource::Trigger);
}

async fn an_app_takes_all_that_is_its_own_along(store: &dyn Store) {
    let app = stored_app(store, "whole").await;
    let route = a_route(&app, "/r");
    let function = a_function(&app, "f");
    let trigger = a_trigger(&function, "t", "/t");
    store.create_route(&route).await.unwrap();
    store.create_function(&function).await.unwrap();
    store.create_trigger(&trigger).await.unwrap();

    let contents = store.contents(app.id).await.unwrap();
    assert_eq!(contents.app, app);
    assert_eq!(contents.routes, [route]);
    assert_eq!(contents.functions, from_ref(&function));
    assert_eq!(contents.triggers, from_ref(&trigger));
    let all = store.load_all().await.unwrap();
    assert!(all.contains(&contents));
    assert!(all.is_sorted_by(|a, b| a.app.name < b.app.name));

    store.delete_app(app.id).await.unwrap();
    assert_not_found(store.contents(app.id).await, Resource::App);
    assert_not_found(store.route(app.id, "/r").await, Resource::Route);
    assert_not_found(store.function(function.id).await, Resource::Function);
    assert_not_found(store.trigger(trigger.id).await, Resource::Trigger);
}

async fn concurrent_updates_all_count(store: &dyn Store) {
    let app = stored_app(store, "contended").await;
    let add = async |key: String| {
        let change = &mut |row: &mut App| {
            row.config.insert(key.clone(), "1".to_owned());
            Verdict::Apply
        };
        store.update_app(app.id, change).await.unwrap();
    };
    let keys = (0..16).map(|n| format!("key-{n}"));
    futures_util::future::join_all(keys.map(add)).await;
    let config = store.app(app.id).await.unwrap().config;
    assert_eq!(config.keys().filter(|k| k.starts_with("key-")).count(), 16);
}

async fn concurrent_creates_of_one_name_have_one_winner(store: &dyn Store) {
    let apps: Vec<App> = (0..8).map(|_| an_app("wanted")).collect();
    let creates = apps.iter().map(|app| store.create_app(app));
    let answers = futures_util::future::join_all(creates).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for answer in lost {
        assert_conflict(answer, Conflict::AppName);
    }
}

async fn calls_come_back_as_they_were_recorded(store: &dyn Store) {
    let app = stored_app(store, "called").await;
    let good = a_call(app.id);
    let mut bad = a_call(app.id);
    bad.call.target = CallTarget::Fn(FnId::generate());
    bad.call.status = CallStatus::Error;
    bad.call.started_at = None;
    bad.call.error = Some("container exit code 1".to_owned());
    bad.call.blame = Some("function".into());
    bad.log = Vec::new();
    let mut binary = a_call(app.id);
    binary.call.error = Some("a\0b".to_owned());
    binary.log = vec![0, 255, b'x'];
    store.record(&[good.clone(), bad.clone()]).await.unwrap();
    assert_eq!(store.call(app.id, good.call.id).await.unwrap(), good.call);
    assert_eq!(store.call(app.id, bad.call.id).await.unwrap(), bad.call);
    assert_eq!(store.log(app.id, good.call.id).await.unwrap(), good.log);
    assert!(store.log(app.id, bad.call.id).await.unwrap().is_empty());

    store.record(&[good.clone(), binary.clone()]).await.unwrap();
    let stored = store.call(app.id, binary.call.id).await.unwrap();
    assert_eq!(stored.error.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(store.log(app.id, binary.call.id).await.unwrap(), binary.log);
    store.record(&[]).await.unwrap();

    let (other, unknown) = (AppId::generate(), CallId::generate());
    assert_not_found(store.call(other, good.call.id).await, Resource::Call);
    assert_not_found(store.call(app.id, unknown).await, Resource::Call);
    assert_not_found(store.log(other, good.call.id).await, Resource::CallLog);
    assert_not_found(store.log(app.id, unknown).await, Resource::CallLog);
}

async fn calls_are_listed_newest_first_in_pages(store: &dyn Store) {
    let app = stored_app(store, "listed").await;
    let function = FnId::generate();
    let mut calls: Vec<FinishedCall> = (0..5).map(|_| a_call(app.id)).collect();
    calls.sort_by_key(|finished| std::cmp::Reverse(finished.call.id));
    calls[1].call.target = CallTarget::Route("/y".to_owned());
    calls[2].call.target = CallTarget::Fn(function);
    for (age, finished) in (0..).zip(&mut calls) {
        finished.call.created_at = Timestamp::from_millis(10_000 - age);
    }
    store.record(&calls).await.unwrap();
    let filter = |of: CallsOf| CallFilter {
        of,
        after: None,
        before: None,
        cursor: None,
        limit: 10,
    };
    let of_app = |path: Option<&str>| {
        filter(CallsOf::App {
            id: app.id,
            path: path.map(str::to_owned),
        })
    };
    let indexes = async |filter: CallFilter| {
        let found = store.calls(&filter).await.unwrap();
        let index = |call: Call| calls.iter().position(|f| f.call == call).unwrap();
        found.into_iter().map(index).collect::<Vec<_>>()
    };
    assert_eq!(indexes(of_app(None)).await, [0, 1, 2, 3, 4]);
    assert_eq!(indexes(of_app(Some("/x"))).await, [0, 3, 4]);
    assert!(indexes(of_app(Some("/"))).await.is_empty());
    assert_eq!(indexes(filter(CallsOf::Fn(function))).await, [2]);
    let page = CallFilter {
        cursor: Some(calls[1].call.id),
        limit: 2,
        ..of_app(None)
    };
    assert_eq!(indexes(page).await, [2, 3]);
    let between = CallFilter {
        after: Some(calls[4].call.created_at),
        before: Some(calls[1].call.created_at),
        ..of_app(None)
    };
    assert_eq!(indexes(between).await, [2, 3], "both ends are left out");
}

async fn concurrent_batches_are_all_stored(store: &dyn Store) {
    let app = stored_app(store, "busy").await;
    let batch = async |_| {
        let calls: Vec<_> = (0..20).map(|_| a_call(app.id)).collect();
        store.record(&calls).await.unwrap();
    };
    futures_util::future::join_all((0..8).map(batch)).await;
    let all = CallFilter {
        of: CallsOf::App {
            id: app.id,
            path: None,
        },
        after: None,
        before: None,
        cursor: None,
        limit: 1000,
    };
    assert_eq!(store.calls(&all).await.unwrap().len(), 160);
}

async fn a_deleted_app_takes_its_calls_along(store: &dyn Store) {
    let app = stored_app(store, "short-lived").await;
    let finished = a_call(app.id);
    store.record(from_ref(&finished)).await.unwrap();
    store.delete_app(app.id).await.unwrap();
    let id = finished.call.id;
    assert_not_found(store.call(app.id, id).await, Resource::Call);
    assert_not_found(store.log(app.id, id).await, Resource::CallLog);
    store.record(from_ref(&finished)).await.unwrap();
}

async fn old_and_surplus_calls_are_pruned(store: &dyn Store) {
    let app = stored_app(store, "pruned").await;
    let mut old: Vec<_> = (0..2500).map(|_| a_call(app.id)).collect();
    for finished in &mut old {
        finished.call.created_at = LONG_AGO;
    }
    store.record(&old).await.unwrap();
    let mut new: Vec<_> = (0..3).map(|_| a_call(app.id)).collect();
    new.sort_by_key(|finished| finished.call.id);
    store.record(&new).await.unwrap();
    let hour = Duration::from_secs(3600);
    assert!(store.prune(hour, 1_000_000).await.unwrap() >= 2500);
    assert_not_found(store.log(app.id, old[0].call.id).await, Resource::CallLog);
    for finished in &new {
        assert!(store.call(app.id, finished.call.id).await.is_ok());
    }
    assert!(store.prune(hour, 2).await.unwrap() >= 1);
    let newest = store.call(app.id, new[2].call.id).await;
    assert_eq!(newest.unwrap(), new[2].call);
    assert_not_found(store.call(app.id, new[0].call.id).await, Resource::Call);
    assert_eq!(store.prune(hour, 2).await.unwrap(), 0);
}
