//! What Kiln is about: apps, routes, functions, triggers, their limits and ids,
//! and the calls that were made.
//!
//! Plain data with validating constructors: no IO, no clock but [`Timestamp::now`], no HTTP.
//! Everything else in the crate may import this room; it imports nothing of ours.

mod app;
mod call;
mod callable;
mod container;
mod format;
mod function;
mod id;
mod limits;
mod methods;
mod nearest;
mod pattern;
mod route;
mod scale;
mod time;
mod values;

pub use app::{Annotations, App, Config, INVOKE_ENDPOINT, TRIGGER_ENDPOINT};
pub use call::{Call, CallStatus, CallTarget, FinishedCall, UnknownStatus};
pub use callable::{Callable, CallableId, STREAMING_ANNOTATION};
pub use container::ContainerLimits;
pub use format::{Format, UnknownFormat};
pub use function::{Function, Trigger};
pub use id::{AppId, CallId, FnId, InvalidId, TriggerId};
pub use limits::{
    DEFAULT_IDLE_TIMEOUT_SECS, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_SECS, InvalidCpus,
    MAX_ASYNC_ROUTE_TIMEOUT_SECS, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB, MAX_ROUTE_TIMEOUT_SECS,
    MAX_TIMEOUT_SECS, MilliCpus,
};
pub use methods::{InvalidMethods, METHODS_ANNOTATION, Methods};
pub use nearest::nearest;
pub use pattern::{InvalidPattern, Kind, Pattern, Segment};
pub use route::{InvocationType, Route, UnknownType, clean_path};
pub use scale::{
    DrainStatus, InvalidScale, SCALE_ANNOTATION, Scale, ScaleMode, ScaleSample, ScaleStatus, Usage,
};
pub use time::Timestamp;
pub use values::{InvalidValues, check_annotations, check_config};
