use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::container::container_limits;
use crate::config::duration;
use crate::config::env::{Env, SettingError, refused};
use crate::config::feature::Features;
use crate::model::ContainerLimits;

const MIB: u64 = 1024 * 1024;
/// Body bounds when none or 0 is given: large enough for any sensible call, small enough that a
/// handful of them cannot exhaust a machine.
const DEFAULT_BODY_BYTES: u64 = 64 * MIB;
/// Most HTTP clients refuse to send more.
const DEFAULT_HEADER_BYTES: u64 = 64 * 1024;
/// Long enough to look into what happened before the weekend.
const WEEK_SECS: u64 = 7 * 24 * 3600;
/// Some ten MB of records without their logs.
const DEFAULT_CALLS: u64 = 100_000;

/// Which launcher runs the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LauncherKind {
    /// Docker where an engine answers, else processes.
    Auto,
    Docker,
    Process,
}

impl FromStr for LauncherKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "docker" => Ok(Self::Docker),
            "process" => Ok(Self::Process),
            _ => Err(()),
        }
    }
}

/// How a container's stdin and stdout reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdioPath {
    /// Link where the engine is on this host, else attach.
    Auto,
    Link,
    Attach,
}

impl FromStr for StdioPath {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "link" => Ok(Self::Link),
            "attach" => Ok(Self::Attach),
            _ => Err(()),
        }
    }
}

/// How the server writes its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// Where it is written down why functions get more or fewer containers, and what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleLogging {
    pub to: ScaleLogTo,
    pub what: ScaleLogWhat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleLogTo {
    Stderr,
    /// `scale.log` in the data folder.
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleLogWhat {
    None,
    /// What changes something.
    Warning,
    /// All that samples lead to.
    Verbose,
}

impl FromStr for ScaleLogging {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (to, what) = text.split_once(':').ok_or(())?;
        Ok(Self {
            to: match to {
                "stderr" => ScaleLogTo::Stderr,
                "file" => ScaleLogTo::File,
                _ => return Err(()),
            },
            what: match what {
                "none" => ScaleLogWhat::None,
                "warning" => ScaleLogWhat::Warning,
                "verbose" => ScaleLogWhat::Verbose,
                _ => return Err(()),
            },
        })
    }
}

/// Sites whose pages may read the server's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    Any,
    /// Scheme, host and port as browsers write them, e.g. `https://app.example.com`.
    These(Vec<HeaderValue>),
}

impl FromStr for CorsOrigins {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let origins: Vec<&str> = list(text).collect();
        if origins.contains(&"*") {
            return Ok(Self::Any);
        }
        let origins: Option<Vec<_>> = origins.into_iter().map(origin).collect();
        match origins {
            Some(origins) if !origins.is_empty() => Ok(Self::These(origins)),
            _ => Err(()),
        }
    }
}

