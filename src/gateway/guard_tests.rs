use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    head: Duration::from_secs(30),
    body: Duration::from_secs(30),
    write: Duration::from_secs(30),
    idle: Duration::from_secs(120),
};

const GOOD: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n";

fn guarded() -> (DuplexStream, Guard<DuplexStream>) {
    let (caller, stream) = duplex(64 << 10);
    (caller, Guard::new(stream, 8 << 10, TIMEOUTS))
}

/// What hyper does once it has written a response.
async fn answer(guard: &mut Guard<DuplexStream>) {
    drop(guard.answers().note(http::Response::new(()), false));
    guard.flush().await.unwrap();
}

// A11: hyper never sees half a head, nor anything behind a flaw, wherever the reads end.
#[tokio::test]
async fn only_sound_heads_pass_however_they_come() {
    let input = format!("{GOOD}{GOOD}GET /x HTTP/1.1\r\nHost: x\nX: {GOOD}");
    for cut in 1..input.len() {
        let (mut caller, mut guard) = guarded();
        let (first, second) = input.split_at(cut);
        let mut seen = Vec::new();
        for piece in [first, second] {
            caller.write_all(piece.as_bytes()).await.unwrap();
            // One byte at a time: what was cleared has to wait for room.
            let whole = GOOD.len() * (2.min((seen.len() + piece.len()) / GOOD.len()));
            while seen.len() < whole {
                seen.push(guard.read_u8().await.unwrap());
            }
        }
        answer(&mut guard).await;
        answer(&mut guard).await;
        assert_eq!(guard.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(seen, GOOD.repeat(2).as_bytes(), "cut at {cut}");
        let (closed, said) = tokio::join!(guard.shutdown(), async {
            let mut said = String::new();
            caller.read_to_string(&mut said).await.unwrap();
            drop(caller);
            said
        });
        closed.unwrap();
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        assert!(said.contains("bare line feed"), "{said}");
    }
}

// A8: bytes do not prolong the time for a head.
#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_and_no_more() {
    let (mut caller, mut guard) = guarded();
    let began = Instant::now();
    let feeding = async {
        for byte in GOOD.bytes() {
            caller.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    let mut piece = [0; 64];
    tokio::select! {
        read = guard.read(&mut piece) => assert_eq!(read.unwrap(), 0),
        () = feeding => panic!("the head was waited for"),
    }
    assert_eq!(began.elapsed().as_secs(), 30);
}

/// Sends a body of `rate` bytes each second until it ends, and says when and why it did.
async fn feed(rate: usize, seconds: u64) -> (u64, Option<io::Error>) {
    feed_to(guarded(), rate, seconds).await
}

async fn feed_to(
    (mut caller, mut guard): (DuplexStream, Guard<DuplexStream>),
    rate: usize,
    seconds: u64,
) -> (u64, Option<io::Error>) {
    caller.write_all(POST.as_bytes()).await.unwrap();
    let mut head = vec![0; POST.len()];
    guard.read_exact(&mut head).await.unwrap();
    let began = Instant::now();
    let feeding = async {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            caller.write_all(&vec![b'x'; rate]).await.unwrap();
        }
    };
    let reading = async {
        let mut piece = [0; 64];
        loop {
            if let Err(error) = guard.read(&mut piece).await {
                break error;
            }
        }
    };
    let error = tokio::select! {
        error = reading => Some(error),
        () = feeding => None,
    };
    (began.elapsed().as_secs(), error)
}

// A8: a byte each second keeps no connection open.
#[tokio::test(start_paused = true)]
async fn a_body_has_to_come_at_some_rate() {
    for (rate, seconds) in [(0, 30), (1, 30), (250, 59)] {
        let (ended, error) = feed(rate, 1000).await;
        let error = error.expect("a body that slow is given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            ended.abs_diff(seconds) <= 1,
            "{rate} bytes a second: {ended}"
        );
    }
    assert!(feed(600, 3600).await.1.is_none());
}

// A function that takes bodies as they come may well be told a word a second.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_passed_on_as_it_comes_may_take_its_time() {
    let (caller, guard) = guarded();
    guard.answers().unhurry();
    assert!(feed_to((caller, guard), 1, 3600).await.1.is_none());
    let (caller, guard) = guarded();
    guard.answers().unhurry();
    let (ended, error) = feed_to((caller, guard), 0, 1000).await;
    assert!(error.is_some(), "but not stop");
    assert_eq!(ended, 30);
}

