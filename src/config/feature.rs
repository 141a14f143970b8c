use crate::config::env::{Env, SettingError};

const NAME: &str = "FN_FEATURE_FLAGS";
const INDEXING: &str = "EnableWorkerIndexing";

/// What can be switched on and off as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Images are asked for their functions, if they say that they can be.
    pub indexing: bool,
    /// Names that mean nothing here, as they were written.
    pub unknown: Vec<String>,
}

impl Features {
    /// Where nothing is set, everything is on; where something is, what it names, and an empty
    /// list names nothing.
    pub(super) fn read(env: &Env<'_>) -> Result<Self, SettingError> {
        let list = match env.text(NAME)? {
            Some(list) => list,
            None if env.is_emptied(NAME) => String::new(),
            None => INDEXING.to_owned(),
        };
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            names.partition(|name| name.eq_ignore_ascii_case(INDEXING));
        Ok(Self {
            indexing: !known.is_empty(),
            unknown: unknown.into_iter().map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_flags_replaces_the_default() {
        for (value, indexing, unknown) in [
            (None, true, &[][..]),
            (Some(""), false, &[]),
            (Some(" , "), false, &[]),
            (Some("none"), false, &["none"]),
            (Some("enableworkerindexing"), true, &[]),
            (
                Some(" Other , EnableWorkerIndexing,x y"),
                true,
                &["Other", "x y"],
            ),
        ] {
            let lookup = |name: &str| value.filter(|_| name == NAME).map(str::to_owned);
            let features = Features::read(&Env::new(&lookup)).unwrap();
            assert_eq!(
                (features.indexing, &features.unknown[..]),
                (
                    indexing,
                    &unknown.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]
                ),
                "{value:?}"
            );
        }
    }
}
