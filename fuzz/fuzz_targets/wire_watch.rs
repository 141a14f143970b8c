#![no_main]

use bytes::BytesMut;
use kiln_fuzz::cut;
use libfuzzer_sys::fuzz_target;
use wire::{Event, Limits, RequestDecoder, RequestWatch};

const LIMITS: Limits = Limits {
    head_bytes: 512,
    target_bytes: 64,
    headers: 16,
    body_bytes: 1024,
    trailer_bytes: 64,
    interim: Limits::INTERIM,
    leading_bytes: Limits::LEADING_BYTES,
};

/// What passed. Which of two flaws is found first may depend on the cut, but not that there is one.
#[derive(Debug, PartialEq)]
struct Outcome {
    passed: usize,
    requests: u64,
    refused: bool,
    in_body: bool,
    over: bool,
}

fn outcome(pieces: &[&[u8]]) -> Outcome {
    let mut watch = RequestWatch::new(LIMITS);
    let mut buf = vec![];
    let (mut passed, mut refused) = (0, false);
    for piece in pieces {
        buf.extend_from_slice(piece);
        while !refused {
            let waiting = &buf[passed..];
            match watch.advance(waiting) {
                Ok(Some(length)) => {
                    assert!(length > 0 && length <= waiting.len());
                    passed += length;
                }
                Ok(None) => break,
                Err(_) => refused = true,
            }
        }
    }
    Outcome {
        passed,
        requests: watch.requests(),
        refused,
        in_body: watch.in_body(),
        over: watch.is_over(),
    }
}

/// What passes is what the decoder reads, to the byte: request after request, maybe without the end
/// of the last one's body.
fn decodes(passed: &[u8], seen: &Outcome) {
    let mut buf = BytesMut::from(passed);
    let mut heads = 0;
    let mut in_body = false;
    while !buf.is_empty() {
        let mut decoder = RequestDecoder::new(LIMITS);
        loop {
            let event = decoder.decode(&mut buf);
            match event.unwrap_or_else(|error| panic!("passed, but: {error}")) {
                Some(Event::Head(_)) => {
                    heads += 1;
                    in_body = true;
                }
                Some(Event::Data(_)) => {}
                Some(Event::End) => {
                    in_body = false;
                    break;
                }
                None => {
                    assert!(in_body, "half a head has passed");
                    assert!(buf.is_empty(), "more has passed than was understood");
                    break;
                }
            }
        }
    }
    assert_eq!(heads, seen.requests);
    if !seen.refused {
        assert_eq!(in_body, seen.in_body);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((whole, pieces)) = cut(input) else {
        return;
    };
    let seen = outcome(&[whole]);
    assert_eq!(seen, outcome(&pieces));
    decodes(&whole[..seen.passed], &seen);
});
