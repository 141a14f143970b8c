//! The control plane in process, over a store in a temporary file.

mod calls;
mod faults;
mod server;
mod v1;
mod v2;
