use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::cgroup::Cgroup;
use super::engine::{Engine, is_missing, refused};
use super::events::Lookout;
use super::link::Links;
use super::namespace::{Namespace, Namespaces};
use super::network::{Membership, Networks};
use super::roster::Roster;
use super::view::View;
use super::ward::DockerWard;
use super::{attach, image, link, settings};
use crate::launcher::folder::Folders;
use crate::launcher::socket::Doorstep;
use crate::launcher::stdio::Pipes;
use crate::launcher::supervise::supervise;
use crate::launcher::{Channel, Image, Instance, LaunchError, LaunchSpec, Launcher, Reach, Stderr};
use crate::model::ContainerLimits;

/// How stdio travels between the gateway and a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdioPath {
    /// `Link`, until the engine turns out to see other files than ours; from then on `Attach`.
    Auto,
    /// Real pipes, handed over by the link program; for an engine on this host.
    Link,
    /// Through the engine's API.
    Attach,
}

/// Where the engine is and how its containers are made.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// As `DOCKER_HOST`; `None` for the local engine.
    pub host: Option<String>,
    pub stdio: StdioPath,
    /// The owner of the containers: the value of their `kiln.instance` label.
    pub identity: String,
    /// The value of their `kiln.tag` label, for people to find them by.
    pub tag: Option<String>,
    /// Per-container socket directories are made below this one; it must be short.
    pub sockets: PathBuf,
    /// Where the engine finds the folder that `sockets` is in, if not under the same path: a folder
    /// on its host, or the name of a volume.
    pub sockets_seen: Option<String>,
    /// As docker's `--user`; `None` for the image's own.
    pub user: Option<String>,
    /// As docker's `--network`, each container in the one with the fewest of ours; none for the
    /// engine's default.
    pub networks: Vec<String>,
    /// How many namespaces are kept prepared for every network.
    pub prepared_networks: usize,
    /// Whether such a namespace serves one container only.
    pub prepared_use_once: bool,
    pub limits: ContainerLimits,
    /// From create to the function's program running.
    pub start_timeout: Duration,
    pub pull_timeout: Duration,
}

impl DockerConfig {
    /// Defaults for the local engine with link stdio: user 1000, the engine's default network,
    /// nothing prepared.
    pub fn new(identity: impl Into<String>, sockets: impl Into<PathBuf>) -> Self {
        Self {
            host: None,
            stdio: StdioPath::Link,
            identity: identity.into(),
            tag: None,
            sockets: sockets.into(),
            sockets_seen: None,
            user: Some("1000:1000".to_owned()),
            networks: Vec::new(),
            prepared_networks: 0,
            prepared_use_once: false,
            limits: ContainerLimits::default(),
            start_timeout: Duration::from_secs(30),
            pull_timeout: Duration::from_secs(600),
        }
    }
}

/// Runs functions in containers.
#[derive(Debug)]
pub struct DockerLauncher {
    engine: Arc<Engine>,
    config: DockerConfig,
    folders: Folders,
    view: View,
    links: Option<Links>,
    /// The engine has turned out to see other files than ours.
    unseen: AtomicBool,
    networks: Networks,
    namespaces: Namespaces,
    tasks: TaskTracker,
    lookout: Lookout,
    /// The lookout's task, and what keeps it going.
    background: TaskTracker,
    watching: DropGuard,
}

/// Where a container is put.
struct Seat {
    network: Option<Membership>,
    namespace: Option<Namespace>,
}

impl Seat {
    /// As docker's `--network`.
    fn mode(&self) -> Option<String> {
        let namespace = self.namespace.as_ref();
        let network = || {
            self.network
                .as_ref()
                .map(|network| network.name().to_owned())
        };
        namespace
            .map(|namespace| namespace.sleeper().network_mode())
            .or_else(network)
    }
}

impl DockerLauncher {
    /// Connects to a living engine.
    pub async fn connect(config: DockerConfig) -> Result<Self, LaunchError> {
        let launcher = Self::build(config)?;
        launcher.engine.client().await?;
        launcher.watch();
        Ok(launcher)
    }

    /// As [`connect`](Self::connect), but accepts an engine that is down for now: every launch
    /// then says so, until the engine is there.
    pub async fn connect_later(config: DockerConfig) -> Result<Self, LaunchError> {
        let launcher = Self::build(config)?;
        if let Err(reason) = launcher.engine.client().await {
            tracing::warn!(%reason, "starting without the container engine");
            launcher.engine.note(Some(&reason));
        }
        launcher.watch();
        Ok(launcher)
    }

