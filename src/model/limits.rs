use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Memory of a function that names none, in MB (Fn's default).
pub const DEFAULT_MEMORY_MB: u64 = 128;
/// Longest memory a function may ask for, in MB (Fn's limit).
pub const MAX_MEMORY_MB: u64 = 8192;
/// Time one call may run when the function names none, in seconds (Fn's default).
pub const DEFAULT_TIMEOUT_SECS: u32 = 30;
/// Longest time one synchronous call may run, in seconds (Fn's limit since 2018).
pub const MAX_TIMEOUT_SECS: u32 = 300;
/// Longest time one call of a synchronous route may run, in seconds (Fn's limit for routes).
pub const MAX_ROUTE_TIMEOUT_SECS: u32 = 120;
/// Longest time one call of an asynchronous route may run, in seconds (Fn's limit for routes).
pub const MAX_ASYNC_ROUTE_TIMEOUT_SECS: u32 = 3600;
/// Time a container may idle when the function names none, in seconds (Fn's default).
pub const DEFAULT_IDLE_TIMEOUT_SECS: u32 = 30;
/// Longest time a container may idle, in seconds (Fn's limit).
pub const MAX_IDLE_TIMEOUT_SECS: u32 = 3600;

/// CPU share of a function in thousandths of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MilliCpus(u32);

impl MilliCpus {
    const MAX: u32 = 1_024_000;

    /// Thousandths of a core.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Neither cores (`0.5`) nor thousandths of a core (`500m`) up to 1024 cores.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error(
    "Cpus is invalid. Value should be either between [0.000 and 1024.000] or [0m and 1024000m] milliCPU units"
)]
pub struct InvalidCpus;

impl FromStr for MilliCpus {
    type Err = InvalidCpus;

    fn from_str(text: &str) -> Result<Self, InvalidCpus> {
        let millis = match text.strip_suffix('m') {
            Some(digits) => plain_number(digits)?,
            None => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                if fraction.len() > 3 || (whole.is_empty() && fraction.is_empty()) {
                    return Err(InvalidCpus);
                }
                let whole = if whole.is_empty() {
                    0
                } else {
                    plain_number(whole)?
                };
                let fraction = plain_number(&format!("{fraction:0<3}"))?;
                whole
                    .checked_mul(1000)
                    .and_then(|w| w.checked_add(fraction))
                    .ok_or(InvalidCpus)?
            }
        };
        if millis > Self::MAX {
            Err(InvalidCpus)
        } else {
            Ok(Self(millis))
        }
    }
}

/// Digits only: `u32::from_str` would also take a sign.
fn plain_number(text: &str) -> Result<u32, InvalidCpus> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidCpus);
    }
    text.parse().map_err(|_| InvalidCpus)
}

impl fmt::Display for MilliCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_cores_or_thousandths() {
        for (text, millis) in [
            ("0.5", 500),
            ("1", 1000),
            (".25", 250),
            ("1.", 1000),
            ("100m", 100),
            ("1024", 1_024_000),
            ("0m", 0),
        ] {
            assert_eq!(
                text.parse::<MilliCpus>().map(MilliCpus::get),
                Ok(millis),
                "{text}"
            );
        }
        for text in [
            "", ".", "m", "x", "-1", "+1", "1.0001", "1024.001", "1024001m", "1e3", "1 ",
        ] {
            assert_eq!(text.parse::<MilliCpus>(), Err(InvalidCpus), "{text}");
        }
    }
}
