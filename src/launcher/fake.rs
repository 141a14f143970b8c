//! A launcher whose functions are futures in the test's own process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::io::{DuplexStream, duplex};
use tokio_util::task::TaskTracker;

use super::supervise::{Ward, supervise};
use super::{Exit, Image, Instance, LaunchError, LaunchSpec, Launcher, Stderr, Stdin, Stdout};

/// What a fake function holds; dropping an end closes it.
pub(crate) struct FakeIo {
    pub(crate) stdin: DuplexStream,
    pub(crate) stdout: DuplexStream,
    pub(crate) stderr: DuplexStream,
    pub(crate) env: std::collections::BTreeMap<String, String>,
}

type Body = Arc<dyn Fn(FakeIo) -> BoxFuture<'static, i64> + Send + Sync>;

/// Runs functions by the name of their image.
#[derive(Default)]
pub(crate) struct FakeLauncher {
    bodies: HashMap<String, Body>,
    /// Of every image.
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    tasks: TaskTracker,
    started: AtomicUsize,
    alive: Arc<AtomicUsize>,
    most_alive: AtomicUsize,
    frozen: Arc<AtomicUsize>,
    /// From now on nothing that is frozen can be thawed.
    pub(crate) ice_age: Arc<AtomicBool>,
}

impl std::fmt::Debug for FakeLauncher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeLauncher")
    }
}

impl FakeLauncher {
    /// Adds the image `name`: `body` runs per instance and gives its exit code.
    pub(crate) fn image<F>(
        mut self,
        name: &str,
        body: impl Fn(FakeIo) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = i64> + Send + 'static,
    {
        self.bodies
            .insert(name.to_owned(), Arc::new(move |io| Box::pin(body(io))));
        self
    }

    /// How many instances were ever started.
    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    /// How many instances have not been removed.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    /// How many instances are frozen.
    pub(crate) fn frozen(&self) -> usize {
        self.frozen.load(Ordering::SeqCst)
    }

    /// The most instances that were ever alive at once.
    pub(crate) fn most_alive(&self) -> usize {
        self.most_alive.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Launcher for FakeLauncher {
    async fn resolve(&self, reference: &str) -> Result<Image, LaunchError> {
        if !self.bodies.contains_key(reference) {
            return Err(LaunchError::Pull {
                image: reference.to_owned(),
                status: Some(404),
                reason: "no such fake image".to_owned(),
            });
        }
        Ok(Image {
            reference: reference.to_owned(),
            id: format!("fake:{reference}"),
            command: vec![reference.to_owned()],
            volumes: Vec::new(),
            labels: self.labels.clone(),
        })
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Instance, LaunchError> {
        let body = self.bodies.get(&spec.image.reference).cloned();
        let body = body.ok_or_else(|| LaunchError::Ended("no such fake image".to_owned()))?;
        // A start takes a moment, as a real one does.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        let alive = self.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_alive.fetch_max(alive, Ordering::SeqCst);
        let (our_stdin, stdin) = duplex(64 << 10);
        let (our_stdout, stdout) = duplex(64 << 10);
        let (our_stderr, stderr) = duplex(64 << 10);
        let io = FakeIo {
            stdin,
            stdout,
            stderr,
            env: spec.env.clone(),
        };
        let id = format!("fake-{number}");
        let log = Arc::new(Stderr::new(&spec.app, &spec.function, &id, None));
        let ward = FakeWard {
            body: Some(body(io)),
            alive: self.alive.clone(),
            is_frozen: false,
            frozen: self.frozen.clone(),
            ice_age: self.ice_age.clone(),
        };
        let control = supervise(&self.tasks, ward, log.clone(), Some(Box::pin(our_stderr)));
        Ok(Instance {
            id,
            stdin: Stdin::Stream(Box::pin(our_stdin)),
            stdout: Stdout::Stream(Box::pin(our_stdout)),
            socket: None,
            stderr: log,
            control,
        })
    }

    async fn sweep(&self) -> Result<usize, LaunchError> {
        Ok(0)
    }

    async fn shutdown(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn kind(&self) -> &'static str {
        "fake"
    }

    fn stdio(&self) -> &'static str {
        "memory"
    }
}

struct FakeWard {
    body: Option<BoxFuture<'static, i64>>,
    alive: Arc<AtomicUsize>,
    is_frozen: bool,
    frozen: Arc<AtomicUsize>,
    ice_age: Arc<AtomicBool>,
}

impl Ward for FakeWard {
    async fn ended(&mut self) -> Exit {
        if self.is_frozen {
            std::future::pending::<()>().await;
        }
        match &mut self.body {
            Some(body) => {
                let code = body.await;
                self.body = None;
                Exit::Code(code)
            }
            None => Exit::Unknown,
        }
    }

    fn watched(&self) -> bool {
        true
    }

    async fn freeze(&mut self) {
        if !std::mem::replace(&mut self.is_frozen, true) {
            self.frozen.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn thaw(&mut self) -> bool {
        if self.ice_age.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if std::mem::take(&mut self.is_frozen) {
            self.frozen.fetch_sub(1, Ordering::SeqCst);
        }
        true
    }

    async fn terminate(&mut self) {}

    async fn kill(&mut self) {
        self.body = None;
    }

    async fn remove(self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}
