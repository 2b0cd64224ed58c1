//! Rules of CronJobs: schedules and time zones.

use crate::kinds::validate::cursor::{At, Found};

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Checks what is there beside the job.
pub(super) fn check(spec: &At<'_>, found: &mut Found) {
    let schedule = spec.field("schedule");
    let text = schedule.text();
    if text.is_empty() {
        found.required(&schedule, "");
    } else if text.contains("TZ") {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        found.invalid(&schedule, why);
    } else if let Err(why) = parse(text) {
        found.invalid(&schedule, &why);
    }
    let zone = spec.field("timeZone");
    match zone.value.as_str() {
        Some("") => found.invalid(&zone, "timeZone must be nil or non-empty string"),
        Some("Local") => found.invalid(&zone, "timeZone must be an explicit time zone"),
        Some(name) if !is_zone(name) => {
            found.invalid(&zone, &format!("unknown time zone {name}"));
        }
        _ => {}
    }
}

/// A server without zone data cannot tell and lets the name through.
fn is_zone(name: &str) -> bool {
    let zones = jiff::tz::db();
    zones.is_definitively_empty() || zones.get(name).is_ok()
}

fn parse(text: &str) -> Result<(), String> {
    if let Some(descriptor) = text.strip_prefix('@') {
        let known = [
            "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly",
        ];
        let every = descriptor.strip_prefix("every ");
        let good = known.contains(&descriptor) || every.is_some_and(is_duration);
        return if good {
            Ok(())
        } else {
            Err(format!("unrecognized descriptor: {text}"))
        };
    }
    let fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    let bounds: [(u32, u32, &[&str]); 5] = [
        (0, 59, &[]),
        (0, 23, &[]),
        (1, 31, &[]),
        (1, 12, MONTHS),
        (0, 6, DAYS),
    ];
    for (field, (least, most, names)) in fields.iter().zip(bounds) {
        for part in field.split(',') {
            range(part, least, most, names)?;
        }
    }
    Ok(())
}

fn range(part: &str, least: u32, most: u32, names: &[&str]) -> Result<(), String> {
    let number = |text: &str| {
        let lower = text.to_lowercase();
        let named = names.iter().position(|name| *name == lower);
        let named = named
            .and_then(|at| u32::try_from(at).ok())
            .map(|at| at + least);
        named
            .or_else(|| text.parse().ok())
            .ok_or_else(|| format!("failed to parse int from {text}: invalid syntax"))
    };
    let (range, step) = part.split_once('/').unwrap_or((part, "1"));
    if step.parse::<u32>().is_ok_and(|step| step == 0) {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    step.parse::<u32>()
        .map_err(|_| format!("failed to parse int from {step}: invalid syntax"))?;
    if matches!(range, "*" | "?") {
        return Ok(());
    }
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let (from, to) = (number(from)?, number(to)?);
    if from < least {
        return Err(format!(
            "beginning of range ({from}) below minimum ({least}): {part}"
        ));
    }
    if to > most {
        return Err(format!(
            "end of range ({to}) above maximum ({most}): {part}"
        ));
    }
    if from > to {
        return Err(format!(
            "beginning of range ({from}) beyond end of range ({to}): {part}"
        ));
    }
    Ok(())
}

/// `1h30m`, `90s`, ...
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if digits.len() == rest.len() {
            return false;
        }
        let units = ["ns", "us", "ms", "s", "m", "h"];
        let Some(after) = units.iter().find_map(|unit| digits.strip_prefix(unit)) else {
            return false;
        };
        rest = after;
    }
    !text.is_empty()
}
