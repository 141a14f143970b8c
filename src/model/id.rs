use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Timestamp;

/// The text is not 26 characters of Crockford base32.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not an id: expected 26 characters of Crockford base32")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(ulid::Ulid);

        impl $name {
            /// A new id; ids made later sort later (millisecond precision).
            pub fn generate() -> Self {
                Self(ulid::Ulid::generate())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                ulid::Ulid::from_string(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// Identifies an app for its whole life; names may be reused, ids are not.
    AppId
);
id!(
    /// Identifies a function.
    FnId
);
id!(
    /// Identifies a trigger.
    TriggerId
);
id!(
    /// Identifies one call; sent to the function and to the caller.
    CallId
);

impl CallId {
    /// When it was made.
    pub fn made_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }

    /// This id in `room`, as [`Display`](fmt::Display) shows it: each call's is written several
    /// times.
    pub fn write(self, room: &mut [u8; ulid::ULID_LEN]) -> &str {
        self.0.array_to_str(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shape_fn_clients_know() {
        let id = AppId::generate().to_string();
        assert_eq!(id.len(), 26);
        assert!(id.starts_with("01"), "time comes first: {id}");
        assert_eq!(id.parse::<AppId>().unwrap().to_string(), id);
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        for text in ["", "01", "myapp", "0123456789012345678901234!"] {
            assert_eq!(text.parse::<AppId>(), Err(InvalidId), "{text}");
        }
    }
}
