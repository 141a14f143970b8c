use crate::api::error::Invalid;
use crate::api::validate::shared::{MAX_NAME, is_word};
use crate::model::{Annotations, App, AppId, Config, Timestamp, check_annotations, check_config};

/// Transports that a function's log can be sent over.
const SYSLOG_SCHEMES: [&str; 5] = ["udp", "tcp", "unix", "unixgram", "tcp+tls"];

/// An app as a client wrote it.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct AppDraft {
    pub(in crate::api) name: String,
    pub(in crate::api) config: Config,
    pub(in crate::api) annotations: Annotations,
    /// Empty for none.
    pub(in crate::api) syslog_url: String,
}

impl AppDraft {
    pub(in crate::api) fn of(app: &App) -> Self {
        Self {
            name: app.name.clone(),
            config: app.config.clone(),
            annotations: app.annotations.clone(),
            syslog_url: app.syslog_url.clone().unwrap_or_default(),
        }
    }

    /// A new app with these values.
    pub(in crate::api) fn create(self) -> Result<App, Invalid> {
        let now = Timestamp::now();
        let mut app = App {
            id: AppId::generate(),
            name: self.name.clone(),
            config: Config::new(),
            annotations: Annotations::new(),
            syslog_url: None,
            created_at: now,
            updated_at: now,
        };
        self.write(&mut app)?;
        Ok(app)
    }

    /// Puts the values into `app`, or leaves it alone and says what is wrong with them.
    pub(in crate::api) fn write(self, app: &mut App) -> Result<(), Invalid> {
        name(&self.name)?;
        check_annotations(&self.annotations)?;
        if !self.syslog_url.is_empty() && !is_syslog_url(&self.syslog_url) {
            let text = format!("invalid syslog url: \"{}\"", self.syslog_url);
            return Err(Invalid(text.into()));
        }
        check_config(&self.config)?;
        app.config = self.config;
        app.annotations = self.annotations;
        app.syslog_url = Some(self.syslog_url).filter(|url| !url.is_empty());
        Ok(())
    }
}

/// The rule for the name of an app.
pub(in crate::api) fn name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new("Missing app name"));
    }
    if name.chars().count() > MAX_NAME {
        return Err(Invalid::new("App name must be 255 characters or less"));
    }
    if !is_word(name) {
        return Err(Invalid::new("Invalid app name"));
    }
    Ok(())
}

fn is_syslog_url(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, rest)| {
        SYSLOG_SCHEMES.contains(&scheme)
            && !rest.is_empty()
            && !rest.chars().any(|c| c.is_control() || c.is_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(edit: impl FnOnce(&mut AppDraft)) -> Option<String> {
        let mut draft = AppDraft {
            name: "a".to_owned(),
            ..AppDraft::default()
        };
        edit(&mut draft);
        draft.create().err().map(|invalid| invalid.to_string())
    }

    #[test]
    fn apps_are_refused_with_the_text_for_their_fault() {
        for (name, expected) in [
            ("", Some("Missing app name")),
            (
                &*"a".repeat(256),
                Some("App name must be 255 characters or less"),
            ),
            ("a b", Some("Invalid app name")),
            ("a\0", Some("Invalid app name")),
            ("a/b", Some("Invalid app name")),
            ("a\n", Some("Invalid app name")),
            (&"ä".repeat(255), None),
            ("Zoë_1-x", None),
            ("日本", None),
        ] {
            let refused = refusal(|draft| draft.name = name.to_owned());
            assert_eq!(refused.as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_syslog_url_has_a_known_scheme() {
        for url in ["http://x", "x", "tcp://", "tcp://a b", "://x"] {
            let refused = refusal(|draft| draft.syslog_url = url.to_owned());
            assert_eq!(refused, Some(format!("invalid syslog url: \"{url}\"")));
        }
        for url in [
            "",
            "udp://x:514",
            "tcp+tls://x",
            "unix:///dev/log",
            "unixgram:///x",
        ] {
            assert_eq!(refusal(|draft| draft.syslog_url = url.to_owned()), None);
        }
    }
}