/// A path would never match: browsers send none.
fn origin(text: &str) -> Option<HeaderValue> {
    let (scheme, host) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_graphic() && !"/?#@*".contains(c);
    let whole = !scheme.is_empty() && !host.is_empty() && host.chars().all(plain);
    whole.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// The entries of a list with commas.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// All that the server can be told; see [`Self::from_env`] for the variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Address to listen on (`FN_HOST`); only this machine unless told otherwise.
    pub host: IpAddr,
    /// Port to listen on (`FN_PORT`); 0 takes any free one.
    pub port: u16,
    /// Folder of everything the server keeps (`FN_DATA_DIR`); absolute, may not exist yet.
    pub data_dir: PathBuf,
    /// Where apps and functions are stored (`FN_DB_URL`), a URL; `<data_dir>/fn.db` by default.
    pub db_url: String,
    /// Tries to reach a database server at start, after the first
    /// (`FN_DS_DB_PING_MAX_RETRIES`), a second apart.
    pub db_retries: u32,
    /// How long finished calls can be looked up (`FN_CALLS_MAX_AGE_SECS`).
    pub calls_max_age: Duration,
    /// How many finished calls can be looked up (`FN_CALLS_MAX_COUNT`).
    pub calls_max_count: u64,
    /// `FN_LAUNCHER`.
    pub launcher: LauncherKind,
    /// `FN_DOCKER_STDIO`.
    pub docker_stdio: StdioPath,
    /// The engine's address (`DOCKER_HOST`), e.g. `unix:///var/run/docker.sock`.
    pub docker_host: Option<String>,
    /// Network of the functions' containers (`FN_DOCKER_NETWORKS`); the engine's default if unset.
    pub docker_networks: Vec<String>,
    /// Networks kept prepared for containers to come, of each of those
    /// (`FN_EXPERIMENTAL_PREFORK_POOL_SIZE`).
    pub prepared_networks: u32,
    /// Whether such a one serves one container only (`FN_EXPERIMENTAL_PREFORK_POOL_USE_ONCE`).
    pub prepared_use_once: bool,
    /// What containers may use and do.
    pub container_limits: ContainerLimits,
    /// Folder for the per-container socket folders (`FN_IOFS_PATH`); absolute.
    pub iofs_dir: PathBuf,
    /// Where the engine finds that folder, if not under the same path (`FN_IOFS_DOCKER_PATH`): a
    /// folder on its host, or the name of a volume.
    pub iofs_seen: Option<String>,
    /// Extra label value on every container (`FN_CONTAINER_LABEL_TAG`).
    pub container_label_tag: Option<String>,
    /// Largest request body, in bytes (`FN_MAX_REQUEST_SIZE`).
    pub max_request_bytes: u64,
    /// Largest response body, in bytes (`FN_MAX_RESPONSE_SIZE`); unset, one that is passed on
    /// as it comes has no bound but the function's time.
    pub max_response_bytes: Option<u64>,
    /// Largest response head, in bytes (`FN_MAX_HDR_RESPONSE_SIZE`).
    pub max_response_header_bytes: u64,
    /// Longest pause of a function within a response (`FN_RESPONSE_IDLE_TIMEOUT_MSECS`).
    pub response_idle: Duration,
    /// Largest request head, in bytes (`FN_MAX_REQUEST_HEADER_SIZE`).
    pub max_request_header_bytes: u64,
    /// Most calls that call one another (`FN_MAX_CALL_DEPTH`).
    pub max_call_depth: u32,
    /// Largest log kept of one call, in bytes (`FN_MAX_LOG_SIZE_BYTES`).
    pub max_log_bytes: u64,
    /// Open client connections at once (`FN_MAX_CONNECTIONS`).
    pub max_connections: u32,
    /// For a request's head (`FN_REQUEST_HEADER_READ_TIMEOUT`).
    pub request_head_timeout: Duration,
    /// For the next byte of a request's body (`FN_REQUEST_BODY_READ_TIMEOUT`).
    pub request_body_timeout: Duration,
    /// For a caller to take the next byte of a response (`FN_RESPONSE_WRITE_TIMEOUT`).
    pub response_write_timeout: Duration,
    /// Between the requests of a connection (`FN_HTTP_IDLE_TIMEOUT`).
    pub http_idle_timeout: Duration,
    /// Containers of one function at once (`FN_MAX_CONTAINERS`).
    pub max_containers_per_function: u32,
    /// Calls of one function that wait for a container (`FN_MAX_WAITERS`).
    pub max_waiters_per_function: u32,
    /// Memory of all containers, in bytes (`FN_MAX_TOTAL_MEMORY_BYTES`); what the machine has
    /// left if unset, and never more.
    pub max_total_memory: Option<u64>,
    /// Processor time of all containers, in thousandths of a processor
    /// (`FN_MAX_TOTAL_CPU_MCPUS`); what the machine has if unset, and never more.
    pub max_total_mcpus: Option<u64>,
    /// How long a container idles before it makes room for any other function's
    /// (`FN_EJECT_IDLE_MSECS`).
    pub eject_idle: Duration,
    /// Longest pull of an image (`FN_HOT_PULL_TIMEOUT_MSECS`).
    pub pull_timeout: Duration,
    /// Longest start of a container, until it can be written to (`FN_HOT_START_TIMEOUT_MSECS`).
    pub start_timeout: Duration,
    /// How long a container idles before it is frozen (`FN_FREEZE_IDLE_MSECS`); never if unset.
    pub freeze_idle: Option<Duration>,
    /// Time that calls in flight get at shutdown (`FN_SHUTDOWN_GRACE_SECS`).
    pub shutdown_grace: Duration,
    /// Base of the URLs shown to clients (`FN_PUBLIC_LB_URL`), without a trailing slash; the
    /// request's own host where it is not set.
    pub public_url: Option<String>,
    /// Sites whose pages may use the API and call functions (`FN_API_CORS_ORIGINS`).
    pub cors_origins: Option<CorsOrigins>,
    /// Request headers that such pages may send (`FN_API_CORS_HEADERS`).
    pub cors_headers: Vec<HeaderName>,
    /// Filter of the server's own log (`FN_LOG_LEVEL`), a level or a tracing directive.
    pub log_level: String,
    /// `FN_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `FN_SCALE_LOG`.
    pub scale_log: ScaleLogging,
    /// `FN_FEATURE_FLAGS`.
    pub features: Features,
    /// For an image to say which functions it has (`FN_INDEX_TIMEOUT`).
    pub index_timeout: Duration,
}

