//! The composition root: settings in, a running gateway out. The only file that sees every room.

mod data_dir;
mod machine;
mod scaling;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiConfig, ApiState, Sites};
use crate::config::{CorsOrigins, LauncherKind, ServerConfig, StdioPath};
use crate::format::ExchangeLimits;
use crate::gateway::{self, Control, Cors, Gateway, GatewayConfig, Stop, Timeouts, Workers, serve};
use crate::index::Indexer;
use crate::invoke::{InvokeConfig, Invoker, Memory};
use crate::launcher::docker::{self, DockerConfig};
use crate::launcher::{DockerLauncher, LaunchError, Launcher, ProcessLauncher};
use crate::store::{
    Recorder, RecorderConfig, Registry, Store, StoreError, StoreUrl, UnsupportedUrl,
};
use crate::telemetry::{LogsError, start_logs};
use data_dir::DataDir;

/// How long a call may wait for a container, its start included.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Container starts in flight: engines degrade beyond about ten.
const MAX_STARTS: usize = 8;
/// Room for an answer that has to be read to its end before it can be passed on.
const MAX_WHOLE_BYTES: u64 = 64 << 20;
/// How long removing the last containers may take at the end.
const LAST_REMOVALS: Duration = Duration::from_secs(15);
/// How long changes that were asked for just before the end may take to be stored.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How long removing an earlier run's leftovers may delay the start.
const SWEEP: Duration = Duration::from_secs(30);
/// A unix socket's path has to fit; deeper folders get their sockets elsewhere.
const LONGEST_SOCKETS_DIR: usize = 30;

