//! What a function's container may do: as little as a function needs.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, ResourcesUlimits,
};

use super::launcher::DockerConfig;
use crate::launcher::folder::WRITABLE;
use crate::launcher::socket::SOCKET_NAME;
use crate::launcher::{Channel, LaunchSpec};
use crate::model::ContainerLimits;

/// Size of `/tmp` in MB where the function names none; the root is read-only.
const DEFAULT_TMP_MB: u32 = 64;
/// Where a container makes its socket, by the FDKs' convention.
const SOCKET_MOUNT: &str = "/tmp/iofs";
/// As docker's `--network`, for who is to talk to nobody.
pub(super) const NO_NETWORK: &str = "none";
/// The gateway that a container belongs to, and the gateway's name for it, which nobody can change.
pub(super) const INSTANCE_LABEL: &str = "kiln.instance";
pub(super) const ID_LABEL: &str = "kiln.container";
/// The scheduling period that a CPU quota is a share of, in microseconds (the kernel's default).
const CPU_PERIOD_US: i64 = 100_000;

pub(super) fn create_body(
    config: &DockerConfig,
    spec: &LaunchSpec,
    id: &str,
    network: Option<String>,
    entrypoint: Option<Vec<String>>,
    binds: Vec<String>,
) -> ContainerCreateBody {
    let linked = entrypoint.is_some();
    let stdin = !linked && spec.channel == Channel::Stdio;
    ContainerCreateBody {
        image: Some(spec.image.id.clone()),
        // Given an entrypoint, the engine drops the image's CMD, so both are passed.
        cmd: linked.then(|| spec.image.command.clone()),
        entrypoint,
        env: Some(env(spec)),
        user: config.user.clone().filter(|_| !config.limits.own_user),
        labels: Some(labels(config, spec, id)),
        tty: Some(false),
        open_stdin: Some(stdin),
        stdin_once: Some(stdin),
        attach_stdin: Some(stdin),
        attach_stdout: Some(!linked),
        attach_stderr: Some(!linked),
        // A health check would run a second process in the function's container.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(host_config(config, spec, network, binds)),
        ..ContainerCreateBody::default()
    }
}

/// `folder`: the container's, as the engine sees it.
pub(super) fn socket_bind(folder: &Path) -> String {
    format!("{}:{SOCKET_MOUNT}:z", folder.join(WRITABLE).display())
}

fn env(spec: &LaunchSpec) -> Vec<String> {
    let mut env: Vec<_> = spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if spec.channel == Channel::Socket {
        env.push(format!("FN_LISTENER=unix:{SOCKET_MOUNT}/{SOCKET_NAME}"));
    }
    env
}

fn labels(config: &DockerConfig, spec: &LaunchSpec, id: &str) -> HashMap<String, String> {
    let function = [
        ("kiln.app", &spec.app),
        ("kiln.function", &spec.function),
        ("kiln.image", &spec.image.reference),
    ];
    let function = function.map(|(k, v)| (k.to_owned(), v.clone()));
    owner(config, id).into_iter().chain(function).collect()
}

/// Labels that say whose a container is, and which.
pub(super) fn owner(config: &DockerConfig, id: &str) -> Vec<(String, String)> {
    let tag = config.tag.as_deref().map(|tag| ("kiln.tag", tag));
    [(INSTANCE_LABEL, &*config.identity), (ID_LABEL, id)]
        .into_iter()
        .chain(tag)
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn host_config(
    config: &DockerConfig,
    spec: &LaunchSpec,
    network: Option<String>,
    binds: Vec<String>,
) -> HostConfig {
    let limits = &config.limits;
    let memory = i64::try_from(spec.memory_mb << 20).unwrap_or(i64::MAX);
    let unprivileged = !limits.own_user;
    HostConfig {
        memory: Some(memory),
        // Equal to the memory: no swap. The kernel's own memory is left alone, new engines
        // refuse a limit of it.
        memory_swap: Some(memory),
        cpu_period: spec.cpus.map(|_| CPU_PERIOD_US),
        cpu_quota: spec.cpus.map(|c| i64::from(c.get()) * CPU_PERIOD_US / 1000),
        pids_limit: Some(limits.pids.into()),
        ulimits: Some(ulimits(limits)),
        cap_drop: unprivileged.then(|| vec!["ALL".to_owned()]),
        security_opt: unprivileged.then(|| vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(!limits.writable_root),
        storage_opt: limits
            .disk_mb
            .map(|mb| HashMap::from([("size".to_owned(), format!("{mb}M"))])),
        tmpfs: Some(tmpfs(limits, spec)),
        network_mode: network,
        binds: Some(binds),
        // Any other driver would copy and store every response.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        ..HostConfig::default()
    }
}

fn ulimits(limits: &ContainerLimits) -> Vec<ResourcesUlimits> {
    let limit = |name: &str, value: u32| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value.into()),
        hard: Some(value.into()),
    };
    vec![
        limit("nofile", limits.open_files),
        limit("memlock", limits.locked_memory),
        limit("sigpending", limits.pending_signals),
        limit("msgqueue", limits.message_queue),
    ]
}

/// `/tmp`, and what the image declares as volumes: the engine would make a folder on its disk for
/// each of those, without a bound.
fn tmpfs(limits: &ContainerLimits, spec: &LaunchSpec) -> HashMap<String, String> {
    let megabytes = match spec.tmpfs_mb {
        0 => DEFAULT_TMP_MB,
        given => given,
    };
    let inodes = limits
        .tmpfs_inodes
        .map(|inodes| format!(",nr_inodes={inodes}"));
    // Everybody may write, and remove what is their own: the function may run as any user.
    let options = format!("size={megabytes}m,mode=1777{}", inodes.unwrap_or_default());
    let volumes = spec.image.volumes.iter().map(String::as_str);
    std::iter::once("/tmp")
        .chain(volumes)
        .map(|path| (path.to_owned(), options.clone()))
        .collect()
}
