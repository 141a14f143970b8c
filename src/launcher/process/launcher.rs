use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio_util::task::TaskTracker;

use crate::launcher::folder::{Folder, Folders};
use crate::launcher::socket::{Doorstep, SOCKET_NAME};
use crate::launcher::stdio::Pipes;
use crate::launcher::supervise::{Ward, supervise};
use crate::launcher::usage::Gauge;
use crate::launcher::{Channel, Exit, Image, Instance, LaunchError, LaunchSpec, Launcher, Stderr};
use crate::model::Usage;

/// What a container would get; a function must not find tools by the gateway's own PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program's labels are in: a JSON object in a file beside it, named as it is and then this.
const LABELS_SUFFIX: &str = ".labels.json";

/// What the program at `path` says about itself; nothing, for most.
fn labels(path: &str) -> BTreeMap<String, String> {
    let file = std::fs::read(format!("{path}{LABELS_SUFFIX}")).unwrap_or_default();
    serde_json::from_slice(&file).unwrap_or_default()
}

/// Runs functions as child processes, each in a process group of its own.
#[derive(Debug)]
pub struct ProcessLauncher {
    folders: Folders,
    start_timeout: Duration,
    tasks: TaskTracker,
}

impl ProcessLauncher {
    /// A launcher with no instances. Functions make their sockets below `sockets`, within
    /// `start_timeout`.
    pub fn new(sockets: &Path, start_timeout: Duration) -> Result<Self, LaunchError> {
        Ok(Self {
            folders: Folders::open(sockets)?,
            start_timeout,
            tasks: TaskTracker::new(),
        })
    }

    /// The directory in which a function makes its socket.
    fn doorstep(&self, id: &str) -> Result<(Folder, Doorstep), LaunchError> {
        let folder = self.folders.make(id)?;
        let doorstep = Doorstep::make(folder.path().to_owned());
        let doorstep = doorstep.map_err(|source| LaunchError::Host {
            doing: "watch a function's socket directory",
            source,
        })?;
        Ok((folder, doorstep))
    }
}

#[async_trait]
impl Launcher for ProcessLauncher {
    async fn resolve(&self, reference: &str) -> Result<Image, LaunchError> {
        let path = reference.strip_prefix("file://").ok_or_else(|| {
            LaunchError::WrongKind(format!(
                "image '{reference}' needs a container engine, and this gateway was started \
                 without one; start it again where an engine is reachable, or deploy a function \
                 with `runtime: rust`"
            ))
        })?;
        let missing = |reason: String| LaunchError::Pull {
            image: reference.to_owned(),
            status: None,
            reason,
        };
        let metadata = std::fs::metadata(path).map_err(|e| missing(e.to_string()))?;
        if !Path::new(path).is_absolute() || !metadata.is_file() {
            return Err(missing("not the absolute path of a file".to_owned()));
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(missing("the file is not executable".to_owned()));
        }
        // A rebuilt program is another image; its inode or its times tell.
        let state = format!(
            "{}:{}:{}.{:09}",
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        Ok(Image {
            reference: reference.to_owned(),
            id: format!("{path}@{state}"),
            command: vec![path.to_owned()],
            volumes: Vec::new(),
            labels: labels(path),
        })
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Instance, LaunchError> {
        let id = ulid::Ulid::generate().to_string();
        let (folder, doorstep) = match spec.channel {
            Channel::Stdio => (None, None),
            Channel::Socket => {
                let (folder, doorstep) = self.doorstep(&id)?;
                (Some(folder), Some(doorstep))
            }
        };
        let mut pipes = Pipes::new(spec.channel).map_err(|source| LaunchError::Host {
            doing: "make the pipes",
            source,
        })?;
        let [stdin, stdout, stderr] = std::mem::take(&mut pipes.theirs)
            .try_into()
            .expect("three pipes have three other ends");
        let program = spec.image.command.first().cloned().unwrap_or_default();
        let mut command = Command::new(&program);
        command
            .args(spec.image.command.iter().skip(1))
            .env_clear()
            .env("PATH", PATH)
            .envs(&spec.env)
            .current_dir("/")
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .process_group(0)
            .kill_on_drop(true);
        if let Some(doorstep) = &doorstep {
            let socket = doorstep.path().join(SOCKET_NAME);
            command.env("FN_LISTENER", format!("unix:{}", socket.display()));
        }
        die_with_us_and_yield(&mut command);
        let child = command.spawn().map_err(|e| not_started(spec, program, e))?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let stderr = Stderr::new(&spec.app, &spec.function, &id, Some(pipes.stderr));
        let stderr = Arc::new(stderr);
        let ward = ProcessWard {
            child,
            group,
            _folder: folder,
        };
        let control = supervise(&self.tasks, ward, stderr.clone(), None);
        let instance = Instance {
            id,
            stdin: pipes.stdin,
            stdout: pipes.stdout,
            socket: None,
            stderr,
            control,
        };
        match doorstep {
            Some(doorstep) => instance.listening(&doorstep, self.start_timeout).await,
            None => Ok(instance),
        }
    }

    async fn sweep(&self) -> Result<usize, LaunchError> {
        // Children die with the gateway, see `die_with_us_and_yield`; their folders do not.
        self.folders.sweep();
        Ok(0)
    }

    async fn shutdown(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn kind(&self) -> &'static str {
        "process"
    }

    fn stdio(&self) -> &'static str {
        "pipe"
    }
}

/// Whether the program is to blame, or the host that has no room for another process.
fn not_started(spec: &LaunchSpec, command: String, error: std::io::Error) -> LaunchError {
    use std::io::ErrorKind;

    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ExecutableFileBusy => {}
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {}
        _ => {
            return LaunchError::Host {
                doing: "start a process",
                source: error,
            };
        }
    }
    LaunchError::Command {
        image: spec.image.reference.clone(),
        command,
        reason: error.to_string(),
    }
}

