//! AgentState: one Secret with the marks of the stream, the fence, and the journal of records that
//! are not in pages yet.
//!
//! One compare-and-swap per window, before the window's first effect. What is written here is what a
//! restart goes on from; the order of writes makes every crash between two of them harmless: pages
//! are stamped with the journal position they hold, so an entry in both counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::GONE_MEMORY;
use flotilla_proto::v1;
use prost::Message;

use super::pages::{Pages, page_of};
use super::records::{Record, State};
use super::{LedgerError, Secrets, Stored};
use crate::member::{Class, MemberError};

/// Name of the Secret.
pub const NAME: &str = "flotilla-agent-state";
/// The journal's limit: small enough that the write of a window stays cheap.
const JOURNAL_BYTES_MAX: usize = 64 << 10;

/// Where in the hub's history this agent is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// What the last Checkpoint carried; opaque.
    pub cursor: Bytes,
    /// The newest window that had an effect.
    pub high_water: v1::HighWater,
    /// The highest epoch seen.
    pub max_epoch: v1::Epoch,
}

#[derive(Clone, PartialEq, Message)]
struct StoredState {
    #[prost(bytes = "bytes", tag = "1")]
    cursor: Bytes,
    #[prost(message, optional, tag = "2")]
    high_water: Option<v1::HighWater>,
    #[prost(message, optional, tag = "3")]
    max_epoch: Option<v1::Epoch>,
    #[prost(uint64, tag = "4")]
    fence: u64,
    #[prost(uint64, tag = "5")]
    memory_since: u64,
    /// Position of the last entry of the journal.
    #[prost(uint64, tag = "6")]
    position: u64,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    journal: Vec<Bytes>,
    /// The process that wrote it: two that take the same fence at once must not look alike.
    #[prost(fixed64, tag = "8")]
    writer: u64,
}

/// What a window makes durable.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records that changed, as they are now.
    pub records: Vec<Record>,
    /// Marks after the window.
    pub marks: Marks,
}

/// The writer of the ledger.
pub struct Ledger {
    secrets: Secrets,
    stored: Stored,
    state: StoredState,
    pages: Pages,
    /// Records as the stored state and pages have them.
    committed: BTreeMap<WorkId, Record>,
    dirty: BTreeSet<u8>,
    writer: u64,
}

impl Ledger {
    /// Reads everything there is.
    ///
    /// # Errors
    /// When the member does not answer, or what is stored cannot be read.
    pub async fn load(
        secrets: Secrets,
        all: &BTreeMap<String, Stored>,
        now_unix: u64,
    ) -> Result<Self, LedgerError> {
        let stored = all.get(NAME).cloned().unwrap_or_default();
        let damaged = |what| LedgerError::Damaged {
            name: NAME.to_owned(),
            what,
        };
        let state = match stored.data.get("state") {
            Some(bytes) => {
                let bytes = unpack(bytes).ok_or_else(|| damaged("not compressed as it should"))?;
                StoredState::decode(&*bytes).map_err(|_| damaged("not a state"))?
            }
            None => StoredState {
                memory_since: now_unix,
                ..StoredState::default()
            },
        };
        let pages = Pages::load(all)?;
        let mut committed = BTreeMap::new();
        let mut dirty = BTreeSet::new();
        for record in pages.records() {
            committed.insert(record.id, record.clone());
        }
        let first = state.position - (state.journal.len() as u64).min(state.position) + 1;
        for (position, bytes) in (first..).zip(&state.journal) {
            let record = Record::from_bytes(bytes).ok_or_else(|| damaged("a broken record"))?;
            let page = page_of(record.id);
            if pages.position(page) < position {
                committed.insert(record.id, record);
                dirty.insert(page);
            }
        }
        Ok(Self {
            secrets,
            stored,
            state,
            pages: pages.without_records(),
            committed,
            dirty,
            writer: RandomState::new().build_hasher().finish(),
        })
    }

