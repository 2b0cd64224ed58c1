//! Protobuf bodies of built-in kinds, turned into JSON.
//!
//! A body is the four bytes `k8s\0` and an envelope that names its kind. A table generated from the
//! published types says what each number means (`protobuf/table.rs`). What a Go client would leave
//! out of its JSON is left out here too: zeros of plain fields, but not those behind a pointer.
//! Unknown numbers are passed over, since newer clients have more fields. Nothing is ever encoded.

mod special;
mod table;
mod wire;

use serde_json::{Map, Value, json};

use self::{
    table::{Field, Kind, Table},
    wire::{Reader, Wire},
};
use crate::error::Status;

/// The start of every body.
pub const MAGIC: &[u8] = b"k8s\0";
/// Messages in messages; schemas of custom resources go deepest.
const DEPTH_MAX: usize = 100;

/// The object of a body that says what it is.
pub fn decode(bytes: &[u8]) -> Result<Value, Status> {
    decode_as(bytes, "", "")
}

/// The object of a body; `api_version` and `kind` count where the body does not say them.
pub fn decode_as(bytes: &[u8], api_version: &str, kind: &str) -> Result<Value, Status> {
    let Some(envelope) = bytes.strip_prefix(MAGIC) else {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]);
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized: provided data does not appear to be a protobuf \
             message, expected prefix {MAGIC:?} ({shown} ...)"
        )));
    };
    let (mut found_version, mut found_kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(envelope);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => {
                let mut names = Reader::new(wire.bytes()?);
                while let Some((number, wire)) = names.next()? {
                    match number {
                        1 => found_version = wire.text()?,
                        2 => found_kind = wire.text()?,
                        _ => {}
                    }
                }
            }
            2 => raw = wire.bytes()?,
            _ => {}
        }
    }
    if found_version.is_empty() {
        api_version.clone_into(&mut found_version);
    }
    if found_kind.is_empty() {
        kind.clone_into(&mut found_kind);
    }
    let table = Table::get();
    let Some(id) = table.kind(&found_version, &found_kind) else {
        return Err(Status::bad_request(format!(
            "no kind {found_kind:?} is registered for version {found_version:?} in protobuf"
        )));
    };
    let mut object = table.message(id, raw, 0)?;
    object.insert("apiVersion".into(), json!(found_version));
    object.insert("kind".into(), json!(found_kind));
    Ok(Value::Object(object))
}

impl Table {
    fn message(&self, id: u16, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Status> {
        if depth > DEPTH_MAX {
            return Err(broken("too many messages inside each other"));
        }
        let mut object = Map::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            let Some(field) = self.field(id, number) else {
                continue;
            };
            self.put(&mut object, field, &wire, depth)?;
        }
        Ok(object)
    }

    fn put(
        &self,
        object: &mut Map<String, Value>,
        field: &Field,
        wire: &Wire<'_>,
        depth: usize,
    ) -> Result<(), Status> {
        let name = field.name;
        if field.map {
            let (key, value) = self.entry(field.kind, wire.bytes()?, depth)?;
            let map = object.entry(name).or_insert_with(|| json!({}));
            if let Some(map) = map.as_object_mut() {
                map.insert(key, value);
            }
            return Ok(());
        }
        if field.list {
            let list = object.entry(name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                self.items(list, field.kind, wire, depth)?;
            }
            return Ok(());
        }
        let value = self.value(field.kind, wire, depth)?;
        if field.inline {
            if let Value::Object(parts) = value {
                object.extend(parts);
            }
            return Ok(());
        }
        let shown = if field.kind == Kind::Raw {
            field.pointer || !value.is_null()
        } else {
            !value.is_null() && (field.pointer || field.keep || !is_zero(&value))
        };
        if shown {
            object.insert(name.into(), value);
        }
        Ok(())
    }

    /// Adds what stands at a repeated number: one item, or packed numbers.
    fn items(
        &self,
        list: &mut Vec<Value>,
        kind: Kind,
        wire: &Wire<'_>,
        depth: usize,
    ) -> Result<(), Status> {
        if let (Kind::Integer | Kind::Bool, Wire::Bytes(packed)) = (kind, wire) {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                let number = Wire::Varint(reader.varint()?);
                list.push(self.value(kind, &number, depth)?);
            }
            return Ok(());
        }
        list.push(self.value(kind, wire, depth)?);
        Ok(())
    }

    fn entry(&self, kind: Kind, bytes: &[u8], depth: usize) -> Result<(String, Value), Status> {
        let mut reader = Reader::new(bytes);
        let (mut key, mut value) = (String::new(), None);
        while let Some((number, wire)) = reader.next()? {
            match number {
                1 => key = wire.text()?,
                2 => value = Some(self.value(kind, &wire, depth)?),
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            None => self.value(kind, &kind.absent(), depth)?,
        };
        Ok((key, value))
    }

    fn value(&self, kind: Kind, wire: &Wire<'_>, depth: usize) -> Result<Value, Status> {
        Ok(match kind {
            Kind::Text => json!(wire.text()?),
            Kind::Integer => json!(wire.varint()?.cast_signed()),
            Kind::Bool => json!(wire.varint()? != 0),
            Kind::Double => special::double(wire)?,
            Kind::Bytes => special::base64(wire)?,
            Kind::Message(id) => Value::Object(self.message(id, wire.bytes()?, depth + 1)?),
            Kind::Time => special::time(wire)?,
            Kind::MicroTime => special::micro_time(wire)?,
            Kind::Duration => special::duration(wire)?,
            Kind::Quantity => special::quantity(wire)?,
            Kind::IntOrString => special::int_or_string(wire)?,
            Kind::Raw => special::raw(wire)?,
            Kind::Texts => special::texts(wire)?,
            Kind::OrBool(id) | Kind::OrList(id) | Kind::OrTexts(id) => {
                self.union(kind, id, wire, depth)?
            }
        })
    }

    /// The three places of a CRD's schema where JSON has a schema or something simpler.
    fn union(&self, kind: Kind, id: u16, wire: &Wire<'_>, depth: usize) -> Result<Value, Status> {
        let mut reader = Reader::new(wire.bytes()?);
        let (mut schema, mut other) = (None, None);
        while let Some((number, wire)) = reader.next()? {
            let is_schema = (number == 2) == matches!(kind, Kind::OrBool(_));
            if is_schema {
                let inner = self.message(id, wire.bytes()?, depth + 1)?;
                schema = Some(Value::Object(inner));
                continue;
            }
            match kind {
                Kind::OrBool(_) => other = Some(json!(wire.varint()? != 0)),
                _ => {
                    let item = match kind {
                        Kind::OrTexts(_) => json!(wire.text()?),
                        _ => Value::Object(self.message(id, wire.bytes()?, depth + 1)?),
                    };
                    let list = other.get_or_insert_with(|| json!([]));
                    if let Some(list) = list.as_array_mut() {
                        list.push(item);
                    }
                }
            }
        }
        Ok(match kind {
            Kind::OrBool(_) => schema.or(other).unwrap_or(json!(false)),
            _ => other.or(schema).unwrap_or(Value::Null),
        })
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

/// 400: the bytes do not hold what they say.
fn broken(why: &str) -> Status {
    Status::bad_request(format!("the protobuf body cannot be read: {why}"))
}
