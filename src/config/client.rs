use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::context::Contexts;
use crate::config::env::{Env, SettingError, refused};

/// The server of those who name none.
pub const DEFAULT_API_URL: &str = "http://localhost:8080";

/// The command line's own settings cannot be used.
#[derive(Debug, Error)]
pub enum ClientConfigError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("context {name} has no file {path}")]
    NoContext { name: String, path: String },
    #[error("cannot read {path}")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path}: {reason}")]
    Syntax { path: String, reason: String },
    #[error("context {name} exists already")]
    Exists { name: String },
    #[error("context {name} is in use")]
    InUse { name: String },
    #[error("no context is in use")]
    NoneInUse,
    #[error("context {name} has no {key}")]
    NoKey { name: String, key: String },
    #[error("contexts are kept in ~/.fn, and HOME is not set")]
    NoHome,
}

/// What the command line talks to.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Base URL of the server, without `/v1` and without a trailing slash.
    pub api_url: String,
    /// Registry and owner that images are tagged with, e.g. `registry.example.com/team`.
    pub registry: Option<String>,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// Where binaries for the process launcher are kept; absolute.
    pub data_dir: PathBuf,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("api_url", &self.api_url)
            .field("registry", &self.registry)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("data_dir", &self.data_dir)
            .finish()
    }
}

impl ClientConfig {
    /// Reads the environment and the context files below `home`.
    pub fn load(env: &Env<'_>, home: Option<&Path>) -> Result<Self, ClientConfigError> {
        let fn_dir = home.map(|home| home.join(".fn"));
        let context = Contexts::open(env, home)?.current()?;
        let (context_url, context_registry) = match context {
            Some(context) => (context.api_url, context.registry),
            None => (None, None),
        };
        let url = env.text("FN_API_URL")?;
        let source = if url.is_some() {
            "FN_API_URL"
        } else {
            "api-url"
        };
        let api_url = match url.or(context_url) {
            Some(url) => base_url(source, &url)?,
            None => DEFAULT_API_URL.to_owned(),
        };
        let registry = env.text("FN_REGISTRY")?.or(context_registry);
        let data_dir = match (env.path("FN_DATA_DIR")?, fn_dir) {
            (Some(dir), _) => dir,
            (None, Some(dir)) => dir.join("data"),
            (None, None) => PathBuf::from("data"),
        };
        Ok(Self {
            api_url,
            registry,
            token: env.text("FN_TOKEN")?,
            data_dir: std::path::absolute(&data_dir).unwrap_or(data_dir),
        })
    }
}

/// `host:port`, with or without a scheme and with the `/v1` that old contexts store.
pub(super) fn base_url(name: &str, text: &str) -> Result<String, SettingError> {
    let expected = "a URL such as http://localhost:8080";
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url).trim_end_matches('/');
    let parsed: http::Uri = url.parse().map_err(|_| refused(name, text, expected))?;
    let known = matches!(parsed.scheme_str(), Some("http" | "https"));
    if !known || parsed.host().is_none_or(str::is_empty) {
        return Err(refused(name, text, expected));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)], home: &Path) -> Result<ClientConfig, ClientConfigError> {
        let lookup = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        ClientConfig::load(&Env::new(&lookup), Some(home))
    }

    #[test]
    fn addresses_are_taken_in_every_form_that_people_write() {
        for (text, url) in [
            ("localhost:8080", "http://localhost:8080"),
            ("http://localhost:8080/v1", "http://localhost:8080"),
            ("https://fn.example.com/", "https://fn.example.com"),
            ("fn.example.com/base/v1/", "http://fn.example.com/base"),
            ("http://[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(base_url("FN_API_URL", text).unwrap(), url);
        }
        for text in ["ftp://x", "http://", "a b", "://"] {
            assert!(base_url("FN_API_URL", text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_environment_wins_over_the_context_and_the_context_over_the_default() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(load(&[], home.path()).unwrap().api_url, DEFAULT_API_URL);
        let contexts = home.path().join(".fn/contexts");
        std::fs::create_dir_all(&contexts).unwrap();
        std::fs::write(
            home.path().join(".fn/config.yaml"),
            "cli-version: 0.6.1\ncurrent-context: team\n",
        )
        .unwrap();
        std::fs::write(
            contexts.join("team.yaml"),
            "api-url: http://team:8080/v1\nprovider: default\nregistry: r/team\n",
        )
        .unwrap();
        let config = load(&[], home.path()).unwrap();
        assert_eq!(config.api_url, "http://team:8080");
        assert_eq!(config.registry.as_deref(), Some("r/team"));
        assert!(config.data_dir.ends_with(".fn/data"));
        let config = load(&[("FN_API_URL", "other:1")], home.path()).unwrap();
        assert_eq!(config.api_url, "http://other:1");
        assert_eq!(config.registry.as_deref(), Some("r/team"));
    }

    #[test]
    fn a_context_that_does_not_exist_is_named() {
        let home = tempfile::tempdir().unwrap();
        let error = load(&[("FN_CONTEXT", "nope")], home.path()).unwrap_err();
        assert!(error.to_string().starts_with("context nope has no file "));
        assert!(load(&[("FN_CONTEXT", "../x")], home.path()).is_err());
        assert!(load(&[("FN_CONTEXT", "default")], home.path()).is_ok());
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let home = tempfile::tempdir().unwrap();
        let config = load(&[("FN_TOKEN", "s3cret")], home.path()).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
