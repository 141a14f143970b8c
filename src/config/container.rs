use crate::config::env::{Env, SettingError};
use crate::model::ContainerLimits;

/// The limits that hold for the containers of all functions.
pub(in crate::config) fn container_limits(env: &Env<'_>) -> Result<ContainerLimits, SettingError> {
    let usual = ContainerLimits::default();
    let count = |name, default, unit| env.number(name, default, 1..=i32::MAX as u32, unit);
    // 0 is Fn's "no limit".
    let bound = |name, unit| {
        let given = env.number(name, 0, 0..=i32::MAX as u32, unit)?;
        Ok::<_, SettingError>((given > 0).then_some(given))
    };
    let switch = |name| env.parse(name, false, "true or false");
    Ok(ContainerLimits {
        pids: count("FN_MAX_PIDS", usual.pids, "processes")?,
        open_files: count("FN_MAX_OPEN_FILES", usual.open_files, "files")?,
        locked_memory: count("FN_MAX_LOCKED_MEMORY", usual.locked_memory, "bytes")?,
        pending_signals: count("FN_MAX_PENDING_SIGNALS", usual.pending_signals, "signals")?,
        message_queue: count("FN_MAX_MESSAGE_QUEUE", usual.message_queue, "bytes")?,
        tmpfs_inodes: bound("FN_MAX_TMPFS_INODES", "files")?,
        disk_mb: bound("FN_MAX_FS_SIZE_MB", "megabytes")?,
        writable_root: switch("FN_DISABLE_READONLY_ROOTFS")?,
        own_user: switch("FN_DISABLE_UNPRIVILEGED_CONTAINERS")?,
    })
}
