//! Feeds a decoder its input in pieces and writes down what came out.

use std::fmt::Debug;

use bytes::BytesMut;
use wire::{
    BodyLength, DecodeError, Event, Limits, RequestDecoder, RequestHead, ResponseDecoder,
    ResponseHead,
};

/// Everything a reader could observe, except where the input was cut.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) head: Option<String>,
    pub(crate) length: Option<BodyLength>,
    pub(crate) body: Vec<u8>,
    /// Bytes beyond the message.
    pub(crate) rest: Vec<u8>,
    pub(crate) error: Option<DecodeError>,
}

impl Outcome {
    /// The variant of the error: how much of the input its text shows depends on the reads.
    pub(crate) fn fault(&self) -> Option<String> {
        let text = format!("{:?}", self.error.as_ref()?);
        text.split(|c: char| !c.is_alphanumeric())
            .next()
            .map(str::to_owned)
    }

    fn comparable(&self) -> impl PartialEq + Debug + use<> {
        let cut = self
            .error
            .as_ref()
            .filter(|e| matches!(e, DecodeError::Truncated { .. }));
        // After an error the surplus means nothing.
        let rest = self.error.is_none().then(|| self.rest.clone());
        (
            self.head.clone(),
            self.length,
            self.body.clone(),
            rest,
            self.fault(),
            cut.cloned(),
        )
    }
}

pub(crate) trait Decode {
    type Head;
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Event<Self::Head>>, DecodeError>;
    fn eof(&self, buf: &BytesMut) -> DecodeError;
    fn describe(head: &Self::Head) -> (String, BodyLength);
}

impl Decode for ResponseDecoder {
    type Head = ResponseHead;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Event<ResponseHead>>, DecodeError> {
        self.decode(buf)
    }

    fn eof(&self, buf: &BytesMut) -> DecodeError {
        self.eof(buf)
    }

    fn describe(head: &ResponseHead) -> (String, BodyLength) {
        (
            format!("{} {:?}", head.status.as_str(), head.headers),
            head.length,
        )
    }
}

impl Decode for RequestDecoder {
    type Head = RequestHead;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Event<RequestHead>>, DecodeError> {
        self.decode(buf)
    }

    fn eof(&self, buf: &BytesMut) -> DecodeError {
        self.eof(buf)
    }

    fn describe(head: &RequestHead) -> (String, BodyLength) {
        (
            format!("{} {} {:?}", head.method, head.target, head.headers),
            head.length,
        )
    }
}

/// Reads one message from `pieces`, then the end of the stream.
pub(crate) fn read<D: Decode>(mut decoder: D, pieces: &[&[u8]]) -> Outcome {
    let mut outcome = Outcome {
        head: None,
        length: None,
        body: vec![],
        rest: vec![],
        error: None,
    };
    let mut buf = BytesMut::new();
    let mut over = false;
    for piece in pieces {
        buf.extend_from_slice(piece);
        while !over {
            match decoder.decode(&mut buf) {
                Ok(None) => break,
                Ok(Some(Event::Head(head))) => {
                    let (text, length) = D::describe(&head);
                    assert!(outcome.head.replace(text).is_none(), "one head per message");
                    outcome.length = Some(length);
                }
                Ok(Some(Event::Data(data))) => {
                    assert!(outcome.head.is_some(), "data comes after the head");
                    assert!(!data.is_empty(), "data is never empty");
                    outcome.body.extend_from_slice(&data);
                }
                Ok(Some(Event::End)) => over = true,
                Err(error) => {
                    outcome.error = Some(error);
                    over = true;
                }
            }
        }
    }
    if !over {
        outcome.error = Some(decoder.eof(&buf));
    } else {
        assert!(
            matches!(decoder.decode(&mut buf), Ok(None)),
            "nothing after the end"
        );
    }
    outcome.rest = buf.to_vec();
    outcome
}

/// Reads `input` whole, byte by byte and in two parts at every place; all must agree.
pub(crate) fn read_every_way<D: Decode>(new: impl Fn() -> D, input: &[u8]) -> Outcome {
    let whole = read(new(), &[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(
        read(new(), &bytes).comparable(),
        whole.comparable(),
        "byte by byte"
    );
    for at in 0..=input.len() {
        let (left, right) = input.split_at(at);
        assert_eq!(
            read(new(), &[left, right]).comparable(),
            whole.comparable(),
            "cut at {at}"
        );
    }
    whole
}

pub(crate) fn response(input: &[u8]) -> Outcome {
    read_every_way(|| ResponseDecoder::new(Limits::default(), false), input)
}

pub(crate) fn request(input: &[u8]) -> Outcome {
    read_every_way(|| RequestDecoder::new(Limits::default()), input)
}

/// Asserts the body and the surplus of a message that must be accepted.
pub(crate) fn accepted(outcome: &Outcome, body: &[u8], rest: &[u8], name: &str) {
    assert_eq!(outcome.error, None, "{name}");
    assert_eq!(
        outcome.body.escape_ascii().to_string(),
        body.escape_ascii().to_string(),
        "{name}"
    );
    assert_eq!(
        outcome.rest.escape_ascii().to_string(),
        rest.escape_ascii().to_string(),
        "{name}"
    );
}
