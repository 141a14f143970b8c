//! A container's control groups, used directly where the engine is on this host.
//!
//! They are found through a process of the container. Its number means something here only if the
//! engine shares our view of processes, so what is found has to carry the container's id.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::launcher::usage::Gauge;
use crate::model::Usage;

/// An engine that takes longer to say which process a container is will not be waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The control groups of one container.
#[derive(Debug)]
pub(super) struct Cgroup {
    docker: Docker,
    /// The engine's own for it, in full.
    id: String,
    /// Of a process in the container, where it is known without asking the engine.
    pid: Option<i32>,
    found: OnceCell<Option<Groups>>,
}

impl Cgroup {
    pub(super) fn new(docker: &Docker, id: String, pid: Option<i32>) -> Arc<Self> {
        Arc::new(Self {
            docker: docker.clone(),
            id,
            pid,
            found: OnceCell::new(),
        })
    }

    /// Freezes or thaws all that runs in the container. Returns whether it could: control groups may
    /// be out of reach, or not ours to write to.
    pub(super) async fn set_frozen(&self, frozen: bool) -> bool {
        match self.groups().await {
            Some(groups) => groups.set_frozen(frozen).await,
            None => false,
        }
    }

    async fn groups(&self) -> Option<&Groups> {
        // An engine that does not answer now may do so next time.
        let find = async {
            let pid = match self.pid {
                Some(pid) => pid,
                None => self.asked_pid().await.ok_or(())?,
            };
            let ours = |path: &str| fs::read_to_string(path).ok();
            let find = || {
                let groups = ours(&format!("/proc/{pid}/cgroup"))?;
                Groups::find(&groups, &ours("/proc/self/mountinfo")?, &self.id)
            };
            Ok::<_, ()>(find())
        };
        self.found.get_or_try_init(|| find).await.ok()?.as_ref()
    }

    async fn asked_pid(&self) -> Option<i32> {
        let inspected = self.docker.inspect_container(&self.id, None);
        let found = tokio::time::timeout(PATIENCE, inspected).await.ok()?.ok()?;
        i32::try_from(found.state?.pid?).ok()
    }
}

impl Gauge for Cgroup {
    fn read(self: Arc<Self>) -> BoxFuture<'static, Option<Usage>> {
        Box::pin(async move { self.groups().await?.usage() })
    }
}

/// Where a container's control groups are, in either version of the kernel's interface.
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    /// A hierarchy for each controller.
    V1 {
        memory: PathBuf,
        cpu: PathBuf,
        freezer: Option<PathBuf>,
    },
    V2(PathBuf),
}

impl Groups {
    /// From `/proc/<pid>/cgroup` and `/proc/self/mountinfo`.
    fn find(groups: &str, mounts: &str, id: &str) -> Option<Self> {
        let at = |controller| hierarchy(groups, mounts, id, controller);
        match (at("memory"), at("cpuacct")) {
            (Some(memory), Some(cpu)) => Some(Self::V1 {
                memory,
                cpu,
                freezer: at("freezer"),
            }),
            _ => at("").map(Self::V2),
        }
    }

    fn usage(&self) -> Option<Usage> {
        let (memory_bytes, cpu) = match self {
            Self::V1 { memory, cpu, .. } => {
                let nanos = number(&cpu.join("cpuacct.usage"))?;
                let memory = number(&memory.join("memory.usage_in_bytes"))?;
                (memory, Duration::from_nanos(nanos))
            }
            Self::V2(group) => {
                let stat = fs::read_to_string(group.join("cpu.stat")).ok()?;
                let micros = stat.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
                let memory = number(&group.join("memory.current"))?;
                (memory, Duration::from_micros(micros.trim().parse().ok()?))
            }
        };
        Some(Usage { memory_bytes, cpu })
    }
}

impl Groups {
    async fn set_frozen(&self, frozen: bool) -> bool {
        let done = match self {
            Self::V1 {
                freezer: Some(group),
                ..
            } => {
                let state = group.join("freezer.state");
                let wanted = if frozen { "FROZEN" } else { "THAWED" };
                // What starts a process meanwhile keeps it from freezing until it is said again.
                until(|| {
                    fs::write(&state, wanted)?;
                    Ok(fs::read_to_string(&state)?.trim() == wanted)
                })
                .await
            }
            Self::V1 { freezer: None, .. } => return false,
            Self::V2(group) => {
                let (wanted, told) = if frozen {
                    ("1", "frozen 1")
                } else {
                    ("0", "frozen 0")
                };
                until(|| {
                    fs::write(group.join("cgroup.freeze"), wanted)?;
                    let events = fs::read_to_string(group.join("cgroup.events"))?;
                    Ok(events.lines().any(|line| line == told))
                })
                .await
            }
        };
        done.is_ok()
    }
}

