#![no_main]

use kiln_fuzz::{Outcome, cut, read};
use libfuzzer_sys::fuzz_target;
use wire::{Limits, RequestDecoder, RequestHead};

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

fuzz_target!(|input: &[u8]| {
    let Some((whole, pieces)) = cut(input) else {
        return;
    };
    assert_eq!(outcome(&[whole]), outcome(&pieces));
});
