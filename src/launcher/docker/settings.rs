//! What a function's container may do: as little as a function needs.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, ResourcesUlimits,
};

use super::launcher::DockerConfig;
use crate::launcher::socket::SOCKET_NAME;
use crate::launcher::{Channel, LaunchSpec};

/// Processes and threads per container (Fn's default).
const MAX_PIDS: i64 = 50;
/// Open files per process (Fn's default).
const MAX_OPEN_FILES: i64 = 350;
/// Size of `/tmp` in MB where the function names none; the root is read-only.
const DEFAULT_TMP_MB: u32 = 64;
/// Where a container makes its socket, by the FDKs' convention.
pub(super) const SOCKET_MOUNT: &str = "/tmp/iofs";
/// The scheduling period that a CPU quota is a share of, in microseconds (the kernel's default).
const CPU_PERIOD_US: i64 = 100_000;

pub(super) fn create_body(
    config: &DockerConfig,
    spec: &LaunchSpec,
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
        user: config.user.clone(),
        labels: Some(labels(config, spec)),
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
        host_config: Some(host_config(config, spec, binds)),
        ..ContainerCreateBody::default()
    }
}

fn env(spec: &LaunchSpec) -> Vec<String> {
    let mut env: Vec<_> = spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if spec.channel == Channel::Socket {
        env.push(format!("FN_LISTENER=unix:{SOCKET_MOUNT}/{SOCKET_NAME}"));
    }
    env
}

fn labels(config: &DockerConfig, spec: &LaunchSpec) -> HashMap<String, String> {
    let mut labels: HashMap<_, _> = [
        ("kiln.instance", &config.identity),
        ("kiln.app", &spec.app),
        ("kiln.function", &spec.function),
        ("kiln.image", &spec.image.reference),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.clone()))
    .collect();
    if let Some(tag) = &config.tag {
        labels.insert("kiln.tag".to_owned(), tag.clone());
    }
    labels
}

fn host_config(config: &DockerConfig, spec: &LaunchSpec, binds: Vec<String>) -> HostConfig {
    let memory = i64::try_from(spec.memory_mb << 20).unwrap_or(i64::MAX);
    let tmp_mb = if spec.tmpfs_mb == 0 {
        DEFAULT_TMP_MB
    } else {
        spec.tmpfs_mb
    };
    HostConfig {
        memory: Some(memory),
        // Equal to the memory: no swap.
        memory_swap: Some(memory),
        cpu_period: spec.cpus.map(|_| CPU_PERIOD_US),
        cpu_quota: spec.cpus.map(|c| i64::from(c.get()) * CPU_PERIOD_US / 1000),
        pids_limit: Some(MAX_PIDS),
        ulimits: Some(vec![ResourcesUlimits {
            name: Some("nofile".to_owned()),
            soft: Some(MAX_OPEN_FILES),
            hard: Some(MAX_OPEN_FILES),
        }]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([(
            "/tmp".to_owned(),
            format!("size={tmp_mb}m"),
        )])),
        network_mode: config.network.clone(),
        binds: Some(binds),
        // Any other driver would copy and store every response.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        ..HostConfig::default()
    }
}
