//! Names of headers.

use http::header::{HeaderName, InvalidHeaderName};

/// What calls and their answers carry in one format or another, and http does not know: each would be
/// an allocation.
static USUAL: [HeaderName; 11] = [
    HeaderName::from_static("fn_call_id"),
    HeaderName::from_static("fn_deadline"),
    HeaderName::from_static("fn_method"),
    HeaderName::from_static("fn_request_url"),
    HeaderName::from_static("fn-call-id"),
    HeaderName::from_static("fn-call-depth"),
    HeaderName::from_static("fn-deadline"),
    HeaderName::from_static("fn-http-method"),
    HeaderName::from_static("fn-http-request-url"),
    HeaderName::from_static("fn-http-status"),
    HeaderName::from_static("fn-intent"),
];

/// None of them is longer.
const LONGEST: usize = 32;

/// The name of a header, in any case.
pub(crate) fn header_name(name: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    match usual(name) {
        Some(usual) => Ok(usual.clone()),
        None => HeaderName::from_bytes(name),
    }
}

fn usual(name: &[u8]) -> Option<&'static HeaderName> {
    let [b'F' | b'f', b'n' | b'N', b'-' | b'_', ..] = name else {
        return None;
    };
    let mut lower = [0; LONGEST];
    lower.get_mut(..name.len())?.copy_from_slice(name);
    // All of it: where the length is known, this takes a few instructions.
    lower.make_ascii_lowercase();
    let lower = &lower[..name.len()];
    USUAL
        .iter()
        .find(|usual| usual.as_str().as_bytes() == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_name_is_the_same_as_any_other() {
        for usual in &USUAL {
            let titled = usual.as_str().to_uppercase();
            for name in [usual.as_str(), &titled] {
                let parsed = HeaderName::from_bytes(name.as_bytes()).unwrap();
                assert_eq!(header_name(name.as_bytes()).unwrap(), parsed);
            }
        }
        for other in ["fn-call-i", "fn-call-idx", "host", "Fn", "fn-"] {
            assert_eq!(
                header_name(other.as_bytes()).unwrap(),
                *other.to_lowercase()
            );
        }
        assert!(header_name(b"fn-call id").is_err());
    }
}