impl ServerConfig {
    /// Reads the settings; relative paths count from `cwd`.
    ///
    /// Every `FN_` variable may also come as `<NAME>_FILE`, the path of a file with the value.
    pub fn from_env(env: &Env<'_>, cwd: &Path) -> Result<Self, SettingError> {
        let data_dir = cwd.join(env.path("FN_DATA_DIR")?.unwrap_or_else(|| "data".into()));
        let db_url = match env.text("FN_DB_URL")? {
            Some(url) if url.contains("://") => url,
            Some(other) => {
                return Err(refused(
                    "FN_DB_URL",
                    &other,
                    "a URL such as sqlite3:///data/fn.db",
                ));
            }
            None => default_db_url(&data_dir),
        };
        Ok(Self {
            host: env.parse("FN_HOST", IpAddr::from([127, 0, 0, 1]), "an IP address")?,
            port: env.parse("FN_PORT", 8080, "a port number from 0 to 65535")?,
            db_url,
            db_retries: env.number("FN_DS_DB_PING_MAX_RETRIES", 10, 0..=1000, "tries")?,
            calls_max_age: Duration::from_secs(env.number(
                "FN_CALLS_MAX_AGE_SECS",
                WEEK_SECS,
                1..=100 * 366 * 24 * 3600,
                "seconds",
            )?),
            calls_max_count: env.number(
                "FN_CALLS_MAX_COUNT",
                DEFAULT_CALLS,
                1..=100_000_000,
                "calls",
            )?,
            launcher: env.parse("FN_LAUNCHER", LauncherKind::Auto, "auto, docker or process")?,
            docker_stdio: env.parse("FN_DOCKER_STDIO", StdioPath::Auto, "auto, link or attach")?,
            docker_host: env.text("DOCKER_HOST")?,
            docker_networks: env
                .text("FN_DOCKER_NETWORKS")?
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            prepared_networks: env.number(
                "FN_EXPERIMENTAL_PREFORK_POOL_SIZE",
                2,
                0..=1000,
                "networks",
            )?,
            prepared_use_once: env.parse(
                "FN_EXPERIMENTAL_PREFORK_POOL_USE_ONCE",
                false,
                "true or false",
            )?,
            container_limits: container_limits(env)?,
            iofs_dir: match env.path("FN_IOFS_PATH")? {
                Some(dir) => cwd.join(dir),
                None => data_dir.join("iofs"),
            },
            iofs_seen: iofs_seen(env)?,
            container_label_tag: env.text("FN_CONTAINER_LABEL_TAG")?,
            max_request_bytes: size(env, "FN_MAX_REQUEST_SIZE", DEFAULT_BODY_BYTES)?,
            max_response_bytes: match size(env, "FN_MAX_RESPONSE_SIZE", 0)? {
                0 => None,
                bytes => Some(bytes),
            },
            max_response_header_bytes: size(env, "FN_MAX_HDR_RESPONSE_SIZE", DEFAULT_HEADER_BYTES)?,
            response_idle: millis(env, "FN_RESPONSE_IDLE_TIMEOUT_MSECS", 120_000)?,
            max_request_header_bytes: size(
                env,
                "FN_MAX_REQUEST_HEADER_SIZE",
                DEFAULT_HEADER_BYTES,
            )?,
            max_call_depth: env.number("FN_MAX_CALL_DEPTH", 16, 1..=1000, "calls")?,
            max_log_bytes: size(env, "FN_MAX_LOG_SIZE_BYTES", MIB)?,
            max_connections: env.number(
                "FN_MAX_CONNECTIONS",
                10_000,
                1..=1_000_000,
                "connections",
            )?,
            request_head_timeout: patience(env, "FN_REQUEST_HEADER_READ_TIMEOUT", 30)?,
            request_body_timeout: patience(env, "FN_REQUEST_BODY_READ_TIMEOUT", 30)?,
            response_write_timeout: patience(env, "FN_RESPONSE_WRITE_TIMEOUT", 30)?,
            http_idle_timeout: patience(env, "FN_HTTP_IDLE_TIMEOUT", 120)?,
            max_containers_per_function: env.number(
                "FN_MAX_CONTAINERS",
                64,
                1..=10_000,
                "containers",
            )?,
            max_waiters_per_function: env.number("FN_MAX_WAITERS", 1000, 1..=1_000_000, "calls")?,
            max_total_memory: total(env, "FN_MAX_TOTAL_MEMORY_BYTES", "bytes")?,
            max_total_mcpus: total(env, "FN_MAX_TOTAL_CPU_MCPUS", "thousandths of a processor")?,
            eject_idle: millis(env, "FN_EJECT_IDLE_MSECS", 1000)?,
            pull_timeout: millis(env, "FN_HOT_PULL_TIMEOUT_MSECS", 600_000)?,
            start_timeout: millis(env, "FN_HOT_START_TIMEOUT_MSECS", 30_000)?,
            freeze_idle: u64::try_from(env.number(
                "FN_FREEZE_IDLE_MSECS",
                -1,
                i64::MIN..=24 * 3600 * 1000,
                "milliseconds",
            )?)
            .ok()
            .map(Duration::from_millis),
            shutdown_grace: Duration::from_secs(env.number(
                "FN_SHUTDOWN_GRACE_SECS",
                30,
                0..=3600,
                "seconds",
            )?),
            public_url: public_url(env)?,
            cors_origins: cors_origins(env)?,
            cors_headers: cors_headers(env)?,
            log_level: log_filter(env.text("FN_LOG_LEVEL")?.as_deref().unwrap_or("info")),
            log_format: env.parse("FN_LOG_FORMAT", LogFormat::Text, "text or json")?,
            scale_log: env.parse(
                "FN_SCALE_LOG",
                ScaleLogging {
                    to: ScaleLogTo::Stderr,
                    what: ScaleLogWhat::None,
                },
                "stderr or file, a colon, and none, warning or verbose",
            )?,
            features: Features::read(env)?,
            index_timeout: patience(env, "FN_INDEX_TIMEOUT", 30)?,
            data_dir,
        })
    }

