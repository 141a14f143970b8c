use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::failure::Failure;
use crate::config::{Env, LauncherKind, ServerConfig, log_filter, setting};
use crate::server::ServerError;

/// Flags win over the environment; everything else comes from the environment alone.
#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// Address to listen on [env: FN_HOST] [default: 127.0.0.1].
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port to listen on, 0 for any [env: FN_PORT] [default: 8080].
    #[arg(short, long)]
    port: Option<u16>,
    /// What to log: error, warn, info, debug or trace [env: FN_LOG_LEVEL] [default: info].
    #[arg(long)]
    log_level: Option<String>,
    /// What runs the functions [env: FN_LAUNCHER] [default: auto].
    #[arg(long)]
    launcher: Option<LauncherArg>,
    /// Folder for everything the server keeps [env: FN_DATA_DIR] [default: ./data].
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LauncherArg {
    Auto,
    Docker,
    Process,
}

impl From<LauncherArg> for LauncherKind {
    fn from(arg: LauncherArg) -> Self {
        match arg {
            LauncherArg::Auto => Self::Auto,
            LauncherArg::Docker => Self::Docker,
            LauncherArg::Process => Self::Process,
        }
    }
}

pub(super) async fn run(args: &StartArgs) -> anyhow::Result<()> {
    let cwd = std::env::current_dir().context("cannot tell the current folder")?;
    let mut config = ServerConfig::from_env(&Env::new(&setting), &cwd)?;
    args.apply(&mut config, &cwd);
    crate::server::run(config).await.map_err(|error| {
        let hint = hint(&error);
        let failure = Failure::new("the server cannot run").because(error);
        match hint {
            Some(hint) => failure.hint(hint).into(),
            None => failure.into(),
        }
    })
}

/// What to do where the error does not say it.
fn hint(error: &ServerError) -> Option<&'static str> {
    match error {
        ServerError::Store(_) => {
            Some("see whether the database that FN_DB_URL names is there and lets us in")
        }
        ServerError::Launcher(_) => {
            Some("start the engine, or run functions as processes with --launcher process")
        }
        ServerError::DataDir { .. } => Some("choose another folder with --data-dir"),
        _ => None,
    }
}

impl StartArgs {
    fn apply(&self, config: &mut ServerConfig, cwd: &std::path::Path) {
        if let Some(host) = self.host {
            config.host = host;
        }
        if let Some(port) = self.port {
            config.port = port;
        }
        if let Some(level) = &self.log_level {
            config.log_level = log_filter(level);
        }
        if let Some(launcher) = self.launcher {
            config.launcher = launcher.into();
        }
        if let Some(dir) = &self.data_dir {
            config.move_data_to(cwd.join(dir));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_win_over_the_environment() {
        let lookup = |name: &str| (name == "FN_PORT").then(|| "1".to_owned());
        let cwd = Path::new("/srv");
        let mut config = ServerConfig::from_env(&Env::new(&lookup), cwd).unwrap();
        let args = StartArgs {
            host: Some([0, 0, 0, 0].into()),
            port: Some(9000),
            log_level: Some("Warning".to_owned()),
            launcher: Some(LauncherArg::Process),
            data_dir: Some("state".into()),
        };
        args.apply(&mut config, cwd);
        assert_eq!(
            (config.port, config.launcher),
            (9000, LauncherKind::Process)
        );
        assert_eq!(config.log_level, "warn");
        assert_eq!(config.db_url, "sqlite3:///srv/state/fn.db");
    }
}
