#![no_main]

use kiln_fuzz::{Outcome, cut, read};
use libfuzzer_sys::fuzz_target;
use wire::{Limits, ResponseDecoder, ResponseHead};

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
});
