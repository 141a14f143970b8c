//! What the rooms that do not see each other tell one another of scaling.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::api;
use crate::config::{ScaleLogTo, ScaleLogWhat, ScaleLogging};
use crate::invoke::Invoker;
use crate::model::{Callable, ScaleStatus};
use crate::pool::{self, ScaleLog};
use crate::telemetry;

/// What the API shows of the invoker's pools.
#[derive(Debug)]
pub(super) struct Pools(pub(super) Arc<Invoker>);

#[async_trait]
impl api::Scaling for Pools {
    async fn status(&self, callable: &Callable) -> ScaleStatus {
        self.0.scaling(callable).await
    }
}

#[derive(Debug)]
struct Lines(telemetry::ScaleLines);

impl pool::ScaleLines for Lines {
    fn line(&self, line: &str) {
        self.0.write(line);
    }
}

/// Where decisions are written down, if anywhere.
pub(super) fn log(settings: ScaleLogging, data: &Path) -> std::io::Result<Option<ScaleLog>> {
    if settings.what == ScaleLogWhat::None {
        return Ok(None);
    }
    let lines = match settings.to {
        ScaleLogTo::Stderr => telemetry::ScaleLines::to_stderr(),
        ScaleLogTo::File => telemetry::ScaleLines::to_file(&data.join("scale.log"))?,
    };
    Ok(Some(ScaleLog {
        lines: Arc::new(Lines(lines)),
        every: settings.what == ScaleLogWhat::Verbose,
    }))
}
