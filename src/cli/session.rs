use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::cli::client::Api;
use crate::cli::output;
use crate::config::{ClientConfig, ClientConfigError, Contexts, Env, variable};

/// What every command starts from: the flags that all of them take.
#[derive(Debug, Default, Args)]
pub(super) struct Start {
    /// Show what the tools underneath say.
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Use this context, whichever one is in use [env: FN_CONTEXT].
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// What tests put in the place of the environment; nobody is there to be asked then.
    #[arg(skip)]
    stand_in: Option<BTreeMap<String, String>>,
}

impl Start {
    /// For commands that talk to a server.
    pub(super) fn session(&self) -> anyhow::Result<Session> {
        let home = self.home();
        let lookup = |name: &str| self.variable(name);
        let config = ClientConfig::load(&Env::new(&lookup), home.as_deref())?;
        let docker_config = self
            .variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| home.map(|home| home.join(".docker")));
        Ok(Session {
            api: Api::new(&config.api_url, config.token.as_deref())?,
            config,
            verbose: self.verbose,
            interactive: self.is_interactive(),
            docker_host: self.variable("DOCKER_HOST"),
            docker_config,
        })
    }

    /// For commands that have to work where the settings do not.
    pub(super) fn local(&self) -> Result<Local, ClientConfigError> {
        let lookup = |name: &str| self.variable(name);
        Ok(Local {
            contexts: Contexts::open(&Env::new(&lookup), self.home().as_deref())?,
            interactive: self.is_interactive(),
        })
    }

    /// The flag stands in for the variable, and for the file that would give it.
    fn variable(&self, name: &str) -> Option<String> {
        match (name, &self.context) {
            ("FN_CONTEXT", Some(context)) => Some(context.clone()),
            ("FN_CONTEXT_FILE", Some(_)) => None,
            _ => match &self.stand_in {
                Some(stand_in) => stand_in.get(name).cloned(),
                None => variable(name),
            },
        }
    }

    fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    fn is_interactive(&self) -> bool {
        self.stand_in.is_none() && output::is_interactive()
    }

    #[cfg(test)]
    pub(super) fn set_environment(&mut self, variables: &[(&str, &str)]) {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.stand_in = Some(owned.collect());
    }
}

/// What commands need that only look after this machine's own files.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) contexts: Contexts,
    /// Whether somebody can be asked.
    pub(super) interactive: bool,
}

/// What every command that talks to a server needs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: ClientConfig,
    pub(super) api: Api,
    pub(super) verbose: bool,
    /// Whether somebody can be asked.
    pub(super) interactive: bool,
    pub(super) docker_host: Option<String>,
    /// Where `docker login` keeps its file.
    pub(super) docker_config: Option<PathBuf>,
}
