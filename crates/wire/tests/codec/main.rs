//! The codec held to vectors, properties and every way of cutting its input.

mod encode;
mod harness;
mod limits;
mod properties;
mod request;
mod response;
mod vectors;
mod watch;