    /// Moves everything that lives in the data folder by default to `dir`.
    pub fn move_data_to(&mut self, dir: PathBuf) {
        if self.db_url == default_db_url(&self.data_dir) {
            self.db_url = default_db_url(&dir);
        }
        if self.iofs_dir == self.data_dir.join("iofs") {
            self.iofs_dir = dir.join("iofs");
        }
        self.data_dir = dir;
    }
}

/// A log level by the names of Fn's logger, which knows more of them than ours.
pub fn log_filter(level: &str) -> String {
    match level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "fatal" | "panic" => "error".to_owned(),
        _ => level.to_owned(),
    }
}

fn default_db_url(data_dir: &Path) -> String {
    format!("sqlite3://{}", data_dir.join("fn.db").display())
}

/// A byte count; 0, Fn's "no limit", means our default, because nothing here is unbounded.
fn size(env: &Env<'_>, name: &str, default: u64) -> Result<u64, SettingError> {
    const MAX: u64 = 16 * 1024 * MIB;
    let bytes = env.number(name, default, 0..=MAX, "bytes")?;
    Ok(if bytes == 0 { default } else { bytes })
}

/// A bound of all containers together; 0 is none, as in Fn.
fn total(env: &Env<'_>, name: &str, unit: &str) -> Result<Option<u64>, SettingError> {
    let bound = env.number(name, 0, 0..=1 << 50, unit)?;
    Ok((bound > 0).then_some(bound))
}

fn millis(env: &Env<'_>, name: &str, default: u64) -> Result<Duration, SettingError> {
    let day = 24 * 3600 * 1000;
    env.number(name, default, 1..=day, "milliseconds")
        .map(Duration::from_millis)
}

/// A duration in Go's spelling; 0, Fn's "no limit", means our default, in seconds.
fn patience(env: &Env<'_>, name: &str, default: u64) -> Result<Duration, SettingError> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let default = Duration::from_secs(default);
    let Some(text) = env.text(name)? else {
        return Ok(default);
    };
    match duration::parse(&text) {
        Some(Duration::ZERO) => Ok(default),
        Some(given) if given <= DAY && given >= Duration::from_millis(1) => Ok(given),
        _ => Err(refused(
            name,
            &text,
            "a duration from 1ms to 24h such as 30s or 1m30s",
        )),
    }
}

