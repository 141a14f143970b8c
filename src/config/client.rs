use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::config::env::{Env, SettingError, refused};
use crate::config::manifest::one_line;

const DEFAULT_API_URL: &str = "http://localhost:8080";

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
    #[error("{path}: {reason}")]
    Syntax { path: String, reason: String },
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

/// `~/.fn/config.yaml`; keys of other tools are none of our business.
#[derive(Deserialize, Default)]
struct GlobalFile {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
}

/// `~/.fn/contexts/<name>.yaml`.
#[derive(Deserialize, Default)]
struct ContextFile {
    #[serde(rename = "api-url")]
    api_url: Option<String>,
    registry: Option<String>,
}

impl ClientConfig {
    /// Reads the environment and the context files below `home`.
    pub fn load(env: &Env<'_>, home: Option<&Path>) -> Result<Self, ClientConfigError> {
        let fn_dir = home.map(|home| home.join(".fn"));
        let context = read_context(env, fn_dir.as_deref())?;
        let url = env.text("FN_API_URL")?;
        let source = if url.is_some() {
            "FN_API_URL"
        } else {
            "api-url"
        };
        let api_url = match url.or(context.api_url).filter(|url| !url.is_empty()) {
            Some(url) => base_url(source, &url)?,
            None => DEFAULT_API_URL.to_owned(),
        };
        let registry = env.text("FN_REGISTRY")?.or(context.registry);
        let data_dir = match (env.path("FN_DATA_DIR")?, fn_dir) {
            (Some(dir), _) => dir,
            (None, Some(dir)) => dir.join("data"),
            (None, None) => PathBuf::from("data"),
        };
        Ok(Self {
            api_url,
            registry: registry.filter(|text| !text.is_empty()),
            token: env.text("FN_TOKEN")?,
            data_dir: std::path::absolute(&data_dir).unwrap_or(data_dir),
        })
    }
}

fn read_context(env: &Env<'_>, fn_dir: Option<&Path>) -> Result<ContextFile, ClientConfigError> {
    let Some(fn_dir) = fn_dir else {
        return Ok(ContextFile::default());
    };
    let asked = env.text("FN_CONTEXT")?;
    let name = match &asked {
        Some(name) => Some(name.clone()),
        None => {
            read_yaml::<GlobalFile>(&fn_dir.join("config.yaml"))?
                .unwrap_or_default()
                .current_context
        }
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(ContextFile::default());
    };
    if name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return Err(refused("FN_CONTEXT", &name, "the name of a context").into());
    }
    let path = fn_dir.join("contexts").join(format!("{name}.yaml"));
    match read_yaml(&path)? {
        Some(context) => Ok(context),
        // Fn always has a context called default, whether or not somebody wrote its file.
        None if name == "default" => Ok(ContextFile::default()),
        None => Err(ClientConfigError::NoContext {
            name,
            path: path.display().to_string(),
        }),
    }
}

fn read_yaml<T: Default + for<'de> Deserialize<'de>>(
    path: &Path,
) -> Result<Option<T>, ClientConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ClientConfigError::Read {
                path: path.display().to_string(),
                source,
            });
        }
    };
    if text.trim().is_empty() {
        return Ok(Some(T::default()));
    }
    serde_yaml::from_str(&text)
        .map(Some)
        .map_err(|error| ClientConfigError::Syntax {
            path: path.display().to_string(),
            reason: one_line(&error.to_string()),
        })
}

/// `host:port`, with or without a scheme and with the `/v1` that old contexts store.
fn base_url(name: &str, text: &str) -> Result<String, SettingError> {
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
