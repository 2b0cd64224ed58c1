//! The query of a request: pairs in order, unknown ones ignored by whoever reads them.

use super::path;
use crate::error::Status;

/// Decoded pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the `?`; empty pairs are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = |text: &str| path::decode(&text.replace('+', " ")).into_owned();
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        });
        Self(pairs.collect())
    }

    /// The first value of a key; empty = absent.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.all(key).next().unwrap_or_default()
    }

    /// All values of a key.
    pub fn all<'a, 'k>(&'a self, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        let wanted = self.0.iter().filter(move |(known, _)| known == key);
        wanted.map(|(_, value)| value.as_str())
    }

    /// A switch: present and neither `0` nor `false`. Anything else, even nothing, means yes.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        let value = self.all(key).next();
        value.is_some_and(|value| !matches!(value, "0" | "false"))
    }

    /// A whole number; none = absent.
    pub fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        let text = self.get(key);
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let why = if is_number {
            "value out of range"
        } else {
            "invalid syntax"
        };
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": {why}"))
        })
    }
}
