//! Apps as their authors test them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::stream;
use serde::{Deserialize, Serialize};

use crate::{
    App, Bind, Bytes, Call, Config, Conversion, Convert, Deadline, Error, Extension, Form,
    FromHeader, Header, Json, JsonArray, Method, Ndjson, Or, Path, Query, Response, Result, Source,
    State, StatusCode, Streamed, http, layers,
};

#[derive(Debug, Default, Deserialize, Serialize)]
struct Order {
    qty: u32,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "shown by Debug")]
struct Page {
    page: u32,
    #[serde(default)]
    tag: Vec<String>,
    sort: Option<Sort>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Up,
    Down,
}

struct Version(u32);

impl FromHeader for Version {
    const NAME: &'static str = "X-Version";

    fn from_header(value: &str) -> Result<Self> {
        let number = value
            .parse()
            .map_err(|_| Error::msg(format!("expected a number, got {value:?}")));
        number.map(Self)
    }
}

fn shop() -> App {
    App::new()
        .function(
            "fib",
            http::get("/fib/{index:int}"),
            |Path(n): Path<i64>| n.to_string(),
        )
        .function(
            "two",
            http::any("/{a}/of/{b:int}"),
            |Path((a, b)): Path<(String, u8)>| format!("{a} {b}"),
        )
        .function("list", http::get("/list"), |Query(page): Query<Page>| {
            format!("{page:?}")
        })
        .function(
            "all",
            http::get("/all"),
            |Query(all): Query<BTreeMap<String, String>>| format!("{all:?}"),
        )
        .function(
            "order",
            http::post("/order")
                .memory(256)
                .timeout(20)
                .secret("DB")
                .config("BUCKET"),
            |Query(page): Query<Page>,
             Header(version): Header<Version>,
             Json(order): Json<Order>| {
                format!("{} {} {}", page.page, version.0, order.qty)
            },
        )
        .function("form", http::post("/form"), |Form(order): Form<Order>| {
            order.qty.to_string()
        })
        .function(
            "maybe",
            http::any("/maybe"),
            |order: Option<Json<Order>>| {
                order.map_or_else(|| "none".to_owned(), |Json(order)| order.qty.to_string())
            },
        )
        .function(
            "or",
            http::any("/or"),
            |Or(Json(order)): Or<Json<Order>>| order.qty.to_string(),
        )
        .function("files", http::get("/files/{*path}"), |call: Call| {
            call.param("path").unwrap_or("none").to_owned()
        })
}

