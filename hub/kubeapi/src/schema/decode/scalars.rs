//! Scalars with a form of their own: times, bytes, quantities.
//!
//! Each function says the value as a real server would show it, or why it cannot be read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::Value;

use crate::quantity;

/// A time to the second, in UTC.
pub(super) fn time(text: &str) -> Result<Value, String> {
    let layout = "2006-01-02T15:04:05Z07:00";
    let at = rfc3339(text).ok_or_else(|| no_time(text, layout))?;
    let seconds = Timestamp::from_second(at.as_second()).unwrap_or(at);
    Ok(Value::String(seconds.to_string()))
}

/// A time to the microsecond, in UTC; the fraction must be said.
pub(super) fn micro_time(text: &str) -> Result<Value, String> {
    let layout = "2006-01-02T15:04:05.000000Z07:00";
    let at = rfc3339(text).filter(|_| text.contains('.'));
    let at = at.ok_or_else(|| no_time(text, layout))?;
    let printer = DateTimePrinter::new().precision(Some(6));
    Ok(Value::String(printer.timestamp_to_string(&at)))
}

fn no_time(text: &str, layout: &str) -> String {
    format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\"")
}

/// RFC 3339 alone: other forms that a lenient reader takes are refused.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|&(at, mark)| bytes.get(at) == Some(&mark)) {
        return None;
    }
    text.parse().ok()
}

/// Bytes in standard base64; line breaks are let through.
pub(super) fn bytes(text: &str) -> Result<Value, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match STANDARD.decode(&plain) {
        Ok(_) => Ok(Value::String(plain)),
        Err(_) => {
            let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
            let at = plain.bytes().position(|c| !legal(c)).unwrap_or(plain.len());
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// A quantity in its canonical form; amounts of resources are kept to the thousandth.
pub(super) fn quantity(value: &Value, is_amount: bool) -> Result<Value, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        other => other.to_string(),
    };
    let parsed = quantity::parse(if text.is_empty() { "0" } else { &text });
    let parsed = parsed.ok_or_else(|| {
        "quantities must match the regular expression \
         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            .to_owned()
    })?;
    let kept = if is_amount { parsed.milli_up() } else { parsed };
    Ok(Value::String(kept.to_text()))
}
