use crate::api::error::Invalid;
use crate::model::{
    Annotations, Format, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB, SCALE_ANNOTATION, Scale,
};

/// Longest name of an app, function or trigger (Fn's limit since 2019; before it was 30).
pub(super) const MAX_NAME: usize = 255;

/// Letters and digits of any script, `_` and `-`.
pub(super) fn is_word(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// A text that databases, environments and logs all can hold, and that is one word to Docker.
pub(in crate::api) fn is_image(image: &str) -> bool {
    !image.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Kinds of processors in the terms of Fn. Clients count on the refusal of other names; nothing
/// here is chosen by them, so they are not kept.
const SHAPES: [&str; 3] = ["GENERIC_X86", "GENERIC_ARM", "GENERIC_X86_ARM"];

/// Refuses a shape that has no such name.
pub(in crate::api) fn shape(name: Option<&str>, invalid: Invalid) -> Result<(), Invalid> {
    match name {
        None | Some("") => Ok(()),
        Some(name) if SHAPES.contains(&name) => Ok(()),
        Some(_) => Err(invalid),
    }
}

/// A scale that nobody could obey is refused where it is written, not where it is read.
pub(super) fn scale(annotations: &Annotations, format: Format) -> Result<(), Invalid> {
    match Scale::for_format(annotations, format) {
        Ok(_) => Ok(()),
        Err(error) => Err(Invalid(format!("{SCALE_ANNOTATION}: {error}").into())),
    }
}

pub(super) fn memory_mb(memory: u64) -> Result<u64, Invalid> {
    if (1..=MAX_MEMORY_MB).contains(&memory) {
        Ok(memory)
    } else {
        Err(Invalid::new(
            "memory value is out of range. It should be between 0 and 8192",
        ))
    }
}

/// `secs` if it is at least one second and at most `max`.
pub(super) fn seconds(secs: i64, max: u32, invalid: Invalid) -> Result<u32, Invalid> {
    match u32::try_from(secs) {
        Ok(secs) if (1..=max).contains(&secs) => Ok(secs),
        _ => Err(invalid),
    }
}

pub(super) fn idle_seconds(secs: i64, invalid: Invalid) -> Result<u32, Invalid> {
    seconds(secs, MAX_IDLE_TIMEOUT_SECS, invalid)
}
