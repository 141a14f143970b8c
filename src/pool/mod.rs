//! Keeps hot containers: one pool per function revision.
//!
//! [`Pool::check_out`] gives a [`Slot`]: one container, for one call. The call either gives it
//! back clean or retires it; a slot that is dropped after its call began is retired.
//!
//! Invariants:
//! - One call in flight per container; a container has at most one owner at any time.
//! - Waiters are served first come, first served; idle containers last in, first out, so that
//!   surplus ages out.
//! - A reaper claims a container by taking it out of the state under the lock; nothing looks at
//!   a container first and kills it later.
//! - `state.rs` does no IO and knows no clock.
//! - The hot path spawns nothing and holds no lock across an await.

mod driver;
mod lane;
mod reaper;
mod state;

pub use driver::{Pool, PoolConfig, PoolError, Slot, Starts};
pub use lane::Lane;
pub use state::Counts;
