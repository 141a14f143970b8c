//! How a call is put to a function, and how its answer is read: one file per format.
//!
//! A format drives one exchange over a [`Lane`](crate::pool::Lane) and says whether the lane is
//! clean afterwards. It knows no routes, no pools and no clients. Request writing and response
//! reading run at the same time: a function may answer before it has read everything.

mod call;
mod http;

pub use self::call::{Answer, CallRequest, CallResponse, ExchangeError, ExchangeLimits};
pub use self::http::exchange as exchange_http;
