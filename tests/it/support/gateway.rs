use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Backend, Example, PATIENCE, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fn");

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A running server in a folder of its own; dropping it stops it and removes what it made.
pub(crate) struct Gateway {
    backend: Backend,
    child: Child,
    pid: i32,
    address: String,
    dir: Option<tempfile::TempDir>,
    data: PathBuf,
    /// The engine it was told to use, if not the one of everybody.
    #[cfg(feature = "docker-tests")]
    engine: Option<String>,
    log: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

impl Gateway {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, &[]).await
    }

    /// With more settings than the backend's own.
    pub(crate) async fn start_with(backend: Backend, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut gateway = Self::start_in(backend, &data, settings).await;
        gateway.dir = Some(dir);
        gateway
    }

    /// On an engine of the test's own.
    #[cfg(feature = "docker-tests")]
    pub(crate) async fn start_on(backend: Backend, engine: &super::Engine) -> Self {
        Self::start_with(backend, &[("DOCKER_HOST", &engine.host())]).await
    }

    /// Where no engine sees what `mount`, with these arguments, has mounted: as if it ran in a
    /// container.
    #[cfg(feature = "docker-tests")]
    pub(crate) async fn start_apart(
        backend: Backend,
        mount: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new("unshare");
        let script = format!("mount {mount} && exec \"$0\" \"$@\"");
        command.args(["--mount", "sh", "-c", &script, PROGRAM]);
        let dir = tempfile::tempdir().unwrap();
        let mut gateway = Self::begin(command, backend, &dir.path().join("data"), settings);
        gateway.dir = Some(dir);
        gateway.listening().await;
        gateway
    }

    /// On a data folder that outlives it.
    pub(crate) async fn start_in(backend: Backend, data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut gateway = Self::begin_in(backend, data, settings);
        gateway.listening().await;
        gateway
    }

    /// Without waiting until it listens, which [`Gateway::listening`] does.
    pub(crate) fn begin_in(backend: Backend, data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::begin(Command::new(PROGRAM), backend, data, settings)
    }

    fn begin(
        mut program: Command,
        backend: Backend,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut child = program
            .args(["start", "--port", "0", "--data-dir"])
            .arg(data)
            .envs(backend.settings().iter().copied())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn({
            let log = log.clone();
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    log.lock().push(line);
                }
            }
        });
        Self {
            backend,
            pid: child.id().unwrap().try_into().unwrap(),
            child,
            address: String::new(),
            dir: None,
            data: data.to_owned(),
            #[cfg(feature = "docker-tests")]
            engine: settings
                .iter()
                .find(|(name, _)| *name == "DOCKER_HOST")
                .map(|(_, host)| (*host).to_owned()),
            log,
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .unwrap(),
        }
    }

    pub(crate) async fn listening(&mut self) {
        let began = tokio::time::Instant::now();
        loop {
            for line in self.log.lock().iter() {
                if let Some((_, rest)) = line.split_once("listens on http://") {
                    rest.split_whitespace()
                        .next()
                        .unwrap()
                        .clone_into(&mut self.address);
                    return;
                }
            }
            let exited = self.child.try_wait().unwrap();
            assert!(
                exited.is_none(),
                "exited with {exited:?}: {:?}",
                self.log.lock()
            );
            assert!(began.elapsed() < PATIENCE, "{:?}", self.log.lock());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// The most memory that it has used so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib << 10
    }

    /// What `/health` tells.
    pub(crate) async fn health(&self) -> Value {
        let health = self.get("/health").await;
        assert_eq!(health.status, 200);
        serde_json::from_slice(&health.body).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().join("\n")
    }

    /// Makes the function `name` of the app `t` from an example, with `settings` on top, and a
    /// trigger `/name` for it.
    pub(crate) async fn function(&self, name: &str, example: Example, settings: Value) {
        let image = example.image(self).await;
        self.function_of(name, &image, settings).await;
    }

    pub(crate) async fn function_of(&self, name: &str, image: &str, settings: Value) {
        let app = self.app().await;
        let mut function = json!({
            "app_id": app, "name": name, "image": image, "format": "http",
            "memory": 64, "timeout": 30, "idle_timeout": 30,
        });
        for (key, value) in settings.as_object().unwrap() {
            function[key] = value.clone();
        }
        let function = self.post_json("/v2/fns", &function).await;
        let trigger = json!({
            "app_id": app, "fn_id": function["id"], "name": name,
            "type": "http", "source": format!("/{name}"),
        });
        self.post_json("/v2/triggers", &trigger).await;
    }

    /// Where the function `name` of the app `t` is invoked by its id.
    pub(crate) async fn invoke_path(&self, name: &str) -> String {
        let app = self.app().await;
        let app = app.as_str().unwrap();
        let found = self.get(&format!("/v2/fns?app_id={app}&name={name}")).await;
        let found: Value = serde_json::from_slice(&found.body).unwrap();
        format!("/invoke/{}", found["items"][0]["id"].as_str().unwrap())
    }

    async fn app(&self) -> Value {
        let found = self.get("/v2/apps?name=t").await;
        let found: Value = serde_json::from_slice(&found.body).unwrap();
        match found["items"].get(0) {
            Some(app) => app["id"].clone(),
            None => self.post_json("/v2/apps", &json!({"name": "t"})).await["id"].clone(),
        }
    }

    async fn post_json(&self, path: &str, body: &Value) -> Value {
        let reply = self
            .client
            .post(self.url(path))
            .json(body)
            .send()
            .await
            .unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status.is_success(), "{path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.client.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.send(self.client.post(self.url(path)).body(body)).await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let reply = request.send().await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        Reply {
            status,
            headers,
            body: reply.bytes().await.unwrap().to_vec(),
        }
    }

    /// Waits until it has a call, and no other.
    pub(crate) async fn has_a_call(&self) {
        eventually("the call", async || {
            let state = self.get("/v2/drain").await.text();
            state.contains("\"calls\":1}")
        })
        .await;
    }

    /// The containers, or processes, that it runs now.
    pub(crate) async fn containers(&self) -> Vec<String> {
        if self.backend.is_docker() {
            #[cfg(feature = "docker-tests")]
            return crate::docker::containers(self.engine.as_deref(), &self.identity()).await;
        }
        children(self.pid())
    }

    #[cfg(feature = "docker-tests")]
    pub(crate) fn identity(&self) -> String {
        std::fs::read_to_string(self.data.join("instance")).unwrap()
    }

    pub(crate) async fn no_containers(&self) {
        eventually("the last container's end", async || {
            self.containers().await.is_empty()
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        #[cfg(feature = "docker-tests")]
        if self.backend.is_docker() {
            crate::docker::remove_all(self.engine.as_deref(), &self.identity());
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// Runs the command line against `gateway`, all builds sharing one target folder.
pub(crate) async fn run_cli(gateway: &Gateway, args: &[&str]) -> Output {
    run_cli_with(gateway, args, &[]).await
}

/// With more in its environment.
pub(crate) async fn run_cli_with(
    gateway: &Gateway,
    args: &[&str],
    environment: &[(&str, &str)],
) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Command::new(PROGRAM)
        .args(args)
        .env("FN_API_URL", format!("http://{}", gateway.address()))
        .env("FN_DATA_DIR", target.join("data"))
        .env("CARGO_TARGET_DIR", target.join("examples"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

fn children(parent: i32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // After the name in parentheses, which may hold anything: the state, then the parent.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let mut fields = rest.split(' ');
        let (state, ppid) = (fields.next(), fields.next());
        if ppid == Some(parent.to_string().as_str()) && state != Some("Z") {
            found.push(pid);
        }
    }
    found
}
