use std::borrow::Cow;
use std::collections::HashMap;

use crate::model::{Pattern, Trigger};
use crate::store::{Conflict, StoreError};

/// Whether a source may stand for more paths than one.
pub(super) fn has_parameters(source: &str) -> bool {
    source.contains('{')
}

/// Fails if one of `wanted` takes requests that another one of `all` takes, too.
pub(super) fn check<'a>(
    wanted: impl IntoIterator<Item = &'a Trigger>,
    all: &[Trigger],
) -> Result<(), StoreError> {
    let mut by_shape: HashMap<Cow<'_, str>, Vec<&Trigger>> = HashMap::new();
    for trigger in all {
        by_shape
            .entry(Pattern::shape_of(&trigger.source))
            .or_default()
            .push(trigger);
    }
    for trigger in wanted {
        let others = by_shape
            .get(&Pattern::shape_of(&trigger.source))
            .into_iter()
            .flatten();
        let clash = others
            .filter(|other| other.id != trigger.id)
            .find(|other| other.methods().overlap(trigger.methods()));
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
