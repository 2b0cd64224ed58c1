//! Amounts of resources as Kubernetes writes them: `500m`, `1Gi`, `2e3`.
//!
//! Exact in steps of one nano, up to about 1.7e29; more is an error, so that no text can make the
//! arithmetic slow or let it overflow. What is smaller than a nano rounds away from zero: who asks
//! for something gets something. An amount prints in one canonical way, whatever was typed.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde_json::Value;

const NANOS_PER_UNIT: i128 = 1_000_000_000;
const NANO_DIGITS: i64 = 9;
/// Digits that surely fit an `i128`; one more is tried and may overflow.
const DIGITS_MAX: i64 = 38;
/// Kubernetes caps amounts with a binary suffix here, and only those.
const BINARY_MAX: u128 = i64::MAX as u128;
/// Fraction digits of a binary amount that are computed exactly; the rest rounds up.
const BINARY_FRACTION_DIGITS: usize = 20;

const DECIMAL: [(&str, u32); 10] = [
    ("n", 0),
    ("u", 3),
    ("m", 6),
    ("", 9),
    ("k", 12),
    ("M", 15),
    ("G", 18),
    ("T", 21),
    ("P", 24),
    ("E", 27),
];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// How an amount prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuantityFormat {
    /// Powers of ten by letter: `1k`.
    #[default]
    DecimalSi,
    /// Powers of 1024: `1Ki`.
    BinarySi,
    /// Powers of ten by number: `1e3`.
    DecimalExponent,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number, or a suffix that does not exist.
    #[error("no quantity: want a number with a suffix such as m, k, Mi or e3")]
    Syntax,
    /// More than anything can have.
    #[error("quantity out of range")]
    OutOfRange,
}

/// An amount. Equality and order look at the amount only, not at how it prints.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: QuantityFormat,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self {
        nanos: 0,
        format: QuantityFormat::DecimalSi,
    };

    /// Whole units.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self {
            nanos: units as i128 * NANOS_PER_UNIT,
            format: QuantityFormat::DecimalSi,
        }
    }

    /// Thousandths.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Self {
        Self {
            nanos: milli as i128 * (NANOS_PER_UNIT / 1000),
            format: QuantityFormat::DecimalSi,
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When the text is no quantity, or one out of range.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let parts = Parts::split(text).ok_or(QuantityError::Syntax)?;
        let (nanos, format) = match parts.suffix()? {
            Suffix::Decimal(exponent) => (parts.decimal(exponent)?, QuantityFormat::DecimalSi),
            Suffix::Exponent(exponent) => {
                (parts.decimal(exponent)?, QuantityFormat::DecimalExponent)
            }
            Suffix::Binary(steps) => {
                let nanos = parts.binary(steps);
                let small = nanos > 0 && nanos < NANOS_PER_UNIT;
                (
                    nanos,
                    if small {
                        QuantityFormat::DecimalSi
                    } else {
                        QuantityFormat::BinarySi
                    },
                )
            }
        };
        Ok(Self {
            nanos: if parts.negative { -nanos } else { nanos },
            format,
        })
    }

    /// Reads a manifest's value: a text, a number, or null for nothing.
    ///
    /// # Errors
    /// When the value is no quantity, or one out of range.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Null => Ok(Self::ZERO),
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(QuantityError::Syntax),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// The same amount, printed otherwise.
    #[must_use]
    pub const fn in_format(self, format: QuantityFormat) -> Self {
        Self { format, ..self }
    }

    /// How it prints.
    #[must_use]
    pub const fn format(self) -> QuantityFormat {
        self.format
    }

    /// -1, 0 or 1.
    #[must_use]
    pub const fn sign(self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whole units, rounded away from zero; at the ends of `i64` it stays there.
    #[must_use]
    pub fn value(self) -> i64 {
        away_from_zero(self.nanos, NANOS_PER_UNIT)
    }

    /// Thousandths, rounded away from zero; at the ends of `i64` it stays there.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        away_from_zero(self.nanos, NANOS_PER_UNIT / 1000)
    }

    fn with(self, nanos: i128, other: Self) -> Self {
        let format = if self.is_zero() {
            other.format
        } else {
            self.format
        };
        Self { nanos, format }
    }
}

/// Rounds away from zero, and caps instead of overflowing.
fn away_from_zero(nanos: i128, step: i128) -> i64 {
    let rest = (nanos % step).signum();
    i64::try_from(nanos / step + rest).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Caps instead of overflowing; the result prints like the first operand, unless that is zero.
impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(self.nanos.saturating_add(other.nanos), other)
    }
}

