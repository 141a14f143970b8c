use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use crate::config::client::{ClientConfigError, base_url};
use crate::config::env::{Env, refused};
use crate::config::manifest::one_line;

/// Fn always has this one, whether or not somebody wrote its file.
const DEFAULT: &str = "default";
const CURRENT: &str = "current-context";
const API_URL: &str = "api-url";
const REGISTRY: &str = "registry";
const PROVIDER: &str = "provider";

type Result<T> = std::result::Result<T, ClientConfigError>;

/// A named server to talk to, kept in `~/.fn/contexts/<name>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub name: String,
    /// Whether commands use it now.
    pub current: bool,
    pub provider: Option<String>,
    /// As it was written; commands use it without `/v1` and with a scheme.
    pub api_url: Option<String>,
    pub registry: Option<String>,
}

/// The contexts of a person, in Fn's own layout, so that both tools can share them.
///
/// Keys that other tools keep in these files survive every change.
#[derive(Clone, Debug)]
pub struct Contexts {
    /// `~/.fn`; nobody can keep contexts without a home.
    dir: Option<PathBuf>,
    asked: Option<String>,
}

impl Contexts {
    /// The contexts below `home`; `FN_CONTEXT` names the one to use in place of the current one.
    pub fn open(env: &Env<'_>, home: Option<&Path>) -> Result<Self> {
        Ok(Self {
            dir: home.map(|home| home.join(".fn")),
            asked: env.text("FN_CONTEXT")?,
        })
    }

    /// The context that was asked for this time, whatever the file says.
    pub fn asked(&self) -> Option<&str> {
        self.asked.as_deref()
    }

    /// The context in use, if there is one.
    pub fn current(&self) -> Result<Option<Context>> {
        match self.current_name()? {
            Some(name) => self.get(&name).map(Some),
            None => Ok(None),
        }
    }

    /// The context of a name.
    pub fn get(&self, name: &str) -> Result<Context> {
        let path = self.path(name)?;
        let keys = match read(&path)? {
            Some(keys) => keys,
            None if name == DEFAULT => Mapping::new(),
            None => return Err(missing(name, &path)),
        };
        let text = |key: &str| match keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(ClientConfigError::Syntax {
                path: path.display().to_string(),
                reason: format!("{key} has to be text"),
            }),
        };
        Ok(Context {
            name: name.to_owned(),
            current: self.current_name()?.as_deref() == Some(name),
            provider: text(PROVIDER)?,
            api_url: text(API_URL)?,
            registry: text(REGISTRY)?,
        })
    }

    /// All contexts by name, `default` among them.
    pub fn list(&self) -> Result<Vec<Context>> {
        let mut names = vec![DEFAULT.to_owned()];
        let dir = self.dir()?.join("contexts");
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(unreadable(&dir, source)),
        };
        for entry in entries.into_iter().flatten() {
            let file = entry.map_err(|source| unreadable(&dir, source))?;
            let file = file.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".yaml"));
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        names.sort_unstable();
        names.dedup();
        names.iter().map(|name| self.get(name)).collect()
    }

    /// Writes a new context; it is not used before [`Self::select`].
    pub fn create(&self, name: &str, api_url: &str, registry: Option<&str>) -> Result<()> {
        let path = self.path(name)?;
        if path.exists() {
            return Err(ClientConfigError::Exists {
                name: name.to_owned(),
            });
        }
        base_url(API_URL, api_url)?;
        let mut keys = Mapping::new();
        keys.insert(PROVIDER.into(), DEFAULT.into());
        keys.insert(API_URL.into(), api_url.into());
        keys.insert(REGISTRY.into(), registry.unwrap_or_default().into());
        write(&path, &keys)
    }

    /// Uses a context from now on.
    pub fn select(&self, name: &str) -> Result<()> {
        self.get(name)?;
        self.set_current(name)
    }

    /// Uses no context from now on, and tells which one it was.
    pub fn unselect(&self) -> Result<String> {
        let name = self.stored_name()?.ok_or(ClientConfigError::NoneInUse)?;
        self.set_current("")?;
        Ok(name)
    }

    /// Sets or removes a key of the context in use, and tells which one that is.
    pub fn change(&self, key: &str, value: Option<&str>) -> Result<String> {
        let name = self.current_name()?.ok_or(ClientConfigError::NoneInUse)?;
        self.get(&name)?;
        let path = self.path(&name)?;
        let mut keys = read(&path)?.unwrap_or_default();
        match value {
            Some(value) => {
                if key == API_URL {
                    base_url(API_URL, value)?;
                }
                keys.insert(key.into(), value.into());
            }
            None if keys.contains_key(key) => {
                keys.remove(key);
            }
            None => {
                return Err(ClientConfigError::NoKey {
                    name,
                    key: key.to_owned(),
                });
            }
        }
        write(&path, &keys)?;
        Ok(name)
    }

    /// Whether a context may be deleted: it is there, and not in use.
    pub fn check_unused(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        if !path.exists() {
            return Err(missing(name, &path));
        }
        let in_use = self.stored_name()?.as_deref() == Some(name);
        if in_use || self.asked() == Some(name) {
            return Err(ClientConfigError::InUse {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    /// Deletes a context that is not in use.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.check_unused(name)?;
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(|source| unwritable(&path, source))
    }

    fn current_name(&self) -> Result<Option<String>> {
        match (&self.asked, &self.dir) {
            (_, None) => Ok(None),
            (Some(name), Some(_)) => Ok(Some(name.clone())),
            (None, Some(_)) => self.stored_name(),
        }
    }

    fn stored_name(&self) -> Result<Option<String>> {
        let keys = read(&self.dir()?.join("config.yaml"))?.unwrap_or_default();
        let name = keys.get(CURRENT).and_then(Value::as_str);
        Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
    }

    fn set_current(&self, name: &str) -> Result<()> {
        let path = self.dir()?.join("config.yaml");
        let mut keys = read(&path)?.unwrap_or_default();
        keys.insert(CURRENT.into(), name.into());
        write(&path, &keys)
    }

    fn dir(&self) -> Result<&Path> {
        self.dir.as_deref().ok_or(ClientConfigError::NoHome)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        if !is_name(name) {
            return Err(
                refused("context", name, "a name without / that starts with no dot").into(),
            );
        }
        Ok(self.dir()?.join("contexts").join(format!("{name}.yaml")))
    }
}

/// A name is part of a path, and must not lead elsewhere.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.')
}

fn missing(name: &str, path: &Path) -> ClientConfigError {
    ClientConfigError::NoContext {
        name: name.to_owned(),
        path: path.display().to_string(),
    }
}

fn unreadable(path: &Path, source: io::Error) -> ClientConfigError {
    ClientConfigError::Read {
        path: path.display().to_string(),
        source,
    }
}

fn unwritable(path: &Path, source: io::Error) -> ClientConfigError {
    ClientConfigError::Write {
        path: path.display().to_string(),
        source,
    }
}

/// The keys of a file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Mapping>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(unreadable(path, source)),
    };
    if text.trim().is_empty() {
        return Ok(Some(Mapping::new()));
    }
    serde_yaml::from_str(&text)
        .map(Some)
        .map_err(|error| syntax(path, &error))
}

