//! Programs that containers run beside their function, carried as bytes.
//!
//! # `link`
//!
//! A container engine copies a container's stdin and stdout through its daemon. [`program`] goes
//! around it: started as `link SOCKET COMMAND [ARG]...` in place of the image's own entrypoint, it
//!
//! 1. connects to the unix socket at `SOCKET`,
//! 2. receives one byte with three descriptors by `SCM_RIGHTS` and makes them its stdin, stdout
//!    and stderr,
//! 3. replaces itself with `COMMAND`, found via `PATH` when it holds no slash.
//!
//! The process id, user, working directory and environment stay the function's own. The socket
//! is closed by a successful step 3; a failed one writes the `errno` as a native-endian `i32`
//! first ([`decode_failure`]).
//!
//! # `hold`
//!
//! [`hold`] sleeps for ever: it keeps a container, and with it the container's network, there for
//! others to join.
//!
//! Both are static, need no C library and no files in the image, and are a few kB at most.

#![warn(missing_docs)]

/// `link` for the architecture this crate was built for; `None` where it cannot run.
pub const fn program() -> Option<&'static [u8]> {
    #[cfg(has_program)]
    return Some(include_bytes!(concat!(env!("OUT_DIR"), "/link")));
    #[cfg(not(has_program))]
    return None;
}

/// `hold` for the architecture this crate was built for; `None` where it cannot run.
pub const fn hold() -> Option<&'static [u8]> {
    #[cfg(has_program)]
    return Some(include_bytes!(concat!(env!("OUT_DIR"), "/hold")));
    #[cfg(not(has_program))]
    return None;
}

/// Reads what the program said before it gave up: the `errno` of the command's `execve`, or
/// `None` when it said nothing, which means that the command now runs.
pub fn decode_failure(said: &[u8]) -> Option<i32> {
    said.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_stay_a_few_kilobytes() {
        for (program, most) in [(program(), 16 * 1024), (hold(), 1024)] {
            let size = program.map_or(0, <[u8]>::len);
            assert!(size < most, "{size} bytes");
        }
    }
}
