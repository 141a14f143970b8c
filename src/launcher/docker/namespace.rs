//! Networks that are prepared ahead of containers.
//!
//! Setting a container's network up is half of what its start costs. So sleeping containers are
//! kept in every network that functions use, and a function's container joins the namespace of one
//! of them. A launch takes what is there and waits for nothing; it starts as it would without where
//! nothing is there, and where what it took turns out to be gone.
//!
//! A namespace has one container at a time: it comes back when that container is removed, and only
//! if that is certain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bollard::Docker;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::launcher::DockerConfig;
use super::roster::Roster;
use super::sleeper::Sleeper;
use crate::launcher::LaunchError;

/// The namespaces that no container is in, for every network.
#[derive(Clone, Debug)]
pub(super) struct Namespaces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: DockerConfig,
    tasks: TaskTracker,
    roster: Arc<Roster>,
    /// Launches in flight: the engine is left to them.
    launches: watch::Sender<usize>,
    closing: CancellationToken,
    spares: Mutex<Spares>,
}

#[derive(Debug)]
struct Spares {
    /// By the network's name; `None` is the engine's default.
    networks: BTreeMap<Option<String>, Vec<Arc<Sleeper>>>,
    /// A task adds what is missing.
    refilling: bool,
    /// Those that nothing could be added to last time, which was told.
    failing: BTreeSet<Option<String>>,
}

impl Namespaces {
    pub(super) fn new(config: &DockerConfig, tasks: &TaskTracker, roster: &Arc<Roster>) -> Self {
        let named = config.networks.iter().cloned().map(Some);
        let default = config.networks.is_empty().then_some(None);
        let networks = named
            .chain(default)
            .filter(|name| name.as_deref().is_none_or(takes_time))
            .map(|name| (name, Vec::new()))
            .collect();
        Self(Arc::new(Shared {
            config: config.clone(),
            tasks: tasks.clone(),
            roster: roster.clone(),
            launches: watch::Sender::new(0),
            closing: CancellationToken::new(),
            spares: Mutex::new(Spares {
                networks,
                refilling: false,
                failing: BTreeSet::new(),
            }),
        }))
    }

    /// A launch begins; it ends when this is dropped.
    pub(super) fn launching(&self, docker: &Docker) -> Launching {
        self.0.launches.send_modify(|launches| *launches += 1);
        Launching {
            namespaces: self.clone(),
            docker: docker.clone(),
        }
    }

    /// A namespace in `network`, if one is there now.
    pub(super) fn take(&self, network: Option<&str>) -> Option<Namespace> {
        let network = network.map(str::to_owned);
        let sleeper = self.0.spares.lock().networks.get_mut(&network)?.pop()?;
        Some(Namespace {
            shared: self.0.clone(),
            network,
            sleeper,
        })
    }

    /// Lets all spares go: what ended one of them may have ended the others.
    pub(super) fn forget(&self) {
        for spares in self.0.spares.lock().networks.values_mut() {
            spares.clear();
        }
    }

    /// As [`forget`](Self::forget), for those that an engine that was away may have ended.
    pub(super) fn forget_gone(&self) {
        for spares in self.0.spares.lock().networks.values_mut() {
            spares.retain(|sleeper| !sleeper.may_be_gone());
        }
    }

    /// Sees to it, in the background, that there are as many spares as there should be.
    pub(super) fn refill(&self, docker: &Docker) {
        let mut spares = self.0.spares.lock();
        if spares.refilling || self.0.missing(&spares, &[]).is_none() {
            return;
        }
        spares.refilling = true;
        let (shared, docker) = (self.0.clone(), docker.clone());
        self.0
            .tasks
            .spawn(async move { shared.refill(&docker).await });
    }

    /// Removes all spares, and from now on whatever comes back.
    pub(super) fn close(&self) {
        self.0.closing.cancel();
        self.forget();
    }
}

/// Whether there is anything to set up in a network; the names are the engine's.
fn takes_time(network: &str) -> bool {
    network != "host" && !network.starts_with("container:")
}

