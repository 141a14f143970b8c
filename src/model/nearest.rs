/// Longest name that is looked at: the work grows with its square.
const LONGEST: usize = 255;

/// The one of `known` that `name` may be a slip of; blind to case, and to `-` against `_`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &'a str| {
        let allowed = 1 + known.len() / 4;
        let comparable = known.len() <= LONGEST && name.len().abs_diff(known.len()) <= allowed;
        let distance = comparable.then(|| distance(name, known))?;
        (distance <= allowed).then_some((distance, known))
    };
    let found = known.into_iter().filter_map(near).min();
    found.map(|(_, known)| known)
}

/// Edits: insert, delete, replace.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.to_ascii_lowercase().replace('-', "_").into_bytes();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_leads_to_the_nearest_name() {
        let long = "long".repeat(100);
        let known = ["memory", "timeout", "idle_timeout", "a", &long];
        for (name, expected) in [
            ("memroy", Some("memory")),
            ("Idle-Timeout", Some("idle_timeout")),
            ("timeouts", Some("timeout")),
            ("b", Some("a")),
            ("image", None),
            ("", Some("a")),
            (&*"memory".repeat(10_000), None),
            (&*"long".repeat(100), None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name:.20}");
        }
    }
}