/// Has the kernel kill the function when the gateway dies, however it dies.
///
/// The kernel means the *thread* that started the child. The runtime's worker threads live as
/// long as the gateway, and launches run on them only.
///
/// And has the scheduler take the function for batch work, as `link` does in containers: it does not
/// interrupt the gateway in the middle of what it does by a call that it is handed. Without this it
/// is only slower.
fn die_with_us_and_yield(command: &mut Command) {
    #[expect(unsafe_code, reason = "only a hook between fork and exec can set this")]
    // SAFETY: the hook makes two system calls; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            let priority = libc::sched_param { sched_priority: 0 };
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority);
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into)
        });
    }
}

struct ProcessWard {
    child: Child,
    group: Option<Pid>,
    /// Where its socket is.
    _folder: Option<Folder>,
}

impl ProcessWard {
    /// To the whole group: children of the function must not outlive it.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Ward for ProcessWard {
    async fn ended(&mut self) -> Exit {
        self.child.wait().await.map_or(Exit::Unknown, exit_of)
    }

    fn watched(&self) -> bool {
        true
    }

    fn gauge(&self) -> Option<Arc<dyn Gauge>> {
        Some(Arc::new(Proc(self.group?)))
    }

    async fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    async fn thaw(&mut self) -> bool {
        self.signal(Signal::CONT);
        true
    }

    async fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    async fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
    }

    async fn remove(mut self) {
        self.kill().await;
    }
}

/// A function's own process; what its children use is not counted.
#[derive(Debug)]
struct Proc(Pid);

impl Proc {
    fn usage(&self) -> Option<Usage> {
        let read = |file| std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok();
        let pages: u64 = read("statm")?.split(' ').nth(1)?.parse().ok()?;
        let stat = read("stat")?;
        // Counted from after the name in parentheses, which may hold anything.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let (user, system) = (ticks(11)?, ticks(12)?);
        let cpu = (user + system) * 1000 / rustix::param::clock_ticks_per_second();
        Some(Usage {
            memory_bytes: pages * rustix::param::page_size() as u64,
            cpu: Duration::from_millis(cpu),
        })
    }
}

impl Gauge for Proc {
    fn read(self: Arc<Self>) -> BoxFuture<'static, Option<Usage>> {
        Box::pin(std::future::ready(self.usage()))
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;

    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code.into()),
        (None, Some(signal)) => Exit::Code(128 + i64::from(signal)),
        (None, None) => Exit::Unknown,
    }
}