impl Shared {
    /// One after the other, and only while nothing is launched.
    async fn refill(&self, docker: &Docker) {
        let mut launches = self.launches.subscribe();
        // The next launch is when to try these again.
        let mut failed = Vec::new();
        while let Some(network) = self.next(&failed) {
            tokio::select! {
                _ = launches.wait_for(|launches| *launches == 0) => {}
                () = self.closing.cancelled() => continue,
            }
            let starting = Sleeper::start(
                docker,
                &self.config,
                &self.tasks,
                &self.roster,
                network.as_deref(),
            );
            let limit = self.config.start_timeout;
            let made = timeout(limit, starting).await;
            let made = made.unwrap_or_else(|_| Err(LaunchError::Slow(limit.as_secs())));
            let mut spares = self.spares.lock();
            match made {
                Ok(sleeper) => {
                    spares.failing.remove(&network);
                    self.put(&mut spares, &network, Arc::new(sleeper));
                }
                Err(error) => {
                    if spares.failing.insert(network.clone()) {
                        tracing::warn!(
                            %error,
                            network,
                            "cannot prepare networks: containers start without, which takes longer"
                        );
                    }
                    failed.push(network);
                }
            }
        }
    }

    /// What to add; if nothing, the task that asks has ended.
    fn next(&self, failed: &[Option<String>]) -> Option<Option<String>> {
        let mut spares = self.spares.lock();
        let missing = self.missing(&spares, failed);
        spares.refilling = missing.is_some();
        missing
    }

    /// The network that lacks the most, of those that have not `failed`.
    fn missing(&self, spares: &Spares, failed: &[Option<String>]) -> Option<Option<String>> {
        if self.closing.is_cancelled() {
            return None;
        }
        let (network, there) = spares
            .networks
            .iter()
            .filter(|(network, _)| !failed.contains(network))
            .min_by_key(|(_, there)| there.len())?;
        (there.len() < self.config.prepared_networks).then(|| network.clone())
    }

    /// Keeps a namespace that no container is in, unless there are enough of them.
    fn put(&self, spares: &mut Spares, network: &Option<String>, sleeper: Arc<Sleeper>) {
        if let Some(there) = spares.networks.get_mut(network)
            && there.len() < self.config.prepared_networks
            && !self.closing.is_cancelled()
            && !sleeper.may_be_gone()
        {
            there.push(sleeper);
        }
    }

    /// Whether a namespace is as good as new after a container was in it. One that may run as root
    /// may write to the files that belong to the namespace, such as `/etc/hosts`.
    fn may_be_reused(&self) -> bool {
        let user = self.config.user.as_deref();
        let user = user.and_then(|user| user.split(':').next());
        let is_root = matches!(user, None | Some("" | "0" | "root"));
        !self.config.prepared_use_once && !self.config.limits.own_user && !is_root
    }
}

/// A namespace for one container. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Namespace {
    shared: Arc<Shared>,
    network: Option<String>,
    sleeper: Arc<Sleeper>,
}

impl Namespace {
    pub(super) fn sleeper(&self) -> Arc<Sleeper> {
        self.sleeper.clone()
    }

    /// The container that was in it is no more.
    pub(super) fn free(self) {
        if self.shared.may_be_reused() {
            let mut spares = self.shared.spares.lock();
            self.shared.put(&mut spares, &self.network, self.sleeper);
        }
    }
}

/// A launch in flight.
pub(super) struct Launching {
    namespaces: Namespaces,
    docker: Docker,
}

