//! The bytes of protobuf: numbers, lengths, fields. It never panics, whatever the bytes are.

use super::broken;
use crate::error::Status;

/// What stands at a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Reads one message field by field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next number and what stands there; none = the message is over.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, Status> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| broken("a field number is too large"))?;
        if number == 0 {
            return Err(broken("a field has number 0"));
        }
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(broken("a field has an unknown wire type")),
        };
        Ok(Some((number, wire)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Status> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(broken("a number does not end"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Status> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| broken("unexpected end"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Status> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| broken("unexpected end"))?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Wire<'a> {
    pub(super) fn varint(&self) -> Result<u64, Status> {
        match self {
            Wire::Varint(value) => Ok(*value),
            _ => Err(broken("a number was expected")),
        }
    }

    pub(super) fn double(&self) -> Result<f64, Status> {
        match self {
            Wire::Fixed64(bits) => Ok(f64::from_bits(*bits)),
            Wire::Fixed32(bits) => Ok(f64::from(f32::from_bits(*bits))),
            _ => Err(broken("a floating-point number was expected")),
        }
    }

    pub(super) fn bytes(&self) -> Result<&'a [u8], Status> {
        match self {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => Err(broken("bytes were expected")),
        }
    }

    pub(super) fn text(&self) -> Result<String, Status> {
        let text = std::str::from_utf8(self.bytes()?);
        Ok(text.map_err(|_| broken("a text is not UTF-8"))?.to_owned())
    }
}
