//! One image declares many functions: asking it for them, judging the answer, and what an app
//! becomes by it.
//!
//! [`Indexer::ask`] runs one container of an image that says of itself that it can be asked, and
//! [`Answer`] is what it said. [`read`] turns an index into [`Declared`] functions and collects
//! every [`Problem`] there is; [`plan`] compares those with what an app has, and says what is to be
//! stored.
//!
//! Invariants:
//! - An image that does not say that it answers is not run: it would take the question for a call.
//! - The container that is asked sees no configuration and no network, serves no call, and is gone
//!   when its answer is.
//! - An answer is an index if its content type says so, whatever its status.
//! - Reading and planning do no IO: the same bytes and the same app give the same changes.
//! - A problem names the function and the field, the value and what is allowed.

mod ask;
#[cfg(test)]
pub(crate) mod ask_tests;
mod diff;
mod origin;
mod plan;
#[cfg(test)]
mod plan_tests;
mod problem;
mod read;
#[cfg(test)]
mod read_tests;
mod value;

pub use crate::launcher::Image;
pub use ask::{Answer, AskError, Asked, Indexer, LABEL, declares};
pub use diff::FieldChange;
pub use origin::origin;
pub use plan::{Choices, Outcome, Override, Plan, Row, plan};
pub use problem::Problem;
pub use read::{
    Declared, DeclaredTrigger, ExpectedValue, Expects, Index, MAX_ANSWER_BYTES, MAX_FUNCTIONS, read,
};
