//! The function that is measured: it echoes, after as long as it is told to sleep.

use std::time::Duration;

use fdk::{Call, Response, StatusCode};

fn main() -> fdk::Result<()> {
    fdk::run(echo)
}

fn echo(call: Call) -> Response {
    let millis = call.header("x-sleep-millis");
    if let Some(millis) = millis.and_then(|text| text.parse().ok()) {
        std::thread::sleep(Duration::from_millis(millis));
    }
    Response::new(StatusCode::OK)
        .header("content-type", "application/octet-stream")
        .body(call.body().clone())
}
