//! What this machine has for containers.

use crate::config::ServerConfig;
use crate::pool::Resources;

/// Of the memory that is there at start, this part is left to the server and the engine, within
/// these bounds in bytes. Fn's figures.
const HEADROOM_PART: u64 = 10;
const LEAST_HEADROOM: u64 = 256 << 20;
const MOST_HEADROOM: u64 = 5 << 30;

/// What all containers may take together: what the machine and the cgroup that this server runs
/// in have left, less some headroom, and no more than the settings say.
pub(super) fn resources(config: &ServerConfig) -> Resources {
    let found = Resources {
        memory: after_headroom(available_memory()),
        mcpus: std::thread::available_parallelism().map_or(u64::MAX, |n| n.get() as u64 * 1000),
    };
    let resources = Resources {
        memory: config
            .max_total_memory
            .unwrap_or(u64::MAX)
            .min(found.memory),
        mcpus: config.max_total_mcpus.unwrap_or(u64::MAX).min(found.mcpus),
    };
    tracing::info!(
        memory_mb = resources.memory >> 20,
        mcpus = resources.mcpus,
        "what all containers may take together"
    );
    resources
}

/// In bytes; no bound where the system does not tell.
fn available_memory() -> u64 {
    let Ok(mut system) = sysinfo::System::new() else {
        return u64::MAX;
    };
    system.refresh_memory();
    let machine = match system.available_memory() {
        0 => u64::MAX,
        bytes => bytes,
    };
    let cgroup = system.cgroup_limits();
    // What only caches files is given back when it is needed.
    let cgroup = cgroup.map_or(u64::MAX, |limits| {
        limits.total_memory.saturating_sub(limits.rss)
    });
    machine.min(cgroup)
}

fn after_headroom(bytes: u64) -> u64 {
    let headroom = (bytes / HEADROOM_PART).clamp(LEAST_HEADROOM, MOST_HEADROOM);
    // A small machine is to run functions, too.
    bytes - headroom.min(bytes / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_memory_is_left_to_the_server() {
        const GIB: u64 = 1 << 30;
        assert_eq!(after_headroom(GIB), GIB - LEAST_HEADROOM);
        assert_eq!(after_headroom(10 * GIB), 9 * GIB);
        assert_eq!(after_headroom(100 * GIB), 95 * GIB);
        assert_eq!(after_headroom(GIB / 4), GIB / 8);
    }

    #[test]
    fn the_machine_has_some_memory() {
        assert!((1 << 20..1 << 50).contains(&available_memory()));
    }
}
