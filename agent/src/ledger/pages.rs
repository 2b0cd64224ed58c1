//! Pages: Secrets that hold records by the first bits of their id, each stamped with the position of
//! the journal it includes.
//!
//! Written only when the journal is full; a page is written whole. Decides nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use flotilla_proto::ids::WorkId;
use prost::Message;

use super::records::Record;
use super::state::{pack, unpack};
use super::{LedgerError, Secrets, Stored};
use crate::member::Class;

/// Names begin so, followed by the number.
const PREFIX: &str = "flotilla-records-";

#[derive(Clone, PartialEq, Message)]
struct StoredPage {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    records: Vec<Bytes>,
}

/// The page of a work: sixteen in all, so that a thousand works fill each with about ten KiB.
#[must_use]
pub fn page_of(id: WorkId) -> u8 {
    id.as_bytes()[0] >> 4
}

/// What is stored in pages.
#[derive(Default)]
pub struct Pages {
    stored: BTreeMap<u8, (Stored, u64)>,
    records: Vec<Record>,
}

impl Pages {
    /// From all Secrets of the ledger.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn load(all: &BTreeMap<String, Stored>) -> Result<Self, LedgerError> {
        let mut pages = Self::default();
        for (name, stored) in all {
            let Some(number) = name.strip_prefix(PREFIX).and_then(|n| n.parse().ok()) else {
                continue;
            };
            let damaged = |what| LedgerError::Damaged {
                name: name.clone(),
                what,
            };
            let packed = stored.data.get("page").ok_or_else(|| damaged("no page"))?;
            let bytes = unpack(packed).ok_or_else(|| damaged("not compressed as it should"))?;
            let page = StoredPage::decode(&*bytes).map_err(|_| damaged("not a page"))?;
            for bytes in &page.records {
                let record = Record::from_bytes(bytes);
                let record = record.ok_or_else(|| damaged("a broken record"))?;
                pages.records.push(record);
            }
            let mut stored = stored.clone();
            stored.data.clear();
            pages.stored.insert(number, (stored, page.position));
        }
        Ok(pages)
    }

    /// The records read from pages.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Lets go of the records that were read.
    #[must_use]
    pub fn without_records(mut self) -> Self {
        self.records = Vec::new();
        self
    }

    /// Up to which position of the journal a page is.
    #[must_use]
    pub fn position(&self, page: u8) -> u64 {
        self.stored.get(&page).map_or(0, |(_, position)| *position)
    }

    /// Writes a page.
    ///
    /// # Errors
    /// When the member does not answer, or another leader wrote it.
    pub async fn write(
        &mut self,
        secrets: &Secrets,
        page: u8,
        position: u64,
        records: Vec<Bytes>,
    ) -> Result<(), LedgerError> {
        let name = format!("{PREFIX}{page:02}");
        let bytes = StoredPage { position, records }.encode_to_vec();
        let (stored, at) = self.stored.entry(page).or_default();
        let data = BTreeMap::from([("page".to_owned(), pack(&bytes))]);
        match secrets.swap(&name, "records", stored, data.clone()).await {
            Ok(()) => {}
            Err(e) if matches!(e.class, Class::Conflict | Class::Exists | Class::NotFound) => {
                // Pages follow AgentState, whose fence decides who may write: look and try once more.
                *stored = secrets.read(&name).await?;
                if held_position(stored) > position {
                    return Err(LedgerError::NotLeader { fence: 0 });
                }
                if stored.data.get("page") != data.get("page") {
                    secrets.swap(&name, "records", stored, data).await?;
                }
            }
            Err(e) => return Err(e.into()),
        }
        *at = position;
        stored.data.clear();
        Ok(())
    }
}

fn held_position(stored: &Stored) -> u64 {
    let bytes = stored.data.get("page").and_then(|packed| unpack(packed));
    let page = bytes.and_then(|bytes| StoredPage::decode(&*bytes).ok());
    page.map_or(0, |page| page.position)
}
