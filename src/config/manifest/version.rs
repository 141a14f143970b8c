use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The version of a function: three numbers and perhaps a pre-release, also the image's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    pre: Option<String>,
}

impl Version {
    /// What a function without a version starts with.
    pub const fn first() -> Self {
        Self {
            major: 0,
            minor: 0,
            patch: 1,
            pre: None,
        }
    }

    /// The release after this one; a pre-release is followed by its own release.
    pub fn next_patch(&self) -> Self {
        let step = u32::from(self.pre.is_none());
        Self {
            patch: self.patch.saturating_add(step),
            pre: None,
            ..*self
        }
    }
}

/// Not three numbers with at most one pre-release.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not a version, expected three numbers such as 0.0.1")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        // An image tag holds at most 128 characters.
        if text.len() > 128 {
            return Err(InvalidVersion);
        }
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (text, None),
        };
        let mut parts = numbers.split('.').map(number);
        let (Some(major), Some(minor), Some(patch), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidVersion);
        };
        let legal = |pre: &str| {
            pre.split('.').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            })
        };
        if !pre.is_none_or(legal) {
            return Err(InvalidVersion);
        }
        Ok(Self {
            major: major?,
            minor: minor?,
            patch: patch?,
            pre: pre.map(str::to_owned),
        })
    }
}

fn number(text: &str) -> Result<u32, InvalidVersion> {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if leading_zero || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidVersion);
    }
    text.parse().map_err(|_| InvalidVersion)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match &self.pre {
            Some(pre) => write!(f, "-{pre}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers() {
        for text in ["0.0.1", "1.22.333", "1.0.0-rc.1"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        for text in [
            "", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "01.0.0", "1.0.0-", "1.0.0+b",
        ] {
            assert_eq!(text.parse::<Version>(), Err(InvalidVersion), "{text}");
        }
    }

    #[test]
    fn a_pre_release_is_followed_by_its_release() {
        for (from, to) in [
            ("0.0.1", "0.0.2"),
            ("1.2.9", "1.2.10"),
            ("1.0.0-rc.1", "1.0.0"),
        ] {
            let version: Version = from.parse().unwrap();
            assert_eq!(version.next_patch().to_string(), to);
        }
    }
}