    /// The records as they are stored.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.committed.values()
    }

    /// The marks as they are stored.
    #[must_use]
    pub fn marks(&self) -> Marks {
        Marks {
            cursor: self.state.cursor.clone(),
            high_water: self.state.high_water.clone().unwrap_or_default(),
            max_epoch: self.state.max_epoch.clone().unwrap_or_default(),
        }
    }

    /// The fence as it is stored.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.state.fence
    }

    /// Since when Gone works are remembered, in Unix seconds.
    #[must_use]
    pub fn memory_since(&self) -> u64 {
        self.state.memory_since
    }

    /// Takes the lead: a fence above all before.
    ///
    /// # Errors
    /// When another one was faster.
    pub async fn take_fence(&mut self, lease_transitions: u64) -> Result<u64, LedgerError> {
        let fence = self.state.fence.max(lease_transitions) + 1;
        let state = StoredState {
            fence,
            writer: self.writer,
            ..self.state.clone()
        };
        self.swap(state).await?;
        Ok(fence)
    }

    /// Makes a window durable. Calling it again with the same batch after a failure is harmless.
    ///
    /// # Errors
    /// When another one leads, or the member does not answer.
    pub async fn commit(&mut self, batch: &Batch, now_unix: u64) -> Result<(), LedgerError> {
        match self.commit_once(batch, now_unix).await {
            // Nobody else wrote: an earlier write of ours did take effect, or there was none at all.
            Err(LedgerError::Member(e)) if is_conflict(&e) => {
                self.commit_once(batch, now_unix).await
            }
            other => other,
        }
    }

    async fn commit_once(&mut self, batch: &Batch, now_unix: u64) -> Result<(), LedgerError> {
        let mut entries: Vec<_> = batch.records.iter().map(|r| (r, r.to_bytes())).collect();
        loop {
            let held = journal_bytes(&self.state.journal);
            let room = JOURNAL_BYTES_MAX.saturating_sub(held);
            let fits = fitting(&entries, room);
            if fits == 0 && !entries.is_empty() && !self.state.journal.is_empty() {
                self.write_pages(now_unix).await?;
                // In memory only: the stored journal goes with the next swap.
                self.state.journal.clear();
                continue;
            }
            let rest = entries.split_off(fits.max(1).min(entries.len()));
            let mut state = self.state.clone();
            state.position += entries.len() as u64;
            state.journal.extend(entries.iter().map(|(_, b)| b.clone()));
            state.high_water = Some(batch.marks.high_water.clone());
            state.max_epoch = Some(batch.marks.max_epoch.clone());
            if rest.is_empty() {
                state.cursor = batch.marks.cursor.clone();
            }
            self.swap(state).await?;
            for (record, _) in entries {
                self.dirty.insert(page_of(record.id));
                self.committed.insert(record.id, record.clone());
            }
            if rest.is_empty() {
                return Ok(());
            }
            entries = rest;
        }
    }

    /// Writes the pages that the journal has entries for, at the journal's position.
    async fn write_pages(&mut self, now_unix: u64) -> Result<(), LedgerError> {
        self.committed.retain(|_, record| match record.state {
            State::Gone { at_unix } => {
                record.removal.is_some() || at_unix + GONE_MEMORY.as_secs() > now_unix
            }
            State::Live | State::Orphan => true,
        });
        for page in self.dirty.clone() {
            let records = self.committed.values().filter(|r| page_of(r.id) == page);
            let bytes = records.map(Record::to_bytes).collect();
            let position = self.state.position;
            self.pages
                .write(&self.secrets, page, position, bytes)
                .await?;
            self.dirty.remove(&page);
        }
        Ok(())
    }

    async fn swap(&mut self, state: StoredState) -> Result<(), LedgerError> {
        let bytes = pack(&state.encode_to_vec());
        let data = BTreeMap::from([("state".to_owned(), bytes.clone())]);
        let swapped = self
            .secrets
            .swap(NAME, "state", &mut self.stored, data)
            .await;
        match swapped {
            Ok(()) => {
                self.state = state;
                Ok(())
            }
            Err(e) if is_conflict(&e) => self.after_conflict(state, &bytes, e).await,
            Err(e) => Err(e.into()),
        }
    }

    /// Whose write was in between? An earlier one of ours whose answer was lost is as good as done.
    async fn after_conflict(
        &mut self,
        state: StoredState,
        bytes: &[u8],
        error: MemberError,
    ) -> Result<(), LedgerError> {
        let found = self.secrets.read(NAME).await?;
        let same = found.data.get("state").map(Vec::as_slice) == Some(bytes);
        let held = found.data.get("state").and_then(|b| unpack(b));
        let held = held.and_then(|b| StoredState::decode(&*b).ok());
        match held {
            _ if same => self.state = state,
            Some(held) if held.writer == self.writer => self.adopt(held),
            Some(held) if held != self.state => {
                return Err(LedgerError::NotLeader { fence: held.fence });
            }
            // Touched without a change, or taken away: the next try writes it again.
            _ => {}
        }
        self.stored = found;
        if same { Ok(()) } else { Err(error.into()) }
    }

    /// What an earlier write of ours, whose answer was lost, has stored.
    fn adopt(&mut self, held: StoredState) {
        for record in held.journal.iter().filter_map(|b| Record::from_bytes(b)) {
            self.dirty.insert(page_of(record.id));
            self.committed.insert(record.id, record);
        }
        self.state = held;
    }
}

fn is_conflict(error: &MemberError) -> bool {
    matches!(
        error.class,
        Class::Conflict | Class::Exists | Class::NotFound
    )
}

fn journal_bytes(journal: &[Bytes]) -> usize {
    journal.iter().map(Bytes::len).sum()
}

fn fitting(entries: &[(&Record, Bytes)], room: usize) -> usize {
    let mut sum = 0;
    let fits = entries.iter().take_while(|(_, bytes)| {
        sum += bytes.len();
        sum <= room
    });
    fits.count()
}

/// Compresses what a Secret holds.
pub(super) fn pack(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap_or_default()
}

/// No entry of a Secret is larger than this when unpacked: bounds what a damaged one can cost.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// Reverses [`pack`].
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::decompress(packed, UNPACKED_BYTES_MAX).ok()
}
