//! What may be stored, and the texts that Fn's clients know for what may not.
//!
//! A draft holds a resource as a client may write it: unknown formats, times out of range. Create
//! and update both fill a draft and get the model from it, so both know the same rules, in the
//! order in which Fn checks them: a client that compares texts sees the first fault only.

mod app;
mod function;
mod route;
mod shared;
mod trigger;

pub(super) use app::{AppDraft, name as check_app_name};
pub(super) use function::FunctionDraft;
pub(super) use route::RouteDraft;
pub(super) use shared::{is_image, shape};
pub(super) use trigger::{HTTP, TriggerDraft};
