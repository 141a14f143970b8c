use bytes::BytesMut;
use wire::{BodyLength, Cut, DecodeError, Limits, ResponseDecoder};

use crate::harness::{accepted, read_every_way, response};

/// Name, input, body, surplus.
type Message<'a> = (&'a str, &'a [u8], &'a [u8], &'a [u8]);

#[test]
fn a_response_ends_where_its_length_says() {
    let table: &[Message<'_>] = &[
        (
            "RFC 9112 6.3 item 6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"hello",
            b"",
        ),
        (
            "no body",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"",
            b"",
        ),
        (
            "any case",
            b"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\n\r\nhello",
            b"hello",
            b"",
        ),
        (
            "HTTP/1.0",
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
            b"",
        ),
        (
            "free reason",
            b"HTTP/1.1 200 INVOKED\r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
            b"",
        ),
        (
            "empty reason",
            b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
            b"",
        ),
        (
            "no reason",
            b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
            b"",
        ),
        (
            "C1: leading line ends",
            b"\r\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
            b"",
        ),
        (
            "C2",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\n",
            b"hi",
            b"\n",
        ),
        (
            "C3",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
            b"hi",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ),
        (
            "B5",
            b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"",
        ),
        (
            "C10: 205",
            b"HTTP/1.1 205 Reset\r\nContent-Length: 1\r\n\r\n.",
            b".",
            b"",
        ),
        (
            "C10: 302",
            b"HTTP/1.1 302 Found\r\nContent-Length: 1\r\n\r\n.",
            b".",
            b"",
        ),
        (
            "C10: 599",
            b"HTTP/1.1 599 Mine\r\nContent-Length: 1\r\n\r\n.",
            b".",
            b"",
        ),
        (
            "A5",
            b"HTTP/1.1 200 OK\r\nX: \xff\xe9\r\nContent-Length: 0\r\n\r\n",
            b"",
            b"",
        ),
        (
            "tab in a value",
            b"HTTP/1.1 200 OK\r\nX: a\tb\r\nContent-Length: 0\r\n\r\n",
            b"",
            b"",
        ),
        (
            "empty value",
            b"HTTP/1.1 200 OK\r\nX:\r\nContent-Length: 0\r\n\r\n",
            b"",
            b"",
        ),
    ];
    for (name, input, body, rest) in table {
        let outcome = response(input);
        accepted(&outcome, body, rest, name);
        assert_eq!(
            outcome.length,
            Some(BodyLength::Known(body.len() as u64)),
            "{name}"
        );
    }
}

