//! The data plane: accepts connections, matches `/r`, `/t` and `/invoke` against the snapshot,
//! and turns responses and faults into HTTP.
//!
//! [`serve`] is the entry point. Everything that is not an invocation goes to the control plane,
//! which this room knows as a plain service.
//!
//! Invariants:
//! - A request's body is read, within bounds, before a container is taken: a slow caller holds
//!   no container, but for functions that ask for bodies as they come.
//! - hyper sees only requests that the guard has found sound, byte by byte; at the first flaw the
//!   connection ends.
//! - No caller holds a connection by being slow: heads, bodies, pauses and the taking of a response
//!   have their times.
//! - Heads are re-serialised, never passed on raw; hop-by-hop headers stop here, and callers
//!   cannot set the platform's own.
//! - Every reply to an invocation carries the call's id in both spellings.
//! - This room and `api` alone know HTTP statuses.

mod answers;
mod body;
mod cors;
mod guard;
mod handle;
mod headers;
mod relay;
mod respond;
mod serve;
mod sniff;
mod target;
mod vigil;
mod workers;

pub use cors::Cors;
pub use guard::Timeouts;
pub use handle::{Control, Gateway, GatewayConfig, control};
pub use serve::{Stop, serve};
pub use workers::Workers;
