//! Keeps hot containers: one pool per function revision.
//!
//! [`Pool::check_out`] gives a [`Slot`]: one container, for one call. The call either gives it
//! back clean or retires it; a slot that is dropped after its call began is retired.
//!
//! How many containers there should be is for `scale.rs` to say, and `record.rs` tells why. Who may
//! start the next one, and whose idle ones make room for it, is for `resources.rs`.
//!
//! Invariants:
//! - One call in flight per container; a container has at most one owner at any time.
//! - Waiters are served first come, first served; idle containers last in, first out, so that
//!   surplus ages out. Both but for a few that are on the same thread as who they are for.
//! - A reaper claims a container by taking it out of the state under the lock; nothing looks at
//!   a container first and kills it later.
//! - `state.rs`, `scale.rs`, `resources.rs` and `backoff.rs` do no IO and know no clock.
//! - All containers together take no more than there is for them; of two functions that ask for
//!   more, the one that holds less comes first.
//! - There are never more containers than the maximum, and no busy one is ended to have fewer.
//! - The hot path spawns nothing and holds no lock across an await.

mod backoff;
mod driver;
mod lane;
mod reaper;
mod record;
mod resources;
mod scale;
mod slot;
mod starts;
mod state;
mod turnover;

pub use driver::{Failure, Pool, PoolConfig, PoolError};
pub use lane::Lane;
pub use record::{ScaleLines, ScaleLog};
pub use resources::Resources;
pub use slot::Slot;
pub use starts::Starts;
pub use state::Counts;
