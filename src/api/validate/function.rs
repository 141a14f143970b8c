use crate::api::error::Invalid;
use crate::api::validate::shared::{MAX_NAME, idle_seconds, is_image, memory_mb, scale, seconds};
use crate::model::{
    Annotations, AppId, Config, DEFAULT_IDLE_TIMEOUT_SECS, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_SECS,
    FnId, Format, Function, MAX_TIMEOUT_SECS, Timestamp, check_annotations, check_config,
};

/// A function as a client wrote it.
#[derive(Clone, Debug)]
pub(in crate::api) struct FunctionDraft {
    pub(in crate::api) name: String,
    pub(in crate::api) image: String,
    pub(in crate::api) format: String,
    pub(in crate::api) memory: u64,
    pub(in crate::api) timeout: i64,
    pub(in crate::api) idle_timeout: i64,
    pub(in crate::api) config: Config,
    pub(in crate::api) annotations: Annotations,
}

impl Default for FunctionDraft {
    fn default() -> Self {
        Self {
            name: String::new(),
            image: String::new(),
            // Clients that name no format are those that know no other.
            format: Format::HttpStream.to_string(),
            memory: DEFAULT_MEMORY_MB,
            timeout: DEFAULT_TIMEOUT_SECS.into(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT_SECS.into(),
            config: Config::new(),
            annotations: Annotations::new(),
        }
    }
}

impl FunctionDraft {
    pub(in crate::api) fn of(function: &Function) -> Self {
        Self {
            name: function.name.clone(),
            image: function.image.clone(),
            format: function.format.to_string(),
            memory: function.memory_mb,
            timeout: function.timeout_secs.into(),
            idle_timeout: function.idle_timeout_secs.into(),
            config: function.config.clone(),
            annotations: function.annotations.clone(),
        }
    }

    /// A new function with these values, in an app that is yet to be looked up.
    pub(in crate::api) fn create(
        self,
        app: impl FnOnce() -> Result<AppId, Invalid>,
    ) -> Result<Function, Invalid> {
        name(&self.name)?;
        let now = Timestamp::now();
        let mut function = Function {
            id: FnId::generate(),
            app_id: app()?,
            name: self.name.clone(),
            image: String::new(),
            format: Format::HttpStream,
            memory_mb: 0,
            timeout_secs: 0,
            idle_timeout_secs: 0,
            config: Config::new(),
            annotations: Annotations::new(),
            created_at: now,
            updated_at: now,
        };
        self.write(&mut function)?;
        Ok(function)
    }

    /// Puts the values into `function`, or leaves it alone and says what is wrong with them.
    pub(in crate::api) fn write(self, function: &mut Function) -> Result<(), Invalid> {
        name(&self.name)?;
        if self.image.is_empty() {
            return Err(Invalid::new("Missing image on Fn"));
        }
        if !is_image(&self.image) {
            return Err(Invalid::new("Invalid image on Fn"));
        }
        let format = self
            .format
            .parse()
            .map_err(|_| Invalid::new("Invalid format on Fn"))?;
        let timeout_secs = seconds(
            self.timeout,
            MAX_TIMEOUT_SECS,
            Invalid::new("timeout value is out of range, must be between 0 and 300"),
        )?;
        let idle_timeout_secs = idle_seconds(
            self.idle_timeout,
            Invalid::new("idle_timeout value is out of range, must be between 0 and 3600"),
        )?;
        let memory_mb = memory_mb(self.memory)?;
        check_annotations(&self.annotations)?;
        scale(&self.annotations, format)?;
        check_config(&self.config)?;
        function.image = self.image;
        function.format = format;
        function.memory_mb = memory_mb;
        function.timeout_secs = timeout_secs;
        function.idle_timeout_secs = idle_timeout_secs;
        function.config = self.config;
        function.annotations = self.annotations;
        Ok(())
    }
}

fn name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new("Missing Fn name"));
    }
    if name.chars().count() > MAX_NAME {
        return Err(Invalid::new("Fn name must be 255 characters or less"));
    }
    // What Fn's own escaping leaves alone in a path segment: a name must survive a URL as it is.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+=:@".contains(&b);
    if !name.bytes().all(plain) {
        return Err(Invalid::new("name must be a valid string"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(edit: impl FnOnce(&mut FunctionDraft)) -> Option<String> {
        let mut draft = FunctionDraft {
            name: "f".to_owned(),
            image: "f:1".to_owned(),
            ..FunctionDraft::default()
        };
        edit(&mut draft);
        let created = draft.create(|| Ok(AppId::generate()));
        created.err().map(|invalid| invalid.to_string())
    }

    #[test]
    fn function_names_need_no_escaping() {
        for (name, expected) in [
            ("", Some("Missing Fn name")),
            (
                &*"f".repeat(256),
                Some("Fn name must be 255 characters or less"),
            ),
            ("a b", Some("name must be a valid string")),
            ("a/b", Some("name must be a valid string")),
            ("a%20", Some("name must be a valid string")),
            ("a\0", Some("name must be a valid string")),
            ("ä", Some("name must be a valid string")),
            ("a,b", Some("name must be a valid string")),
            ("a.b-c_d~$&+=:@", None),
        ] {
            let refused = refusal(|draft| draft.name = name.to_owned());
            assert_eq!(refused.as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn functions_are_refused_with_the_text_for_their_fault() {
        let timeout = "timeout value is out of range, must be between 0 and 300";
        let idle = "idle_timeout value is out of range, must be between 0 and 3600";
        let memory = "memory value is out of range. It should be between 0 and 8192";
        type Edit = fn(&mut FunctionDraft);
        let cases: [(Edit, Option<&str>); 13] = [
            (|_| {}, None),
            (|d| d.image.clear(), Some("Missing image on Fn")),
            (|d| d.image = "a\0".into(), Some("Invalid image on Fn")),
            (|d| d.format = "xml".into(), Some("Invalid format on Fn")),
            (|d| d.format = "http".into(), None),
            (|d| d.timeout = -1, Some(timeout)),
            (|d| d.timeout = 301, Some(timeout)),
            (|d| d.timeout = 300, None),
            (|d| d.idle_timeout = -1, Some(idle)),
            (|d| d.idle_timeout = i64::MAX, Some(idle)),
            (|d| d.idle_timeout = 3600, None),
            (|d| d.memory = 8193, Some(memory)),
            (|d| d.memory = 8192, None),
        ];
        for (n, (edit, expected)) in cases.into_iter().enumerate() {
            assert_eq!(refusal(edit).as_deref(), expected, "case {n}");
        }
    }
}
