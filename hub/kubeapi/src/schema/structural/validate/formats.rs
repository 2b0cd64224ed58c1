//! The formats of text that are checked; others mean nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text has this format, or nothing is known of the format.
pub(super) fn matches(format: &str, text: &str) -> bool {
    match format {
        "date-time" => date_time(text),
        "date" => date(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => crate::kinds::validate::names::range(text).is_some(),
        "uuid" => uuid(text),
        "byte" => STANDARD.decode(text).is_ok(),
        "duration" => duration(text),
        "email" => text
            .split_once('@')
            .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
        "hostname" => crate::kinds::validate::names::subdomain(&text.to_lowercase()).is_none(),
        "mac" => {
            let parts: Vec<_> = text.split([':', '-']).collect();
            let pair = |part: &&str| part.len() == 2 && u8::from_str_radix(part, 16).is_ok();
            parts.len() == 6 && parts.iter().all(pair)
        }
        _ => true,
    }
}

fn date_time(text: &str) -> bool {
    let shape =
        text.len() >= 20 && text.is_ascii() && text.as_bytes()[10].eq_ignore_ascii_case(&b'T');
    shape && date(&text[..10]) && text.to_uppercase().parse::<jiff::Timestamp>().is_ok()
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn uuid(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && plain.chars().all(|c| c.is_ascii_hexdigit())
}

/// `1h30m`, `2 days`, ...
fn duration(text: &str) -> bool {
    let units = [
        "ns",
        "us",
        "µs",
        "ms",
        "s",
        "m",
        "h",
        "d",
        "w",
        "ns",
        "nano",
        "nanos",
        "nanosecond",
        "nanoseconds",
        "micro",
        "micros",
        "microsecond",
        "microseconds",
        "milli",
        "millis",
        "millisecond",
        "milliseconds",
        "sec",
        "secs",
        "second",
        "seconds",
        "min",
        "mins",
        "minute",
        "minutes",
        "hr",
        "hrs",
        "hour",
        "hours",
        "day",
        "days",
        "week",
        "weeks",
    ];
    let mut rest = text.trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let after = rest[number..].trim_start();
        let unit = after
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(after.len());
        if number == 0 || !units.contains(&&after[..unit]) {
            return false;
        }
        rest = after[unit..].trim_start();
        any = true;
    }
    any
}
