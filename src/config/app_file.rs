use std::path::Path;

use crate::config::manifest::read_bounded;
use crate::config::manifest::{Fields, ManifestError, annotations, config, one_line, read_mapping};
use crate::model::{Annotations, Config};

/// What [`is_app_name`] asks for.
pub const APP_NAME_RULE: &str = "letters, digits, - or _, at most 255 characters";

/// Whether a server takes an app of this name.
pub fn is_app_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(fits) && name.chars().count() <= 255
}

const FILE_NAMES: [&str; 3] = ["app.yaml", "app.yml", "app.json"];

/// `app.yaml`: the app that the functions of a folder belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct AppFile {
    pub name: String,
    pub config: Config,
    pub annotations: Annotations,
    pub syslog_url: Option<String>,
}

impl AppFile {
    /// The app's file in `dir`, where there is one.
    pub fn find(dir: &Path) -> Result<Option<Self>, ManifestError> {
        for file in FILE_NAMES {
            if let Some(text) = read_bounded(&dir.join(file), file)? {
                return Self::parse(&text, file).map(Some);
            }
        }
        Ok(None)
    }

    fn parse(text: &str, file: &str) -> Result<Self, ManifestError> {
        let allowed = ["name", "config", "annotations", "syslog_url"];
        let mapping = read_mapping(text, file)?;
        let mut fields = Fields::new(file, String::new(), mapping, &allowed)?;
        let Some(name) = fields.text("name", APP_NAME_RULE)? else {
            return Err(fields.missing("name", APP_NAME_RULE));
        };
        if !is_app_name(&name) {
            return Err(fields.refuse("name", &one_line(&name), APP_NAME_RULE));
        }
        Ok(Self {
            name,
            config: config(&mut fields, "config")?,
            annotations: annotations(&mut fields)?,
            syslog_url: fields.text("syslog_url", "a URL such as tcp://logs.example.com:514")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_file_names_its_app() {
        let app = AppFile::parse("name: shop\nconfig:\n  LEVEL: 3\n", "app.yaml").unwrap();
        assert_eq!(app.name, "shop");
        assert_eq!(app.config["LEVEL"], "3");
        for (text, error) in [
            (
                "name: a b\n",
                "app.yaml: name: a b is not allowed, expected letters, digits, - or _, at most 255 characters",
            ),
            (
                "config: {}\n",
                "app.yaml: name is missing, expected letters, digits, - or _, at most 255 characters",
            ),
            (
                "nam: a\n",
                "app.yaml: nam is not a known key, did you mean name?, expected one of name, config, annotations, syslog_url",
            ),
        ] {
            assert_eq!(
                AppFile::parse(text, "app.yaml").unwrap_err().to_string(),
                error
            );
        }
    }
}
