use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use crate::launcher::fake::{FakeIo, FakeLauncher};

/// Asks images in this process: each has a name and the body of its answer.
pub(crate) fn indexer_of(images: &[(&str, &str)]) -> Indexer {
    let mut fake = FakeLauncher::default();
    fake.labels = [(LABEL.to_owned(), "true".to_owned())].into();
    for (name, body) in images {
        let length = body.len();
        let kind = "application/vnd.fn.index+json";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}");
        let answer = format!("{head}\r\n\r\n{body}");
        fake = fake.image(name, move |mut io: FakeIo| {
            let answer = answer.clone();
            async move {
                io.stdout.write_all(answer.as_bytes()).await.unwrap();
                drop(io.stdout);
                let mut rest = Vec::new();
                let _ = io.stdin.read_to_end(&mut rest).await;
                0
            }
        });
    }
    Indexer::new(Arc::new(fake), Duration::from_secs(30))
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.fn.index+json;version=1\r\nContent-Length: 2\r\n\r\n{}";

/// Asks an image that reads the question, writes `answer` and ends with `code` once it is told to.
async fn ask(answer: &'static str, code: i64) -> (Result<Asked, AskError>, String) {
    let question = Arc::new(parking_lot::Mutex::new(String::new()));
    let heard = question.clone();
    let fake = FakeLauncher::default().image("i", move |mut io: FakeIo| {
        let heard = heard.clone();
        async move {
            let mut buffer = vec![0; 4096];
            let read = io.stdin.read(&mut buffer).await.unwrap();
            *heard.lock() = format!("{:?} {}", io.env, String::from_utf8_lossy(&buffer[..read]));
            io.stderr.write_all(b"a word\n").await.unwrap();
            io.stdout.write_all(answer.as_bytes()).await.unwrap();
            drop(io.stdout);
            if !answer.is_empty() {
                let _ = io.stdin.read(&mut buffer).await;
            }
            code
        }
    });
    let launcher: Arc<dyn crate::launcher::Launcher> = Arc::new(fake);
    let indexer = Indexer::new(launcher, Duration::from_secs(30));
    let image = indexer.resolve("i").await.unwrap();
    let asked = indexer.ask(Arc::new(image), None).await;
    let question = question.lock().clone();
    (asked, question)
}

#[tokio::test(start_paused = true)]
async fn an_image_is_asked_by_one_request_and_without_any_config() {
    let (asked, question) = ask(GOOD, 0).await;
    let asked = asked.unwrap();
    assert_eq!(asked.answer, Answer::Index("{}".into()));
    assert_eq!(asked.warnings, [] as [&str; 0]);
    let (env, request) = question.split_once("} ").unwrap();
    assert_eq!(env, r#"{"FN_FORMAT": "http", "FN_INDEXING": "1""#);
    let mut lines: Vec<&str> = request.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "GET /_fn/index HTTP/1.1");
    lines.sort_unstable();
    let lower = lines.join("|").to_ascii_lowercase();
    assert_eq!(
        lower,
        "accept: application/vnd.fn.index+json;version=1|content-length: 0|fn-control: index|host: fn"
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_may_decline() {
    for answer in [
        "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.fn.index+json\r\nContent-Length: 22\r\n\r\n{\"use_func_yaml\":true}",
    ] {
        let (asked, _) = ask(answer, 0).await;
        assert_eq!(asked.unwrap().answer, Answer::Declined, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_index_is_told_with_the_last_words_of_stderr() {
    for (answer, words) in [
        ("", "it ended before it had answered: exit code 3"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
            "it answered with status 200 OK and content type \"text/plain\", expected",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "it answered with status 404 Not Found and content type none, expected",
        ),
        (
            "Starting up...\nHTTP/1.1 200 OK\r\n\r\n",
            "what it wrote is no answer: ",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
            "what it wrote is no answer: ",
        ),
    ] {
        let error = ask(answer, 3).await.0.unwrap_err();
        assert!(error.to_string().starts_with(words), "{answer}: {error}");
        assert_eq!(error.log(), ["a word"], "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_too_long_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.fn.index+json\r\nContent-Length: 2000000\r\n\r\n";
    let (asked, _) = ask(head, 0).await;
    assert_eq!(asked.unwrap().answer, Answer::TooLong);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_says_nothing_is_given_up_and_removed() {
    let fake = Arc::new(FakeLauncher::default().image("deaf", |io| async move {
        let _open = io;
        std::future::pending().await
    }));
    let indexer = Indexer::new(fake.clone(), Duration::from_secs(30));
    let image = Arc::new(indexer.resolve("deaf").await.unwrap());
    let error = indexer
        .ask(image, Some(Duration::from_secs(2)))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "it did not answer within 2 seconds");
    crate::launcher::Launcher::shutdown(&*fake).await;
    assert_eq!(fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_slow_images_is_told_which_after_a_while() {
    let deaf = |io: FakeIo| async move {
        let _open = io;
        std::future::pending().await
    };
    let well = |mut io: FakeIo| async move {
        io.stdout.write_all(GOOD.as_bytes()).await.unwrap();
        0
    };
    let fake = FakeLauncher::default()
        .image("o/slow:1", deaf)
        .image("o/deaf:1", deaf)
        .image("o/well:1", well);
    let indexer = Indexer::new(Arc::new(fake), Duration::from_secs(30));
    let ask = async |name: &str| {
        let image = indexer.resolve(name).await.unwrap();
        indexer.ask(Arc::new(image), None).await
    };
    // Nobody is named for longer than he is waited for.
    for [first, second] in [["o/deaf:1", "o/slow:1"], ["o/slow:1", "o/slow:1"]] {
        let others = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let begun = Instant::now();
            let busy = ask("o/well:1").await.unwrap_err();
            assert_eq!(begun.elapsed().as_secs(), 10);
            assert_eq!(
                busy.to_string(),
                format!(
                    "the image was not asked within 10 seconds: the server asks 2 at once, and \
                     still waits for {first} and {second}"
                )
            );
            // They have a limit of their own, which is near.
            tokio::time::sleep(Duration::from_secs(15)).await;
            ask("o/well:1").await.unwrap();
        };
        let (first, second, ()) = tokio::join!(ask(first), ask(second), others);
        for timed_out in [first, second] {
            assert!(matches!(timed_out, Err(AskError::TimedOut { .. })));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_an_answer_is_noticed_however_it_comes() {
    let at_once: &str = Box::leak(format!("{GOOD} and more").into_boxed_str());
    let (asked, _) = ask(at_once, 0).await;
    let asked = asked.unwrap();
    assert_eq!(asked.answer, Answer::Index("{}".into()));
    assert_eq!(asked.warnings, ["it wrote more than its answer to stdout"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_after_its_answer_is_killed_with_a_warning() {
    let fake = FakeLauncher::default().image("stays", |mut io: FakeIo| async move {
        io.stdout.write_all(GOOD.as_bytes()).await.unwrap();
        let _all = io;
        std::future::pending().await
    });
    let fake = Arc::new(fake);
    let indexer = Indexer::new(fake.clone(), Duration::from_secs(30));
    let image = Arc::new(indexer.resolve("stays").await.unwrap());
    let asked = indexer.ask(image, None).await.unwrap();
    assert_eq!(
        asked.warnings,
        ["it did not exit within 5 seconds after its answer and was killed"]
    );
    crate::launcher::Launcher::shutdown(&*fake).await;
    assert_eq!(fake.alive(), 0);
    let (asked, _) = ask(GOOD, 3).await;
    assert_eq!(
        asked.unwrap().warnings,
        ["it ended with exit code 3, expected exit code 0"]
    );
}
