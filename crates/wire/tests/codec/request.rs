use bytes::BytesMut;
use wire::{DecodeError, Event, Limits, RequestDecoder};

use crate::harness::{accepted, request};
use crate::vectors::REQUESTS;

#[test]
fn a_request_ends_where_its_framing_says() {
    for (name, input, body, rest, length) in REQUESTS {
        let outcome = request(input);
        accepted(&outcome, body, rest, name);
        assert_eq!(outcome.length, Some(*length), "{name}");
    }
}

#[test]
fn a_request_on_which_parsers_could_differ_is_refused() {
    let table: &[(&str, &[u8], &str)] = &[
        (
            "A1",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "ConflictingLength",
        ),
        (
            "A1",
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n",
            "ConflictingLength",
        ),
        (
            "A1",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "A1",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "A1",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "ConflictingLength",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length: 5,5\r\n\r\nhello",
            "BadLength",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
            "BadLength",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "BadLength",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length:  5\r\n\r\nhello",
            "BadLength",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello",
            "BadLength",
        ),
        (
            "A2",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "BadLength",
        ),
        ("A3: bare LF", b"GET / HTTP/1.1\nHost: x\n\n", "BadHead"),
        (
            "A3: bare CR",
            b"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n",
            "BadHead",
        ),
        ("A3: NUL", b"GET / HTTP/1.1\r\nHost: x\0\r\n\r\n", "BadHead"),
        (
            "A3: obs-fold",
            b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
            "BadHead",
        ),
        (
            "A3: space before colon",
            b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "BadHead",
        ),
        (
            "A3: empty name",
            b"GET / HTTP/1.1\r\n: x\r\n\r\n",
            "BadHead",
        ),
        (
            "A3: leading space",
            b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            "BadHead",
        ),
        ("A13", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "BadVersion"),
        (
            "A15",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "A19: TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "NotHttp",
        ),
        ("no method", b" / HTTP/1.1\r\n\r\n", "NotHttp"),
        ("one word", b"hello\r\n", "NotHttp"),
        ("no end of the method", &[b'A'; 60], "NotHttp"),
        ("HTTP/0.9", b"GET /\r\n\r\n", "BadHead"),
        ("two spaces", b"GET  / HTTP/1.1\r\n\r\n", "BadHead"),
        (
            "space in the target",
            b"GET /a b HTTP/1.1\r\n\r\n",
            "BadVersion",
        ),
        (
            "B4: short body",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell",
            "Truncated",
        ),
        ("half a head", b"GET / HT", "Truncated"),
    ];
    for (name, input, fault) in table {
        let outcome = request(input);
        assert_eq!(
            outcome.fault().as_deref(),
            Some(*fault),
            "{name}: {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn the_stream_may_end_between_requests_only() {
    let mut decoder = RequestDecoder::new(Limits::default());
    let mut buf = BytesMut::new();
    assert!(decoder.at_boundary(&buf));
    buf.extend_from_slice(b"\r\n");
    assert!(decoder.at_boundary(&buf));
    buf.extend_from_slice(b"GET / ");
    assert!(!decoder.at_boundary(&buf));
    assert!(matches!(decoder.decode(&mut buf), Ok(None)));
    assert!(!decoder.at_boundary(&buf));
    buf.extend_from_slice(b"HTTP/1.1\r\n\r\n");
    assert!(matches!(decoder.decode(&mut buf), Ok(Some(Event::Head(_)))));
    assert!(!decoder.at_boundary(&buf));
    assert!(matches!(decoder.decode(&mut buf), Ok(Some(Event::End))));
    assert!(decoder.at_boundary(&buf));
}

#[test]
fn a_target_stays_as_it_was_written() {
    let outcome = request(b"GET /a%2Fb/../c;d?e=%20&f HTTP/1.1\r\n\r\n");
    assert_eq!(
        outcome.head.as_deref(),
        Some("GET /a%2Fb/../c;d?e=%20&f {}")
    );
}

// A4
#[test]
fn an_error_ends_the_message_for_good() {
    let mut decoder = RequestDecoder::new(Limits {
        body_bytes: 1,
        ..Limits::default()
    });
    let mut buf = BytesMut::from("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
    let error = decoder.decode(&mut buf).unwrap_err();
    assert_eq!(error, DecodeError::BodyTooLarge { limit: 1 });
    assert!(
        matches!(decoder.decode(&mut buf), Ok(None)),
        "the body must not be read as a request"
    );
}
