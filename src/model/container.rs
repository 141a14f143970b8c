/// What a function's container may use, and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Processes and threads (`FN_MAX_PIDS`).
    pub pids: u32,
    /// Open files of a process (`FN_MAX_OPEN_FILES`).
    pub open_files: u32,
    /// Bytes that a process may lock in memory (`FN_MAX_LOCKED_MEMORY`).
    pub locked_memory: u32,
    /// Signals that may wait (`FN_MAX_PENDING_SIGNALS`).
    pub pending_signals: u32,
    /// Bytes in POSIX message queues (`FN_MAX_MESSAGE_QUEUE`).
    pub message_queue: u32,
    /// Files and folders in `/tmp` (`FN_MAX_TMPFS_INODES`); as many as there is room for if unset.
    pub tmpfs_inodes: Option<u32>,
    /// Megabytes that it may write to its root (`FN_MAX_FS_SIZE_MB`), where the engine's storage
    /// can bound that and the root may be written to.
    pub disk_mb: Option<u32>,
    /// Its root may be written to (`FN_DISABLE_READONLY_ROOTFS`).
    pub writable_root: bool,
    /// It runs as the image's own user with the engine's usual rights
    /// (`FN_DISABLE_UNPRIVILEGED_CONTAINERS`).
    pub own_user: bool,
}

impl Default for ContainerLimits {
    /// Those of Fn's last server.
    fn default() -> Self {
        Self {
            pids: 50,
            open_files: 350,
            locked_memory: 65_536,
            pending_signals: 5000,
            message_queue: 819_200,
            tmpfs_inodes: None,
            disk_mb: None,
            writable_root: false,
            own_user: false,
        }
    }
}