// A8: the caller pays for its own slowness, not for that of whoever reads.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_no_slow_caller() {
    let (mut caller, mut guard) = guarded();
    caller.write_all(POST.as_bytes()).await.unwrap();
    let mut head = vec![0; POST.len()];
    guard.read_exact(&mut head).await.unwrap();
    for _ in 0..10 {
        let (byte, ()) = tokio::join!(guard.read_u8(), async {
            tokio::task::yield_now().await;
            caller.write_all(b"x").await.unwrap();
        });
        assert_eq!(byte.unwrap(), b'x');
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_and_a_call_does_not() {
    let (mut caller, mut guard) = guarded();
    caller.write_all(GOOD.as_bytes()).await.unwrap();
    let mut piece = [0; 64];
    assert_eq!(guard.read(&mut piece).await.unwrap(), GOOD.len());
    let an_hour = Duration::from_secs(3600);
    let waiting = tokio::time::timeout(an_hour, guard.read(&mut piece)).await;
    assert!(waiting.is_err(), "an answer is due: nothing ends");
    answer(&mut guard).await;
    let began = Instant::now();
    assert_eq!(guard.read(&mut piece).await.unwrap(), 0);
    assert_eq!(began.elapsed(), TIMEOUTS.idle);
    guard.shutdown().await.unwrap();
    let mut said = String::new();
    caller.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "", "there is nothing to say");
}

// A9
#[tokio::test(start_paused = true)]
async fn a_response_has_to_be_taken() {
    let (mut caller, mut guard) = guarded();
    let body = vec![0; 1 << 20];
    let began = Instant::now();
    let slowly = async {
        let mut piece = vec![0; 60 << 10];
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(29)).await;
            caller.read_exact(&mut piece).await.unwrap();
        }
    };
    let (written, ()) = tokio::join!(guard.write_all(&body), slowly);
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 5 * 29 + 30);
}

// A10: who leaves while an answer is due is noticed, with a flaw waiting or not.
#[tokio::test]
async fn a_caller_that_leaves_is_noticed() {
    for behind in ["", "GET", "\0", "GET / HTTP/1.1\r\n\r\n"] {
        let (mut caller, mut guard) = guarded();
        let input = format!("{GOOD}{behind}");
        caller.write_all(input.as_bytes()).await.unwrap();
        let mut piece = [0; 64];
        assert_eq!(guard.read(&mut piece).await.unwrap(), GOOD.len());
        drop(caller);
        assert_eq!(guard.read(&mut piece).await.unwrap(), 0, "{behind:?}");
    }
}

// A11: what nobody reads is drained, but not for ever.
#[tokio::test(start_paused = true)]
async fn a_closing_connection_lingers_within_bounds() {
    let (mut caller, mut guard) = guarded();
    caller.write_all(POST.as_bytes()).await.unwrap();
    let mut head = vec![0; POST.len()];
    guard.read_exact(&mut head).await.unwrap();
    let began = Instant::now();
    guard.shutdown().await.unwrap();
    assert_eq!(began.elapsed(), LINGER);

    let (mut caller, mut guard) = guarded();
    caller.write_all(POST.as_bytes()).await.unwrap();
    guard.read_exact(&mut head).await.unwrap();
    let feeding = async { while caller.write_all(&[0; 4096]).await.is_ok() {} };
    tokio::select! {
        closed = guard.shutdown() => closed.unwrap(),
        () = feeding => panic!("it was cut off"),
    }
}