// C7, RFC 9112 section 7.1
#[test]
fn a_chunked_response_ends_after_its_trailers() {
    let table: &[Message<'_>] = &[
        ("one chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
        ("none", b"0\r\n\r\n", b"", b""),
        (
            "two, then surplus",
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nx",
            b"hello",
            b"x",
        ),
        (
            "hex, either case",
            b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            b"01234567890123456789",
            b"",
        ),
        (
            "leading zeros",
            b"00000000000000000002\r\nhi\r\n000\r\n\r\n",
            b"hi",
            b"",
        ),
        (
            "A14: extensions",
            b"2;a=b;c=\"d e\"\r\nhi\r\n0;z\r\n\r\n",
            b"hi",
            b"",
        ),
        ("bad whitespace", b"2 \t;a\r\nhi\r\n0\r\n\r\n", b"hi", b""),
        (
            "A14: trailers",
            b"2\r\nhi\r\n0\r\nExpires: never\r\nX: y\r\n\r\n",
            b"hi",
            b"",
        ),
        (
            "line ends as data",
            b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
            b"\r\n\r\n",
            b"",
        ),
        (
            "B5",
            b"13\r\nHTTP/1.1 200 OK\r\n\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"",
        ),
    ];
    for coding in ["chunked", "Chunked"] {
        for (name, chunks, body, rest) in table {
            let mut input =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n").into_bytes();
            input.extend_from_slice(chunks);
            let outcome = response(&input);
            accepted(&outcome, body, rest, name);
            assert_eq!(outcome.length, Some(BodyLength::Chunked), "{name}");
        }
    }
}

// C7, A14
#[test]
fn broken_chunks_are_refused() {
    let long = format!("2;{}\r\nhi\r\n0\r\n\r\n", "x".repeat(300));
    let table: &[(&str, &[u8], &str)] = &[
        ("no size", b"\r\nhi", "BadChunk"),
        ("a word", b"hello\r\n", "BadChunk"),
        ("sign", b"+2\r\nhi\r\n", "BadChunk"),
        ("minus", b"-2\r\nhi\r\n", "BadChunk"),
        ("prefix", b"0x2\r\nhi\r\n", "BadChunk"),
        ("leading space", b" 2\r\nhi\r\n", "BadChunk"),
        ("trailing space", b"2 \r\nhi\r\n", "BadChunk"),
        ("overflow", b"10000000000000000\r\n", "BadChunk"),
        ("bare line feed", b"2\nhi\n0\n\n", "BadChunk"),
        (
            "line feed in an extension",
            b"2;a\nhi\r\n0\r\n\r\n",
            "BadChunk",
        ),
        ("bare carriage return", b"2\rhi", "BadChunk"),
        ("NUL in an extension", b"2;\0\r\nhi\r\n", "BadChunk"),
        ("data too long", b"2\r\nhiya\r\n0\r\n\r\n", "BadChunk"),
        ("no line end after data", b"2\r\nhi0\r\n\r\n", "BadChunk"),
        (
            "bare line feed after data",
            b"2\r\nhi\n0\r\n\r\n",
            "BadChunk",
        ),
        ("bad line end after data", b"2\r\nhi\r0\r\n\r\n", "BadChunk"),
        ("endless extension", long.as_bytes(), "BadChunk"),
        (
            "trailer without a colon",
            b"0\r\nExpires\r\n\r\n",
            "BadChunk",
        ),
        ("folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", "BadChunk"),
        ("bare line feed in trailers", b"0\r\nA: b\n\r\n", "BadChunk"),
        ("C4: no last chunk", b"2\r\nhi\r\n", "Truncated"),
        ("C4: no blank line", b"2\r\nhi\r\n0\r\n", "Truncated"),
        ("C4: within a size", b"2", "Truncated"),
        ("C4: within data", b"5\r\nhe", "Truncated"),
    ];
    for (name, chunks, fault) in table {
        let mut input = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        input.extend_from_slice(chunks);
        assert_eq!(response(&input).fault().as_deref(), Some(*fault), "{name}");
    }
}

#[test]
fn a_head_on_which_parsers_could_differ_is_refused() {
    let table: &[(&str, &[u8], &str)] = &[
        ("C5", b"HTTP/1.1 200 OK\r\n\r\nhi", "NoLength"),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "ConflictingLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ncontent-length: 2\r\n\r\n",
            "ConflictingLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "ConflictingLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
            "ConflictingLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length:  2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length:\t2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhi",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "BadLength",
        ),
        (
            "C6",
            b"HTTP/1.1 200 OK\r\nContent-Length: \xd9\xa2\r\n\r\nhi",
            "BadLength",
        ),
        (
            "RFC 9112 6.1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "RFC 9112 6.1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "RFC 9112 6.1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "RFC 9112 6.1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            "BadHead",
        ),
        (
            "RFC 9112 6.1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "dup TE",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        (
            "A15",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "UnsupportedTransferEncoding",
        ),
        ("C11", b"HTTP/2.0 200 OK\r\n\r\n", "BadVersion"),
        ("C11", b"HTTP/1.2 200 OK\r\n\r\n", "BadVersion"),
        ("C11", b"HTTP/1.10 200 OK\r\n\r\n", "BadVersion"),
        ("C11", b"HTTP/1.1 99 Low\r\n\r\n", "BadStatus"),
        ("C11", b"HTTP/1.1 099 Low\r\n\r\n", "BadStatus"),
        ("C11", b"HTTP/1.1 600 High\r\n\r\n", "BadStatus"),
        ("C11", b"HTTP/1.1 1000 High\r\n\r\n", "BadStatus"),
        ("C11", b"HTTP/1.1  200 OK\r\n\r\n", "BadStatus"),
        ("C11", b"HTTP/1.1 OK\r\n\r\n", "BadStatus"),
        (
            "C12: obs-fold",
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: obs-fold",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: leading space",
            b"HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: bare CR",
            b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: CR CR LF",
            b"HTTP/1.1 200 OK\r\nA: b\r\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: bare LF",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "BadHead",
        ),
        (
            "C12: bare LF",
            b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: bare LF at the end",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            "BadHead",
        ),
        (
            "C12: NUL",
            b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: DEL",
            b"HTTP/1.1 200 OK\r\nA: b\x7fc\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: escape",
            b"HTTP/1.1 200 OK\r\nA: \x1b[1m\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "C12: NUL in the reason",
            b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "RFC 9112 5.1",
            b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "RFC 9112 5.1",
            b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "no colon",
            b"HTTP/1.1 200 OK\r\nA b\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
        (
            "name in Latin-1",
            b"HTTP/1.1 200 OK\r\nCaf\xe9: b\r\nContent-Length: 0\r\n\r\n",
            "BadHead",
        ),
    ];
    for (name, input, fault) in table {
        let outcome = response(input);
        let text = input.escape_ascii();
        assert_eq!(outcome.fault().as_deref(), Some(*fault), "{name}: {text}");
        assert!(outcome.head.is_none(), "{name}: {text}");
    }
}

// C1
#[test]
fn a_stray_print_is_named_with_its_first_bytes() {
    for junk in [
        "Hello\n",
        "\u{feff}HTTP/1.1 200 OK\r\n",
        "H",
        " HTTP/1.1 200",
        "http/1.1 200",
    ] {
        let mut decoder = ResponseDecoder::new(Limits::default(), false);
        let mut buf = BytesMut::from(junk);
        let result = decoder.decode(&mut buf);
        if junk == "H" {
            assert!(matches!(result, Ok(None)), "may still become a response");
        } else {
            let seen = junk.as_bytes().escape_ascii().to_string();
            assert_eq!(result.unwrap_err(), DecodeError::NotHttp { seen });
        }
    }
    let mut buf = BytesMut::from("progress 10%".repeat(100).as_str());
    let error = ResponseDecoder::new(Limits::default(), false)
        .decode(&mut buf)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("not HTTP: read \"{}\"", &"progress 10%".repeat(100)[..200]),
    );
}

