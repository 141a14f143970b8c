//! Three functions in one program: each container serves one of them, and all know the prices.

use std::collections::BTreeMap;

use fdk::{App, Config, Error, Json, Or, Path, Query, Response, State, StatusCode, http, layers};
use serde::{Deserialize, Serialize};

/// What there is, in cents.
struct Prices(BTreeMap<String, u64>);

#[derive(Deserialize)]
struct Order {
    item: String,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    item: String,
    cents: u64,
}

#[derive(Default, Deserialize)]
struct Filter {
    up_to: Option<u64>,
}

fn main() -> fdk::Result<()> {
    app().run_blocking()
}

fn app() -> App {
    App::new()
        .startup(async |config| prices(config))
        .layer(layers::AccessLog::new())
        .layer(layers::from_fn(unless_closed))
        .function(
            "list",
            http::get("/items").description("what there is"),
            list,
        )
        .function("price", http::get("/items/{item}").timeout(5), price)
        .function("order", http::post("/orders").memory(32), order)
}

/// Runs once per container, before its first call: a place to open a database.
fn prices(config: Config) -> fdk::Result<Prices> {
    let list = config
        .get("PRICES")
        .unwrap_or_else(|| "tea=250,coffee=320,cake=410".to_owned());
    let entries = list.split(',').map(|entry| {
        let (item, cents) = entry
            .split_once('=')
            .ok_or_else(|| Error::param("PRICES", format!("{entry:?} is not item=cents")))?;
        fdk::Ok((item.trim().to_owned(), cents.trim().parse()?))
    });
    entries.collect::<fdk::Result<_>>().map(Prices)
}

/// Around every call: a shop can be closed without a deploy, by `fn config app <app> CLOSED 1`.
async fn unless_closed(call: fdk::Call, next: layers::Next) -> Response {
    if call.config("CLOSED").is_some() {
        return Response::new(StatusCode::SERVICE_UNAVAILABLE).body("closed today\n");
    }
    next.run(call).await
}

fn list(State(prices): State<Prices>, Or(Query(filter)): Or<Query<Filter>>) -> Json<Vec<String>> {
    let affordable = |cents: u64| filter.up_to.is_none_or(|most| cents <= most);
    let items = prices.0.iter().filter(|(_, cents)| affordable(**cents));
    Json(items.map(|(item, _)| item.clone()).collect())
}

fn price(State(prices): State<Prices>, Path(item): Path<String>) -> fdk::Result<String> {
    let cents = prices.0.get(&item).ok_or_else(|| unknown(&item))?;
    Ok(format!("{cents}\n"))
}

fn order(
    State(prices): State<Prices>,
    Json(order): Json<Order>,
) -> fdk::Result<(StatusCode, Json<Receipt>)> {
    let cents = prices
        .0
        .get(&order.item)
        .ok_or_else(|| unknown(&order.item))?;
    let cents = cents
        .checked_mul(order.count)
        .filter(|cents| *cents > 0)
        .ok_or_else(|| Error::param("count", format!("is not allowed to be {}", order.count)))?;
    let receipt = Receipt {
        item: order.item,
        cents,
    };
    Ok((StatusCode::CREATED, Json(receipt)))
}

fn unknown(item: &str) -> Error {
    Error::public(StatusCode::NOT_FOUND, format!("there is no {item} here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_have_prices() {
        let app = app().test();
        app.get("/items/tea").wait().assert_text("250\n");
        assert_eq!(app.get("/items/gold").wait().status(), 404);
        let cheap: Vec<String> = app.get("/items?up_to=320").wait().json();
        assert_eq!(cheap, ["coffee", "tea"]);
        let all: Vec<String> = app.get("/items").wait().json();
        assert_eq!(all, ["cake", "coffee", "tea"]);
    }

    #[test]
    fn orders_are_added_up() {
        let app = app().test();
        let answer = app
            .post("/orders")
            .body(r#"{"item":"cake","count":2}"#)
            .wait();
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.json::<Receipt>().cents, 820);
        for wrong in [r#"{"item":"cake","count":0}"#, r#"{"item":"cake"}"#] {
            assert_eq!(app.post("/orders").body(wrong).wait().status(), 400);
        }
    }
}
