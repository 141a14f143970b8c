#![no_main]

use std::ops::Range;

use kiln_fuzz::cut;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wire::{JsonError, JsonScanner};

/// What a reader acts on. A quoted message is as long as what had been read by then.
#[derive(Debug, PartialEq)]
enum Answer {
    Object(Range<usize>),
    More,
    NotAnObject,
    TooLong,
}

fn scan(pieces: &[&[u8]], limit: u64) -> Answer {
    let mut scanner = JsonScanner::new(limit);
    let mut buf = vec![];
    for piece in pieces {
        buf.extend_from_slice(piece);
        match scanner.scan(&buf) {
            Ok(None) => {}
            Ok(Some(range)) => {
                assert!(scanner.started());
                assert!(range.start < range.end && range.end <= buf.len());
                assert!(range.end as u64 <= limit);
                return Answer::Object(range);
            }
            Err(JsonError::NotAnObject { seen }) => {
                assert!(!seen.is_empty() && !seen.contains(char::is_control));
                return Answer::NotAnObject;
            }
            Err(JsonError::TooLong { limit: named }) => {
                assert_eq!(named, limit);
                return Answer::TooLong;
            }
        }
    }
    Answer::More
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The answer under a limit, from the answer without one.
fn limited(unlimited: &Answer, text: &[u8], limit: u64) -> Answer {
    let fits = |bytes: usize| bytes as u64 <= limit;
    let blank = text.iter().take_while(|byte| is_blank(byte)).count();
    match unlimited {
        Answer::Object(range) if fits(range.end) => Answer::Object(range.clone()),
        Answer::NotAnObject if fits(blank + 1) => Answer::NotAnObject,
        Answer::More if fits(text.len()) => Answer::More,
        _ => Answer::TooLong,
    }
}

/// A parser of JSON must agree about where an object ends.
fn agrees_with_a_parser(text: &[u8], answer: &Answer) {
    let blank = text.iter().take_while(|byte| is_blank(byte)).count();
    if text.get(blank) == Some(&b'{') {
        let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
        if let Some(Ok(_)) = stream.next() {
            assert_eq!(answer, &Answer::Object(blank..stream.byte_offset()));
        }
    }
    let Answer::Object(range) = answer else {
        return;
    };
    // The other way round: what was found, if it is JSON, is an object, and stays one when it is
    // written anew.
    if let Ok(value) = serde_json::from_slice::<Value>(&text[range.clone()]) {
        assert!(value.is_object());
        let mut anew = serde_json::to_vec(&value).expect("a value can be written");
        let length = anew.len();
        serde_json::from_slice::<Value>(&anew).expect("what was written can be read");
        anew.extend_from_slice(b"}{\"");
        assert_eq!(scan(&[&anew], u64::MAX), Answer::Object(0..length));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((text, pieces)) = cut(input) else {
        return;
    };
    let whole = scan(&[text], u64::MAX);
    assert_eq!(whole, scan(&pieces, u64::MAX));
    // The bytes that say where to cut also say where to stop.
    let limit = u64::from(input[0]) + u64::from(input[1]);
    assert_eq!(limited(&whole, text, limit), scan(&[text], limit));
    assert_eq!(limited(&whole, text, limit), scan(&pieces, limit));
    agrees_with_a_parser(text, &whole);
});