/// Tries until it is so; the caller has a bound.
async fn until(mut done: impl FnMut() -> std::io::Result<bool>) -> std::io::Result<()> {
    while !done()? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The folder of a group in the hierarchy with `controller`; an empty one names that of version 2,
/// as the kernel does.
fn hierarchy(groups: &str, mounts: &str, id: &str, controller: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let named = controllers.split(',').any(|name| name == controller);
        (named && path.contains(id)).then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        // The fourth and fifth field are what is mounted and where; the type follows the dash.
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, mount) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let wanted = match kind {
            "cgroup" => options.split(',').any(|name| name == controller),
            "cgroup2" => controller.is_empty(),
            _ => false,
        };
        let within = group.strip_prefix(root.trim_end_matches('/'))?;
        wanted.then(|| Path::new(mount).join(within.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123abcd";
    const V1: &str = "12:cpu,cpuacct:/docker/0123abcd\n7:memory:/docker/0123abcd\n0::/\n";
    const MOUNTS: &str = "\
        24 1 0:1 / /proc rw - proc proc rw\n\
        30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        33 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

    #[test]
    fn a_group_is_found_in_either_version() {
        let groups = Groups::find(V1, MOUNTS, ID);
        let v1 = Groups::V1 {
            memory: "/sys/fs/cgroup/memory/docker/0123abcd".into(),
            cpu: "/sys/fs/cgroup/cpu,cpuacct/docker/0123abcd".into(),
            freezer: None,
        };
        assert_eq!(groups, Some(v1));
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup rw,nsdelegate\n";
        let group = "0::/system.slice/docker-0123abcd.scope\n";
        let v2 = "/sys/fs/cgroup/system.slice/docker-0123abcd.scope";
        assert_eq!(Groups::find(group, mounts, ID), Some(Groups::V2(v2.into())));
    }

    #[test]
    fn a_part_of_the_tree_that_is_mounted_is_enough() {
        let mounts = "30 24 0:26 /outer /cg rw - cgroup2 cgroup rw\n";
        let group = |path| Groups::find(path, mounts, ID);
        let inside = group("0::/outer/docker/0123abcd\n");
        assert_eq!(inside, Some(Groups::V2("/cg/docker/0123abcd".into())));
        assert_eq!(group("0::/elsewhere/0123abcd\n"), None);
    }

    // Another process may have the number that the engine gave.
    #[test]
    fn a_group_of_something_else_is_not_taken_for_the_containers() {
        assert_eq!(Groups::find(V1, MOUNTS, "ffff"), None);
        assert_eq!(Groups::find("", MOUNTS, ID), None);
    }

    #[tokio::test]
    async fn what_cannot_be_frozen_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name| dir.path().join(name);
        let v1 = |freezer| Groups::V1 {
            memory: dir.path().into(),
            cpu: dir.path().into(),
            freezer,
        };
        assert!(!v1(None).set_frozen(true).await);
        assert!(!v1(Some(file("gone"))).set_frozen(true).await);
        assert!(v1(Some(dir.path().into())).set_frozen(true).await);
        assert_eq!(fs::read_to_string(file("freezer.state")).unwrap(), "FROZEN");
        let v2 = Groups::V2(dir.path().into());
        assert!(!v2.set_frozen(true).await, "the kernel says nothing");
        fs::write(file("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        assert!(v2.set_frozen(true).await);
        assert_eq!(fs::read_to_string(file("cgroup.freeze")).unwrap(), "1");
    }

    #[test]
    fn what_is_used_is_read_in_the_units_of_either_version() {
        let dir = tempfile::tempdir().unwrap();
        let usage = Usage {
            memory_bytes: 4096,
            cpu: Duration::from_millis(1500),
        };
        let write = |name, text| fs::write(dir.path().join(name), text).unwrap();
        let v1 = Groups::V1 {
            memory: dir.path().into(),
            cpu: dir.path().into(),
            freezer: None,
        };
        assert_eq!(v1.usage(), None);
        write("memory.usage_in_bytes", "4096\n");
        write("cpuacct.usage", "1500000000\n");
        assert_eq!(v1.usage(), Some(usage));
        write("memory.current", "4096\n");
        write(
            "cpu.stat",
            "nr_periods 1\nusage_usec 1500000\nuser_usec 1\n",
        );
        assert_eq!(Groups::V2(dir.path().into()).usage(), Some(usage));
    }
}
