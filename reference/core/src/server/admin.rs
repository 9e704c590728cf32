//! What the operator does with spaces: list, make, delete, purge. Spec 14.
//!
//! Each stages writes, as `handle` does; what it leads to is polled once they are durable.

use super::judge::{self, Judged, Terms};
use super::log::{self, Log};
use super::quota::{Quota, Usage};
use super::stream::TailEntry;
use super::{ConnId, Server};
use crate::change::{Change, Pushed, RecordName, Row};
use crate::clock::{Now, Reading, Replica};
use crate::fault;
use crate::registry::{Code, Profiles};
use crate::rules::life;
use crate::store::{Store, StoreError};

/// The subject of the server's own replica in a space; no token stands for it.
const OPERATOR: &str = "\0operator";

/// A space, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceInfo {
    /// Its name.
    pub name: String,
    /// The last position of its log.
    pub position: u64,
    /// Replicas that are bound to it.
    pub replicas: u64,
    /// What it holds of what a quota bounds.
    pub usage: Usage,
}

impl Server {
    /// Bounds what each space may hold from now on. (ACCESS-10)
    pub fn set_quota(&mut self, quota: Quota) {
        self.config.quota = quota;
    }

    /// The spaces of the store, in the order of their names.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn space_infos(&self, store: &dyn Store) -> Result<Vec<SpaceInfo>, StoreError> {
        let info = |(name, number): (String, u64)| {
            let log = Log::new(&name, number);
            let (position, replicas, usage) = (log.head(store)?, log.replica_count(store)?, log.usage(store)?);
            Ok(SpaceInfo { name, position, replicas, usage })
        };
        log::space_names(store)?.into_iter().map(info).collect()
    }

    /// Makes a space, also one that was deleted; false where it is there. (ACCESS-8)
    ///
    /// # Errors
    /// Where the store fails.
    pub fn make_space(&mut self, store: &mut dyn Store, name: &str) -> Result<bool, StoreError> {
        if log::find_space(store, name)?.is_some() {
            return Ok(false);
        }
        log::undelete_space(store, name)?;
        log::create_space(store, name)?;
        Ok(true)
    }

    /// Deletes a space and ends its channels; false where it is not there. (ACCESS-8)
    ///
    /// # Errors
    /// Where the store fails.
    pub fn delete_space(&mut self, store: &mut dyn Store, name: &str) -> Result<bool, StoreError> {
        let Some(number) = log::find_space(store, name)? else { return Ok(false) };
        log::delete_space(store, name, number)?;
        let readers: Vec<(ConnId, u16)> =
            self.spaces.get(&number).map(|space| space.readers.values().copied().collect()).unwrap_or_default();
        for (id, channel) in readers {
            // Where the deletion does not become durable, they are told to try again.
            self.batch_conns.insert(id);
            self.fail_channel(id, channel, Code::UNKNOWN_SPACE, None, "the space was deleted");
        }
        self.unhost(number);
        Ok(true)
    }

    /// Deletes a record by a change of the server's own and drops its values from the log; none where there is no such space,
    /// else how many entries of the log held values. (ACCESS-19)
    ///
    /// # Errors
    /// Where the store fails.
    pub fn purge(&mut self, now: Now, store: &mut dyn Store, space: &str, record: &RecordName) -> Result<Option<u64>, StoreError> {
        let Some(number) = self.host(now, store, space, false)? else { return Ok(None) };
        self.touch(number);
        let log = self.spaces[&number].log.clone();
        let life = log.cells().life(store, record)?.life;
        if life::is_alive(life) {
            let row = Row { record: record.clone(), life: life + 1, ops: Vec::new() };
            self.write_as_operator(now, store, number, &log, row)?;
        }
        let held = if fault::is("access-purge-leaves-the-log") { 0 } else { log.redact(store, record)? };
        if let Some(space) = self.spaces.get_mut(&number) {
            // Recent changes are held in memory, too; who has not read them yet is sent states.
            space.forget_tail();
        }
        Ok(Some(held))
    }

    fn write_as_operator(&mut self, now: Now, store: &mut dyn Store, number: u64, log: &Log, row: Row) -> Result<(), StoreError> {
        let author = match log.operator(store)? {
            Some(author) => author,
            None => log.bind_operator(store, Replica(self.entropy.bytes16()), OPERATOR)?,
        };
        let seq = log.settled(store, author)?.map_or(0, |settled| settled.seq) + 1;
        let reading = Reading::new(now.wall_ms, 0).unwrap_or(Reading::ZERO);
        let change = Change { seq, reading, rows: vec![row], origin: None, extra: Vec::new() };
        let pushed = Pushed::Change { change, bytes: 0, value_bytes_max: 0 };
        let judged =
            judge::judge(log, store, author, pushed, Terms { quota: Quota::default(), profiles: Profiles::OFFERED, now_ms: now.wall_ms })?;
        if let (Judged::Settled { position, seq, verdict, change, named }, Some(space)) = (judged, self.spaces.get_mut(&number)) {
            let link = log.link_at(store, author, seq)?;
            let entry = TailEntry::new((position, author, seq), (verdict, link), change, (space.history.base_ms, named));
            space.push(entry, now.mono_ms);
        }
        Ok(())
    }
}
