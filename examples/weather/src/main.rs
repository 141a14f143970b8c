//! Weather, line by line: up, down, and both at once.

use fdk::{App, IntoResponse, Ndjson, Or, Query, Streamed, http};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Reading {
    place: String,
    celsius: f64,
}

#[derive(Debug, Serialize)]
struct Converted {
    place: String,
    fahrenheit: f64,
}

#[derive(Serialize)]
struct Forecast {
    day: u32,
    celsius: i32,
    summary: &'static str,
}

#[derive(Deserialize)]
struct Range {
    days: u32,
}

impl Default for Range {
    fn default() -> Self {
        Self { days: 5 }
    }
}

fn main() -> fdk::Result<()> {
    app().run_blocking()
}

fn app() -> App {
    App::new()
        .function("forecasts", http::get("/forecasts"), forecasts)
        .function("convert", http::post("/convert"), convert)
        .function("mean", http::post("/mean"), mean)
}

/// Down: as many days as are wanted, none of which is kept.
fn forecasts(Or(Query(range)): Or<Query<Range>>) -> impl IntoResponse {
    let days = stream::iter(1..=range.days).map(|day| {
        let celsius = (day % 31 * 7 % 31) as i32 - 5;
        let summary = match celsius {
            ..0 => "freezing",
            0..10 => "chilly",
            10..20 => "mild",
            _ => "hot",
        };
        fdk::Ok(Forecast {
            day,
            celsius,
            summary,
        })
    });
    Streamed(days)
}

/// Both at once: each reading is answered as it comes.
fn convert(readings: Streamed<Reading>) -> impl IntoResponse {
    Streamed(readings.map(|reading| {
        reading.map(|reading| Converted {
            place: reading.place,
            fahrenheit: reading.celsius * 1.8 + 32.0,
        })
    }))
}

/// Up: the answer comes behind the last line.
async fn mean(mut readings: Ndjson<Reading>) -> fdk::Result<String> {
    let (mut sum, mut count) = (0.0, 0_u32);
    while let Some(reading) = readings.try_next().await? {
        sum += reading.celsius;
        count += 1;
    }
    Ok(format!("{:.1}\n", sum / f64::from(count.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READINGS: &str =
        "{\"place\":\"Oslo\",\"celsius\":-10}\n{\"place\":\"Rome\",\"celsius\":20}\n";

    #[test]
    fn lines_go_both_ways() {
        let app = app().test();
        app.post("/convert").body(READINGS).wait().assert_text(
            "{\"place\":\"Oslo\",\"fahrenheit\":14.0}\n{\"place\":\"Rome\",\"fahrenheit\":68.0}\n",
        );
        app.post("/mean").body(READINGS).wait().assert_text("5.0\n");
    }

    #[test]
    fn a_flaw_is_named_by_its_line() {
        let answer = app()
            .test()
            .post("/mean")
            .body(format!("{READINGS}cold\n"))
            .wait();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("line 3"), "{}", answer.text());
    }

    #[test]
    fn forecasts_are_lines_or_an_array() {
        let app = app().test();
        let lines = app.get("/forecasts?days=3").wait();
        assert_eq!(lines.text().lines().count(), 3);
        let array = app
            .get("/forecasts")
            .header("accept", "application/json")
            .wait();
        assert_eq!(array.text().matches("\"day\"").count(), 5);
        assert!(array.text().starts_with("[{\"day\":1,"), "{}", array.text());
    }
}
