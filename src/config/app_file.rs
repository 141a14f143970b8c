use std::path::Path;

use crate::config::manifest::read_bounded;
use crate::config::manifest::{Fields, ManifestError, annotations, config, read_mapping};
use crate::model::{Annotations, Config};

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
        let rule = "letters, digits, - or _, at most 255 characters";
        let legal = |name: &String| {
            let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            name.chars().all(fits) && name.chars().count() <= 255
        };
        let name = match fields.text("name", rule)? {
            Some(name) if legal(&name) => name,
            Some(name) => {
                return Err(fields.refuse("name", &super::manifest::one_line(&name), rule));
            }
            None => return Err(fields.missing("name", rule)),
        };
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
