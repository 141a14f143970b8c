use std::io::IsTerminal as _;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// The engine's client logs whole requests at debug level, and those hold functions' secrets.
const ALWAYS: [&str; 3] = ["bollard=info", "hyper=info", "sqlx=warn"];

/// The log cannot be started.
#[derive(Debug, Error)]
#[error(
    "FN_LOG_LEVEL {filter:?} is not allowed, expected error, warn, info, debug, trace or a list of TARGET=LEVEL"
)]
pub struct LogsError {
    filter: String,
}

/// Starts the log on stderr. A second start in one process keeps the first.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogsError> {
    let mut directives = EnvFilter::try_new(filter).map_err(|_| LogsError {
        filter: filter.to_owned(),
    })?;
    for directive in ALWAYS {
        directives = directives.add_directive(directive.parse().map_err(|_| LogsError {
            filter: directive.to_owned(),
        })?);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(directives)
        .with_writer(std::io::stderr)
        // Or a task would panic at each line once nobody reads stderr any more.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
    Ok(())
}
