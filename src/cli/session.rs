use std::path::PathBuf;

use crate::cli::client::Api;
use crate::config::{ClientConfig, Env, variable};

/// What every command that talks to a server needs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: ClientConfig,
    pub(super) api: Api,
    pub(super) verbose: bool,
    pub(super) docker_host: Option<String>,
    /// Where `docker login` keeps its file.
    pub(super) docker_config: Option<PathBuf>,
}

impl Session {
    pub(super) fn open(verbose: bool) -> anyhow::Result<Self> {
        let home = variable("HOME").map(PathBuf::from);
        let config = ClientConfig::load(&Env::new(&variable), home.as_deref())?;
        let docker_config = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| home.map(|home| home.join(".docker")));
        Ok(Self {
            api: Api::new(&config.api_url, config.token.as_deref())?,
            config,
            verbose,
            docker_host: variable("DOCKER_HOST"),
            docker_config,
        })
    }
}