#[test]
fn arguments_are_read_from_the_whole_call() {
    let app = shop().test();
    app.get("/fib/6").wait().assert_text("6");
    app.get("/t/app/fib/6").wait().assert_text("6");
    app.post("/invoke").function("or").wait().assert_text("0");
    app.get("/a%20b/of/7").wait().assert_text("a b 7");
    app.get("/files/a/b.txt").wait().assert_text("a/b.txt");
    app.get("/list?page=2&tag=x&tag=y+z&sort=up")
        .wait()
        .assert_text(r#"Page { page: 2, tag: ["x", "y z"], sort: Some(Up) }"#);
    app.get("/all?b=%26&a=1")
        .wait()
        .assert_text(r#"{"a": "1", "b": "&"}"#);
    app.post("/order?page=1")
        .header("x-version", "3")
        .body(r#"{"qty":4}"#)
        .wait()
        .assert_text("1 3 4");
    let form = app
        .post("/form")
        .header("content-type", "application/x-www-form-urlencoded");
    form.body("qty=9").wait().assert_text("9");
    app.get("/maybe").wait().assert_text("none");
    app.post("/maybe")
        .json(&Order { qty: 2 })
        .wait()
        .assert_text("2");
    app.get("/or").wait().assert_text("0");
}

#[test]
fn what_was_sent_is_not_taken_for_nothing() {
    #[derive(Default, Deserialize)]
    struct Both {
        page: u32,
        size: u32,
    }
    let both = |Or(Query(both)): Or<Query<Both>>| format!("{} {}", both.page, both.size);
    let app = App::new().function("both", http::get("/"), both).test();
    app.get("/").wait().assert_text("0 0");
    app.get("/?page=1&size=2").wait().assert_text("1 2");
    let half = app.get("/?page=1").wait();
    assert_eq!(half.status(), 400);
    assert!(half.text().contains("size: is missing"), "{half:?}");
}

#[test]
fn the_most_particular_route_takes_a_path() {
    let name = |call: Call| call.function().to_owned();
    let app = App::new()
        .function("rest", http::any("/{*rest}"), name)
        .function("two", http::any("/a/{x}/{y}"), name)
        .function("any", http::any("/items/{name}"), name)
        .function("int", http::any("/items/{id:int}"), name)
        .function("edit", http::any("/{x}/edit"), name)
        .test();
    for (path, function) in [
        ("/a/1/2", "two"),
        ("/items/7", "int"),
        ("/items/x", "any"),
        ("/items/edit", "any"),
        ("/other/edit", "edit"),
        ("/other", "rest"),
        ("/t/app/items/7", "int"),
    ] {
        app.get(path).wait().assert_text(function);
    }
    let nobody = App::new().function("f", http::on([], "/"), || ());
    assert_eq!(
        nobody.index()["errors"][0]["message"],
        "its route has no method"
    );
}

#[test]
fn a_header_is_replaced_or_added() {
    let app = App::new()
        .function("f", http::any("/"), || {
            use crate::IntoResponse;
            "x".into_response()
                .insert_header("content-type", "text/html")
                .header("x-a", "1")
                .header("x-a", "2")
        })
        .test();
    let answer = app.get("/").wait();
    assert_eq!(answer.headers().get_all("content-type").iter().count(), 1);
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.headers().get_all("x-a").iter().count(), 2);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    use std::io::ErrorKind;
    let quick = crate::Backoff::new(3, Duration::from_millis(1), Duration::from_millis(2));
    for (kind, expected) in [
        (ErrorKind::ConnectionRefused, 3),
        (ErrorKind::PermissionDenied, 1),
    ] {
        let tries = RefCell::new(0);
        let attempt = || async {
            *tries.borrow_mut() += 1;
            Err::<(), Error>(std::io::Error::from(kind).into())
        };
        assert!(crate::retry(quick, attempt).await.is_err());
        assert_eq!(tries.into_inner(), expected, "{kind:?}");
    }
}

#[test]
fn who_asks_for_what_is_not_there_is_told_so() {
    let app = shop().test();
    for (method, target, status) in [
        (Method::GET, "/fib/abc", 404),
        (Method::GET, "/nothing", 404),
        (Method::POST, "/fib/6", 405),
        (Method::GET, "/a/of/300", 400),
        (Method::POST, "/maybe", 200),
    ] {
        let response = app.call(method, target).wait();
        assert_eq!(response.status(), status, "{target}: {response:?}");
    }
    let response = app.post("/fib/6").wait();
    assert_eq!(response.header("allow"), Some("GET, HEAD"));
    let response = app.get("/").function("nobody").wait();
    assert_eq!(response.status(), 404);
    assert_eq!(response.header("fn-error"), Some("unknown-function"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let app = shop().test();
    let response = app.post("/order?page=y").body(r#"{"qty":"x"}"#).wait();
    assert_eq!(response.status(), 400);
    let told: serde_json::Value = response.json();
    assert_eq!(
        told["error"],
        "cannot read 3 parameters of function 'order'"
    );
    let params: Vec<_> = told["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| &d["param"])
        .collect();
    assert_eq!(params, ["page", "X-Version", "body"]);
    let message = "expected a whole number from 0 to 4294967295, got \"y\"";
    assert_eq!(told["details"][0]["message"], message);
    let header = app.post("/order?page=1").json(&Order { qty: 1 }).wait();
    assert_eq!(header.status(), 400);
    assert_eq!(
        header.json::<serde_json::Value>()["error"],
        "X-Version: is missing"
    );
    let one = app.get("/list").wait();
    assert_eq!(one.json::<serde_json::Value>()["error"], "page: is missing");
    let sort = app.get("/list?page=1&sort=odd").wait();
    assert_eq!(
        sort.json::<serde_json::Value>()["error"],
        "sort: expected one of up, down, got \"odd\""
    );
    let twice = app.get("/list?page=1&page=2").wait();
    assert_eq!(
        twice.json::<serde_json::Value>()["error"],
        "page: is given 2 times where one is expected"
    );
}

#[test]
fn statuses_say_what_kind_of_wrong_it_is() {
    let app = shop().test();
    let typed = |kind: &str| {
        app.post("/maybe")
            .header("content-type", kind)
            .body("{\"qty\":1}")
    };
    assert_eq!(typed("image/png").wait().status(), 415);
    assert_eq!(
        typed("application/merge-patch+json; charset=utf-8")
            .wait()
            .status(),
        200
    );
    assert_eq!(
        app.post("/form").json(&Order { qty: 1 }).wait().status(),
        415
    );
    // A bomb of brackets is refused, not followed.
    let bomb = app.post("/maybe").body("[".repeat(100_000)).wait();
    assert_eq!(bomb.status(), 400);
    let depth = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(app.post("/maybe").body(depth).wait().status(), 400);
}

#[test]
fn who_may_not_ask_is_told_nothing_else() {
    struct Key;
    impl crate::FromCall for Key {
        fn from_call(_: &Call) -> Result<Self> {
            Err(Error::missing("x-api-key").with_status(StatusCode::UNAUTHORIZED))
        }
    }
    let handler = |_: Json<Order>, _: Key| "never";
    let app = App::new().function("f", http::any("/"), handler).test();
    let response = app.post("/").body("{").wait();
    assert_eq!(response.status(), 401);
    assert!(!response.text().contains("JSON"), "{}", response.text());
}

#[test]
fn state_is_made_once_and_shared() {
    struct Db(std::sync::atomic::AtomicU32);
    let made = Rc::new(RefCell::new(0));
    let counted = made.clone();
    let app = App::new()
        .startup(move |config: Config| async move {
            *counted.borrow_mut() += 1;
            assert!(config.get("NO_SUCH_SETTING").is_none());
            crate::Ok(Db(10.into()))
        })
        .state("fixed".to_owned())
        .function(
            "next",
            http::any("/next"),
            |State(db): State<Db>, name: State<String>| {
                let next = db.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                format!("{} {next}", *name)
            },
        )
        .function("lost", http::any("/lost"), |_: State<Bytes>| ())
        .test();
    app.get("/next").wait().assert_text("fixed 10");
    app.get("/next").wait().assert_text("fixed 11");
    assert_eq!(*made.borrow(), 1);
    let lost = app.get("/lost").wait();
    assert_eq!(lost.status(), 500);
    assert!(
        lost.fault().unwrap().contains("bytes::bytes::Bytes"),
        "{lost:?}"
    );
}

#[test]
#[should_panic(expected = "startup failed: no database")]
fn startup_may_fail() {
    let startup = |_| async { Err::<(), _>(Error::msg("no database")) };
    let app = App::new()
        .startup(startup)
        .function("f", http::any("/"), || ());
    app.test().get("/").wait();
}

#[test]
fn layers_go_around_in_their_order() {
    let add = |what: &'static str| {
        layers::from_fn(move |call: Call, next: layers::Next| async move {
            let response = next.run(call).await;
            response.header("x-layer", what)
        })
    };
    let refuse = layers::from_fn(|call: Call, next: layers::Next| async move {
        if call.header("x-api-key").is_none() {
            return Response::new(StatusCode::UNAUTHORIZED);
        }
        next.run(call).await
    });
    let app = App::new()
        .layer(add("outer"))
        .layer(refuse)
        .layer(add("inner"))
        .layer(layers::AccessLog::new())
        .layer(layers::CatchPanic)
        .function("ok", http::any("/ok"), || "ok")
        .function("boom", http::any("/boom"), || -> String { panic!("boom") })
        .test();
    let refused = app.get("/ok").wait();
    assert_eq!(
        (refused.status(), refused.header("x-layer")),
        (StatusCode::UNAUTHORIZED, Some("outer"))
    );
    let passed = app.get("/ok").header("x-api-key", "1").wait();
    let seen: Vec<_> = passed.headers().get_all("x-layer").iter().collect();
    assert_eq!(seen, ["inner", "outer"]);
    let boom = app.get("/boom").header("x-api-key", "1").wait();
    assert_eq!(
        (boom.status(), boom.fault()),
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            Some("the function panicked: boom")
        )
    );
    assert_eq!(
        boom.headers().get_all("x-layer").iter().count(),
        2,
        "within the layers"
    );
}

#[test]
fn layers_hand_values_to_functions() {
    #[derive(Clone)]
    struct User(&'static str);
    let greet = |user: Extension<User>| user.0.0;
    let maybe = |user: Option<Extension<User>>| user.map_or("nobody", |user| user.0.0);
    let app = |layered: bool| {
        let app = App::new();
        let app = if layered {
            app.layer(layers::from_fn(
                |mut call: Call, next: layers::Next| async move {
                    let before = call.clone();
                    call.extensions_mut().insert(User("Ann"));
                    assert!(before.extensions().is_empty());
                    next.run(call).await
                },
            ))
        } else {
            app
        };
        app.function("greet", http::any("/greet"), greet)
            .function("maybe", http::any("/maybe"), maybe)
            .test()
    };
    for path in ["/greet", "/maybe"] {
        app(true).get(path).wait().assert_text("Ann");
    }
    app(false).get("/maybe").wait().assert_text("nobody");
    let lost = app(false).get("/greet").wait();
    assert_eq!(lost.status(), 500);
    assert!(lost.fault().unwrap().contains("::User"), "{lost:?}");
    assert!(!lost.text().contains("User"), "{lost:?}");
}

// One polls the startup and is given up; the other two must not wait for it.
#[tokio::test]
async fn first_calls_at_once_share_one_startup() {
    let made = Rc::new(RefCell::new(0));
    let counted = made.clone();
    let app = App::new()
        .startup(move |_| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            *counted.borrow_mut() += 1;
            crate::Ok(7_u8)
        })
        .function("f", http::any("/"), |n: State<u8>| n.to_string())
        .test();
    let mut calls = [0, 1, 2].map(|_| Box::pin(app.get("/").into_future()));
    for call in &mut calls {
        let begun = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(begun.is_pending());
    }
    let [given_up, one, two] = calls;
    drop(given_up);
    let (one, two) = tokio::join!(one, two);
    one.assert_text("7");
    two.assert_text("7");
    assert_eq!(*made.borrow(), 1);
}

#[tokio::test]
async fn a_startup_that_fails_is_told_to_each_call() {
    let startup = |_| async {
        tokio::task::yield_now().await;
        Err::<(), _>(Error::msg("no database"))
    };
    let app = App::new()
        .startup(startup)
        .function("f", http::any("/"), || ())
        .test();
    let local = tokio::task::LocalSet::new();
    let calls = [0, 1, 2].map(|_| local.spawn_local(app.get("/").into_future()));
    local.await;
    for call in calls {
        let panic = call.await.expect_err("no answer").into_panic();
        let text = panic.downcast::<String>().expect("a text");
        assert!(text.ends_with("startup failed: no database"), "{text}");
    }
}

#[tokio::test]
async fn a_function_that_waits_too_long_is_answered_for() {
    let waits = || async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        "late"
    };
    let app = App::new()
        .layer(layers::Timeout::default())
        .function("waits", http::any("/waits"), waits)
        .function("quick", http::any("/quick"), |deadline: Deadline| {
            deadline.remaining().is_zero().to_string()
        })
        .test();
    let past = "2018-06-01T10:00:30.000Z";
    let late = app.get("/waits").header("fn_deadline", past).await;
    assert_eq!(late.status(), 504);
    let quick = app.get("/quick").header("fn_deadline", past).await;
    quick.assert_text("true");
    let untold = app.get("/quick").await;
    assert_eq!(untold.status(), 500, "not the caller's fault");
    assert!(untold.fault().unwrap().contains("no deadline"));
}

#[derive(Debug, Deserialize)]
struct Invoice {
    total: u32,
}

impl Convert for Invoice {
    fn convert(source: &Source<'_>) -> Conversion<Self> {
        match &source.bytes()[..] {
            b"zero" => Conversion::Succeeded(Self { total: 0 }),
            _ => Conversion::Unhandled,
        }
    }
}

#[test]
fn converters_are_asked_in_order_until_one_decides() {
    fn csv(source: &Source<'_>) -> Conversion<Invoice> {
        if source.content_type().as_deref() != Some("text/csv") {
            return Conversion::Unhandled;
        }
        let total = std::str::from_utf8(source.bytes()).unwrap().trim().parse();
        total
            .map(|total| Invoice { total })
            .map_err(|_| Error::param("body", "expected a number"))
            .into()
    }
    let total = |Bind(invoice): Bind<Invoice>| invoice.total.to_string();
    let app = App::new()
        .converter(csv)
        .function("bill", http::post("/bill"), total)
        .function(
            "strict",
            http::post("/strict").no_fallback::<Invoice>(),
            total,
        )
        .function(
            "maybe",
            http::post("/maybe"),
            |invoice: Option<Bind<Invoice>>| invoice.is_some().to_string(),
        )
        .test();
    let send = |path: &str, kind: &str, body: &str| {
        let call = app.post(path).body(body.to_owned());
        let call = if kind.is_empty() {
            call
        } else {
            call.header("content-type", kind)
        };
        let response = call.wait();
        (response.status().as_u16(), response.text().to_owned())
    };
    for (path, kind, body, status, text) in [
        ("/bill", "", "zero", 200, "0"),
        ("/bill", "text/csv", "7", 200, "7"),
        ("/bill", "text/csv", "x", 400, "body: expected a number"),
        ("/bill", "application/json", "{\"total\":8}", 200, "8"),
        ("/bill", "", "{\"total\":8}", 200, "8"),
        (
            "/bill",
            "application/x-www-form-urlencoded",
            "total=9",
            200,
            "9",
        ),
        (
            "/bill",
            "image/png",
            "x",
            415,
            "body: is of content type image/png",
        ),
        ("/bill", "", "", 400, "body: is empty"),
        (
            "/strict",
            "text/csv",
            "7",
            415,
            "body: is of content type text/csv",
        ),
        ("/strict", "text/csv", "zero", 200, "0"),
        ("/maybe", "", "", 200, "false"),
        ("/maybe", "", "zero", 200, "true"),
    ] {
        let (got, said) = send(path, kind, body);
        assert_eq!(got, status, "{path} {kind} {body}: {said}");
        assert!(said.contains(text), "{path} {kind} {body}: {said}");
    }
}

fn streams() -> App {
    App::new()
        .function("double", http::post("/double"), |rows: Streamed<Order>| {
            use futures_util::StreamExt;
            Streamed(rows.map(|row| row.map(|row| Order { qty: 2 * row.qty })))
        })
        .function("lines", http::get("/lines"), || {
            Ndjson(stream::iter([1, 2].map(Ok::<u32, Error>)))
        })
        .function("array", http::get("/array"), || {
            JsonArray(stream::iter([1, 2].map(Ok::<u32, Error>)))
        })
        .function("sum", http::post("/sum"), async |mut rows: Ndjson<u64>| {
            let mut sum = 0;
            while let Some(row) = rows.try_next().await? {
                sum += row;
            }
            crate::Ok(sum.to_string())
        })
}

#[test]
fn streams_are_framed_as_callers_want_them() {
    let app = streams().test();
    app.get("/lines").wait().assert_text("1\n2\n");
    app.get("/array").wait().assert_text("[1,2]");
    let lines = "{\"qty\":1}\n{\"qty\":2}\n";
    app.post("/double")
        .body(lines)
        .wait()
        .assert_text("{\"qty\":2}\n{\"qty\":4}\n");
    let array = app
        .post("/double")
        .header("content-type", "application/json");
    let array = array
        .header("accept", "application/json")
        .body(r#"[{"qty":1},{"qty":2}]"#);
    array.wait().assert_text(r#"[{"qty":2},{"qty":4}]"#);
}

#[test]
fn a_flaw_in_a_stream_is_named_with_its_place() {
    let app = streams().test();
    let long = format!("1\n{}", "1".repeat(2 << 20));
    let table: [(&str, &str, &str, u16, &str); 8] = [
        ("/sum", "", "1\nnope\n3\n", 400, "line 2: expected"),
        ("/sum", "", "\n\n1\n\n2", 200, "3"),
        (
            "/sum",
            "",
            "\u{feff}1\n",
            400,
            "line 1: starts with a byte order mark",
        ),
        (
            "/sum",
            "",
            &long,
            413,
            "line 2: is longer than 1048576 bytes",
        ),
        (
            "/sum",
            "application/x-ndjson; charset=utf-16",
            "1",
            415,
            "is in utf-16",
        ),
        (
            "/sum",
            "application/x-ndjson; charset=\"UTF-8\"",
            "1",
            200,
            "1",
        ),
        (
            "/double",
            "application/json",
            "[{\"qty\":1}",
            400,
            "element 1: is cut off",
        ),
        (
            "/double",
            "application/json",
            "{}",
            400,
            "element 1: is not in an array",
        ),
    ];
    for (path, kind, body, status, text) in table {
        let call = app.post(path).body(body.to_owned());
        let call = if kind.is_empty() {
            call
        } else {
            call.header("content-type", kind)
        };
        let response = call.wait();
        let start = &body[..body.len().min(40)];
        assert_eq!(response.status(), status, "{kind} {start}: {response:?}");
        assert!(
            response.text().contains(text),
            "{kind} {start}: {}",
            response.text()
        );
    }
}

#[test]
fn the_index_tells_what_the_server_has_to_know() {
    let index = shop().index();
    assert_eq!(index["fn_index"], 1);
    assert_eq!(index["runtime"]["name"], "rust");
    assert_eq!(index["errors"], serde_json::json!([]));
    assert_eq!(
        index["functions"][4],
        serde_json::json!({
            "name": "order",
            "memory": 256,
            "timeout": 20,
            "expects": {"config": [{"name": "BUCKET", "required": true}], "secrets": ["DB"]},
            "triggers": [{"name": "order", "type": "http", "source": "/order", "methods": ["POST"]}],
        })
    );
    let streams = streams().index();
    assert_eq!(streams["functions"][0]["streaming"], true);
    assert!(streams["functions"][1].get("streaming").is_none());
    let twice =
        App::new()
            .function("Add", http::any("/a"), || ())
            .function("add", http::any("/b"), || ());
    assert_eq!(
        twice.index()["errors"],
        serde_json::json!([{"function": "add", "message": "another function has this name"}])
    );
}

#[cfg(feature = "tower")]
#[test]
fn layers_of_towers_fit() {
    use std::task::{Context, Poll};

    use tower_service::Service;

    /// Counts calls in its service, which has to be one for all of them.
    #[derive(Clone)]
    struct Counting;
    struct Counter(layers::Next, u32);

    impl tower_layer::Layer<layers::Next> for Counting {
        type Service = Counter;

        fn layer(&self, next: layers::Next) -> Counter {
            Counter(next, 0)
        }
    }

    impl Service<Call> for Counter {
        type Response = Response;
        type Error = Error2;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, Error2>>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error2>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, call: Call) -> Self::Future {
            self.1 += 1;
            if self.1 == 3 {
                return Box::pin(async { Err(Error2) });
            }
            let (count, next) = (self.1, self.0.clone());
            Box::pin(async move { Ok(next.run(call).await.header("x-count", count.to_string())) })
        }
    }

    #[derive(Debug)]
    struct Error2;
    impl std::fmt::Display for Error2 {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("three is too many")
        }
    }
    impl std::error::Error for Error2 {}

    let app = App::new()
        .layer(layers::from_tower(Counting))
        .function("f", http::any("/"), || "ok")
        .test();
    for count in ["1", "2"] {
        assert_eq!(app.get("/").wait().header("x-count"), Some(count));
    }
    assert_eq!(app.get("/").wait().fault(), Some("three is too many"));
}
