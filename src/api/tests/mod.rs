//! The control plane in process, over a store in a temporary file.

mod calls;
mod contract;
mod deletes;
mod faults;
mod golden;
mod hostile;
mod index;
mod server;
mod v1;
mod v2;
