//! Sans-IO HTTP/1.1 codec for functions that are called over stdin and stdout.
//!
//! A decoder pulls events out of one persistent [`BytesMut`] per connection; an encoder appends to
//! one. Neither does IO nor knows a clock, so both sides of the pipe (the gateway and the FDK), the
//! tests and the fuzzer share the same code.
//!
//! What holds for every decoder:
//!
//! - A decoder lives for one message; [`RequestWatch`], which only looks on, for one connection.
//!   After [`Event::End`] it yields nothing more, and bytes beyond the message stay in the buffer:
//!   whoever owns the connection decides what surplus means.
//! - Parsing is strict. A head is refused for anything on which two parsers could disagree, such as
//!   bare line feeds or two lengths (RFC 9112 sections 2.2, 5.2 and 6.3).
//! - Nothing is allocated from a length that the peer declared, and everything is bounded by
//!   [`Limits`].
//! - The result does not depend on how the input is cut into reads.
//!
//! ```
//! use bytes::BytesMut;
//! use wire::{Event, Limits, ResponseDecoder};
//!
//! let mut buf = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
//! let mut decoder = ResponseDecoder::new(Limits::default(), false);
//! while let Some(event) = decoder.decode(&mut buf)? {
//!     match event {
//!         Event::Head(head) => assert_eq!(head.status, 200),
//!         Event::Data(data) => assert_eq!(data, "hello"),
//!         Event::End => assert!(buf.is_empty(), "the function wrote more than it declared"),
//!     }
//! }
//! # Ok::<(), wire::DecodeError>(())
//! ```
//!
//! [`BytesMut`]: bytes::BytesMut
#![warn(missing_docs)]

mod body;
mod encode;
mod error;
mod head;
mod json;
mod limits;
mod message;
mod names;
mod request;
mod response;
mod rules;
mod scan;
mod watch;

pub use encode::{encode_chunk, encode_last_chunk, encode_request_head, encode_response_head};
pub use error::{Cut, DecodeError};
pub use head::{BodyLength, RequestHead, ResponseHead};
pub use json::{JsonError, JsonScanner};
pub use limits::Limits;
pub use message::Event;
pub use request::RequestDecoder;
pub use response::ResponseDecoder;
pub use watch::RequestWatch;
