use wire::{DecodeError, Limits, RequestDecoder, ResponseDecoder};

use crate::harness::{Outcome, accepted, read, read_every_way};

fn response(limits: &Limits, input: &[u8]) -> Outcome {
    read_every_way(|| ResponseDecoder::new(limits.clone(), false), input)
}

// A4, C12
#[test]
fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
    let head = b"HTTP/1.1 200 OK\r\nA: bbbbbbbb\r\nContent-Length: 0\r\n\r\n";
    for slack in [0, 1] {
        let limits = Limits {
            head_bytes: head.len() + slack,
            ..Limits::default()
        };
        accepted(&response(&limits, head), b"", b"", "within the limit");
    }
    let limits = Limits {
        head_bytes: head.len() - 1,
        ..Limits::default()
    };
    let error = response(&limits, head).error;
    assert_eq!(
        error,
        Some(DecodeError::HeadTooLarge {
            limit: head.len() - 1
        })
    );
}

// A4
#[test]
fn an_endless_head_is_refused_at_the_limit() {
    let mut input = b"GET /".to_vec();
    input.resize(Limits::HEAD_BYTES - 1, b'a');
    let new = || RequestDecoder::new(Limits::default());
    let error = read(new(), &[&input]).error;
    assert!(
        matches!(error, Some(DecodeError::Truncated { .. })),
        "not yet: {error:?}"
    );
    input.push(b'a');
    let limit = Limits::HEAD_BYTES;
    assert_eq!(
        read(new(), &[&input]).error,
        Some(DecodeError::HeadTooLarge { limit })
    );
}

// A4, C12
#[test]
fn headers_are_counted() {
    for (count, fits) in [(Limits::HEADERS, true), (Limits::HEADERS + 1, false)] {
        let mut input = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".to_vec();
        for _ in 1..count {
            input.extend_from_slice(b"A: b\r\n");
        }
        input.extend_from_slice(b"\r\n");
        let error = read(ResponseDecoder::new(Limits::default(), false), &[&input]).error;
        let refusal = DecodeError::TooManyHeaders {
            limit: Limits::HEADERS,
        };
        assert_eq!(error, (!fits).then_some(refusal), "{count}");
    }
}

// C6
#[test]
fn a_declared_body_is_refused_before_it_is_read() {
    let limits = Limits {
        body_bytes: 5,
        ..Limits::default()
    };
    let fits = response(
        &limits,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    );
    accepted(&fits, b"hello", b"", "at the limit");
    let outcome = response(&limits, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    assert_eq!(outcome.error, Some(DecodeError::BodyTooLarge { limit: 5 }));
}

// C7
#[test]
fn a_chunked_body_is_counted_as_it_grows() {
    let limits = Limits {
        body_bytes: 5,
        ..Limits::default()
    };
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n";
    let fits = response(&limits, format!("{head}3\r\nllo\r\n0\r\n\r\n").as_bytes());
    accepted(&fits, b"hello", b"", "at the limit");
    for size in ["4", "ffffffffffffffff", "fffffffffffffffe"] {
        let outcome = response(&limits, format!("{head}{size}\r\n").as_bytes());
        assert_eq!(
            outcome.error,
            Some(DecodeError::BodyTooLarge { limit: 5 }),
            "{size}"
        );
        assert_eq!(outcome.body, b"he", "{size}");
    }
}

// C9
#[test]
fn the_length_of_a_body_that_is_not_sent_has_no_limit() {
    let limits = Limits {
        body_bytes: 5,
        ..Limits::default()
    };
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n";
    let outcome = read_every_way(|| ResponseDecoder::new(limits.clone(), true), input);
    accepted(&outcome, b"", b"", "a response to HEAD");
}

// C8
#[test]
fn interim_responses_are_counted() {
    let limits = Limits {
        interim: 2,
        ..Limits::default()
    };
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    accepted(
        &response(&limits, format!("{interim}{interim}{last}").as_bytes()),
        b"",
        b"",
        "two",
    );
    let outcome = response(&limits, interim.repeat(3).as_bytes());
    assert_eq!(
        outcome.error,
        Some(DecodeError::TooManyInterim { limit: 2 })
    );
}

// C1
#[test]
fn blank_lines_before_a_message_are_counted() {
    let limits = Limits {
        leading_bytes: 4,
        ..Limits::default()
    };
    let message = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    accepted(
        &response(&limits, format!("\r\n\n\n{message}").as_bytes()),
        b"",
        b"",
        "four",
    );
    let outcome = response(&limits, format!("\r\n\n\n\n{message}").as_bytes());
    assert_eq!(outcome.fault().as_deref(), Some("NotHttp"));
}

// A14, C7
#[test]
fn trailers_are_bounded() {
    let limits = Limits {
        trailer_bytes: 10,
        headers: 2,
        ..Limits::default()
    };
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    accepted(
        &response(&limits, format!("{head}A: bcd\r\n\r\n").as_bytes()),
        b"",
        b"",
        "ten",
    );
    let outcome = response(&limits, format!("{head}A: bcde\r\n\r\n").as_bytes());
    assert_eq!(
        outcome.error,
        Some(DecodeError::TrailersTooLarge { limit: 10 })
    );
    let limits = Limits {
        trailer_bytes: 100,
        ..limits
    };
    let outcome = response(&limits, format!("{head}A:\r\nB:\r\nC:\r\n\r\n").as_bytes());
    assert_eq!(
        outcome.error,
        Some(DecodeError::TooManyHeaders { limit: 2 })
    );
}
