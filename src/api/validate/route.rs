use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::api::error::Invalid;
use crate::api::validate::shared::{idle_seconds, is_image, memory_mb, scale, seconds};
use crate::model::{
    Annotations, AppId, Config, DEFAULT_IDLE_TIMEOUT_SECS, DEFAULT_MEMORY_MB, DEFAULT_TIMEOUT_SECS,
    Format, InvalidCpus, InvocationType, MAX_ASYNC_ROUTE_TIMEOUT_SECS, MAX_ROUTE_TIMEOUT_SECS,
    MilliCpus, Route, Timestamp, check_annotations, check_config, clean_path,
};

/// A route as a client wrote it.
#[derive(Clone, Debug)]
pub(in crate::api) struct RouteDraft {
    pub(in crate::api) path: String,
    pub(in crate::api) image: String,
    pub(in crate::api) memory: u64,
    /// Empty for no limit.
    pub(in crate::api) cpus: String,
    pub(in crate::api) headers: BTreeMap<String, Vec<String>>,
    pub(in crate::api) kind: String,
    pub(in crate::api) format: String,
    pub(in crate::api) timeout: i64,
    pub(in crate::api) idle_timeout: i64,
    pub(in crate::api) tmpfs_size: u32,
    pub(in crate::api) config: Config,
    pub(in crate::api) annotations: Annotations,
}

impl Default for RouteDraft {
    fn default() -> Self {
        Self {
            path: String::new(),
            image: String::new(),
            memory: DEFAULT_MEMORY_MB,
            cpus: String::new(),
            headers: BTreeMap::new(),
            kind: InvocationType::Sync.to_string(),
            format: Format::Default.to_string(),
            timeout: DEFAULT_TIMEOUT_SECS.into(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT_SECS.into(),
            tmpfs_size: 0,
            config: Config::new(),
            annotations: Annotations::new(),
        }
    }
}

impl RouteDraft {
    pub(in crate::api) fn of(route: &Route) -> Self {
        Self {
            path: route.path.clone(),
            image: route.image.clone(),
            memory: route.memory_mb,
            cpus: route.cpus.map(|c| c.to_string()).unwrap_or_default(),
            headers: route.headers.clone(),
            kind: route.kind.to_string(),
            format: route.format.to_string(),
            timeout: route.timeout_secs.into(),
            idle_timeout: route.idle_timeout_secs.into(),
            tmpfs_size: route.tmpfs_mb,
            config: route.config.clone(),
            annotations: route.annotations.clone(),
        }
    }

    /// A new route of `app` with these values.
    pub(in crate::api) fn create(self, app: AppId) -> Result<Route, Invalid> {
        let now = Timestamp::now();
        let mut route = Route {
            app_id: app,
            path: clean_path(&self.path),
            image: String::new(),
            memory_mb: 0,
            cpus: None,
            headers: BTreeMap::new(),
            kind: InvocationType::Sync,
            format: Format::Default,
            timeout_secs: 0,
            idle_timeout_secs: 0,
            tmpfs_mb: 0,
            config: Config::new(),
            annotations: Annotations::new(),
            created_at: now,
            updated_at: now,
        };
        self.write(&mut route)?;
        Ok(route)
    }

    /// Puts the values into `route`, or leaves it alone and says what is wrong with them.
    pub(in crate::api) fn write(self, route: &mut Route) -> Result<(), Invalid> {
        path(&self.path)?;
        if self.image.is_empty() {
            return Err(Invalid::new("Missing route Image"));
        }
        if !is_image(&self.image) {
            return Err(Invalid::new("Invalid route Image"));
        }
        let kind = self
            .kind
            .parse()
            .map_err(|_| Invalid::new("Invalid route Type"))?;
        let format = self
            .format
            .parse()
            .map_err(|_| Invalid::new("Invalid route Format"))?;
        let timeout_secs = timeout(self.timeout, kind)?;
        let idle_timeout_secs = idle_seconds(
            self.idle_timeout,
            Invalid::new("idle_timeout value is out of range. It should be between 0 and 3600"),
        )?;
        let memory_mb = memory_mb(self.memory)?;
        check_annotations(&self.annotations)?;
        scale(&self.annotations, format)?;
        let cpus = cpus(&self.cpus)?;
        headers(&self.headers)?;
        check_config(&self.config)?;
        route.image = self.image;
        route.memory_mb = memory_mb;
        route.cpus = cpus;
        route.headers = self.headers;
        route.kind = kind;
        route.format = format;
        route.timeout_secs = timeout_secs;
        route.idle_timeout_secs = idle_timeout_secs;
        route.tmpfs_mb = self.tmpfs_size;
        route.config = self.config;
        route.annotations = self.annotations;
        Ok(())
    }
}

fn path(path: &str) -> Result<(), Invalid> {
    if path.is_empty() {
        return Err(Invalid::new("Missing route Path"));
    }
    // A path with `?` or `#` could be stored but never be called.
    if path.chars().any(char::is_control) || path.contains(['?', '#']) || !escapes_are_whole(path) {
        return Err(Invalid::new("Path malformed"));
    }
    if path.contains(':') {
        return Err(Invalid::new("Dynamic URL is not allowed"));
    }
    if !path.starts_with('/') {
        return Err(Invalid::new("Invalid route path format"));
    }
    Ok(())
}

fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    })
}

