//! How a call is put to a function, and how its answer is read: one file per format.
//!
//! A format is an [`Exchange`]: it drives one call over a [`Lane`](crate::pool::Lane) and says
//! whether the lane is clean afterwards. It knows no routes, no pools and no clients. Request
//! writing and response reading run at the same time: a function may answer before it has read
//! everything.

mod call;
mod cloudevent;
mod default;
mod exchange;
mod frame;
mod http;
mod http_stream;
mod io;
mod json;

pub use call::{
    CallRequest, ExchangeError, ExchangeLimits, Report, RequestBody, ResponseHead, Via,
};
pub use exchange::{Exchange, begin, channel, environment, refusal, with_deadline};
