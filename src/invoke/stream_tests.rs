//! Bodies that are passed on as they come, in both directions.

use futures_util::StreamExt;
use http_body::Body as _;
use tokio::sync::mpsc;

use super::*;
use crate::invoke::ResponseBody;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// Answers each request with what comes through the channel; closing the channel is its end.
fn scripted() -> (FakeLauncher, mpsc::UnboundedSender<Vec<u8>>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let fake = FakeLauncher::default().image("scripted", move |mut io: FakeIo| {
        let receiver = receiver.clone();
        async move {
            let mut inbox = BytesMut::new();
            while receive(&mut io, &mut inbox).await.is_some() {
                let mut script = receiver.lock().await;
                while let Some(bytes) = script.recv().await {
                    match bytes.as_slice() {
                        b"next" => break,
                        b"die" => return 9,
                        _ if io.stdout.write_all(&bytes).await.is_err() => return 1,
                        _ => {}
                    }
                }
            }
            0
        }
    });
    (fake, sender)
}

fn bench_of(fake: FakeLauncher, image: &str) -> Bench {
    let mut bench = Bench::with(fake);
    bench.function.image = image.to_owned();
    bench.redeploy();
    bench
}

async fn begin(bench: &Bench) -> CallResponse {
    let request = bench.request("/", b"");
    bench.invoker.call(&bench.callable, request).await.unwrap()
}

async fn piece(body: &mut ResponseBody) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_is_there_before_the_last_is_written() {
    let (fake, say) = scripted();
    let bench = bench_of(fake, "scripted");
    say.send([HEAD.to_vec(), chunk(b"one")].concat()).unwrap();
    let mut response = begin(&bench).await;
    assert_eq!(response.body.size_hint().exact(), None);
    assert_eq!(piece(&mut response.body).await, "one");
    say.send(chunk(b"two")).unwrap();
    assert_eq!(piece(&mut response.body).await, "two");
    say.send(b"0\r\n\r\n".to_vec()).unwrap();
    say.send(b"next".to_vec()).unwrap();
    assert!(response.body.frame().await.is_none());
    assert_eq!(bench.fake.started(), 1);
    assert_eq!(bench.fake.alive(), 1, "the container is kept");
}

// C14: a small body that is announced is waited for, but not for long.
#[tokio::test(start_paused = true)]
async fn a_slow_body_of_known_length_is_passed_on_as_it_comes() {
    let (fake, say) = scripted();
    let bench = bench_of(fake, "scripted");
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nab";
    say.send(head.to_vec()).unwrap();
    let mut response = begin(&bench).await;
    assert_eq!(response.body.size_hint().exact(), Some(6));
    assert_eq!(piece(&mut response.body).await, "ab");
    say.send(b"cdef".to_vec()).unwrap();
    say.send(b"next".to_vec()).unwrap();
    assert_eq!(response.body.collect().await.unwrap().to_bytes(), "cdef");
}

// C4, C18: what breaks off never looks complete.
#[tokio::test(start_paused = true)]
async fn a_function_that_dies_within_its_response_breaks_the_body_off() {
    let (fake, say) = scripted();
    let bench = bench_of(fake, "scripted");
    say.send([HEAD.to_vec(), chunk(b"one")].concat()).unwrap();
    let mut response = begin(&bench).await;
    assert_eq!(piece(&mut response.body).await, "one");
    say.send(b"die".to_vec()).unwrap();
    let error = response.body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "container exit code 9");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.fake.alive(), 0);
}

