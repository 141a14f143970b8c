use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{
    BodyLength, Limits, RequestDecoder, ResponseDecoder, encode_chunk, encode_last_chunk,
    encode_request_head, encode_response_head,
};

use crate::harness::{Decode, Outcome, accepted, read, read_every_way};

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = "x-[a-z0-9_-]{0,12}"
        .prop_map(|name| HeaderName::try_from(name).expect("the pattern is a token"));
    // The codec trims the padding of a value, so generate none.
    let value = "([!-~\u{e9}]([ -~\t]{0,20}[!-~])?)?".prop_map(|value| {
        HeaderValue::from_bytes(value.as_bytes()).expect("the pattern has no controls")
    });
    vec((name, value), 0..40).prop_map(|fields| fields.into_iter().collect())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..400),
        // B5: bodies that look like messages.
        Just(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec()),
        Just(b"\r\n\r\n0\r\n\r\n".to_vec()),
    ]
}

/// Input that gets past the first bytes more often than plain noise does.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let token = proptest::sample::select(
        &[
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.0 204 \r\n",
            "POST /x HTTP/1.1\r\n",
            "Content-Length: 7\r\n",
            "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n",
            "A: b\r\n",
            "\r\n",
            "\n",
            "\r",
            "3\r\nabc\r\n",
            "0\r\n",
            "ffffffffffffffff",
            ";x",
            " ",
            "\0",
        ][..],
    );
    let part = prop_oneof![
        8 => token.prop_map(|token| token.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn put_body(dst: &mut BytesMut, body: &[u8], chunk: Option<usize>) {
    match chunk {
        None => dst.extend_from_slice(body),
        Some(size) => {
            body.chunks(size).for_each(|data| encode_chunk(dst, data));
            encode_last_chunk(dst);
        }
    }
}

fn length(body: &[u8], chunk: Option<usize>) -> BodyLength {
    chunk.map_or(BodyLength::Known(body.len() as u64), |_| {
        BodyLength::Chunked
    })
}

fn random_pieces<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &input[pair[0]..pair[1]])
        .collect()
}

/// C2: a message never yields more than it declares, and every byte is accounted for.
fn check_bounds(outcome: &Outcome, input: &[u8]) {
    let body = outcome.body.len();
    match outcome.length {
        Some(BodyLength::Known(declared)) => assert!(body as u64 <= declared),
        Some(BodyLength::Chunked) => assert!(body < input.len()),
        Some(BodyLength::Empty) | None => assert_eq!(body, 0),
    }
    assert!(input.ends_with(&outcome.rest));
}

proptest! {
    #[test]
    fn what_a_gateway_writes_a_function_reads(
        headers in headers(),
        body in body(),
        chunk in proptest::option::of(1usize..50),
        target in "/[!-~]{0,30}",
        method in "[A-Z]{1,10}",
        cuts in vec(any::<usize>(), 0..8),
    ) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut input = BytesMut::new();
        encode_request_head(&mut input, &method, &target, &headers, &[], length(&body, chunk));
        put_body(&mut input, &body, chunk);
        input.extend_from_slice(b"next");
        let outcome =
            read(RequestDecoder::new(Limits::default()), &random_pieces(&input, &cuts));
        accepted(&outcome, &body, b"next", "request");
        let head = outcome.head.unwrap();
        prop_assert!(head.starts_with(&format!("{method} {target} ")), "{head}");
    }

    #[test]
    fn what_a_function_writes_a_gateway_reads(
        headers in headers(),
        body in body(),
        chunk in proptest::option::of(1usize..50),
        status in 200u16..600,
        cuts in vec(any::<usize>(), 0..8),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let bodiless = matches!(status.as_u16(), 204 | 304);
        let mut input = BytesMut::new();
        encode_response_head(&mut input, status, &headers, length(&body, chunk));
        if !bodiless {
            put_body(&mut input, &body, chunk);
        }
        input.extend_from_slice(b"next");
        let decoder = ResponseDecoder::new(Limits::default(), false);
        let outcome = read(decoder, &random_pieces(&input, &cuts));
        accepted(&outcome, if bodiless { b"" } else { &body }, b"next", "response");
    }

    #[test]
    fn headers_survive_both_ways(headers in headers()) {
        let mut input = BytesMut::new();
        encode_response_head(&mut input, StatusCode::OK, &headers, BodyLength::Empty);
        let outcome = read(ResponseDecoder::new(Limits::default(), false), &[&input]);
        let mut expected = headers;
        expected.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        let read_back = outcome.head.unwrap();
        for (name, value) in &expected {
            let field = format!("{:?}: {value:?}", name.as_str());
            prop_assert!(read_back.contains(&field), "{field} in {read_back}");
        }
    }

    #[test]
    fn noise_never_panics_and_reads_the_same_however_it_is_cut(
        input in prop_oneof![nearly_http(), vec(any::<u8>(), 0..80)],
        to_head in any::<bool>(),
    ) {
        let new = || ResponseDecoder::new(Limits::default(), to_head);
        check_bounds(&read_every_way(new, &input), &input);
        let new = || RequestDecoder::new(Limits::default());
        check_bounds(&read_every_way(new, &input), &input);
    }
}

fn read_in<D: Decode>(decoder: D, input: &[u8], size: usize) -> Outcome {
    read(decoder, &input.chunks(size).collect::<Vec<_>>())
}

// C22
#[test]
fn bodies_at_the_edges_of_a_pipe_come_through_whole() {
    for size in [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1] {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        for chunk in [None, Some(4096), Some(65_536)] {
            let mut input = BytesMut::new();
            let none = HeaderMap::new();
            encode_response_head(&mut input, StatusCode::OK, &none, length(&body, chunk));
            put_body(&mut input, &body, chunk);
            for read_size in [1, 4095, 4096, 65_536, input.len()] {
                let decoder = ResponseDecoder::new(Limits::default(), false);
                let outcome = read_in(decoder, &input, read_size);
                assert!(
                    outcome.error.is_none() && outcome.rest.is_empty(),
                    "{size} {read_size}"
                );
                assert!(outcome.body == body, "{size} {chunk:?} {read_size}");
            }
        }
    }
}

// C22
#[test]
fn every_byte_value_can_stand_in_a_body() {
    for byte in 0..=u8::MAX {
        let mut input = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_vec();
        input.extend_from_slice(&[byte; 3]);
        let outcome = read_every_way(|| ResponseDecoder::new(Limits::default(), false), &input);
        accepted(&outcome, &[byte; 3], b"", "every byte");
    }
}
