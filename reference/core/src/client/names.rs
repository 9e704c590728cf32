//! The names that the client knows by their numbers. Spec 22.
//!
//! Keys: `Nc` and `Nr` with a number hold a column and a replica; `N!` says that every record of base has its number.

use std::borrow::Cow;

use super::{Client, State};
use crate::change::{RecordName, read_fixed};
use crate::clock::Replica;
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::fault;
use crate::message::{Expanded, Names, NewNames, WireError, expand};
use crate::registry::Profiles;
use crate::rules::life;
use crate::space::{Numbered, Space, after_prefix};
use crate::store::{Store, StoreError};

const COMPLETE_KEY: &[u8] = b"N!";

/// Both tables, and how much of them is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct NameTables {
    columns: Vec<(String, u64)>,
    replicas: Vec<Replica>,
    /// How many of both stand in the store: those that came before the cursor moved. (COMPACT-6)
    kept: (usize, usize),
    /// Whether every record of base has its number.
    complete: bool,
    /// Whether the server was told so on this channel, and may send numbers.
    active: bool,
}

impl NameTables {
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let rows = |part: &[u8]| store.scan(part, &after_prefix(part), usize::MAX);
        let columns: Vec<_> = rows(b"Nc")?.iter().map(|(_, bytes)| read_column(bytes).map_err(damaged)).collect::<Result<_, _>>()?;
        let replica = |bytes: &[u8]| read_fixed(&mut Reader::new(bytes), "a replica of 16 bytes").map(Replica).map_err(damaged);
        let replicas: Vec<_> = rows(b"Nr")?.iter().map(|(_, bytes)| replica(bytes)).collect::<Result<_, _>>()?;
        let kept = (columns.len(), replicas.len());
        Ok(Self { columns, replicas, kept, complete: store.get(COMPLETE_KEY)?.is_some(), active: false })
    }

    /// What to say of them in `open`; `afresh` where base is to begin anew. What is not kept is forgotten, and what is kept holds again where a reset that
    /// was told never came. (COMPACT-3, COMPACT-6)
    fn claim(&mut self, store: &dyn Store, agreed: bool, afresh: bool) -> Result<Option<(u64, u64)>, StoreError> {
        if afresh {
            self.columns.clear();
            self.replicas.clear();
        } else if !fault::is("compact-keeps-names-early") {
            *self = Self::load(store)?;
        }
        self.active = agreed && (afresh || self.complete);
        let lengths = (self.columns.len() as u64 + u64::from(fault::is("compact-claims-too-much")), self.replicas.len() as u64);
        Ok(self.active.then_some(lengths))
    }

    /// Keeps what came since, with the cursor.
    pub fn keep(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        for (at, (field, rule)) in self.columns.iter().enumerate().skip(self.kept.0) {
            let mut w = Writer::default();
            w.array(2);
            w.text(field);
            w.uint(*rule);
            store.put(&key(b"Nc", at), &w.finish())?;
        }
        for (at, replica) in self.replicas.iter().enumerate().skip(self.kept.1) {
            let mut w = Writer::default();
            w.bytes(&replica.0);
            store.put(&key(b"Nr", at), &w.finish())?;
        }
        self.kept = (self.columns.len(), self.replicas.len());
        Ok(())
    }

    /// Base begins anew, with numbers or without.
    pub fn begin_base(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        store.delete_range(b"N", &after_prefix(b"N"))?;
        self.kept = (0, 0);
        self.complete = self.active;
        if self.complete {
            store.put(COMPLETE_KEY, &[])?;
        }
        Ok(())
    }

    /// Base holds, or is about to hold, records whose numbers are not known. (COMPACT-11)
    pub fn forget(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.complete || self.kept != (0, 0) {
            store.delete_range(b"N", &after_prefix(b"N"))?;
        }
        *self = Self::default();
        Ok(())
    }
}

/// The tables, and the numbers of base's records.
struct Lookup<'a> {
    tables: &'a NameTables,
    base: &'a Space,
    store: &'a dyn Store,
}

impl Names for Lookup<'_> {
    fn record(&self, number: u64) -> Option<RecordName> {
        // A store that fails now fails at the next write as well.
        self.base.numbered(self.store, number).ok().flatten()
    }

    fn column(&self, number: u64) -> Option<(String, u64)> {
        at(&self.tables.columns, number).cloned()
    }

    fn replica(&self, number: u64) -> Option<Replica> {
        at(&self.tables.replicas, number).copied()
    }
}

