//! What each number of each message means, read from `codec/fields.txt`.
//!
//! The file is generated: `cd e2e/kubernetes && go run ./fields > ../../hub/kubeapi/src/codec/fields.txt`.
//! `k VERSION KIND N` says which message a kind is. The N-th line that starts with `m` holds the
//! fields of message N, each `NUMBER:FLAGS LETTER:NAME` (without the blank). Flags: `*` pointer,
//! `+` list, `%` map with text keys, `>` inlined into the parent, `=` never left out. Letters: `s`
//! text, `i` integer, `b` bool, `d` double, `y` bytes, `mN` message, `T` Time, `U` MicroTime, `D`
//! Duration, `Q` Quantity, `I` IntOrString, `R` raw JSON, `X` wrapped texts, and `BN`, `AN`, `SN`
//! for "schema or bool", "schema or list of them", "schema or texts" with the schema's message.

use std::{collections::BTreeMap, sync::LazyLock};

use super::wire::Wire;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("../fields.txt")));

/// The kinds and messages.
#[derive(Debug, Default)]
pub(super) struct Table {
    kinds: BTreeMap<(&'static str, &'static str), u16>,
    messages: Vec<Vec<Field>>,
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) pointer: bool,
    pub(super) list: bool,
    pub(super) map: bool,
    pub(super) inline: bool,
    pub(super) keep: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Bool,
    Double,
    Bytes,
    Message(u16),
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    Raw,
    Texts,
    OrBool(u16),
    OrList(u16),
    OrTexts(u16),
}

impl Kind {
    /// What stands in a map entry that leaves its value out.
    pub(super) fn absent(self) -> Wire<'static> {
        match self {
            Kind::Integer | Kind::Bool => Wire::Varint(0),
            Kind::Double => Wire::Fixed64(0),
            _ => Wire::Bytes(&[]),
        }
    }
}

impl Table {
    pub(super) fn get() -> &'static Self {
        &TABLE
    }

    /// The message of a kind. Options of requests are the same in every group.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<u16> {
        let here = self.kinds.get(&(api_version, kind));
        let of_requests = kind
            .ends_with("Options")
            .then(|| self.kinds.get(&("v1", kind)));
        here.or(of_requests.flatten()).copied()
    }

    pub(super) fn field(&self, message: u16, number: u32) -> Option<&Field> {
        let fields = self.messages.get(usize::from(message))?;
        let at = fields.binary_search_by_key(&number, |field| field.number);
        at.ok().map(|at| &fields[at])
    }

    fn parse(text: &'static str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match words.next() {
                Some("k") => {
                    let (version, kind) = (words.next(), words.next());
                    let id = words.next().and_then(|id| id.parse().ok());
                    if let (Some(version), Some(kind), Some(id)) = (version, kind, id) {
                        table.kinds.insert((version, kind), id);
                    }
                }
                Some("m") => {
                    let fields = words.map(|word| {
                        Field::parse(word).expect("the generated table is well formed")
                    });
                    table.messages.push(fields.collect());
                }
                _ => {}
            }
        }
        table
    }
}

impl Field {
    fn parse(word: &'static str) -> Option<Self> {
        let mut parts = word.splitn(3, ':');
        let number = parts.next()?.parse().ok()?;
        let what = parts.next()?;
        let name = parts.next()?;
        let letter = what.trim_start_matches(['*', '+', '%', '>', '=']);
        let flags = &what[..what.len() - letter.len()];
        Some(Self {
            number,
            name,
            kind: parse_kind(letter)?,
            pointer: flags.contains('*'),
            list: flags.contains('+'),
            map: flags.contains('%'),
            inline: flags.contains('>'),
            keep: flags.contains('='),
        })
    }
}

fn parse_kind(text: &str) -> Option<Kind> {
    let (letter, id) = text.split_at_checked(1)?;
    let id = || id.parse().ok();
    Some(match letter {
        "s" => Kind::Text,
        "i" => Kind::Integer,
        "b" => Kind::Bool,
        "d" => Kind::Double,
        "y" => Kind::Bytes,
        "m" => Kind::Message(id()?),
        "T" => Kind::Time,
        "U" => Kind::MicroTime,
        "D" => Kind::Duration,
        "Q" => Kind::Quantity,
        "I" => Kind::IntOrString,
        "R" => Kind::Raw,
        "X" => Kind::Texts,
        "B" => Kind::OrBool(id()?),
        "A" => Kind::OrList(id()?),
        "S" => Kind::OrTexts(id()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_refers_to_a_message() {
        let table = Table::get();
        let fields = table.messages.iter().flatten();
        let inner = fields.filter_map(|field| match field.kind {
            Kind::Message(id) | Kind::OrBool(id) | Kind::OrList(id) | Kind::OrTexts(id) => Some(id),
            _ => None,
        });
        let ids: Vec<_> = table.kinds.values().copied().chain(inner).collect();
        assert!(ids.len() > 500, "{} references", ids.len());
        assert!(ids.iter().all(|id| usize::from(*id) < table.messages.len()));
    }

    #[test]
    fn the_fields_of_a_message_are_in_order() {
        for fields in &Table::get().messages {
            let numbers: Vec<_> = fields.iter().map(|field| field.number).collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
        }
    }
}
