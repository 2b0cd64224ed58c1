//! Times as people say them.

use jiff::Timestamp;
use serde_json::Value;

/// How long ago a time of an object was; `<unknown>` when it is not said.
pub(super) fn since(time: &Value, now: Timestamp) -> Value {
    let text = match time
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
    {
        Some(time) => human(now.as_second() - time.as_second()),
        None => "<unknown>".to_owned(),
    };
    Value::String(text)
}

/// A length of time, in one or two units.
#[must_use]
pub fn human(seconds: i64) -> String {
    let two = |one: i64, unit: &str, two: i64, smaller: &str| match two {
        0 => format!("{one}{unit}"),
        _ => format!("{one}{unit}{two}{smaller}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}