fn public_url(env: &Env<'_>) -> Result<Option<String>, SettingError> {
    const NAME: &str = "FN_PUBLIC_LB_URL";
    let Some(url) = env.text(NAME)? else {
        return Ok(None);
    };
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
            Ok(Some(url.trim_end_matches('/').to_owned()))
        }
        _ => Err(refused(NAME, &url, "a URL such as https://fn.example.com")),
    }
}

fn iofs_seen(env: &Env<'_>) -> Result<Option<String>, SettingError> {
    const NAME: &str = "FN_IOFS_DOCKER_PATH";
    let Some(text) = env.text(NAME)? else {
        return Ok(None);
    };
    // A colon would end the path where the engine is told to mount it.
    let is_path = text.starts_with('/') && !text.contains(':');
    let is_volume = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_path || is_volume {
        Ok(Some(text))
    } else {
        let expected = "an absolute path, or the name of a volume";
        Err(refused(NAME, &text, expected))
    }
}

fn cors_origins(env: &Env<'_>) -> Result<Option<CorsOrigins>, SettingError> {
    let expected = "* or origins such as https://app.example.com, with commas between them";
    // The second is what Fn called it first.
    for name in ["FN_API_CORS_ORIGINS", "FN_API_CORS"] {
        if let Some(text) = env.text(name)? {
            let origins = text.parse().map_err(|()| refused(name, &text, expected))?;
            return Ok(Some(origins));
        }
    }
    Ok(None)
}

