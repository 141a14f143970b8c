//! The reading of what an image says about its functions; asking it and comparing it with what is
//! deployed take the rest of the room.

#![allow(dead_code, reason = "a deploy asks a problem more than a fuzzer does")]

#[path = "../src/index/problem.rs"]
mod problem;
#[path = "../src/index/read.rs"]
mod read;
#[path = "../src/index/value.rs"]
mod value;

pub use problem::Problem;
pub use read::{Declared, Index, MAX_FUNCTIONS, read};
