//! A container engine of a test's own, to be mistreated.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Example, Gateway, eventually};

/// A dockerd and its containerd in a folder and a network namespace of their own, beside whatever
/// else runs here. Dropping it leaves nothing behind, whatever state it is in.
pub(crate) struct Engine {
    dir: tempfile::TempDir,
    /// Where images and containers are.
    data: PathBuf,
    dockerd: Option<Child>,
    containerd: Option<Child>,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let dir = Self::folder();
        let data = dir.path().join("data");
        Self::start_with(dir, data).await
    }

    /// With its images and containers in `data`.
    pub(crate) async fn start_in(data: PathBuf) -> Self {
        Self::start_with(Self::folder(), data).await
    }

    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("ke-").tempdir().unwrap()
    }

    async fn start_with(dir: tempfile::TempDir, data: PathBuf) -> Self {
        let mut engine = Self {
            dir,
            data,
            dockerd: None,
            containerd: None,
        };
        engine.restart().await;
        engine
    }

    /// As `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("sock").display())
    }

    /// Runs the `docker` client; returns what it printed.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = Command::new("docker")
            .args(["-H", &self.host()])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "docker {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// As [`docker`](Self::docker), for what may fail.
    pub(crate) fn try_docker(&self, args: &[&str]) -> bool {
        let mut client = Command::new("docker");
        client.args(["-H", &self.host()]).args(args);
        client.output().unwrap().status.success()
    }

    /// The functions' containers of all gateways that are on it.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.listed(|role| role.is_empty())
    }

    /// As [`containers`](Self::containers), with those that keep networks.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        self.listed(|_| true)
    }

    fn listed(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let ours = "label=kiln.instance";
        let format = "{{.ID}} {{.Label \"kiln.role\"}}";
        let found = self.docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            ours,
            "--format",
            format,
        ]);
        found
            .lines()
            .filter_map(|line| {
                let (id, role) = line.split_once(' ').unwrap_or((line, ""));
                wanted(role).then(|| id.to_owned())
            })
            .collect()
    }

    /// Puts an example's image on it, as `gateway` names it.
    pub(crate) async fn load(&self, gateway: &Gateway, example: Example) {
        let image = example.image(gateway).await;
        let copy = format!("docker save {image} | docker -H {} load", self.host());
        let copied = Command::new("sh").args(["-c", &copy]).output().unwrap();
        assert!(copied.status.success(), "{copied:?}");
    }

    /// SIGKILLs dockerd; its containerd and the containers live on.
    pub(crate) fn kill9(&mut self) {
        kill(&mut self.dockerd);
    }

    /// SIGKILLs dockerd and its containerd; the containers live on.
    pub(crate) fn kill9_all(&mut self) {
        kill(&mut self.dockerd);
        kill(&mut self.containerd);
    }

    /// Ends dockerd in order, which ends its containers.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut dockerd) = self.dockerd.take() {
            dockerd.wait().unwrap();
        }
    }

    /// Stops dockerd from doing anything.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts what does not run.
    pub(crate) async fn restart(&mut self) {
        if self.containerd.is_none() {
            self.containerd = Some(self.spawn_containerd());
        }
        if self.dockerd.is_none() {
            // One that was killed leaves its number behind, which another process may have.
            let _ = std::fs::remove_file(self.path("pid"));
            self.dockerd = Some(self.spawn_dockerd());
        }
        eventually("the engine's start", async || {
            let mut info = Command::new("docker");
            info.args(["-H", &self.host(), "info"]);
            info.stdout(Stdio::null()).stderr(Stdio::null());
            info.status().unwrap().success()
        })
        .await;
    }

    fn spawn_containerd(&self) -> Child {
        let config = self.path("containerd.toml");
        let lines = format!(
            "version = 2\nroot = '{0}/c/root'\nstate = '{0}/c/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{0}/c/sock'\n",
            self.dir.path().display()
        );
        std::fs::write(&config, lines).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(config);
        self.spawn(command)
    }

    fn spawn_dockerd(&self) -> Child {
        // In a network namespace of its own: told to have no bridge, dockerd would delete the
        // `docker0` of every other engine on this host.
        let mut command = Command::new("unshare");
        command
            .args(["--net", "dockerd"])
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .args(["--ip-forward=false", "--ip-masq=false", "-H", &self.host()])
            .arg("--containerd")
            .arg(self.path("c/sock"))
            .arg("--data-root")
            .arg(&self.data)
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"));
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command.spawn().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let dockerd = self.dockerd.as_ref().unwrap();
        kill_process(Pid::from_child(dockerd), signal).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Ends what a dead engine's containers run, and who looks after them.
    fn end_containers(&self) {
        let folder = self.dir.path().to_str().unwrap();
        let processes = processes();
        for (shim, _, command) in &processes {
            if !command.contains("containerd-shim") || !command.contains(folder) {
                continue;
            }
            let inside = processes.iter().filter(|(_, parent, _)| parent == shim);
            for pid in inside.map(|(pid, ..)| pid).chain([shim]) {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!(
                "the engine's last words, the last first:\n{}",
                lines.join("\n")
            );
        }
        self.kill9_all();
        self.end_containers();
        // The kernel keeps a group while a process in it is being buried.
        let groups = format!(
            "for id in $(ls {}); do for group in /sys/fs/cgroup/*/docker/$id; do
                for try in $(seq 100); do
                    [ -d $group ] && ! rmdir $group && sleep 0.05 || break
                done
            done; done",
            self.data.join("containers").display()
        );
        let mut shell = Command::new("sh");
        let _ = shell.args(["-c", &groups]).stderr(Stdio::null()).status();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mounted = mounts.lines().rev().filter_map(|l| l.split(' ').nth(1));
        let ours = |place: &&str| {
            let place = Path::new(place);
            place.starts_with(self.dir.path()) || place.starts_with(&self.data)
        };
        for place in mounted.filter(ours) {
            let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// All processes: their numbers, their parents' and their commands.
fn processes() -> Vec<(i32, i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name in parentheses, which may hold anything: the state, then the parent.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent, String::from_utf8_lossy(&command).into_owned()))
    };
    entries.filter_map(process).collect()
}
