//! Values whose JSON is not that of their protobuf fields.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    MAGIC, broken, decode,
    wire::{Reader, Wire},
};
use crate::error::Status;

/// A number, written without a point where it is whole.
pub(super) fn double(wire: &Wire<'_>) -> Result<Value, Status> {
    let value = wire.double()?;
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^63")]
    Ok(if whole {
        json!(value as i64)
    } else {
        json!(value)
    })
}

pub(super) fn base64(wire: &Wire<'_>) -> Result<Value, Status> {
    Ok(json!(STANDARD.encode(wire.bytes()?)))
}

/// Seconds and nanoseconds; none = the zero time, which JSON writes as null.
fn timestamp(wire: &Wire<'_>) -> Result<Option<Timestamp>, Status> {
    let bytes = wire.bytes()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => seconds = wire.varint()?.cast_signed(),
            2 => nanos = wire.varint()?.cast_signed(),
            _ => {}
        }
    }
    let nanos = i32::try_from(nanos).map_err(|_| broken("a time has too many nanoseconds"))?;
    let time = Timestamp::new(seconds, nanos);
    time.map(Some).map_err(|_| broken("a time is out of range"))
}

pub(super) fn time(wire: &Wire<'_>) -> Result<Value, Status> {
    let text = |time: Timestamp| json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    Ok(timestamp(wire)?.map_or(Value::Null, text))
}

pub(super) fn micro_time(wire: &Wire<'_>) -> Result<Value, Status> {
    let text = |time: Timestamp| json!(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string());
    Ok(timestamp(wire)?.map_or(Value::Null, text))
}

/// `1h0m0.5s`, as Go writes durations.
pub(super) fn duration(wire: &Wire<'_>) -> Result<Value, Status> {
    let mut nanos = 0;
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next()? {
        if number == 1 {
            nanos = wire.varint()?.cast_signed();
        }
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let fraction = |value: u64, digits: usize| {
        let text = format!("{value:0digits$}");
        let text = text.trim_end_matches('0');
        if text.is_empty() {
            String::new()
        } else {
            format!(".{text}")
        }
    };
    let text = match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{nanos}ns"),
        1_000..1_000_000 => format!("{sign}{}{}µs", nanos / 1_000, fraction(nanos % 1_000, 3)),
        1_000_000..1_000_000_000 => format!(
            "{sign}{}{}ms",
            nanos / 1_000_000,
            fraction(nanos % 1_000_000, 6)
        ),
        _ => {
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let last = format!("{}{}s", seconds % 60, fraction(rest, 9));
            match (hours, minutes) {
                (0, 0) => format!("{sign}{last}"),
                (0, _) => format!("{sign}{minutes}m{last}"),
                _ => format!("{sign}{hours}h{minutes}m{last}"),
            }
        }
    };
    Ok(json!(text))
}

pub(super) fn quantity(wire: &Wire<'_>) -> Result<Value, Status> {
    let mut text = String::new();
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next()? {
        if number == 1 {
            text = wire.text()?;
        }
    }
    if text.is_empty() {
        text.push('0');
    }
    Ok(json!(text))
}

pub(super) fn int_or_string(wire: &Wire<'_>) -> Result<Value, Status> {
    let (mut is_text, mut number_value, mut text) = (false, 0, String::new());
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => is_text = wire.varint()? == 1,
            2 => number_value = wire.varint()?.cast_signed(),
            3 => text = wire.text()?,
            _ => {}
        }
    }
    Ok(if is_text {
        json!(text)
    } else {
        json!(number_value)
    })
}

/// JSON inside protobuf, or an object of its own in protobuf.
pub(super) fn raw(wire: &Wire<'_>) -> Result<Value, Status> {
    let mut bytes: &[u8] = &[];
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next()? {
        if number == 1 {
            bytes = wire.bytes()?;
        }
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if bytes.starts_with(MAGIC) {
        return decode(bytes);
    }
    serde_json::from_slice(bytes).map_err(|error| broken(&format!("JSON inside: {error}")))
}

/// A list of texts with a message of its own around it.
pub(super) fn texts(wire: &Wire<'_>) -> Result<Value, Status> {
    let mut list = Vec::new();
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next()? {
        if number == 1 {
            list.push(wire.text()?);
        }
    }
    Ok(json!(list))
}
