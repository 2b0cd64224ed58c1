//! JSON as a real server reads it: a key said twice is found, and the later value wins.
//!
//! It knows no schema. For built-in kinds, two objects at one key are merged, since a typed reader
//! fills the same fields twice; custom resources keep the later object alone.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::Status;

/// Reads one JSON value and names the fields that were said twice.
pub fn parse(bytes: &[u8], custom: bool, found: &mut Vec<String>) -> Result<Value, Status> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut path = String::new();
    let place = Place {
        path: &mut path,
        found,
        merge: !custom,
    };
    let value = place.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let why = format!("the body is not JSON: {error}");
        Status::bad_request(why)
    })
}

struct Place<'a> {
    path: &'a mut String,
    found: &'a mut Vec<String>,
    merge: bool,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let end = self.path.len();
        loop {
            self.path.push_str(&format!("[{}]", items.len()));
            let place = Place {
                path: &mut *self.path,
                found: &mut *self.found,
                merge: self.merge,
            };
            let item = access.next_element_seed(place)?;
            self.path.truncate(end);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let end = self.path.len();
        while let Some(key) = access.next_key::<String>()? {
            if end > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if object.contains_key(&key) {
                self.found
                    .push(format!("duplicate field \"{}\"", self.path));
            }
            let value = access.next_value_seed(Place {
                path: &mut *self.path,
                found: &mut *self.found,
                merge: self.merge,
            })?;
            self.path.truncate(end);
            match (object.get_mut(&key), value) {
                (Some(Value::Object(before)), Value::Object(now)) if self.merge => {
                    before.extend(now);
                }
                (_, value) => {
                    object.insert(key, value);
                }
            }
        }
        Ok(Value::Object(object))
    }
}
