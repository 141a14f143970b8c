//! What Kiln and its functions say: the server's own log, and functions' logs to syslog.

mod logs;
mod scale_log;
mod syslog;

pub use logs::{LogsError, start as start_logs};
pub use scale_log::ScaleLines;
pub use syslog::{Syslog, SyslogEntry};
