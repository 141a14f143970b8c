#![no_main]

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use kiln_fuzz::{Outcome, cut, read};
use libfuzzer_sys::fuzz_target;
use wire::{Event, Limits, RequestDecoder, RequestHead, encode_request_head};

fn outcome(pieces: &[&[u8]]) -> Outcome {
    let limits = Limits {
        head_bytes: 512,
        body_bytes: 1024,
        ..Limits::default()
    };
    let mut decoder = RequestDecoder::new(limits);
    read(
        pieces,
        |head: &RequestHead| head.length,
        |buf| decoder.decode(buf),
    )
}

fn head_of(bytes: &[u8]) -> Option<RequestHead> {
    let mut buf = BytesMut::from(bytes);
    match RequestDecoder::new(Limits::default()).decode(&mut buf) {
        Ok(Some(Event::Head(head))) => Some(head),
        _ => None,
    }
}

fn encoded(head: &RequestHead) -> BytesMut {
    let mut buf = BytesMut::new();
    encode_request_head(
        &mut buf,
        &head.method,
        &head.target,
        &head.headers,
        &[],
        head.length,
    );
    buf
}

/// What we write is read as it was meant, and written the same again.
fn survives_being_written(head: &RequestHead) {
    let bytes = encoded(head);
    let again = head_of(&bytes).expect("what we write can be read");
    assert_eq!(encoded(&again), bytes);
    assert_eq!(again.method, head.method);
    for (name, value) in &again.headers {
        let framing = [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
        assert!(framing || head.headers.get_all(name).iter().any(|v| v == value));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((whole, pieces)) = cut(input) else {
        return;
    };
    assert_eq!(outcome(&[whole]), outcome(&pieces));
    if let Some(head) = head_of(whole) {
        survives_being_written(&head);
    }
});
