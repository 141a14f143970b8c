//! The composition root: settings in, a running gateway out. The only file that sees every room.

mod data_dir;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{self, ApiConfig, ApiState, Health};
use crate::config::{LauncherKind, ServerConfig, StdioPath};
use crate::format::ExchangeLimits;
use crate::gateway::{self, Control, Gateway, GatewayConfig, Stop, serve};
use crate::invoke::{InvokeConfig, Invoker};
use crate::launcher::docker::{self, DockerConfig};
use crate::launcher::{DockerLauncher, LaunchError, Launcher, ProcessLauncher};
use crate::store::{Registry, Store, StoreError, StoreUrl, UnsupportedUrl};
use crate::telemetry::{LogsError, start_logs};
use data_dir::DataDir;

/// How long a call may wait for a container, its start included.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Container starts in flight: engines degrade beyond about ten.
const MAX_STARTS: usize = 8;
/// Room for the headers that a function may answer with.
const RESPONSE_HEAD_BYTES: usize = 64 << 10;
/// How long removing the last containers may take at the end.
const LAST_REMOVALS: Duration = Duration::from_secs(15);
/// A unix socket's path has to fit; deeper folders get their sockets elsewhere.
const LONGEST_SOCKETS_DIR: usize = 70;

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
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the server until SIGTERM or SIGINT, then ends in order; a second signal ends it at once.
pub async fn run(config: ServerConfig) -> Result<(), ServerError> {
    start_logs(&config.log_level, config.log_format)?;
    let data = DataDir::open(&config.data_dir)?;
    let identity = config
        .container_label_tag
        .clone()
        .unwrap_or_else(|| data.identity().to_owned());
    let registry = Arc::new(Registry::open(open_store(&config).await?).await?);
    let launcher = choose_launcher(&config, &identity).await?;
    check_exposure(&config, launcher.kind())?;
    match launcher.sweep().await {
        Ok(0) => {}
        Ok(containers) => tracing::info!(containers, "removed what an earlier run had left"),
        Err(error) => tracing::warn!(%error, "cannot look for what an earlier run left"),
    }

    let address = SocketAddr::new(config.host, config.port);
    let listen = |source| ServerError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let invoker = Arc::new(Invoker::new(launcher.clone(), invoke_config(&config)));
    let gateway = Arc::new(Gateway::new(
        gateway_config(&config),
        registry.catalog().clone(),
        invoker.clone(),
        control(&config, registry.clone(), &*launcher),
    ));
    let stop = Stop::default();
    let signals = stop_on_signals(stop.clone(), config.shutdown_grace)?;
    tracing::info!(
        launcher = launcher.kind(),
        stdio = launcher.stdio(),
        data = %config.data_dir.display(),
        "Kiln {} listens on http://{address}",
        env!("CARGO_PKG_VERSION")
    );

    serve(listener, gateway, stop).await;
    invoker.close();
    registry.drain().await;
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

async fn open_store(config: &ServerConfig) -> Result<Arc<dyn Store>, ServerError> {
    let url: StoreUrl = config.db_url.parse()?;
    Ok(url.open(config.db_retries).await?)
}

async fn choose_launcher(
    config: &ServerConfig,
    identity: &str,
) -> Result<Arc<dyn Launcher>, ServerError> {
    let docker = docker_config(config, identity);
    match config.launcher {
        LauncherKind::Docker => Ok(Arc::new(DockerLauncher::connect_later(docker).await?)),
        LauncherKind::Process => {
            tracing::warn!(
                "functions run as plain processes: nothing isolates them from this host"
            );
            Ok(Arc::new(ProcessLauncher::new()))
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
                Ok(Arc::new(ProcessLauncher::new()))
            }
        },
    }
}

fn docker_config(config: &ServerConfig, identity: &str) -> DockerConfig {
    let local = config
        .docker_host
        .as_ref()
        .is_none_or(|host| host.starts_with("unix://"));
    let stdio = match config.docker_stdio {
        StdioPath::Link => docker::StdioPath::Link,
        StdioPath::Auto if local && link::program().is_some() => docker::StdioPath::Link,
        StdioPath::Auto | StdioPath::Attach => docker::StdioPath::Attach,
    };
    let sockets = if config.iofs_dir.as_os_str().len() > LONGEST_SOCKETS_DIR {
        std::env::temp_dir().join(format!("kiln-{identity}"))
    } else {
        config.iofs_dir.clone()
    };
    DockerConfig {
        host: config.docker_host.clone(),
        stdio,
        network: config.docker_network.clone(),
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
        exchange: ExchangeLimits {
            response_head_bytes: RESPONSE_HEAD_BYTES,
            response_body_bytes: config.max_response_bytes,
        },
    }
}

fn gateway_config(config: &ServerConfig) -> GatewayConfig {
    GatewayConfig {
        max_connections: config.max_connections as usize,
        max_head_bytes: usize::try_from(config.max_request_header_bytes).unwrap_or(usize::MAX),
        max_body_bytes: config.max_request_bytes,
    }
}

fn control(config: &ServerConfig, registry: Arc<Registry>, launcher: &dyn Launcher) -> Control {
    let api = ApiConfig {
        public_url: config.public_url.clone(),
        version: env!("CARGO_PKG_VERSION"),
        max_body: usize::try_from(config.max_request_bytes).unwrap_or(usize::MAX),
        health: Health {
            launcher: launcher.kind(),
            stdio: launcher.stdio(),
        },
    };
    let router = api::router(ApiState::new(registry, api));
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
