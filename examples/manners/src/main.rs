//! Functions that are called wrongly, to see how the FDK answers. The tests' functions.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use fdk::{App, Call, Config, FromCall, FromHeader, Header, Json, Or, Query, Response, State};
use fdk::{http, layers};
use serde::Deserialize;

/// Tells containers apart; the process id is 1 in each of them.
struct Container(u64);

#[derive(Deserialize)]
struct Page {
    page: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { page: 1 }
    }
}

#[derive(Deserialize)]
struct Order {
    qty: u32,
}

#[derive(Deserialize)]
struct Tree(Vec<Tree>);

struct Key(String);

impl FromHeader for Key {
    const NAME: &'static str = "x-key";

    fn from_header(value: &str) -> fdk::Result<Self> {
        Ok(Self(value.to_owned()))
    }
}

fn main() -> fdk::Result<()> {
    App::new()
        .startup(start)
        .layer(layers::from_fn(sign))
        .function("order", http::any("/order"), order)
        .function("text", http::post("/text"), |text: String| text)
        .function("tree", http::post("/tree"), tree)
        .function("key", http::get("/key"), key)
        .function("panic", http::get("/panic"), panic)
        .run_blocking()
}

async fn start(_: Config) -> fdk::Result<Container> {
    eprintln!("startup ran");
    Ok(Container(RandomState::new().hash_one(0)))
}

async fn sign(call: Call, next: layers::Next) -> Response {
    match State::<Container>::from_call(&call) {
        Ok(container) => {
            let response = next.run(call).await;
            response.header("x-container", container.0.0.to_string())
        }
        Err(error) => fdk::IntoResponse::into_response(error),
    }
}

fn order(Or(Query(page)): Or<Query<Page>>, order: Option<Json<Order>>) -> String {
    let qty = order.map_or(1, |Json(order)| order.qty);
    format!("{qty} from page {}\n", page.page)
}

fn tree(Json(tree): Json<Tree>) -> String {
    fn nodes(Tree(children): &Tree) -> usize {
        1 + children.iter().map(nodes).sum::<usize>()
    }
    nodes(&tree).to_string()
}

fn key(Header(Key(key)): Header<Key>) -> String {
    key
}

fn panic(call: Call) -> &'static str {
    assert!(call.query().is_none(), "asked to");
    "calm\n"
}
