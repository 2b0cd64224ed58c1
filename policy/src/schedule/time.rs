//! RFC 3339 times as the API server writes them, to compare them. Reads no clock.

/// Seconds since 1970 and nanoseconds of an RFC 3339 time; none when it is no such time.
pub(super) fn parse(text: &str) -> Option<(i64, u32)> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    );
    let (clock, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let (hour, minute, second) = (
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    );
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset_seconds(zone)?, nanoseconds(fraction)?))
}

/// Whether `a` is later than `b`; not so when one of them is no time.
pub(super) fn is_after(a: &str, b: &str) -> bool {
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a > b)
}

fn number(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    let digits = number(format!("{fraction:0<9}").get(..9)?)?;
    u32::try_from(digits).ok()
}

fn offset_seconds(zone: &str) -> Option<i64> {
    let (sign, hours_minutes) = match zone.split_at(1) {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = hours_minutes.split_once(':')?;
    Some(sign * (number(hours)? * 3_600 + number(minutes)? * 60))
}

/// Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
/// day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{is_after, parse};

    #[test]
    fn times_are_read_and_compared() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("2000-03-01T00:00:00Z", Some((951_868_800, 0))),
            ("2024-02-29T12:30:15.5Z", Some((1_709_209_815, 500_000_000))),
            ("2026-01-01T01:00:00+01:00", Some((1_767_225_600, 0))),
            ("2025-12-31T18:30:00-05:30", Some((1_767_225_600, 0))),
            ("1969-12-31T23:59:59z", Some((-1, 0))),
            ("2026-01-01", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00Z", None),
            ("2026-01-01T00:00:00.1.2Z", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert!(is_after("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00Z"));
        assert!(!is_after("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"));
        assert!(!is_after("soon", "2026-01-01T00:00:00Z"));
    }
}
