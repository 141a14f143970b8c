/// A function's name is part of an image's name, and images have the stricter rule.
pub(super) const NAME_RULE: &str = "lower-case letters and digits, with a dot, one or two underscores, or dashes between them, at most 128";

/// Whether `name` can name a function: the rule of one component of an image's name.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() <= 128 && is_component(name) {
        Ok(())
    } else {
        Err(NAME_RULE)
    }
}

/// `[a-z0-9]+` joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators_fit = text
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|s| s == "." || s == "_" || s == "__" || s.bytes().all(|b| b == b'-'));
    let (first, last) = (text.bytes().next(), text.bytes().last());
    first.is_some_and(legal) && last.is_some_and(legal) && separators_fit
}

/// Names of triggers stand in URLs and in tables.
pub(super) fn is_trigger_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(legal)
}

/// A path below an app: what follows `/r/{app}` and `/t/{app}`.
pub(super) fn is_path(text: &str) -> bool {
    let legal = |c: char| !c.is_whitespace() && !c.is_control() && !"?#:\\".contains(c);
    let climbs = text.split('/').any(|part| part == "..");
    text.starts_with('/') && text.len() <= 1024 && text.chars().all(legal) && !climbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_for_images() {
        for name in ["a", "hello", "my-func", "a.b", "a__b", "a--b", "3d"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "", "Hello", "a/b", "-a", "a-", "a..b", "a___b", "a b", "é", "..", "a\n",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name(&"a".repeat(129)).is_err());
    }

    #[test]
    fn paths_start_with_a_slash_and_stay_below_their_app() {
        for path in ["/", "/hello", "/a/b.json", "/é"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "hello", "/a b", "/:id", "/a?b", "/../x", "/a\n"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
