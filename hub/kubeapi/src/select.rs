//! Label and field selectors: what a list, a watch or a collection delete is about.
//!
//! It reads both languages and says whether an object matches. Which fields a kind can be selected
//! by stands in its row; nothing here knows a kind.

mod fields;
mod labels;

use serde_json::Value;

pub use fields::Fields;
pub use labels::Labels;

use crate::error::Status;
use crate::kinds::Kind;

/// Both selectors of one request.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// What the labels must be.
    pub labels: Labels,
    /// What the fields must be.
    pub fields: Fields,
}

impl Selector {
    /// Reads both; empty texts select everything.
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Status> {
        Ok(Self {
            labels: Labels::parse(labels)?,
            fields: Fields::parse(fields, kind)?,
        })
    }

    /// Selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The object is selected.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(&object["metadata"]["labels"]) && self.fields.matches(object)
    }
}
