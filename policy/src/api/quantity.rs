//! Quantities (`500m`, `1Gi`) as text: reading them from JSON, where a bare number is as good as
//! a text, and comparing two of them for equality.
//!
//! Never rounds, adds or prints; a quantity is stored as it was written.

use serde::{Deserialize, Deserializer};

use super::StringMap;

/// One quantity as JSON may hold it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Whole(i64),
    Fraction(f64),
}

impl Written {
    fn into_text(self) -> String {
        match self {
            Written::Text(text) => text,
            Written::Whole(number) => number.to_string(),
            Written::Fraction(number) => number.to_string(),
        }
    }
}

/// Reads one quantity.
pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Written::deserialize(input).map(Written::into_text)
}

/// Reads quantities by resource name.
pub(super) fn map<'de, D: Deserializer<'de>>(input: D) -> Result<StringMap, D::Error> {
    let written = std::collections::BTreeMap::<String, Written>::deserialize(input)?;
    Ok(written
        .into_iter()
        .map(|(name, quantity)| (name, quantity.into_text()))
        .collect())
}

/// The quantity in billionths, exactly; none when it does not parse, is finer than that, or is
/// too large for an `i128`.
pub(super) fn nanos(text: &str) -> Option<i128> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (scaled, digits_after_point) = decimal(number)?;
    let scaled = match suffix {
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => {
            let step = "KMGTPE".find(&suffix[..1])? as u32 + 1;
            scaled
                .checked_mul(1024_i128.checked_pow(step)?)?
                .checked_mul(1_000_000_000)?
        }
        _ => scaled.checked_mul(10_i128.checked_pow(nano_exponent(suffix)?)?)?,
    };
    let divisor = 10_i128.checked_pow(digits_after_point)?;
    (scaled % divisor == 0).then_some(scaled / divisor)
}

/// The digits without their point, and how many stood after it.
fn decimal(number: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.trim_start_matches(['+', '-']).is_empty() && fraction.is_empty() && whole != "0" {
        return number.contains('0').then_some((0, 0));
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, u32::try_from(fraction.len()).ok()?))
}

/// Power of ten from billionths to the suffix's unit.
fn nano_exponent(suffix: &str) -> Option<u32> {
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?,
    };
    u32::try_from(exponent + 9).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_quantities_are_equal_however_they_are_written() {
        for (left, right) in [
            ("1000m", "1"),
            ("1Ki", "1024"),
            ("1.5Gi", "1536Mi"),
            ("2k", "2e3"),
            ("0.1", "100m"),
            ("1.", "1.000"),
        ] {
            assert!(nanos(left).is_some(), "{left} parses");
            assert_eq!(nanos(left), nanos(right), "{left} and {right}");
        }
        assert_eq!(
            nanos("9223372036854775807"),
            Some(9223372036854775807000000000)
        );
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "",
            "x",
            "1x",
            "1K",
            "1 Gi",
            "1.2.3",
            "--1",
            "1e99",
            "e2147483647",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }
}