    /// What an earlier run left on an engine that is there is for [`Launcher::sweep`].
    fn watch(&self) {
        let (lookout, stop) = (self.lookout.clone(), self.watching.token().clone());
        let swept = self.engine.is_up();
        self.background
            .spawn(stop.run_until_cancelled_owned(lookout.keep(swept)));
    }

    fn build(config: DockerConfig) -> Result<Self, LaunchError> {
        let folders = Folders::open(&config.sockets)?;
        let links = match config.stdio {
            StdioPath::Auto | StdioPath::Link => Some(Links::open(&folders)?),
            StdioPath::Attach => None,
        };
        let view = View::new(&config.sockets, config.sockets_seen.clone());
        let engine = Arc::new(Engine::new(config.host.clone()));
        let tasks = TaskTracker::new();
        let roster = Roster::new(engine.clone());
        let namespaces = Namespaces::new(&config, &tasks, &roster);
        let lookout = Lookout {
            roster,
            namespaces: namespaces.clone(),
            engine: engine.clone(),
            identity: config.identity.clone(),
            tasks: tasks.clone(),
        };
        Ok(Self {
            engine,
            networks: Networks::new(&config.networks),
            namespaces,
            config,
            folders,
            view,
            links,
            unseen: AtomicBool::new(false),
            tasks,
            lookout,
            background: TaskTracker::new(),
            watching: CancellationToken::new().drop_guard(),
        })
    }

    /// Starts a container in a namespace that is prepared, if there is one.
    async fn start(
        &self,
        spec: &LaunchSpec,
        links: Option<&Links>,
    ) -> Result<Started, LaunchError> {
        let docker = self.engine.client().await?;
        let seen = self.view.sockets(docker).await?;
        let _launching = self.namespaces.launching(docker);
        if spec.reach == Reach::Nothing {
            let seat = Seat {
                network: None,
                namespace: None,
            };
            return self.start_in(docker, spec, seat, links, seen).await;
        }
        let network = self.networks.join();
        let namespace = self.namespaces.take(network.as_ref().map(Membership::name));
        let sleeper = namespace.as_ref().map(Namespace::sleeper);
        let seat = Seat { network, namespace };
        let error = match self.start_in(docker, spec, seat, links, seen).await {
            Ok(started) => return Ok(started),
            Err(error) => error,
        };
        match sleeper {
            Some(sleeper) if sleeper.is_gone().await => {
                tracing::info!(%error, "a prepared network is gone, starting without");
                self.namespaces.forget();
                let seat = Seat {
                    network: self.networks.join(),
                    namespace: None,
                };
                self.start_in(docker, spec, seat, links, seen).await
            }
            _ => Err(error),
        }
    }

    async fn start_in(
        &self,
        docker: &Docker,
        spec: &LaunchSpec,
        seat: Seat,
        links: Option<&Links>,
        seen: &Path,
    ) -> Result<Started, LaunchError> {
        let id = &ulid::Ulid::generate().to_string();
        let host = |doing| move |source| LaunchError::Host { doing, source };
        let folder = self.folders.make(id)?;
        let seen = &seen.join(id);
        let mut binds = Vec::new();
        let listener = match links {
            Some(links) => Some(links.listen(&folder)?),
            None => None,
        };
        if listener.is_some() {
            binds.push(link::bind(seen));
        }
        // Watched from before the start, so that no socket is missed.
        let doorstep = match spec.channel {
            Channel::Stdio => None,
            Channel::Socket => {
                let made = folder.make_writable(self.view.shares_mounts());
                let made = made.map_err(host("make a container's socket directory"))?;
                binds.push(settings::socket_bind(seen));
                let doorstep = Doorstep::make(made);
                Some(doorstep.map_err(host("watch a container's socket directory"))?)
            }
        };
        // From here on, whatever happens, the container and the folder are removed.
        let place = self.lookout.roster.enter(id);
        let tasks = self.tasks.clone();
        let mut ward = DockerWard::new(docker.clone(), tasks, place, id, Some(folder));
        let place = ward.place();
        if doorstep.is_some() {
            ward.watch();
        }
        let attached = listener.is_none();
        let entrypoint = (!attached).then(link::entrypoint);
        let network = match spec.reach {
            Reach::Network => seat.mode(),
            Reach::Nothing => Some(settings::NO_NETWORK.to_owned()),
        };
        let body = settings::create_body(&self.config, spec, id, network, entrypoint, binds);
        ward.joined(seat.network, seat.namespace);
        let name = CreateContainerOptionsBuilder::default().name(id).build();
        let engine_id = match docker.create_container(Some(name), body).await {
            Ok(created) => {
                ward.created(created.id.clone());
                created.id
            }
            Err(e) if let Some(unseen) = link::unseen(seen, &e) => return Err(unseen),
            Err(e) if is_missing(&e) && !self.networks.named_in(&e.to_string()) => {
                ward.refused();
                let image = spec.image.reference.clone();
                return Err(LaunchError::ImageGone {
                    image,
                    reason: e.to_string(),
                });
            }
            Err(e) => return Err(refused("create the container", &e)),
        };
        let log = |pipe| Arc::new(Stderr::new(&spec.app, &spec.function, id, pipe));
        let (stdin, stdout, stderr, control) = match listener {
            Some(listener) => {
                let mut pipes = Pipes::new(spec.channel).map_err(host("make the pipes"))?;
                let theirs = std::mem::take(&mut pipes.theirs);
                let pid = link::start(docker, id, seen, listener, theirs, spec).await?;
                ward.started(Cgroup::new(docker, engine_id, pid));
                let stderr = log(Some(pipes.stderr));
                let control = supervise(&self.tasks, ward, stderr.clone(), None);
                (pipes.stdin, pipes.stdout, stderr, control)
            }
            None => {
                let streams = attach::start(&self.engine, docker, id, spec.channel).await?;
                ward.started(Cgroup::new(docker, engine_id, None));
                let ward = ward.with_streams(streams.ends);
                let stderr = log(None);
                let written = Some(Box::pin(streams.stderr) as _);
                let control = supervise(&self.tasks, ward, stderr.clone(), written);
                (streams.stdin, streams.stdout, stderr, control)
            }
        };
        place.started(&control, attached);
        let instance = Instance {
            id: id.to_owned(),
            stdin,
            stdout,
            socket: None,
            stderr,
            control,
        };
        Ok(Started { instance, doorstep })
    }

