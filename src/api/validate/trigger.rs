use crate::api::error::Invalid;
use crate::api::validate::shared::{MAX_NAME, is_word};
use crate::model::{Annotations, METHODS_ANNOTATION, Methods, Pattern, Trigger, check_annotations};

/// The one type of trigger there is.
pub(in crate::api) const HTTP: &str = "http";

/// A trigger as a client wrote it.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct TriggerDraft {
    pub(in crate::api) app_id: String,
    pub(in crate::api) fn_id: String,
    pub(in crate::api) name: String,
    pub(in crate::api) kind: String,
    pub(in crate::api) source: String,
    pub(in crate::api) annotations: Annotations,
}

impl TriggerDraft {
    pub(in crate::api) fn of(trigger: &Trigger) -> Self {
        Self {
            app_id: trigger.app_id.to_string(),
            fn_id: trigger.fn_id.to_string(),
            name: trigger.name.clone(),
            kind: HTTP.to_owned(),
            source: trigger.source.clone(),
            annotations: trigger.annotations.clone(),
        }
    }

    pub(in crate::api) fn check(&self) -> Result<(), Invalid> {
        if self.app_id.is_empty() {
            return Err(Invalid::new("Missing App ID on Trigger"));
        }
        name(&self.name)?;
        if self.fn_id.is_empty() {
            return Err(Invalid::new("Missing Fn ID on Trigger"));
        }
        if self.kind != HTTP {
            return Err(Invalid::new("Trigger Type Not Supported"));
        }
        source(&self.source)?;
        check_annotations(&self.annotations)?;
        methods(&self.annotations)
    }

    /// Puts the values into `trigger`, or leaves it alone and says what is wrong with them.
    pub(in crate::api) fn write(self, trigger: &mut Trigger) -> Result<(), Invalid> {
        self.check()?;
        trigger.source = self.source;
        trigger.annotations = self.annotations;
        Ok(())
    }
}

fn name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new("Missing name on Trigger"));
    }
    if name.chars().count() > MAX_NAME {
        return Err(Invalid::new("Trigger name must be 255 characters or less"));
    }
    if !is_word(name) {
        return Err(Invalid::new("Invalid name for Trigger"));
    }
    Ok(())
}

fn source(source: &str) -> Result<(), Invalid> {
    if source.is_empty() {
        return Err(Invalid::new("Missing Trigger Source"));
    }
    if !source.starts_with('/') {
        return Err(Invalid::new("Missing Trigger Source Prefix '/'"));
    }
    if source.chars().any(char::is_control) {
        return Err(Invalid::new("Invalid Trigger Source"));
    }
    // What has no parameters may be any path, as it always could.
    if source.contains(['{', '}'])
        && let Err(error) = Pattern::parse(source)
    {
        return Err(Invalid(format!("Invalid Trigger Source: {error}").into()));
    }
    Ok(())
}

/// What nobody could obey is refused where it is written, not where it is read.
fn methods(annotations: &Annotations) -> Result<(), Invalid> {
    match Methods::of(annotations) {
        Ok(_) => Ok(()),
        Err(error) => Err(Invalid(format!("{METHODS_ANNOTATION}: {error}").into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_refused_with_the_text_for_their_fault() {
        type Edit = fn(&mut TriggerDraft);
        let cases: [(Edit, &str); 13] = [
            (|d| d.app_id.clear(), "Missing App ID on Trigger"),
            (|d| d.name.clear(), "Missing name on Trigger"),
            (
                |d| d.name = "t".repeat(256),
                "Trigger name must be 255 characters or less",
            ),
            (|d| d.name = "a b".into(), "Invalid name for Trigger"),
            (|d| d.name = "a\0".into(), "Invalid name for Trigger"),
            (|d| d.fn_id.clear(), "Missing Fn ID on Trigger"),
            (|d| d.kind = "cron".into(), "Trigger Type Not Supported"),
            (|d| d.kind.clear(), "Trigger Type Not Supported"),
            (|d| d.source.clear(), "Missing Trigger Source"),
            (
                |d| d.source = "t".into(),
                "Missing Trigger Source Prefix '/'",
            ),
            (|d| d.source = "/\0".into(), "Invalid Trigger Source"),
            (
                |d| d.source = "/{a}/{a}".into(),
                "Invalid Trigger Source: parameter a is there twice, expected every name once",
            ),
            (
                |d| {
                    d.annotations
                        .insert(METHODS_ANNOTATION.to_owned(), "GET".into());
                },
                "kiln/methods: \"GET\" is not allowed, expected a list of methods",
            ),
        ];
        let fine = TriggerDraft {
            app_id: "a".to_owned(),
            fn_id: "f".to_owned(),
            name: "Zoë-t_1".to_owned(),
            kind: "http".to_owned(),
            source: "/a/b".to_owned(),
            annotations: Annotations::new(),
        };
        assert_eq!(fine.check(), Ok(()));
        for (edit, expected) in cases {
            let mut draft = fine.clone();
            edit(&mut draft);
            assert_eq!(draft.check().unwrap_err().to_string(), expected);
        }
    }
}
