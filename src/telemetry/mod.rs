//! What Kiln says about itself: its log.

mod logs;

pub use logs::{LogsError, start as start_logs};
