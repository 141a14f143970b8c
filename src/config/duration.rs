use std::time::Duration;

/// Reads a duration as Go writes it: `30s`, `1m30s`, `500ms`, `1.5h`, or a plain `0`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number = split(rest, |c| c.is_ascii_digit() || c == '.');
        let unit = split(number.1, |c| c.is_alphabetic());
        let seconds = match unit.0 {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        // A sum of fractions is inexact by far less than anybody waits.
        let part = Duration::try_from_secs_f64(number.0.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = unit.1;
    }
    (!text.is_empty()).then_some(sum)
}

fn split(text: &str, part: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !part(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5h", Some(5_400_000)),
            ("1h0m0.5s", Some(3_600_500)),
            ("", None),
            ("30", None),
            ("-1s", None),
            ("1d", None),
            ("s", None),
            (".s", None),
            ("1s ", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