/// Why the server does not run.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error("cannot use the data folder {}", path.display())]
    DataDir {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("another server uses the data folder {}; stop it, or choose another with --data-dir", path.display())]
    DataDirInUse { path: PathBuf },
    #[error("DOCKER_HOST {host} is not supported, expected unix:///path/to/docker.sock")]
    DockerHost { host: String },
    #[error(transparent)]
    DbUrl(#[from] UnsupportedUrl),
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    #[error("cannot use the container engine")]
    Launcher(#[from] LaunchError),
    #[error(
        "the process launcher isolates nothing, so it only listens on this machine: --host {host} is not allowed with it, expected a loopback address such as 127.0.0.1"
    )]
    ProcessesForAll { host: std::net::IpAddr },
    #[error("cannot listen on {address}; choose another port with --port or FN_PORT")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot start the threads that serve callers")]
    Workers(#[source] std::io::Error),
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the server until SIGTERM or SIGINT, then ends in order; a second signal ends it at once.
pub async fn run(config: ServerConfig) -> Result<(), ServerError> {
    start_logs(&config.log_level, config.log_format)?;
    let descriptors = raise_descriptor_limit();
    let data = DataDir::open(&config.data_dir)?;
    let store = open_store(&config).await?;
    let tasks = TaskTracker::new();
    let recorder = Recorder::start(store.clone(), recorder_config(&config), &tasks);
    let registry = Registry::open(store).await?;
    let registry = Arc::new(registry.with_recorder(recorder.clone()));
    let launcher = choose_launcher(&config, data.identity()).await?;
    check_exposure(&config, launcher.kind())?;

    // What can fail does so before anything is started on the engine.
    let address = SocketAddr::new(config.host, config.port);
    let listen = |source| ServerError::Listen { address, source };
    let scale_log = scaling::log(config.scale_log, &config.data_dir);
    let scale_log = scale_log.map_err(|source| ServerError::DataDir {
        path: config.data_dir.clone(),
        source,
    })?;
    // Until the end: idle containers are listened to where they were last called.
    let workers = Workers::start().map_err(ServerError::Workers)?;
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let stop = Stop::default();
    let signals = stop_on_signals(stop.clone(), config.shutdown_grace)?;
    // Callers queue until it is done.
    tokio::select! {
        () = sweep(&*launcher) => {}
        () = stop.drain.cancelled() => {}
    }
    let max_log_bytes = usize::try_from(config.max_log_bytes).unwrap_or(usize::MAX);
    let memory = Memory::new(recorder, max_log_bytes);
    let invoker = Arc::new(Invoker::new(
        launcher.clone(),
        invoke_config(&config),
        Some(memory),
    ));
    if let Some(log) = scale_log {
        invoker.log_scaling_to(log);
    }
    registry.catalog().tell(invoker.clone());
    let gateway = Gateway::new(
        gateway_config(&config, descriptors),
        registry.catalog().clone(),
        invoker.clone(),
        control(&config, registry.clone(), &launcher, invoker.clone()),
    );
    let gateway = Arc::new(gateway.with_cors(cors(&config)));
    tracing::info!(
        launcher = launcher.kind(),
        stdio = launcher.stdio(),
        data = %config.data_dir.display(),
        "Kiln {} listens on http://{address}",
        env!("CARGO_PKG_VERSION")
    );

    serve(listener, gateway, &workers, stop).await;
    invoker.close().await;
    if tokio::time::timeout(LAST_WRITES, registry.drain())
        .await
        .is_err()
    {
        tracing::warn!("the database is slow; a change that was not acknowledged may be lost");
    }
    if tokio::time::timeout(LAST_REMOVALS, launcher.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some containers could not be removed; the next start will try again");
    }
    signals.abort();
    tracing::info!("stopped");
    Ok(())
}

/// Every container takes three descriptors, over attach five, and every caller one; the usual soft
/// limit of 1024 is for programs that still use `select`. Returns how many there may be.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    // None is no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many of the connections that were asked for there are descriptors for. Callers may not take
/// those that containers and the database need.
fn connections_within(descriptors: u64, wanted: u32) -> usize {
    let room = descriptors / 4 * 3;
    let within = u64::from(wanted).min(room).max(1);
    if within < u64::from(wanted) {
        tracing::warn!(
            descriptors,
            "at most {within} connections, not FN_MAX_CONNECTIONS={wanted}: the limit of open files is low"
        );
    }
    usize::try_from(within).unwrap_or(usize::MAX)
}

/// Before anything is started, so that nothing of ours is taken for a leftover.
async fn sweep(launcher: &dyn Launcher) {
    match tokio::time::timeout(SWEEP, launcher.sweep()).await {
        Ok(Ok(0)) => {}
        Ok(Ok(containers)) => {
            tracing::info!(containers, "removed what an earlier run had left");
        }
        Ok(Err(error)) => tracing::warn!(%error, "cannot look for what an earlier run left"),
        Err(_) => tracing::warn!("the container engine is slow to remove what an earlier run left"),
    }
}

fn recorder_config(config: &ServerConfig) -> RecorderConfig {
    RecorderConfig {
        max_age: config.calls_max_age,
        max_count: config.calls_max_count,
        ..RecorderConfig::default()
    }
}

async fn open_store(config: &ServerConfig) -> Result<Arc<dyn Store>, ServerError> {
    let url: StoreUrl = config.db_url.parse()?;
    Ok(url.open(config.db_retries).await?)
}

async fn choose_launcher(
    config: &ServerConfig,
    identity: &str,
) -> Result<Arc<dyn Launcher>, ServerError> {
    if let Some(host) = &config.docker_host
        && !host.starts_with("unix://")
    {
        return Err(ServerError::DockerHost { host: host.clone() });
    }
    let sockets = sockets(config, identity);
    let docker = docker_config(config, identity, &sockets);
    match config.launcher {
        LauncherKind::Docker => Ok(Arc::new(DockerLauncher::connect_later(docker).await?)),
        LauncherKind::Process => {
            tracing::warn!(
                "functions run as plain processes: nothing isolates them from this host"
            );
            Ok(Arc::new(ProcessLauncher::new(
                &sockets,
                config.start_timeout,
            )?))
        }
        LauncherKind::Auto => match DockerLauncher::connect(docker).await {
            Ok(launcher) => Ok(Arc::new(launcher)),
            Err(error @ LaunchError::Host { .. }) => Err(error.into()),
            Err(reason) => {
                tracing::warn!(
                    %reason,
                    "no container engine: functions run as plain processes, nothing isolates \
                     them from this host, and only `runtime: rust` can be deployed"
                );
                Ok(Arc::new(ProcessLauncher::new(
                    &sockets,
                    config.start_timeout,
                )?))
            }
        },
    }
}

/// Where the functions' sockets are.
fn sockets(config: &ServerConfig, identity: &str) -> PathBuf {
    let deep = config.iofs_dir.as_os_str().len() > LONGEST_SOCKETS_DIR;
    // The engine was told of no other.
    let base = if deep && config.iofs_seen.is_none() {
        std::env::temp_dir()
    } else {
        config.iofs_dir.clone()
    };
    base.join(format!("kiln-{identity}"))
}

fn docker_config(config: &ServerConfig, identity: &str, sockets: &Path) -> DockerConfig {
    let stdio = match config.docker_stdio {
        StdioPath::Link => docker::StdioPath::Link,
        StdioPath::Auto if link::program().is_some() => docker::StdioPath::Auto,
        StdioPath::Auto | StdioPath::Attach => docker::StdioPath::Attach,
    };
    DockerConfig {
        host: config.docker_host.clone(),
        sockets_seen: config.iofs_seen.clone(),
        stdio,
        tag: config.container_label_tag.clone(),
        networks: config.docker_networks.clone(),
        prepared_networks: config.prepared_networks as usize,
        prepared_use_once: config.prepared_use_once,
        limits: config.container_limits,
        start_timeout: config.start_timeout,
        pull_timeout: config.pull_timeout,
        ..DockerConfig::new(identity, sockets)
    }
}

/// Whoever can reach the API can run code in functions; with processes, on the host itself.
fn check_exposure(config: &ServerConfig, launcher: &str) -> Result<(), ServerError> {
    if config.host.is_loopback() {
        return Ok(());
    }
    if launcher == "process" {
        return Err(ServerError::ProcessesForAll { host: config.host });
    }
    tracing::warn!(
        host = %config.host,
        "the management API is open to everybody who can reach this address"
    );
    Ok(())
}

fn invoke_config(config: &ServerConfig) -> InvokeConfig {
    InvokeConfig {
        max_containers: config.max_containers_per_function as usize,
        max_waiting: config.max_waiters_per_function as usize,
        max_wait: MAX_WAIT,
        max_starts: MAX_STARTS,
        resources: machine::resources(config),
        eject_idle: config.eject_idle,
        freeze_after: config.freeze_idle,
        response_idle: config.response_idle,
        caller_patience: config.response_write_timeout,
        exchange: ExchangeLimits {
            head_bytes: usize::try_from(config.max_response_header_bytes).unwrap_or(usize::MAX),
            stream_bytes: config.max_response_bytes.unwrap_or(u64::MAX),
            whole_bytes: config.max_response_bytes.unwrap_or(MAX_WHOLE_BYTES),
        },
    }
}

fn gateway_config(config: &ServerConfig, descriptors: u64) -> GatewayConfig {
    GatewayConfig {
        max_connections: connections_within(descriptors, config.max_connections),
        max_head_bytes: usize::try_from(config.max_request_header_bytes).unwrap_or(usize::MAX),
        max_body_bytes: config.max_request_bytes,
        max_call_depth: config.max_call_depth,
        timeouts: Timeouts {
            head: config.request_head_timeout,
            body: config.request_body_timeout,
            write: config.response_write_timeout,
            idle: config.http_idle_timeout,
        },
    }
}

fn cors(config: &ServerConfig) -> Option<Cors> {
    let origins = match config.cors_origins.clone()? {
        CorsOrigins::Any => None,
        CorsOrigins::These(origins) => Some(origins),
    };
    Some(Cors::new(origins, config.cors_headers.clone()))
}

fn control(
    config: &ServerConfig,
    registry: Arc<Registry>,
    launcher: &Arc<dyn Launcher>,
    invoker: Arc<Invoker>,
) -> Control {
    let api = ApiConfig {
        public_url: config.public_url.clone(),
        version: env!("CARGO_PKG_VERSION"),
        max_body: usize::try_from(config.max_request_bytes).unwrap_or(usize::MAX),
        sites: match config.cors_origins.clone() {
            Some(CorsOrigins::Any) => Sites::Any,
            Some(CorsOrigins::These(origins)) => Sites::These(origins),
            None => Sites::These(Vec::new()),
        },
    };
    for name in &config.features.unknown {
        tracing::warn!("FN_FEATURE_FLAGS: {name} is not known, expected EnableWorkerIndexing");
    }
    let indexer = config
        .features
        .indexing
        .then(|| Indexer::new(launcher.clone(), config.index_timeout));
    let launcher = launcher.clone();
    let pools = Arc::new(scaling::Pools { invoker, launcher });
    let state = ApiState::new(registry, pools, api).with_indexer(indexer);
    let router = api::router(state);
    gateway::control(router)
}

/// The first signal drains, within the grace; the second, or the end of the grace, kills.
fn stop_on_signals(
    stop: Stop,
    grace: Duration,
) -> Result<tokio::task::JoinHandle<()>, ServerError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    Ok(tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!(
            grace_seconds = grace.as_secs(),
            "stopping; a second signal stops at once"
        );
        stop.drain.cancel();
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
            () = tokio::time::sleep(grace) => {},
        }
        tracing::warn!("stopping at once: calls in flight are cut off");
        stop.kill.cancel();
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // A17
    #[test]
    fn callers_leave_some_descriptors_to_containers() {
        assert_eq!(connections_within(1 << 20, 10_000), 10_000);
        assert_eq!(connections_within(1024, 10_000), 768);
        assert_eq!(connections_within(u64::MAX, 10_000), 10_000);
        assert_eq!(connections_within(0, 10_000), 1);
    }
}
