//! The columns of Tables: what `kubectl get` shows of an object.
//!
//! Columns are a table; a cell is a path or a small function. Times are shown as ages, seen from
//! the `now` that the caller says.

mod age;
mod cells;
mod custom;
mod lists;
mod pods;
mod table;

use jiff::Timestamp;
use serde_json::Value;

use super::Kind;

pub use age::human;

/// A column as a Table describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Title.
    pub name: String,
    /// `string`, `integer`, `boolean`, `date`, ...
    pub ty: String,
    /// `name` for the name of the object; empty = none.
    pub format: String,
    /// The text for people.
    pub description: String,
    /// 0 = always shown, above = wide output only.
    pub priority: i64,
}

/// The columns of a kind.
#[must_use]
pub fn definitions(kind: &Kind) -> Vec<Column> {
    if kind.custom {
        return custom::definitions(kind);
    }
    let plain = (kind.group.as_str(), kind.kind.as_str());
    let columns = table::columns(plain).map(|spec| Column {
        name: spec.title.to_owned(),
        ty: spec.ty.to_owned(),
        format: match (spec.cell, plain.1) {
            (_, "Scale") => String::new(),
            ("@name", _) => "name".to_owned(),
            _ => String::new(),
        },
        description: String::new(),
        priority: i64::from(spec.wide),
    });
    columns.collect()
}

/// The cells of an object, one per column.
#[must_use]
pub fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    if kind.custom {
        return custom::cells(kind, object, now);
    }
    let plain = (kind.group.as_str(), kind.kind.as_str());
    let columns = table::columns(plain);
    columns
        .map(|spec| cells::cell(&spec, object, now))
        .collect()
}
