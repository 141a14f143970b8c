//! Fibonacci numbers the long way, with a line in the log for each step.

use fdk::{App, Error, Path, http};

fn main() -> fdk::Result<()> {
    app().run_blocking()
}

fn app() -> App {
    App::new().function("fib", http::get("/fib/{index:int}"), fib)
}

fn fib(Path(index): Path<i64>) -> fdk::Result<String> {
    tracing::info!(index, "asked");
    if index < 0 {
        return Err(Error::param(
            "index",
            format!("expected a number from 0 on, got {index}"),
        ));
    }
    Ok(format!("{}\n", fibonacci(index)))
}

/// As slow as it looks, and for an index like 1000000 deeper than any stack: the process dies,
/// its caller is told, and the next one finds another container.
fn fibonacci(index: i64) -> i64 {
    if index < 2 {
        return index;
    }
    tracing::info!(index, "calculating");
    fibonacci(index - 1) + fibonacci(index - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_sum_of_the_two_before_it() {
        let app = app().test();
        for (index, number) in [(0, 0), (1, 1), (2, 1), (6, 8), (10, 55)] {
            let answer = app.get(&format!("/fib/{index}")).wait();
            answer.assert_text(&format!("{number}\n"));
        }
    }

    #[test]
    fn not_all_is_a_number() {
        let app = app().test();
        assert_eq!(app.get("/fib/-1").wait().status(), 400);
        assert_eq!(app.get("/fib/six").wait().status(), 404);
    }
}
