use std::borrow::Cow;
use std::collections::HashMap;

use crate::model::{Methods, Pattern, Trigger};
use crate::store::{Conflict, StoreError};

/// Whether a source may stand for more paths than one.
pub(super) fn has_parameters(source: &str) -> bool {
    source.contains('{')
}

/// What all sources have in common that stand for the same paths. A text with braces that is no
/// pattern, from a time in which there were none, stands for itself.
pub(super) fn shape(source: &str) -> Cow<'_, str> {
    if has_parameters(source)
        && let Ok(pattern) = Pattern::parse(source)
    {
        return Cow::Owned(pattern.shape());
    }
    Cow::Borrowed(source)
}

/// The methods that a stored trigger takes; what another server stored may be none we know.
pub(super) fn methods(trigger: &Trigger) -> Methods {
    Methods::of(&trigger.annotations).unwrap_or(Methods::ANY)
}

/// Fails if one of `wanted` takes requests that another one of `all` takes, too.
pub(super) fn check<'a>(
    wanted: impl IntoIterator<Item = &'a Trigger>,
    all: &[Trigger],
) -> Result<(), StoreError> {
    let mut by_shape: HashMap<Cow<'_, str>, Vec<&Trigger>> = HashMap::new();
    for trigger in all {
        by_shape
            .entry(shape(&trigger.source))
            .or_default()
            .push(trigger);
    }
    for trigger in wanted {
        let others = by_shape.get(&shape(&trigger.source)).into_iter().flatten();
        let clash = others
            .filter(|other| other.id != trigger.id)
            .find(|other| methods(other).overlap(methods(trigger)));
        match clash {
            None => {}
            Some(other) if other.source == trigger.source => {
                return Err(StoreError::Conflict(Conflict::TriggerSource));
            }
            Some(other) => {
                return Err(StoreError::Clash {
                    wanted: trigger.source.clone(),
                    present: other.source.clone(),
                });
            }
        }
    }
    Ok(())
}
