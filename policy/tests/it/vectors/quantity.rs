//! Quantities: parsing, printing, rounding and arithmetic.

use flotilla_policy::model::quantity::{Quantity, QuantityFormat};
use serde_json::Value;

use super::{Rule, check};

const ABSURD: Rule = Rule {
    name: "absurd amount",
    reason: "beyond 1.7e29 is refused, so that no exponent can occupy the parser",
    applies: |input| operands(input).any(|text| !text.ends_with('i') && float(text).abs() > 1.7e29),
};

const TEXT_RULES: &[Rule] = &[
    ABSURD,
    Rule {
        name: "text kept",
        reason: "one amount prints in one way, whatever was typed",
        applies: |input| {
            let text = text(input, "quantity");
            let zeros = text.starts_with('0');
            zeros || text.contains(['+', 'E']) || text.ends_with(['.']) || text.ends_with("e0")
        },
    },
];

const NUMBER_RULES: &[Rule] = &[
    ABSURD,
    Rule {
        name: "overflow",
        reason: "a number beyond int64 stays at its end instead of wrapping silently",
        applies: |input| float(text(input, "quantity")).abs() * 1000.0 > i64::MAX as f64,
    },
    Rule {
        name: "negative fraction",
        reason: "rounds away from zero like every other; there it rounds wrongly or wraps",
        applies: |input| {
            let text = text(input, "quantity");
            text.starts_with('-') && (text.contains('.') || text.len() > 18)
        },
    },
];

#[test]
fn quantities_print_and_add_as_in_kubernetes() {
    let committed = include_bytes!("../../vectors/quantity.jsonl.gz");
    check("quantity", committed, TEXT_RULES, |input, output| {
        let Some(quantity) = parsed(input, "quantity", output.get("error"))? else {
            return Ok(());
        };
        equal("canonical", &quantity.to_string(), output)?;
        equal("sign", &quantity.sign().to_string(), output)?;
        equal("format", format(quantity), output)?;
        if input.get("other").is_none() {
            return Ok(());
        }
        let Some(other) = parsed(input, "other", output.get("otherError"))? else {
            return Ok(());
        };
        equal("cmp", &(quantity.cmp(&other) as i8).to_string(), output)?;
        equal("sum", &(quantity + other).to_string(), output)?;
        equal("difference", &(quantity - other).to_string(), output)
    });
}

#[test]
fn quantities_round_as_in_kubernetes() {
    let committed = include_bytes!("../../vectors/quantity.jsonl.gz");
    check("quantity", committed, NUMBER_RULES, |input, output| {
        let Some(quantity) = parsed(input, "quantity", output.get("error"))? else {
            return Ok(());
        };
        equal("value", &quantity.value().to_string(), output)?;
        equal("milliValue", &quantity.milli_value().to_string(), output)
    });
}

/// The amount; none when both sides refuse it.
fn parsed(input: &Value, field: &str, refused: Option<&Value>) -> Result<Option<Quantity>, String> {
    match (Quantity::parse(text(input, field)), refused) {
        (Ok(quantity), None) => Ok(Some(quantity)),
        (Err(_), Some(_)) => Ok(None),
        (ours, theirs) => Err(format!("{field}: ours {ours:?}, theirs {theirs:?}")),
    }
}

fn equal(field: &str, ours: &str, output: &Value) -> Result<(), String> {
    let theirs = match &output[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if ours == theirs {
        Ok(())
    } else {
        Err(format!("{field}: ours {ours}, theirs {theirs}"))
    }
}

fn format(quantity: Quantity) -> &'static str {
    match quantity.format() {
        QuantityFormat::DecimalSi => "DecimalSI",
        QuantityFormat::BinarySi => "BinarySI",
        QuantityFormat::DecimalExponent => "DecimalExponent",
    }
}

fn text<'a>(input: &'a Value, field: &str) -> &'a str {
    input[field].as_str().unwrap_or_default()
}

fn operands(input: &Value) -> impl Iterator<Item = &str> {
    [text(input, "quantity"), text(input, "other")].into_iter()
}

/// The amount, roughly; enough to see how large it is.
fn float(text: &str) -> f64 {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let power = |base: f64, names: &str| {
        let step = names.find(suffix.chars().next()?)?;
        Some(base.powi(i32::try_from(step).ok()? + 1))
    };
    let factor = match suffix {
        "" | "n" | "u" | "m" => 1.0,
        _ if suffix.ends_with('i') => power(1024.0, "KMGTPE").unwrap_or(1.0),
        _ if suffix.len() == 1 => power(1000.0, "kMGTPE").unwrap_or(1.0),
        _ => format!("1{suffix}").parse().unwrap_or(1.0),
    };
    number.parse().unwrap_or(0.0) * factor
}
