use std::time::{Duration, SystemTime};

/// Reads an RFC 3339 time from 1970 on, as `Fn_deadline` has it; any offset, any fraction.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (date_time, zone) = text.split_at_checked(19)?;
    let b = date_time.as_bytes();
    if [b[4], b[7], b[13], b[16]] != *b"--::" || !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let field = |at: usize, length: usize| number(date_time.get(at..at + length)?);
    let days = days(field(0, 4)?, field(5, 2)?, field(8, 2)?)?;
    let (hour, minute, second) = (field(11, 2)?, field(14, 2)?, field(17, 2)?);
    // Second 60 is a leap second, which a system clock does not know apart from the next one.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(zone)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let (ahead, offset) = offset(zone)?;
    let seconds = if ahead {
        seconds.checked_sub(offset)?
    } else {
        seconds + offset
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
}

fn number(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Days from 1970-01-01 to a date.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let month = usize::try_from(month.checked_sub(1)?).ok()?;
    if year < 1970 || day == 0 || day > *lengths.get(month)? {
        return None;
    }
    let leaps_before = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let years = 365 * (year - 1970) + leaps_before(year) - leaps_before(1970);
    Some(years + lengths[..month].iter().sum::<u64>() + day - 1)
}

/// Nanoseconds, and what follows the fraction.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(text) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    // Below a nanosecond nothing is lost that a clock could tell.
    let padded = format!("{:0<9}", &digits[..digits.len().min(9)]);
    (end > 0).then_some((number(&padded)?, rest))
}

/// Whether the zone is ahead of UTC, and by how many seconds it differs.
fn offset(zone: &str) -> Option<(bool, u64)> {
    if matches!(zone, "Z" | "z") {
        return Some((true, 0));
    }
    let ahead = zone.starts_with('+');
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    Some((ahead, number(hours)? * 3_600 + number(minutes)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_to_the_nanosecond() {
        let table = [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2018-06-01T10:00:30.000Z", 1_527_847_230, 0),
            ("2018-06-01T10:00:30.25Z", 1_527_847_230, 250_000_000),
            (
                "2018-06-01T12:00:30.123456789+02:00",
                1_527_847_230,
                123_456_789,
            ),
            ("2018-06-01t05:30:30-04:30", 1_527_847_230, 0),
            ("2000-02-29T00:00:00Z", 951_782_400, 0),
            ("2024-12-31T23:59:59Z", 1_735_689_599, 0),
            ("2100-03-01T00:00:00Z", 4_107_542_400, 0),
        ];
        for (text, seconds, nanos) in table {
            let expected = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_time_is_no_deadline() {
        let table = [
            "",
            "soon",
            "2018-06-01",
            "2018-06-01T10:00:30",
            "2018-06-01T10:00:30.Z",
            "2018-06-01T10:00:30.5",
            "2018-06-01T10:00:30+2",
            "2018-06-01T10:00:30+02:00:00",
            "2018-13-01T10:00:30Z",
            "2018-00-01T10:00:30Z",
            "2018-02-29T10:00:30Z",
            "2018-06-01T24:00:30Z",
            "1969-12-31T23:59:59Z",
            "2018-06-0\u{e9}T10:00:30Z",
            "+018-06-01T10:00:30Z",
        ];
        for text in table {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
