//! Kubernetes quantities: decimal and binary suffixes, exponents, and the canonical text.
//!
//! Values are whole numbers of 10^-9 in 128 bits; finer parts are rounded up, as a real server does.

/// A parsed quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// The value in units of 10^-9.
    pub nano: i128,
    /// How it was said.
    pub format: Format,
}

/// How a quantity shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `m`, `k`, `M`, ...
    Decimal,
    /// `Ki`, `Mi`, ...
    Binary,
    /// `e3`.
    Exponent,
}

const NANO: i128 = 1_000_000_000;

const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

const BINARY: &[(&str, u32)] = &[
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// Reads a quantity; none = not one.
#[must_use]
pub fn parse(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let (format, binary, exponent) = suffix_of(suffix)?;
    let fraction: String = fraction.chars().take(30).collect();
    let whole = whole.trim_start_matches('0');
    let digits: i128 = match format!("{whole}{fraction}").as_str() {
        "" => 0,
        digits if digits.len() <= 36 => digits.parse().ok()?,
        _ => return Some(capped(negative, format)),
    };
    let places = i32::try_from(fraction.len()).ok()?;
    let value = digits
        .checked_shl(binary)
        .filter(|value| value >> binary == digits);
    let nano = value.and_then(|value| scaled(value, exponent - places + 9));
    let Some(nano) = nano else {
        return Some(capped(negative, format));
    };
    let nano = if negative { -nano } else { nano };
    Some(Quantity { nano, format })
}

fn capped(negative: bool, format: Format) -> Quantity {
    let most = i128::from(i64::MAX) * NANO;
    let nano = if negative { -most } else { most };
    Quantity { nano, format }
}

fn suffix_of(suffix: &str) -> Option<(Format, u32, i32)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Decimal, 0, *exponent));
    }
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Binary, *bits, 0));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let exponent: i32 = exponent.parse().ok()?;
    Some((Format::Exponent, 0, exponent.clamp(-60, 60)))
}

/// `value` times ten to the `power`, rounded up; none = too large.
fn scaled(value: i128, power: i32) -> Option<i128> {
    let factor = 10i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        return value.checked_mul(factor);
    }
    Some(value / factor + i128::from(value % factor != 0))
}

impl Quantity {
    /// Rounded up to whole thousandths, as resource lists are kept.
    #[must_use]
    pub fn milli_up(self) -> Self {
        let step = NANO / 1000;
        let below = self.nano.div_euclid(step);
        let more = i128::from(self.nano.rem_euclid(step) != 0);
        Self {
            nano: (below + more) * step,
            ..self
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn to_text(self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        let whole = self.nano % NANO == 0;
        if self.format == Format::Binary && whole && self.nano.abs() >= 1024 * NANO {
            let value = self.nano / NANO;
            let fits = |(_, bits): &&(&str, u32)| value % (1i128 << bits) == 0;
            let (name, bits) = BINARY.iter().rev().find(fits).copied().unwrap_or(("", 0));
            return format!("{}{name}", value >> bits);
        }
        for (name, exponent) in DECIMAL.iter().rev() {
            let power = (exponent + 9).unsigned_abs();
            let factor = 10i128.pow(power);
            if self.nano % factor == 0 {
                let value = self.nano / factor;
                return match self.format {
                    Format::Exponent if *exponent != 0 => format!("{value}e{exponent}"),
                    _ => format!("{value}{name}"),
                };
            }
        }
        self.nano.to_string()
    }
}