/// Puts names behind those that a table has; what it has already stays. False where they do not follow.
fn lay<T>(table: &mut Vec<T>, first: u64, names: Vec<T>) -> bool {
    let Some(known) = (table.len() as u64 + 1).checked_sub(first) else { return names.is_empty() };
    table.extend(names.into_iter().skip(known as usize));
    true
}

fn at<T>(table: &[T], number: u64) -> Option<&T> {
    table.get(usize::try_from(number.checked_sub(1)?).ok()?)
}

impl Client {
    /// What to say of the names in `open`. (COMPACT-3)
    pub(super) fn claimed_names(&mut self, store: &dyn Store, has_cursor: bool) -> Result<Option<(u64, u64)>, StoreError> {
        let afresh = !has_cursor || self.staging.as_ref().is_some_and(|staging| staging.resets);
        self.names.claim(store, self.agreed.has(Profiles::COMPACT), afresh)
    }

    /// The space is open: what the server says from here on may number records or not.
    pub(super) fn begin_names(&mut self, store: &mut dyn Store, resets: bool) -> Result<(), StoreError> {
        if !self.names.active {
            return self.names.forget(store);
        }
        if resets {
            self.names.columns.clear();
            self.names.replicas.clear();
        }
        Ok(())
    }

    /// The frame with literal names, and the numbers that it announced; none of a channel that has ended; an error where a number stands for nothing. The
    /// connection then ends, and the next one does without numbers. (COMPACT-11)
    pub(super) fn literal<'a>(
        &mut self,
        store: &mut dyn Store,
        frame: &'a [u8],
    ) -> Result<Result<Option<Literal<'a>>, WireError>, StoreError> {
        let mut r = Reader::new(frame);
        let ended = r.uint().is_ok_and(|channel| (1..u64::from(self.channel)).contains(&channel));
        if ended && self.agreed.has(Profiles::COMPACT) {
            // Its numbers were of another open; nothing of it is taken. (SESS-17)
            let strict = std::iter::from_fn(|| (!r.is_end()).then(|| r.skip_item().map(drop))).collect::<Result<(), _>>();
            return Ok(strict.map(|()| None).map_err(WireError::from));
        }
        if !self.names.active {
            return Ok(Ok(Some((Cow::Borrowed(frame), Vec::new()))));
        }
        let lookup = Lookup { tables: &self.names, base: &self.base, store };
        match expand(frame, &lookup) {
            Ok(Expanded { frame, announced }) => Ok(Ok(Some((Cow::Owned(frame), announced)))),
            Err(error) => {
                if error.fault == Fault::UnknownNumber && !fault::is("compact-claims-again") {
                    self.names.forget(store)?;
                }
                if error.fault == Fault::UnknownNumber && fault::is("compact-passes-over-numbers") {
                    return Ok(Ok(None));
                }
                Ok(Err(error.into()))
            }
        }
    }

    /// Takes in names; false where some before them are missing. (COMPACT-7)
    pub(super) fn on_names(&mut self, names: NewNames) -> bool {
        lay(&mut self.names.columns, names.first_column, names.columns)
            && lay(&mut self.names.replicas, names.first_replica, names.replicas)
    }

    /// Keeps the numbers that a frame announced: with the parts of a catch-up under way, else for the records that show.
    pub(super) fn learn(&mut self, store: &mut dyn Store, announced: &[(u64, RecordName)]) -> Result<(), StoreError> {
        if announced.is_empty() || !matches!(self.state, State::Streaming(_)) || !self.names.active {
            return Ok(());
        }
        if let Some(staging) = &self.staging {
            return staging.keep_numbers(store, announced);
        }
        let position = self.outbox.identity.cursor.as_ref().map_or(0, |cursor| cursor.position);
        for (number, record) in announced {
            if life::is_alive(self.base.life(store, record)?.life) {
                self.base.set_number(store, record, Numbered { number: *number, position })?;
            }
        }
        Ok(())
    }
}

/// A frame with literal names, and the numbers that it announced.
pub(super) type Literal<'a> = (Cow<'a, [u8]>, Vec<(u64, RecordName)>);

/// Entries are kept in the order of their numbers.
fn key(part: &[u8], at: usize) -> Vec<u8> {
    [part, &(at as u64 + 1).to_be_bytes()].concat()
}

fn read_column(bytes: &[u8]) -> Result<(String, u64), CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok((r.text()?.to_owned(), r.uint()?))
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("a kept name is damaged: {error}"))
}
