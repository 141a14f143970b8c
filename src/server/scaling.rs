//! What the rooms that do not see each other tell one another of scaling.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::api;
use crate::config::{ScaleLogTo, ScaleLogWhat, ScaleLogging};
use crate::invoke::Invoker;
use crate::launcher::Launcher;
use crate::model::{Callable, DrainStatus, ScaleStatus};
use crate::pool::{self, ScaleLog};
use crate::telemetry;

/// What the API shows of the invoker's pools and of what they are made with.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) invoker: Arc<Invoker>,
    pub(super) launcher: Arc<dyn Launcher>,
}

#[async_trait]
impl api::Runner for Pools {
    async fn scale(&self, callable: &Callable) -> ScaleStatus {
        self.invoker.scaling(callable).await
    }

    fn health(&self) -> api::Health {
        api::Health {
            launcher: self.launcher.kind(),
            stdio: self.launcher.stdio(),
            engine_answers: self.launcher.engine_answers(),
        }
    }

    fn drain(&self) {
        self.invoker.drain();
    }

    fn resume(&self) {
        self.invoker.resume();
    }

    fn draining(&self) -> DrainStatus {
        self.invoker.draining()
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