// C4
#[test]
fn the_end_of_the_stream_says_what_was_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let table: &[(&str, &str)] = &[
        ("", "stream ended before the first byte"),
        ("\n", "stream ended before the first byte"),
        ("HTT", "stream ended within the head \"HTT\""),
        (
            &head[..20],
            "stream ended within the head \"HTTP/1.1 200 OK\\r\\nCon\"",
        ),
        (head, "stream ended after 0 of 5 body bytes"),
        (
            &format!("{head}hell"),
            "stream ended after 4 of 5 body bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "stream ended after 5 bytes of a chunked body without its last chunk",
        ),
    ];
    for (input, message) in table {
        let outcome = response(input.as_bytes());
        assert_eq!(
            outcome.error.map(|error| error.to_string()).as_deref(),
            Some(*message)
        );
    }
}

#[test]
fn the_end_of_the_stream_counts_bytes_not_yet_decoded() {
    let mut decoder = ResponseDecoder::new(Limits::default(), false);
    let mut buf = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi");
    decoder.decode(&mut buf).unwrap();
    let cut = Cut::Body {
        have: 2,
        want: Some(5),
    };
    assert_eq!(decoder.eof(&buf), DecodeError::Truncated { cut });
}

#[test]
fn a_response_has_started_with_its_first_letter() {
    let mut decoder = ResponseDecoder::new(Limits::default(), false);
    let mut buf = BytesMut::from("\r\n");
    decoder.decode(&mut buf).unwrap();
    assert!(
        !decoder.started(),
        "a late line end of the last response is no answer"
    );
    buf.extend_from_slice(b"H");
    decoder.decode(&mut buf).unwrap();
    assert!(decoder.started());
}

// C8, RFC 9110 section 15.2
#[test]
fn interim_responses_are_dropped() {
    let outcome = response(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    accepted(&outcome, b"hi", b"", "100, 103, 200");
    assert_eq!(
        outcome.head.as_deref(),
        Some("200 {\"content-length\": \"2\"}")
    );
    let alone = response(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        alone.fault().as_deref(),
        Some("Truncated"),
        "an interim response is not final"
    );
}

// C8
#[test]
fn an_interim_response_cannot_frame_the_final_one() {
    let outcome = response(
        b"HTTP/1.1 100 Continue\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    accepted(&outcome, b"hi", b"", "framing of a 100");
}

// C8
#[test]
fn a_switch_of_protocols_is_refused() {
    let outcome = response(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(outcome.error, Some(DecodeError::UnexpectedUpgrade));
}

// C9, RFC 9112 section 6.3 item 1
#[test]
fn some_responses_have_no_body_whatever_they_say() {
    let lengths = [
        "",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
    ];
    for length in lengths {
        for (status, to_head) in [(204, false), (304, false), (200, true), (404, true)] {
            let input = format!("HTTP/1.1 {status} X\r\n{length}\r\nextra");
            let new = || ResponseDecoder::new(Limits::default(), to_head);
            let outcome = read_every_way(new, input.as_bytes());
            accepted(&outcome, b"", b"extra", &input);
            assert_eq!(outcome.length, Some(BodyLength::Empty), "{input}");
        }
    }
}

// C6, C9
#[test]
fn a_response_without_body_still_may_not_contradict_itself() {
    let outcome =
        response(b"HTTP/1.1 304 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(outcome.fault().as_deref(), Some("ConflictingLength"));
}

// A5, C12
#[test]
fn headers_keep_their_bytes_and_their_repeats() {
    let outcome = response(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX:  v \xe9 \t\r\nSet-Cookie: b=2\r\n\
          Content-Length: 0\r\n\r\n",
    );
    let head = outcome.head.unwrap();
    assert!(
        head.contains(r#""set-cookie": "a=1", "set-cookie": "b=2""#),
        "{head}"
    );
    assert!(head.contains(r#""x": "v \xe9""#), "{head}");
}