impl Drop for Launching {
    fn drop(&mut self) {
        let launches = &self.namespaces.0.launches;
        launches.send_modify(|launches| *launches -= 1);
        self.namespaces.refill(&self.docker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::launcher::docker::engine::Engine;

    fn docker() -> Docker {
        // Never connected to.
        let path = std::env::current_exe().unwrap();
        Docker::connect_with_unix(path.to_str().unwrap(), 1, bollard::API_DEFAULT_VERSION).unwrap()
    }

    fn namespaces(configure: impl FnOnce(&mut DockerConfig)) -> Namespaces {
        let mut config = DockerConfig::new("test", "/tmp");
        config.prepared_networks = 2;
        configure(&mut config);
        let roster = Roster::new(Arc::new(Engine::new(None)));
        Namespaces::new(&config, &TaskTracker::new(), &roster)
    }

    fn put(namespaces: &Namespaces, network: Option<&str>, name: &str) -> Weak<Sleeper> {
        let sleeper = Arc::new(Sleeper::imagined(&docker(), &namespaces.0.roster, name));
        let (kept, shared) = (Arc::downgrade(&sleeper), &namespaces.0);
        let mut spares = shared.spares.lock();
        shared.put(&mut spares, &network.map(str::to_owned), sleeper);
        kept
    }

    #[test]
    fn a_namespace_is_for_one_at_a_time_and_comes_back() {
        let namespaces = namespaces(|_| {});
        assert!(namespaces.take(None).is_none());
        let sleeper = put(&namespaces, None, "a");
        let taken = namespaces.take(None).unwrap();
        assert!(namespaces.take(None).is_none());
        taken.free();
        let again = namespaces.take(None).unwrap();
        assert_eq!(again.sleeper().network_mode(), "container:a");
        // Nobody knows what is in it.
        drop(again);
        assert!(sleeper.upgrade().is_none());
    }

    #[test]
    fn no_more_are_kept_than_are_wanted() {
        let namespaces = namespaces(|_| {});
        put(&namespaces, None, "a");
        let taken = namespaces.take(None).unwrap();
        let (b, c) = (put(&namespaces, None, "b"), put(&namespaces, None, "c"));
        let a = Arc::downgrade(&taken.sleeper());
        taken.free();
        let kept = [a, b, c].map(|sleeper| sleeper.upgrade().is_some());
        assert_eq!(kept, [false, true, true]);
        namespaces.close();
        assert!(namespaces.take(None).is_none());
    }

    #[test]
    fn a_namespace_that_may_not_be_as_new_is_not_used_again() {
        let once = |config: &mut DockerConfig| config.prepared_use_once = true;
        let root = |config: &mut DockerConfig| config.limits.own_user = true;
        let images_own = |config: &mut DockerConfig| config.user = None;
        let by_number = |config: &mut DockerConfig| config.user = Some("0:1000".to_owned());
        for namespaces in [
            namespaces(once),
            namespaces(root),
            namespaces(images_own),
            namespaces(by_number),
        ] {
            let sleeper = put(&namespaces, None, "a");
            namespaces.take(None).unwrap().free();
            assert!(sleeper.upgrade().is_none());
        }
    }

    #[test]
    fn every_network_that_takes_time_has_its_own() {
        let names = ["a", "none", "b", "host", "container:x", "a"];
        let namespaces = namespaces(|c| c.networks = names.map(str::to_owned).into());
        let without = |failed: &[_]| namespaces.0.missing(&namespaces.0.spares.lock(), failed);
        let missing = || without(&[]);
        let mut added = Vec::new();
        while let Some(network) = missing() {
            put(&namespaces, network.as_deref(), "x");
            added.push(network.unwrap());
        }
        assert_eq!(added, ["a", "b", "none", "a", "b", "none"]);
        assert!(namespaces.take(Some("host")).is_none());
        assert!(namespaces.take(Some("b")).is_some());
        assert_eq!(missing(), Some(Some("b".to_owned())));
        // One that is broken keeps no other from getting its own.
        assert!(namespaces.take(Some("a")).is_some());
        let failed = [Some("a".to_owned())];
        assert_eq!(without(&failed), Some(Some("b".to_owned())));
        put(&namespaces, Some("b"), "x");
        assert_eq!(without(&failed), None);
    }

    // D11: an engine that was away may have ended it.
    #[test]
    fn a_namespace_comes_back_only_if_it_is_known_to_be_there() {
        let namespaces = namespaces(|_| {});
        let roster = &namespaces.0.roster;
        let engine = roster.enter("any").engine().clone();
        for runs in [false, true] {
            let sleeper = put(&namespaces, None, "a");
            let taken = namespaces.take(None).unwrap();
            engine.lost_sight();
            if runs {
                roster.find("a").unwrap().runs(engine.gaps());
            }
            taken.free();
            assert_eq!(sleeper.upgrade().is_some(), runs);
        }
        assert!(namespaces.take(None).is_some());
        let sleeper = put(&namespaces, None, "a");
        namespaces.forget_gone();
        assert!(sleeper.upgrade().is_some());
        engine.lost_sight();
        namespaces.forget_gone();
        assert!(sleeper.upgrade().is_none());
    }
}