// C14: the function's whole time, and the longest pause within a response, are two limits.
#[tokio::test(start_paused = true)]
async fn a_response_that_never_ends_does() {
    for (pause, ended) in [(5, 30), (20, 10)] {
        let (fake, say) = scripted();
        let bench = bench_of(fake, "scripted");
        say.send([HEAD.to_vec(), chunk(b"x")].concat()).unwrap();
        let mut response = begin(&bench).await;
        let began = Instant::now();
        let talk = tokio::spawn(async move {
            while say.send(chunk(b"x")).is_ok() {
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
        });
        let error = loop {
            match response.body.frame().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        talk.abort();
        assert_eq!(error.to_string(), "Timed out");
        assert_eq!(began.elapsed().as_secs(), ended);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.fake.alive(), 0);
    }
}

// A9: the container is not the slow caller's for longer than it takes to read it ahead.
#[tokio::test(start_paused = true)]
async fn a_slow_caller_does_not_hold_the_container() {
    let (fake, say) = scripted();
    let bench = bench_of(fake, "scripted");
    let body = vec![b'x'; 300 << 10];
    say.send([HEAD.to_vec(), chunk(&body), b"0\r\n\r\n".to_vec()].concat())
        .unwrap();
    say.send(b"next".to_vec()).unwrap();
    let response = begin(&bench).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    say.send([HEAD.to_vec(), b"0\r\n\r\n".to_vec()].concat())
        .unwrap();
    say.send(b"next".to_vec()).unwrap();
    begin(&bench).await;
    assert_eq!(bench.fake.started(), 1, "the container served both");
    let all = response.body.collect().await.unwrap().to_bytes();
    assert!(all == body);
}

// A9, A10: a caller who stops reading, or goes, costs the container.
#[tokio::test(start_paused = true)]
async fn a_caller_who_stops_reading_loses_the_container() {
    for gone in [true, false] {
        let (fake, say) = scripted();
        let bench = bench_of(fake, "scripted");
        say.send([HEAD.to_vec(), chunk(b"one")].concat()).unwrap();
        let response = begin(&bench).await;
        for _ in 0..100 {
            say.send(chunk(&vec![b'x'; 64 << 10])).unwrap();
        }
        let kept = (!gone).then_some(response);
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(bench.fake.alive(), 0);
        drop(kept);
    }
}

// C15
#[tokio::test(start_paused = true)]
async fn a_stream_that_grows_too_long_breaks_off() {
    let (fake, say) = scripted();
    let bench = bench_of(fake, "scripted");
    say.send([HEAD.to_vec(), chunk(b"x")].concat()).unwrap();
    let response = begin(&bench).await;
    for _ in 0..9 {
        say.send(chunk(&vec![b'x'; 1 << 20])).unwrap();
    }
    let error = response.body.collect().await.unwrap_err();
    assert_eq!(error.to_string(), "function response too large");
}

fn endless(receiver: mpsc::UnboundedReceiver<std::io::Result<Bytes>>) -> RequestBody {
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|item| (item, receiver))
    });
    RequestBody::Stream(stream.boxed())
}

/// Answers with the length of each chunk as it comes.
async fn counts_chunks(mut io: FakeIo) -> i64 {
    let mut inbox = BytesMut::new();
    loop {
        let mut decoder = RequestDecoder::new(wire::Limits::default());
        loop {
            match decoder.decode(&mut inbox) {
                Ok(Some(Event::Head(head))) => {
                    let id = head.headers["fn_call_id"].to_str().unwrap();
                    let echo = format!("HTTP/1.1 200 OK\r\nFn-Call-Id: {id}\r\n");
                    let head = [echo.as_bytes(), &HEAD["HTTP/1.1 200 OK\r\n".len()..]].concat();
                    if io.stdout.write_all(&head).await.is_err() {
                        return 1;
                    }
                }
                Ok(Some(Event::Data(data))) => {
                    let line = chunk(format!("{}\n", data.len()).as_bytes());
                    io.stdout.write_all(&line).await.unwrap();
                }
                Ok(Some(Event::End)) => break io.stdout.write_all(b"0\r\n\r\n").await.unwrap(),
                Ok(None) if io.stdin.read_buf(&mut inbox).await.unwrap() == 0 => return 0,
                Ok(None) => {}
                Err(_) => return 1,
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_and_responses_stream_at_the_same_time() {
    let bench = bench_of(
        FakeLauncher::default().image("counts", counts_chunks),
        "counts",
    );
    let (say, receiver) = mpsc::unbounded_channel();
    let mut request = bench.request("/", b"");
    request.body = endless(receiver);
    let call = bench.invoker.call(&bench.callable, request);
    say.send(Ok(Bytes::from_static(b"four"))).unwrap();
    let mut response = call.await.unwrap();
    assert_eq!(piece(&mut response.body).await, "4\n");
    say.send(Ok(Bytes::from_static(b"seven77"))).unwrap();
    assert_eq!(piece(&mut response.body).await, "7\n");
    drop(say);
    assert!(response.body.frame().await.is_none());
    assert_eq!(bench.fake.alive(), 1, "the container is kept");
    assert_eq!(bench.fake.started(), 1);
}

// B4: a request that breaks off must not look complete to the function, nor run on.
#[tokio::test(start_paused = true)]
async fn a_caller_who_breaks_off_costs_the_container() {
    let bench = bench_of(
        FakeLauncher::default().image("counts", counts_chunks),
        "counts",
    );
    let (say, receiver) = mpsc::unbounded_channel();
    let mut request = bench.request("/", b"");
    request.body = endless(receiver);
    say.send(Err(std::io::ErrorKind::ConnectionReset.into()))
        .unwrap();
    let fault = bench.send(request).await.unwrap_err();
    assert_eq!(fault.blame(), crate::invoke::Blame::Caller);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.fake.alive(), 0);
}
