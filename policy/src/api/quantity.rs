//! Quantities (`500m`, `1Gi`) in JSON: a bare number is as good as a text.
//!
//! Never rounds or prints anew; a quantity is stored as it was written.

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