    /// What a start tries first. A socket is a file in any case.
    fn links(&self, channel: Channel) -> Option<&Links> {
        let seen = channel == Channel::Socket || !self.unseen.load(Ordering::Relaxed);
        self.links.as_ref().filter(|_| seen)
    }

    /// As [`start`](Self::start); goes through the engine where it sees other files.
    async fn start_somehow(&self, spec: &LaunchSpec) -> Result<Started, LaunchError> {
        let error = match self.start(spec, self.links(spec.channel)).await {
            Err(error @ LaunchError::Unseen { .. }) => error,
            other => return other,
        };
        if self.config.stdio != StdioPath::Auto || spec.channel == Channel::Socket {
            return Err(error);
        }
        // Only its success tells that it was not this image's fault.
        let started = self.start(spec, None).await?;
        if !self.unseen.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "from here on, stdio goes through the engine's API");
        }
        Ok(started)
    }
}

/// A container whose program runs; one that is called through its socket may not listen yet.
struct Started {
    instance: Instance,
    doorstep: Option<Doorstep>,
}

#[async_trait]
impl Launcher for DockerLauncher {
    async fn resolve(&self, reference: &str) -> Result<Image, LaunchError> {
        let resolved = async {
            let docker = self.engine.client().await?;
            image::resolve(docker, reference, self.config.pull_timeout).await
        };
        self.engine.ask(resolved).await
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Instance, LaunchError> {
        let limit = self.config.start_timeout;
        let started = self.engine.ask(self.start_somehow(spec));
        let started = tokio::time::timeout(limit, started).await;
        let started = started.unwrap_or_else(|_| Err(LaunchError::Slow(limit.as_secs())));
        let Started { instance, doorstep } = started.map_err(|e| self.networks.explain(e))?;
        match doorstep {
            Some(doorstep) => instance.listening(&doorstep, limit).await,
            None => Ok(instance),
        }
    }

    async fn sweep(&self) -> Result<usize, LaunchError> {
        self.folders.sweep();
        let docker = self.engine.client().await?;
        let swept = self.lookout.sweep(docker).await?;
        // Not before: what is prepared carries the same label.
        self.namespaces.refill(docker);
        Ok(swept)
    }

    async fn shutdown(&self) {
        self.namespaces.close();
        self.tasks.close();
        // The lookout tells when an engine that is away can be asked to remove what is left.
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.engine.silent() => tracing::warn!(
                "the container engine does not answer: what is left on it is removed at the next start"
            ),
        }
        self.watching.token().cancel();
        self.background.close();
        self.background.wait().await;
    }

    fn engine_answers(&self) -> Option<bool> {
        Some(self.engine.is_up())
    }

    fn kind(&self) -> &'static str {
        "docker"
    }

    fn stdio(&self) -> &'static str {
        match self.links(Channel::Stdio) {
            Some(_) => "link",
            None => "attach",
        }
    }
}
