//! The database file: rows, the reservation of revisions, and the mark of an orderly end.
//!
//! Every revision that is given lies below a reservation that is on the disk. After a crash the
//! store goes on above it, so a revision that only a client remembers is never given again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::super::sealer::Sealer;
use super::super::{Entry, Operation, Revision, StoreError, Write};
use super::OpenError;

const ROWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rows");
const MARKS: TableDefinition<'_, &str, u64> = TableDefinition::new("marks");

/// Mark: version of this layout.
const FORMAT: &str = "format";
/// Mark: revisions up to this one may have been given.
const RESERVED: &str = "reserved";
/// Mark: the last revision, when the store was closed in order.
const CLOSED: &str = "closed";

const FORMAT_NOW: u64 = 1;

/// Revisions that are reserved at once: what a crash skips at most.
const RESERVE: Revision = 100_000;

/// Reads come from memory; this serves the inner pages that commits touch again.
const CACHE_BYTES: usize = 32 << 20;

/// What stands before a value: whether it is sealed, its revision, its creation.
const HEAD_BYTES: usize = 1 + 8 + 8;

/// The open file.
pub(super) struct Disk {
    database: Database,
    sealer: Arc<dyn Sealer>,
    reserved: Revision,
    commits: Arc<AtomicU64>,
}

/// What an open file holds.
pub(super) struct Loaded {
    pub(super) entries: Vec<Entry>,
    pub(super) revision: Revision,
    pub(super) oldest: Revision,
}

/// The next state of a key as it goes to the disk; none = the row goes away.
pub(super) struct Row(Option<Vec<u8>>);

/// Rows of one commit.
pub(super) type Rows = BTreeMap<Arc<str>, Row>;

impl Disk {
    /// Opens or makes the file, and reserves revisions.
    pub(super) fn open(path: &Path, sealer: Arc<dyn Sealer>) -> Result<(Self, Loaded), OpenError> {
        let broken = |error: redb::Error| OpenError::Database(error.to_string());
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(path).map_err(|error| broken(error.into()))?;
        make_tables(&database).map_err(broken)?;
        let marks = read_marks(&database).map_err(broken)?;
        let format = marks.get(FORMAT).copied().unwrap_or(FORMAT_NOW);
        if format != FORMAT_NOW {
            let text = format!("format {format} is not known here");
            return Err(OpenError::Database(text));
        }
        let rows = read_rows(&database).map_err(broken)?;
        let entries = rows.into_iter().map(|row| decode(&*sealer, row));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let (revision, oldest) = match (marks.get(CLOSED), marks.get(RESERVED)) {
            (Some(closed), _) => (*closed, *closed),
            (None, Some(reserved)) => (reserved + 1, reserved + 1),
            (None, None) => (1, 0),
        };
        let mut disk = Self {
            database,
            sealer,
            reserved: 0,
            commits: Arc::default(),
        };
        disk.commit(&Rows::new(), revision).map_err(broken)?;
        let loaded = Loaded {
            entries,
            revision,
            oldest,
        };
        Ok((disk, loaded))
    }

    /// The counter of commits.
    pub(super) fn commits(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.commits)
    }

    /// Whether this revision may be given before it is on the disk.
    pub(super) fn is_reserved(&self, revision: Revision) -> bool {
        revision <= self.reserved
    }

    /// Makes the row of a write; secrets are sealed here.
    pub(super) fn row(
        &self,
        write: &Write,
        revision: Revision,
        created: Revision,
    ) -> Result<Row, StoreError> {
        let Operation::Put(value) = &write.operation else {
            return Ok(Row(None));
        };
        let sealed;
        let body: &[u8] = if write.sealed {
            let made = self.sealer.seal(&write.key, value);
            sealed = made.map_err(|error| StoreError::Broken(error.to_string()))?;
            &sealed
        } else {
            value
        };
        let mut row = Vec::with_capacity(HEAD_BYTES + body.len());
        row.push(u8::from(write.sealed));
        row.extend(revision.to_be_bytes());
        row.extend(created.to_be_bytes());
        row.extend(body);
        Ok(Row(Some(row)))
    }

    /// Writes rows up to revision `last`, and reserves more revisions when few are left.
    pub(super) fn commit(&mut self, rows: &Rows, last: Revision) -> Result<(), redb::Error> {
        let mut reserved = self.reserved;
        if reserved < last + RESERVE / 2 {
            reserved = last + RESERVE;
        }
        let transaction = self.database.begin_write()?;
        put_rows(&transaction, rows)?;
        {
            let mut marks = transaction.open_table(MARKS)?;
            if reserved != self.reserved {
                marks.insert(FORMAT, FORMAT_NOW)?;
                marks.insert(RESERVED, reserved)?;
            }
            marks.remove(CLOSED)?;
        }
        transaction.commit()?;
        self.reserved = reserved;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the last rows and the mark of an orderly end.
    pub(super) fn close(self, rows: &Rows, last: Revision) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        put_rows(&transaction, rows)?;
        transaction.open_table(MARKS)?.insert(CLOSED, last)?;
        transaction.commit()?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(self.database.close()?)
    }
}

fn put_rows(transaction: &WriteTransaction, rows: &Rows) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(ROWS)?;
    for (key, row) in rows {
        match &row.0 {
            Some(row) => table.insert(&**key, row.as_slice())?,
            None => table.remove(&**key)?,
        };
    }
    Ok(())
}

/// A new file gets its tables, so that reading needs no special case.
fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let reading = database.begin_read()?;
    if reading.list_tables()?.next().is_some() {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    transaction.open_table(ROWS)?;
    transaction.open_table(MARKS)?;
    Ok(transaction.commit()?)
}

fn read_marks(database: &Database) -> Result<BTreeMap<String, u64>, redb::Error> {
    let table = database.begin_read()?.open_table(MARKS)?;
    let mut marks = BTreeMap::new();
    for mark in table.iter()? {
        let (name, value) = mark?;
        marks.insert(name.value().to_owned(), value.value());
    }
    Ok(marks)
}

fn read_rows(database: &Database) -> Result<Vec<(Arc<str>, Bytes)>, redb::Error> {
    let table = database.begin_read()?.open_table(ROWS)?;
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, row) = row?;
        rows.push((key.value().into(), Bytes::copy_from_slice(row.value())));
    }
    Ok(rows)
}

fn decode(sealer: &dyn Sealer, (key, row): (Arc<str>, Bytes)) -> Result<Entry, OpenError> {
    let short = || OpenError::Database(format!("row of {key} is too short"));
    let (sealed, rest) = row.split_first().ok_or_else(short)?;
    let (revision, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (created, _) = rest.split_first_chunk().ok_or_else(short)?;
    let body = row.slice(HEAD_BYTES..);
    let value = if *sealed == 0 {
        body
    } else {
        let opened = sealer.unseal(&key, &body);
        let opened = opened.map_err(|source| OpenError::Sealed {
            key: key.to_string(),
            source,
        });
        opened?.into()
    };
    Ok(Entry {
        value,
        revision: Revision::from_be_bytes(*revision),
        created: Revision::from_be_bytes(*created),
        key,
    })
}
