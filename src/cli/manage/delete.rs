use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output;

/// What a deletion needs to know.
#[derive(Debug, Args)]
pub(super) struct DeleteFlags {
    /// Delete without asking.
    #[arg(short, long)]
    force: bool,
    // The server deletes what is below in any case; scripts of Fn's users say it.
    #[arg(short, long, hide = true)]
    recursive: bool,
}

impl DeleteFlags {
    /// Fails where nobody can be asked; comes before the first request.
    pub(super) fn check(&self, interactive: bool) -> Result<(), Failure> {
        if self.force || interactive {
            return Ok(());
        }
        Err(Failure::new("nobody is here to confirm the deletion")
            .hint("delete without being asked with --force"))
    }

    /// Whether there will be a question. What is not there is not asked about.
    pub(super) fn asks(&self) -> bool {
        !self.force
    }

    /// Asks unless told not to.
    pub(super) async fn confirm(&self, what: String) -> anyhow::Result<()> {
        if self.force {
            return Ok(());
        }
        let question = format!("Delete {what}?");
        // The terminal is read by blocking calls.
        if tokio::task::spawn_blocking(move || output::confirm(&question)).await?? {
            return Ok(());
        }
        Err(Failure::new("nothing was deleted")
            .hint("answer y, or use --force")
            .into())
    }
}
