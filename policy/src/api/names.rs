//! Syntax of names, label keys and values, and of other texts that Kubernetes restricts.
//!
//! Each function says whether a text is legal; none knows which field it stands in.

/// Longest name of a cluster: it becomes part of namespaces and DNS names.
pub const CLUSTER_NAME_CHARS_MAX: usize = 48;

/// A DNS-1123 label: lower-case letters, digits and `-`, at most 63.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= 63
        && starts_and_ends(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A DNS-1123 subdomain: labels joined by dots, at most 253 characters.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            starts_and_ends(part, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// A name that a cluster may have.
#[must_use]
pub fn is_cluster_name(text: &str) -> bool {
    is_dns_label(text) && text.len() <= CLUSTER_NAME_CHARS_MAX
}

/// A label key: a name, with an optional DNS prefix before a `/`.
#[must_use]
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_label_name(text),
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_name(name),
    }
}

/// An annotation key: a label key whose prefix may be in upper case.
#[must_use]
pub fn is_annotation_key(text: &str) -> bool {
    is_label_key(&text.to_ascii_lowercase())
}

/// A label value: empty, or a name.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

fn is_label_name(text: &str) -> bool {
    text.len() <= 63
        && starts_and_ends(text, |b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn starts_and_ends(text: &str, is_allowed: impl Fn(u8) -> bool) -> bool {
    let (first, last) = (text.bytes().next(), text.bytes().last());
    first.is_some_and(&is_allowed) && last.is_some_and(&is_allowed)
}

/// A JSON pointer (RFC 6901): empty, or starting with `/`.
#[must_use]
pub fn is_json_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// So many bytes in lower-case hex.
#[must_use]
pub fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == bytes * 2 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// 32 bytes in standard base64.
#[must_use]
pub fn is_base64_of_32_bytes(text: &str) -> bool {
    // The last of 43 characters carries four bits, so its two lowest are zero.
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    text.len() == 44
        && text.bytes().take(43).all(is_digit)
        && text.ends_with('=')
        && text
            .as_bytes()
            .get(42)
            .is_some_and(|b| b"AEIMQUYcgkosw048".contains(b))
}

/// An RFC 3339 time, as `2026-01-02T03:04:05Z`.
#[must_use]
pub fn is_rfc3339(text: &str) -> bool {
    time_parts(text).is_some()
}

fn time_parts(text: &str) -> Option<()> {
    let field = |from: usize, to: usize, low: u32, high: u32| -> Option<u32> {
        let digits = text.get(from..to)?;
        let number = digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())??;
        (low..=high).contains(&number).then_some(number)
    };
    let separator = |at: usize, wanted: &str| text.get(at..=at).filter(|s| wanted.contains(s));
    let year = field(0, 4, 0, 9999)?;
    let month = field(5, 7, 1, 12)?;
    field(8, 10, 1, days(year, month))?;
    for (at, wanted) in [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")] {
        separator(at, wanted)?;
    }
    field(11, 13, 0, 23)?;
    field(14, 16, 0, 59)?;
    field(17, 19, 0, 60)?;
    let rest = text.get(19..)?;
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
    };
    is_zone(zone).then_some(())
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_zone(zone: &str) -> bool {
    let Some(offset) = zone.strip_prefix(['+', '-']) else {
        return matches!(zone, "Z" | "z");
    };
    let within = |part: &str, below: u32| {
        part.len() == 2 && part.parse::<u32>().is_ok_and(|number| number < below)
    };
    offset
        .split_once(':')
        .is_some_and(|(hours, minutes)| within(hours, 24) && within(minutes, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is_legal: fn(&str) -> bool, legal: &[&str], illegal: &[&str]) {
        for text in legal {
            assert!(is_legal(text), "{text} is legal");
        }
        for text in illegal {
            assert!(!is_legal(text), "{text} is not legal");
        }
    }

    #[test]
    fn names() {
        check(
            is_dns_label,
            &["a", "a-1"],
            &["", "A", "a.b", "-a", "a-", "a_b"],
        );
        check(is_dns_subdomain, &["a", "a.b-c"], &["", ".", "a..b", "A.b"]);
        let (longest, too_long) = ("m".repeat(48), "m".repeat(49));
        check(
            is_cluster_name,
            &["m1", &longest],
            &[&too_long, "m.1", "M1"],
        );
    }

    #[test]
    fn labels() {
        let (longest, too_long) = ("x".repeat(63), "x".repeat(64));
        check(
            is_label_key,
            &["a", "A_b.c", "a.b/C", &longest],
            &["", "a b", "a/b/c", "A.B/c", &too_long, "a~b", "/a", "a/"],
        );
        check(is_annotation_key, &["A.B/Cd"], &["a/b/c", "a b"]);
        check(
            is_label_value,
            &["", "a", "A.1", &longest],
            &["b c", "-a", &too_long],
        );
    }

    #[test]
    fn other_texts() {
        check(is_json_pointer, &["", "/", "/a/b"], &["a", "a/b"]);
        check(|t| is_hex(t, 2), &["00ff"], &["00FF", "00f", "00fg"]);
        let key = "A".repeat(43) + "=";
        check(
            is_base64_of_32_bytes,
            &[&key],
            &["", &"A".repeat(44), &("A".repeat(42) + "B=")],
        );
    }

    #[test]
    fn times() {
        check(
            is_rfc3339,
            &["2026-01-02T03:04:05Z", "2024-02-29T23:59:60.123456+05:30"],
            &[
                "",
                "2026-01-02",
                "2026-13-02T03:04:05Z",
                "2026-02-29T00:00:00Z",
                "2026-01-02T03:04:05",
                "2026-01-02T03:04:05.Z",
                "2026-01-02T24:04:05Z",
                "+026-01-02T03:04:05Z",
            ],
        );
    }
}