fn cors_headers(env: &Env<'_>) -> Result<Vec<HeaderName>, SettingError> {
    const NAME: &str = "FN_API_CORS_HEADERS";
    let text = env.text(NAME)?.unwrap_or_default();
    list(&text)
        .map(HeaderName::try_from)
        .collect::<Result<_, _>>()
        .map_err(|_| refused(NAME, &text, "names of headers, with commas between them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ServerConfig, SettingError> {
        let lookup = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        ServerConfig::from_env(&Env::new(&lookup), Path::new("/srv"))
    }

    #[test]
    fn an_empty_environment_gives_the_documented_defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(config.host.to_string(), "127.0.0.1");
        assert_eq!(config.port, 8080);
        assert_eq!(config.db_url, "sqlite3:///srv/data/fn.db");
        assert_eq!(config.iofs_dir, Path::new("/srv/data/iofs"));
        assert_eq!(config.max_request_bytes, 64 * MIB);
        assert_eq!(config.db_retries, 10);
        assert_eq!(config.calls_max_age, Duration::from_secs(604_800));
        assert_eq!(config.calls_max_count, 100_000);
        assert_eq!(config.prepared_networks, 2);
        assert_eq!(config.freeze_idle, None);
        assert_eq!(config.start_timeout, Duration::from_secs(30));
        assert_eq!(config.request_head_timeout, Duration::from_secs(30));
        assert_eq!(config.request_body_timeout, Duration::from_secs(30));
        assert_eq!(config.response_write_timeout, Duration::from_secs(30));
        assert_eq!(config.http_idle_timeout, Duration::from_secs(120));
        assert_eq!(config.log_format, LogFormat::Text);
        assert_eq!(config.cors_origins, None);
        assert_eq!(config.scale_log.what, ScaleLogWhat::None);
        assert_eq!(config.log_level, "info");
        assert_eq!(log_filter("WARNING"), "warn");
    }

    #[test]
    fn zero_bytes_means_the_default_bound() {
        let config = read(&[("FN_MAX_REQUEST_SIZE", "0")]).unwrap();
        assert_eq!(config.max_request_bytes, 64 * MIB);
    }

    #[test]
    fn the_engine_finds_the_sockets_in_a_folder_or_a_volume() {
        let seen = |text| read(&[("FN_IOFS_DOCKER_PATH", text)]).map(|c| c.iofs_seen);
        assert_eq!(read(&[]).unwrap().iofs_seen, None);
        for text in ["/srv/iofs", "fnserversocket", "a_b.c-1"] {
            assert_eq!(seen(text).unwrap().as_deref(), Some(text));
        }
        for text in ["iofs/kiln", "./iofs", "/a:b", "-v"] {
            let expected = format!(
                "FN_IOFS_DOCKER_PATH: {text} is not allowed, expected an absolute path, or the name of a volume"
            );
            assert_eq!(seen(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn idle_containers_freeze_at_once_later_or_never() {
        let freeze = |text| read(&[("FN_FREEZE_IDLE_MSECS", text)]).map(|c| c.freeze_idle);
        assert_eq!(freeze("0").unwrap(), Some(Duration::ZERO));
        assert_eq!(freeze("50").unwrap(), Some(Duration::from_millis(50)));
        assert_eq!(freeze("-1").unwrap(), None);
        assert!(freeze("soon").is_err());
    }

    #[test]
    fn a_time_is_written_as_in_go_and_none_is_endless() {
        let idle = |text| read(&[("FN_HTTP_IDLE_TIMEOUT", text)]).map(|c| c.http_idle_timeout);
        assert_eq!(idle("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(idle("0").unwrap(), Duration::from_secs(120));
        for text in ["90", "-1s", "25h", "1us"] {
            let expected = format!(
                "FN_HTTP_IDLE_TIMEOUT: {text} is not allowed, expected a duration from 1ms to 24h such as 30s or 1m30s"
            );
            assert_eq!(idle(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        for (name, value, error) in [
            (
                "FN_PORT",
                "http",
                "FN_PORT: http is not allowed, expected a port number from 0 to 65535",
            ),
            (
                "FN_LAUNCHER",
                "podman",
                "FN_LAUNCHER: podman is not allowed, expected auto, docker or process",
            ),
            (
                "FN_SCALE_LOG",
                "a:b:c",
                "FN_SCALE_LOG: a:b:c is not allowed, expected stderr or file, a colon, and none, warning or verbose",
            ),
            (
                "FN_MAX_CONTAINERS",
                "0",
                "FN_MAX_CONTAINERS: 0 is not allowed, expected a whole number of containers from 1 to 10000",
            ),
            (
                "FN_PUBLIC_LB_URL",
                "fn.example.com",
                "FN_PUBLIC_LB_URL: fn.example.com is not allowed, expected a URL such as https://fn.example.com",
            ),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn origins_are_a_list_or_everybody() {
        let origins = |text| read(&[("FN_API_CORS_ORIGINS", text)]).map(|c| c.cors_origins);
        let these = ["https://a.example", "http://b:8000"].map(HeaderValue::from_static);
        let these = Some(CorsOrigins::These(these.into()));
        assert_eq!(origins("https://a.example, http://b:8000,").unwrap(), these);
        assert_eq!(origins("http://x,*").unwrap(), Some(CorsOrigins::Any));
        for text in ["a.example", "https://", "https://a/", "https://*.a", ","] {
            let error = origins(text).unwrap_err().to_string();
            let expected = format!(
                "FN_API_CORS_ORIGINS: {text} is not allowed, expected * or origins such as https://app.example.com, with commas between them"
            );
            assert_eq!(error, expected);
        }
        let old = [("FN_API_CORS", "*")];
        assert_eq!(read(&old).unwrap().cors_origins, Some(CorsOrigins::Any));
        let both = [
            ("FN_API_CORS", "*"),
            ("FN_API_CORS_ORIGINS", "http://b:8000"),
        ];
        let one = CorsOrigins::These(vec![HeaderValue::from_static("http://b:8000")]);
        assert_eq!(read(&both).unwrap().cors_origins, Some(one));
        let headers = |text| read(&[("FN_API_CORS_HEADERS", text)]).map(|c| c.cors_headers);
        let two = vec![http::header::AUTHORIZATION, http::header::CONTENT_TYPE];
        assert_eq!(headers("Authorization, content-type").unwrap(), two);
        assert!(headers("a b").is_err());
    }

    #[test]
    fn a_value_may_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("port");
        std::fs::write(&file, "9000\n").unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(read(&[("FN_PORT_FILE", path)]).unwrap().port, 9000);
        let both = read(&[("FN_PORT_FILE", path), ("FN_PORT", "1")]).unwrap_err();
        assert!(matches!(both, SettingError::Both { .. }));
        let gone = read(&[("FN_PORT_FILE", "/nonexistent")]).unwrap_err();
        assert_eq!(gone.to_string(), "FN_PORT_FILE: cannot read /nonexistent");
    }

    #[test]
    fn another_data_folder_takes_the_database_along_unless_it_was_named() {
        let mut config = read(&[]).unwrap();
        config.move_data_to("/var/kiln".into());
        assert_eq!(config.db_url, "sqlite3:///var/kiln/fn.db");
        assert_eq!(config.iofs_dir, Path::new("/var/kiln/iofs"));
        let mut named = read(&[("FN_DB_URL", "sqlite3:///x.db")]).unwrap();
        named.move_data_to("/var/kiln".into());
        assert_eq!(named.db_url, "sqlite3:///x.db");
    }
}