/// Caps instead of overflowing; the result prints like the first operand, unless that is zero.
impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(self.nanos.saturating_sub(other.nanos), other)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// The largest suffix that needs no fraction.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let whole = self.nanos % NANOS_PER_UNIT == 0;
        let units = self.nanos / NANOS_PER_UNIT;
        if self.format == QuantityFormat::BinarySi && whole && units.unsigned_abs() >= 1024 {
            let (number, steps) = shorten(units, 1024, BINARY.len() - 1);
            return write!(f, "{number}{}", BINARY[steps]);
        }
        if self.format != QuantityFormat::DecimalExponent {
            let (number, steps) = shorten(self.nanos, 1000, DECIMAL.len() - 1);
            return write!(f, "{number}{}", DECIMAL[steps].0);
        }
        let (number, steps) = shorten(self.nanos, 1000, usize::MAX);
        match steps as i64 * 3 - NANO_DIGITS {
            0 => write!(f, "{number}"),
            exponent => write!(f, "{number}e{exponent}"),
        }
    }
}

/// Divides as often as nothing is lost.
fn shorten(mut number: i128, base: i128, steps_max: usize) -> (i128, usize) {
    let mut steps = 0;
    while steps < steps_max && number % base == 0 {
        number /= base;
        steps += 1;
    }
    (number, steps)
}

enum Suffix {
    Decimal(i64),
    Exponent(i64),
    Binary(usize),
}

/// A text taken apart; digits may be empty, which Kubernetes reads as zero.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        Some(Self {
            negative: text.starts_with('-'),
            whole: whole.trim_start_matches('0'),
            fraction,
            suffix,
        })
    }

    fn suffix(&self) -> Result<Suffix, QuantityError> {
        if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == self.suffix) {
            return Ok(Suffix::Decimal(i64::from(*exponent) - NANO_DIGITS));
        }
        if let Some(steps) = BINARY.iter().position(|name| *name == self.suffix) {
            return Ok(Suffix::Binary(steps));
        }
        self.suffix
            .strip_prefix(['e', 'E'])
            .and_then(|exponent| exponent.parse().ok())
            .map(Suffix::Exponent)
            .ok_or(QuantityError::Syntax)
    }

    /// Nanos of the digits times a power of ten. Looks at lengths first, so that no exponent makes
    /// it compute anything long.
    fn decimal(&self, exponent: i64) -> Result<i128, QuantityError> {
        let digits = format!("{}{}", self.whole, self.fraction);
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(0);
        }
        let shift = exponent.saturating_add(NANO_DIGITS - self.fraction.len() as i64);
        let length = shift.saturating_add(digits.len() as i64);
        if length > DIGITS_MAX + 1 {
            return Err(QuantityError::OutOfRange);
        }
        if length <= 0 {
            return Ok(1);
        }
        let (kept, dropped) = digits.split_at(digits.len().min(length as usize));
        let number: i128 = kept.parse().map_err(|_| QuantityError::OutOfRange)?;
        let round = i128::from(dropped.bytes().any(|digit| digit != b'0'));
        10_i128
            .checked_pow(shift.max(0) as u32)
            .and_then(|power| number.checked_mul(power))
            .and_then(|nanos| nanos.checked_add(round))
            .ok_or(QuantityError::OutOfRange)
    }

    /// Nanos of the digits times a power of 1024, capped as Kubernetes does.
    fn binary(&self, steps: usize) -> i128 {
        let power = 1_u128 << (10 * steps);
        let whole = if self.whole.is_empty() {
            0
        } else {
            self.whole.parse().unwrap_or(BINARY_MAX)
        };
        let (kept, dropped) = self
            .fraction
            .split_at(self.fraction.len().min(BINARY_FRACTION_DIGITS));
        let kept_number: u128 = kept.parse().unwrap_or(0);
        let round = u128::from(dropped.bytes().any(|digit| digit != b'0'));
        let scale = 10_u128.pow(kept.len() as u32);
        let fraction = (kept_number + round) * power;
        let units = whole.saturating_mul(power).saturating_add(fraction / scale);
        let nanos_of_rest = ((fraction % scale) * NANOS_PER_UNIT as u128).div_ceil(scale);
        let cap = BINARY_MAX * NANOS_PER_UNIT as u128;
        let nanos = units.min(BINARY_MAX) * NANOS_PER_UNIT as u128 + nanos_of_rest;
        nanos.min(cap) as i128
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}
