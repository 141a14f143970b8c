//! Reads one message from pieces of input; what comes out must not depend on the pieces.

use std::fmt::Debug;
use std::mem::{Discriminant, discriminant};

use bytes::BytesMut;
use wire::{BodyLength, DecodeError, Event};

/// What a reader can observe of a message, except how its data was cut.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    head: Option<String>,
    body: Vec<u8>,
    rest: Option<Vec<u8>>,
    error: Option<Discriminant<DecodeError>>,
}

/// Feeds `pieces` to `decode`, one read each, and notes what comes out.
pub fn read<H: Debug>(
    pieces: &[&[u8]],
    length: fn(&H) -> BodyLength,
    mut decode: impl FnMut(&mut BytesMut) -> Result<Option<Event<H>>, DecodeError>,
) -> Outcome {
    let mut outcome = Outcome {
        head: None,
        body: vec![],
        rest: None,
        error: None,
    };
    let mut buf = BytesMut::new();
    let mut declared = None;
    let mut over = false;
    for piece in pieces {
        buf.extend_from_slice(piece);
        while !over {
            match decode(&mut buf) {
                Ok(None) => break,
                Ok(Some(Event::Head(head))) => {
                    declared = Some(length(&head));
                    outcome.head = Some(format!("{head:?}"));
                }
                Ok(Some(Event::Data(data))) => outcome.body.extend_from_slice(&data),
                Ok(Some(Event::End)) => over = true,
                Err(error) => {
                    outcome.error = Some(discriminant(&error));
                    over = true;
                }
            }
        }
    }
    let have = outcome.body.len() as u64;
    match declared {
        Some(BodyLength::Known(bytes)) => assert!(have <= bytes),
        Some(BodyLength::Chunked) => {}
        Some(BodyLength::Empty) | None => assert_eq!(have, 0),
    }
    outcome.rest = outcome.error.is_none().then(|| buf.to_vec());
    outcome
}

/// Splits `input` into reads as its first bytes say, and returns the rest whole and in pieces.
pub fn cut(input: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (sizes, message) = input.split_at_checked(4)?;
    let mut pieces = vec![];
    let mut left = message;
    for size in sizes.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (piece, more) = left.split_at(left.len().min(usize::from(*size) + 1));
        pieces.push(piece);
        left = more;
    }
    Some((message, pieces))
}
