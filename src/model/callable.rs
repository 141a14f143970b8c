use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{
    Annotations, App, AppId, Config, FnId, Format, Function, InvocationType, MilliCpus, Route,
    Scale, Trigger,
};

/// Counts the callables ever made, so that the newer of two can be told.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Says, with the value `"true"`, that a function takes request bodies as they come. An
/// annotation, because clients of Fn keep those they do not know; a text, because they allow no
/// booleans there.
pub const STREAMING_ANNOTATION: &str = "kiln/streaming";

/// Names a callable for its whole life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallableId {
    Fn(FnId),
    Route { app: AppId, path: String },
}

impl fmt::Display for CallableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fn(id) => fmt::Display::fmt(id, f),
            Self::Route { app, path } => write!(f, "{app}{path}"),
        }
    }
}

/// All that one call needs to know about its route or function, ready to use.
///
/// Routes (v1) and functions (v2) differ in the API only; from here on they are the same thing.
#[derive(Clone, Debug)]
pub struct Callable {
    pub id: CallableId,
    /// Grows with every callable made; a redeploy makes a new one even if nothing else changed.
    pub version: u64,
    pub app_id: AppId,
    pub app_name: String,
    /// Where the app wants its functions' logs sent.
    pub syslog_url: Option<String>,
    /// The function's name, or the route's path.
    pub name: String,
    pub image: String,
    pub format: Format,
    pub kind: InvocationType,
    pub memory_mb: u64,
    pub cpus: Option<MilliCpus>,
    pub tmpfs_mb: u32,
    pub timeout: Duration,
    pub idle_timeout: Duration,
    /// Whether the function takes request bodies in chunks, as they come.
    pub streaming: bool,
    pub scale: Scale,
    /// Headers that every response carries; routes only.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The container's environment: the app's config, then the function's, then the platform's
    /// own values, which win over both.
    pub env: BTreeMap<String, String>,
}

impl Callable {
    /// A v1 route of `app`.
    pub fn from_route(app: &App, route: &Route) -> Self {
        let mut env = merged(&app.config, &route.config);
        let platform = [
            ("FN_PATH", route.path.clone()),
            ("FN_TYPE", route.kind.to_string()),
            ("FN_TMPSIZE", route.tmpfs_mb.to_string()),
        ];
        env.extend(platform.map(|(k, v)| (k.to_owned(), v)));
        if let Some(cpus) = route.cpus {
            env.insert("FN_CPUS".to_owned(), cpus.to_string());
        }
        common_env(&mut env, app, route.format, route.memory_mb);
        Self {
            id: CallableId::Route {
                app: app.id,
                path: route.path.clone(),
            },
            version: MADE.fetch_add(1, Ordering::Relaxed),
            app_id: app.id,
            app_name: app.name.clone(),
            syslog_url: app.syslog_url.clone(),
            name: route.path.clone(),
            image: route.image.clone(),
            format: route.format,
            kind: route.kind,
            memory_mb: route.memory_mb,
            cpus: route.cpus,
            tmpfs_mb: route.tmpfs_mb,
            timeout: Duration::from_secs(route.timeout_secs.into()),
            idle_timeout: Duration::from_secs(route.idle_timeout_secs.into()),
            streaming: streams(route.format, &route.annotations),
            scale: scale(route.format, &route.annotations),
            headers: route.headers.clone(),
            env,
        }
    }

    /// A v2 function of `app`. A hot container serves all of the function's triggers, so
    /// `FN_PATH` is the source of the first one by name, or `/invoke` where there is none.
    pub fn from_function(app: &App, function: &Function, triggers: &[Trigger]) -> Self {
        let path = triggers
            .iter()
            .filter(|t| t.fn_id == function.id)
            .min_by(|a, b| a.name.cmp(&b.name))
            .map_or_else(|| "/invoke".to_owned(), |t| t.source.clone());
        let mut env = merged(&app.config, &function.config);
        let platform = [
            ("FN_PATH", path),
            ("FN_TYPE", InvocationType::Sync.to_string()),
            ("FN_FN_ID", function.id.to_string()),
            ("FN_FN_NAME", function.name.clone()),
            ("FN_NAME", function.name.clone()),
        ];
        env.extend(platform.map(|(k, v)| (k.to_owned(), v)));
        common_env(&mut env, app, function.format, function.memory_mb);
        Self {
            id: CallableId::Fn(function.id),
            version: MADE.fetch_add(1, Ordering::Relaxed),
            app_id: app.id,
            app_name: app.name.clone(),
            syslog_url: app.syslog_url.clone(),
            name: function.name.clone(),
            image: function.image.clone(),
            format: function.format,
            kind: InvocationType::Sync,
            memory_mb: function.memory_mb,
            cpus: None,
            tmpfs_mb: 0,
            timeout: Duration::from_secs(function.timeout_secs.into()),
            idle_timeout: Duration::from_secs(function.idle_timeout_secs.into()),
            streaming: streams(function.format, &function.annotations),
            scale: scale(function.format, &function.annotations),
            headers: BTreeMap::new(),
            env,
        }
    }
}

/// Only HTTP can carry a body whose length nobody knows.
fn streams(format: Format, annotations: &Annotations) -> bool {
    format.streams()
        && annotations
            .get(STREAMING_ANNOTATION)
            .is_some_and(|value| value == "true")
}

/// What another server stored may be nothing we know; the function is called all the same.
fn scale(format: Format, annotations: &Annotations) -> Scale {
    let mut scale = Scale::of(annotations).unwrap_or_default();
    if !format.is_hot() {
        scale.min = 0;
    }
    scale
}

fn merged(app: &Config, own: &Config) -> BTreeMap<String, String> {
    let mut env = app.clone();
    env.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
    env
}

fn common_env(env: &mut BTreeMap<String, String>, app: &App, format: Format, memory_mb: u64) {
    let values = [
        ("FN_APP_ID", app.id.to_string()),
        ("FN_APP_NAME", app.name.clone()),
        ("FN_FORMAT", format.to_string()),
        ("FN_MEMORY", memory_mb.to_string()),
    ];
    env.extend(values.map(|(k, v)| (k.to_owned(), v)));
}
