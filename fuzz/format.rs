//! As much of the room `format` as the matching of paths names.

#![allow(dead_code, reason = "one type of the file is used here")]

#[path = "../src/format/call.rs"]
mod call;

pub use call::Via;
