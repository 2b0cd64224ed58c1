//! A value with the path where it stands, and a collector of findings about such places.

use serde_json::Value;

use crate::error::Cause;

static NULL: Value = Value::Null;

/// A place in an object.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// A field, by dotted path; a missing one is `null`.
    pub(super) fn field(&self, path: &str) -> Self {
        let mut value = self.value;
        for step in path.split('.') {
            value = value.get(step).unwrap_or(&NULL);
        }
        let path = if self.path.is_empty() {
            path.to_owned()
        } else {
            format!("{}.{path}", self.path)
        };
        Self { value, path }
    }

    /// The same value, said to stand elsewhere.
    pub(super) fn said_at(&self, path: impl Into<String>) -> Self {
        Self {
            value: self.value,
            path: path.into(),
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.value.as_array().into_iter().flatten();
        let at = |(index, value)| Self {
            value,
            path: format!("{}[{index}]", self.path),
        };
        items.enumerate().map(at).collect()
    }

    /// The entries of a map; their paths are in brackets.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        let at = |(key, value): (&'a String, &'a Value)| {
            let path = format!("{}[{key}]", self.path);
            (key.as_str(), Self { value, path })
        };
        entries.map(at).collect()
    }

    pub(super) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    pub(super) fn int(&self) -> i64 {
        self.value.as_i64().unwrap_or_default()
    }

    pub(super) fn is_missing(&self) -> bool {
        self.value.is_null()
    }

    /// Missing, or the empty value of its type.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(object) => object.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            Value::Bool(_) => false,
        }
    }
}

/// Findings so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) causes: Vec<Cause>,
}

impl Found {
    fn add(&mut self, reason: &'static str, path: &str, message: String) {
        self.causes.push(Cause::new(reason, path, message));
    }

    pub(super) fn invalid(&mut self, at: &At<'_>, why: &str) {
        let message = format!("Invalid value: {}: {why}", at.value);
        self.add("FieldValueInvalid", &at.path, message);
    }

    pub(super) fn required(&mut self, at: &At<'_>, why: &str) {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        self.add("FieldValueRequired", &at.path, message);
    }

    pub(super) fn forbidden(&mut self, at: &At<'_>, why: &str) {
        self.add("FieldValueForbidden", &at.path, format!("Forbidden: {why}"));
    }

    pub(super) fn duplicate(&mut self, at: &At<'_>) {
        let message = format!("Duplicate value: {}", at.value);
        self.add("FieldValueDuplicate", &at.path, message);
    }

    pub(super) fn not_found(&mut self, at: &At<'_>) {
        self.add(
            "FieldValueNotFound",
            &at.path,
            format!("Not found: {}", at.value),
        );
    }

    pub(super) fn too_long(&mut self, at: &At<'_>, most: usize) {
        let message = format!("Too long: may not be more than {most} bytes");
        self.add("FieldValueTooLong", &at.path, message);
    }

    /// A finding unless the text is one of these.
    pub(super) fn one_of(&mut self, at: &At<'_>, allowed: &[&str]) {
        if at
            .value
            .as_str()
            .is_some_and(|text| allowed.contains(&text))
        {
            return;
        }
        let allowed: Vec<_> = allowed.iter().map(|text| format!("{text:?}")).collect();
        let list = allowed.join(", ");
        let shown = if at.is_missing() {
            &Value::from("")
        } else {
            at.value
        };
        let message = format!("Unsupported value: {shown}: supported values: {list}");
        self.add("FieldValueNotSupported", &at.path, message);
    }

    /// A finding when there is one.
    pub(super) fn check(&mut self, at: &At<'_>, why: Option<String>) {
        if let Some(why) = why {
            self.invalid(at, &why);
        }
    }

    /// A finding when the number is below.
    pub(super) fn at_least(&mut self, at: &At<'_>, least: i64) {
        if at.value.as_i64().is_some_and(|value| value < least) {
            self.invalid(at, &format!("must be greater than or equal to {least}"));
        }
    }

    /// An update says which version it saw.
    pub(super) fn must_have_version(&mut self, at: &At<'_>) {
        let message = "Invalid value: 0: must be specified for an update".to_owned();
        self.add("FieldValueInvalid", &at.path, message);
    }

    pub(super) fn immutable(&mut self, new: &At<'_>, old: &At<'_>) {
        if new.value != old.value {
            self.invalid(new, "field is immutable");
        }
    }
}
