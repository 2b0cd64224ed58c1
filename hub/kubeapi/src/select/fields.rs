//! The language of field selectors: `metadata.name=a,status.phase!=b`, `\` escapes.
//!
//! A field that is missing counts as the empty text, of built-in kinds as the zero of its type.

use serde_json::Value;

use crate::error::Status;
use crate::kinds::Kind;
use crate::schema::Type;

/// A conjunction of terms.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<Term>);

#[derive(Debug, Clone)]
struct Term {
    path: String,
    value: String,
    equal: bool,
    missing: &'static str,
}

impl Fields {
    /// Reads the query parameter for a kind.
    pub fn parse(text: &str, kind: &Kind) -> Result<Self, Status> {
        let mut found = Vec::new();
        for term in split(text) {
            if term.is_empty() {
                continue;
            }
            let Some((label, equal, value)) = operator(term) else {
                return Err(Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            let value = unescape(value)?;
            if label.is_empty() && value.is_empty() {
                continue;
            }
            let path = path_of(kind, label).ok_or_else(|| {
                Status::bad_request(format!("field label not supported: {label}"))
            })?;
            let missing = if kind.custom { "" } else { zero(kind, path) };
            found.push(Term {
                path: path.to_owned(),
                value,
                equal,
                missing,
            });
        }
        Ok(Self(found))
    }

    /// Selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one name that can match, if a term says so.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let term = |term: &&Term| term.equal && term.path == "metadata.name";
        self.0.iter().find(term).map(|term| term.value.as_str())
    }

    /// The object satisfies all terms.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| {
            let found = term.path.split('.').try_fold(object, |at, key| at.get(key));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) => term.missing.to_owned(),
                Some(other) => other.to_string(),
            };
            (text == term.value) == term.equal
        })
    }
}

fn path_of<'a>(kind: &'a Kind, label: &'a str) -> Option<&'a str> {
    if label == "metadata.name" || (label == "metadata.namespace" && kind.plural != "namespaces") {
        return Some(label);
    }
    let known = kind.selectable.iter().find(|(known, _)| known == label)?;
    Some(&known.1)
}

fn zero(kind: &Kind, path: &str) -> &'static str {
    let found = path
        .split('.')
        .try_fold(kind.schema(), |at, key| at.field(key));
    match found.map(|schema| schema.node().ty) {
        Some(Type::Integer | Type::Number) => "0",
        Some(Type::Boolean) => "false",
        _ => "",
    }
}

/// Terms between commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn operator(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = term[at..].strip_prefix(sign) {
                return Some((&term[..at], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, Status> {
    let bad = |what: &str, c: char| {
        let code = u32::from(c);
        Status::bad_request(format!("invalid field selector: {what} in value: {code}"))
    };
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                Some(c) => return Err(bad("invalid escape sequence", c)),
                None => return Err(bad("unfinished escape sequence", c)),
            },
            ',' | '=' => return Err(bad("unescaped character", c)),
            c => text.push(c),
        }
    }
    Ok(text)
}