/// Other commands may be reading the file, so it changes in one step.
fn write(path: &Path, keys: &Mapping) -> Result<()> {
    let text = serde_yaml::to_string(keys).map_err(|error| syntax(path, &error))?;
    let fresh = path.with_extension(format!("yaml.{}", std::process::id()));
    let result = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&fresh, text))
        .and_then(|()| fs::rename(&fresh, path));
    result.map_err(|source| unwritable(path, source))
}

fn syntax(path: &Path, error: &serde_yaml::Error) -> ClientConfigError {
    ClientConfigError::Syntax {
        path: path.display().to_string(),
        reason: one_line(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts(home: &Path, asked: Option<&str>) -> Contexts {
        Contexts {
            dir: Some(home.join(".fn")),
            asked: asked.map(str::to_owned),
        }
    }

    fn names(contexts: &Contexts) -> Vec<(String, bool)> {
        let list = contexts.list().unwrap();
        list.into_iter().map(|c| (c.name, c.current)).collect()
    }

    #[test]
    fn a_context_lives_from_create_to_delete() {
        let home = tempfile::tempdir().unwrap();
        let all = contexts(home.path(), None);
        assert_eq!(names(&all), [("default".to_owned(), false)]);
        all.create("team", "http://team:8080", Some("r/team"))
            .unwrap();
        assert!(matches!(
            all.create("team", "http://x", None),
            Err(ClientConfigError::Exists { .. })
        ));
        all.select("team").unwrap();
        let current = all.current().unwrap().unwrap();
        assert_eq!(current.api_url.as_deref(), Some("http://team:8080"));
        assert_eq!(
            names(&all),
            [("default".to_owned(), false), ("team".to_owned(), true)]
        );
        assert!(matches!(
            all.delete("team"),
            Err(ClientConfigError::InUse { .. })
        ));
        assert_eq!(all.unselect().unwrap(), "team");
        assert_eq!(all.current().unwrap(), None);
        all.delete("team").unwrap();
        assert!(matches!(
            all.select("team"),
            Err(ClientConfigError::NoContext { .. })
        ));
    }

    #[test]
    fn keys_of_other_tools_survive_a_change() {
        let home = tempfile::tempdir().unwrap();
        let all = contexts(home.path(), None);
        all.create("team", "team:1", None).unwrap();
        let config = home.path().join(".fn/config.yaml");
        fs::write(&config, "cli-version: 0.6.1\ncurrent-context: ''\n").unwrap();
        all.select("team").unwrap();
        let text = fs::read_to_string(&config).unwrap();
        assert_eq!(text, "cli-version: 0.6.1\ncurrent-context: team\n");
        all.change("oracle.profile", Some("p")).unwrap();
        all.change("registry", Some("r/team")).unwrap();
        let path = home.path().join(".fn/contexts/team.yaml");
        let expected = "provider: default\napi-url: team:1\nregistry: r/team\noracle.profile: p\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        all.change("oracle.profile", None).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("oracle"));
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let all = contexts(home.path(), None);
        assert!(all.create("team", "ftp://x", None).is_err());
        assert!(all.create("../x", "http://x", None).is_err());
        assert!(all.create(".x", "http://x", None).is_err());
        assert!(matches!(
            all.change("registry", Some("r")),
            Err(ClientConfigError::NoneInUse)
        ));
        assert!(!home.path().join(".fn").exists());
        all.select("default").unwrap();
        assert!(all.change("api-url", Some("://")).is_err());
        assert!(matches!(
            all.change("registry", None),
            Err(ClientConfigError::NoKey { .. })
        ));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let home = tempfile::tempdir().unwrap();
        let all = contexts(home.path(), Some("team"));
        all.create("team", "http://team", None).unwrap();
        all.create("other", "http://other", None).unwrap();
        all.select("other").unwrap();
        assert_eq!(all.current().unwrap().unwrap().name, "team");
        assert!(all.delete("team").is_err());
    }
}
