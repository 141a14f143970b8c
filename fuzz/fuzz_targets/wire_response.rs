#![no_main]

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use kiln_fuzz::{Outcome, cut, read};
use libfuzzer_sys::fuzz_target;
use wire::{Event, Limits, ResponseDecoder, ResponseHead, encode_response_head};

fn outcome(pieces: &[&[u8]], to_head_request: bool) -> Outcome {
    let limits = Limits {
        head_bytes: 512,
        body_bytes: 1024,
        ..Limits::default()
    };
    let mut decoder = ResponseDecoder::new(limits, to_head_request);
    read(
        pieces,
        |head: &ResponseHead| head.length,
        |buf| decoder.decode(buf),
    )
}

fn head_of(bytes: &[u8]) -> Option<ResponseHead> {
    let mut buf = BytesMut::from(bytes);
    match ResponseDecoder::new(Limits::default(), false).decode(&mut buf) {
        Ok(Some(Event::Head(head))) => Some(head),
        _ => None,
    }
}

fn encoded(head: &ResponseHead) -> BytesMut {
    let mut buf = BytesMut::new();
    encode_response_head(&mut buf, head.status, &head.headers, head.length);
    buf
}

/// What we write is read as it was meant, and written the same again.
fn survives_being_written(head: &ResponseHead) {
    let bytes = encoded(head);
    let again = head_of(&bytes).expect("what we write can be read");
    assert_eq!(encoded(&again), bytes);
    assert_eq!(again.status, head.status);
    for (name, value) in &again.headers {
        let framing = [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
        assert!(framing || head.headers.get_all(name).iter().any(|v| v == value));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((whole, pieces)) = cut(input) else {
        return;
    };
    for to_head_request in [false, true] {
        assert_eq!(
            outcome(&[whole], to_head_request),
            outcome(&pieces, to_head_request)
        );
    }
    if let Some(head) = head_of(whole) {
        survives_being_written(&head);
    }
});