fn timeout(secs: i64, kind: InvocationType) -> Result<u32, Invalid> {
    let max = match kind {
        InvocationType::Sync => MAX_ROUTE_TIMEOUT_SECS,
        InvocationType::Async => MAX_ASYNC_ROUTE_TIMEOUT_SECS,
    };
    seconds(
        secs,
        max,
        Invalid::new(
            "timeout value is out of range. Sync should be between 0 and 120, async should be between 0 and 3600",
        ),
    )
}

/// No CPU at all is how clients say that they do not care.
fn cpus(text: &str) -> Result<Option<MilliCpus>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let cpus: MilliCpus = text
        .parse()
        .map_err(|e: InvalidCpus| Invalid(e.to_string().into()))?;
    Ok(Some(cpus).filter(|cpus| cpus.get() > 0))
}

/// Checked now, because every response of the route has to carry them.
fn headers(headers: &BTreeMap<String, Vec<String>>) -> Result<(), Invalid> {
    let legal = headers.iter().all(|(name, values)| {
        HeaderName::from_bytes(name.as_bytes()).is_ok()
            && values.iter().all(|v| HeaderValue::from_str(v).is_ok())
    });
    if legal {
        Ok(())
    } else {
        Err(Invalid::new("Invalid route Headers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(edit: impl FnOnce(&mut RouteDraft)) -> Option<String> {
        let mut draft = RouteDraft {
            path: "/hello".to_owned(),
            image: "hello:1".to_owned(),
            ..RouteDraft::default()
        };
        edit(&mut draft);
        let created = draft.create(AppId::generate());
        created.err().map(|invalid| invalid.to_string())
    }

    #[test]
    fn route_paths_are_refused_with_the_text_for_their_fault() {
        for (path, expected) in [
            ("", Some("Missing route Path")),
            ("/a\0", Some("Path malformed")),
            ("/a%2", Some("Path malformed")),
            ("/a%zz", Some("Path malformed")),
            ("/a?b", Some("Path malformed")),
            ("/:a", Some("Dynamic URL is not allowed")),
            ("a:b", Some("Dynamic URL is not allowed")),
            ("a", Some("Invalid route path format")),
            ("/", None),
            ("/a/b%20c", None),
        ] {
            let refused = refusal(|draft| draft.path = path.to_owned());
            assert_eq!(refused.as_deref(), expected, "{path:?}");
        }
    }

    #[test]
    fn routes_are_refused_with_the_text_for_their_fault() {
        let timeout = "timeout value is out of range. Sync should be between 0 and 120, async should be between 0 and 3600";
        let idle = "idle_timeout value is out of range. It should be between 0 and 3600";
        let memory = "memory value is out of range. It should be between 0 and 8192";
        let cpus = "Cpus is invalid. Value should be either between [0.000 and 1024.000] or [0m and 1024000m] milliCPU units";
        type Edit = fn(&mut RouteDraft);
        let cases: [(Edit, Option<&str>); 18] = [
            (|_| {}, None),
            (|d| d.image.clear(), Some("Missing route Image")),
            (|d| d.image = "a b".into(), Some("Invalid route Image")),
            (|d| d.kind = "later".into(), Some("Invalid route Type")),
            (|d| d.format = "xml".into(), Some("Invalid route Format")),
            (|d| d.format = "http-stream".into(), None),
            (|d| d.timeout = -1, Some(timeout)),
            (|d| d.timeout = 121, Some(timeout)),
            (|d| (d.timeout, d.kind) = (3600, "async".into()), None),
            (
                |d| (d.timeout, d.kind) = (3601, "async".into()),
                Some(timeout),
            ),
            (|d| d.idle_timeout = 3601, Some(idle)),
            (|d| d.idle_timeout = -1, Some(idle)),
            (|d| d.memory = 8193, Some(memory)),
            (|d| d.cpus = "2000".into(), Some(cpus)),
            (|d| d.cpus = "100m".into(), None),
            (
                |d| d.headers = [("a b".to_owned(), vec![])].into(),
                Some("Invalid route Headers"),
            ),
            (
                |d| d.headers = [("a".to_owned(), vec!["x\r\ny".to_owned()])].into(),
                Some("Invalid route Headers"),
            ),
            (
                |d| d.headers = [("A".to_owned(), vec!["ö".to_owned()])].into(),
                None,
            ),
        ];
        for (n, (edit, expected)) in cases.into_iter().enumerate() {
            assert_eq!(refusal(edit).as_deref(), expected, "case {n}");
        }
    }

    #[test]
    fn the_first_fault_in_the_known_order_is_the_one_told() {
        let refused = refusal(|draft| {
            draft.kind = "x".to_owned();
            draft.format = "x".to_owned();
            draft.memory = 9000;
        });
        assert_eq!(refused.as_deref(), Some("Invalid route Type"));
    }

    #[test]
    fn a_route_is_stored_under_its_clean_path_and_zero_cpus_are_none() {
        let draft = RouteDraft {
            path: "//a/b/".to_owned(),
            image: "i".to_owned(),
            cpus: "0m".to_owned(),
            ..RouteDraft::default()
        };
        let route = draft.create(AppId::generate()).unwrap();
        assert_eq!((route.path.as_str(), route.cpus), ("/a/b", None));
    }
}
