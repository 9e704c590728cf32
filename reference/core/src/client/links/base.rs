//! Base on a link: told, given and taken, whole or not at all. Spec 21.

use super::super::stream::ChangedNames;
use super::super::{Client, Event, State};
use crate::change::Cursor;
use crate::clock::Now;
use crate::fault;
use crate::limits;
use crate::message::{Item, Message, States, items_of, message_bytes};
use crate::peer::held::Settled;
use crate::peer::link::{CHANNEL, Link};
use crate::peer::{LinkId, place};
use crate::space::Changed;
use crate::store::{Store, StoreError};

/// Cells read at a time.
const CELLS_PAGE: usize = 1_024;
/// Items that are no cells in one part.
const PART_ITEMS_MAX: usize = 1_024;

impl Client {
    /// Says what is held of each author, and where base stands. (PEER-6)
    pub(super) fn report_held(&mut self, now: Now, id: LinkId) {
        let identity = &self.outbox.identity;
        let (last, link) = identity.last;
        let own = (last > 0).then_some(Item::Held { author: identity.replica, seq: last, link });
        let held = self.held.heads().map(|(author, seq, link)| Item::Held { author, seq, link });
        let items: Vec<Item> = own.into_iter().chain(held.filter(|_| !fault::is("peer-reports-only-its-own"))).collect();
        let mut parts: Vec<Vec<Item>> = items.chunks(PART_ITEMS_MAX).map(<[Item]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        self.send_report(now, id, parts);
    }

    pub(super) fn send_report(&mut self, now: Now, id: LinkId, parts: Vec<Vec<Item>>) {
        let cursor = self.own().cursor;
        let (to, history) = place(cursor.as_ref());
        let count = parts.len();
        for (at, items) in parts.into_iter().enumerate() {
            let states = States { last: at + 1 == count, to, history, items, replaced: Vec::new() };
            self.link_send(now, id, CHANNEL, &Message::States(states));
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.told = cursor;
        }
    }

    /// Whether the other side is to be told or given something of base.
    pub(super) fn base_is_due(&self, link: &Link) -> bool {
        link.is_ready() && (self.own().cursor != link.told || self.may_give(link).is_some())
    }

    /// From which position base is to be given; none where it is not. (PEER-7, PEER-8)
    fn may_give(&self, link: &Link) -> Option<u64> {
        let own = self.own().cursor.filter(|_| self.held.ground.whole && !fault::is("peer-gives-no-base"))?;
        match &link.theirs.cursor {
            None => Some(0),
            Some(theirs) if *theirs == own || !self.held.continues(&own, theirs) => None,
            Some(theirs) if theirs.position < self.held.ground.floor => Some(0),
            Some(theirs) => Some(theirs.position),
        }
    }

    pub(super) fn pump_base(&mut self, now: Now, store: &dyn Store, id: LinkId) -> Result<(), StoreError> {
        let Some(link) = self.links.get(&id).filter(|link| link.next_base_ms <= now.mono_ms && self.base_is_due(link)) else {
            return Ok(());
        };
        let own = self.own().cursor;
        // Who also has a server says so before it is given what it has: it is told first.
        let known = link.told == own || link.theirs.cursor != link.told;
        let from = self.may_give(link).filter(|_| known);
        match from {
            Some(from) => self.give(now, store, id, from)?,
            None => self.send_report(now, id, vec![Vec::new()]),
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.next_base_ms = now.mono_ms + limits::MARK_INTERVAL_MS;
            if from.is_some() {
                link.theirs.cursor = own;
            }
        }
        Ok(())
    }

    /// Gives the cells that changed after a position, and what is settled of each author since. (PEER-7)
    fn give(&mut self, now: Now, store: &dyn Store, id: LinkId, from: u64) -> Result<(), StoreError> {
        let mut parts = vec![vec![Item::Base { from }]];
        for items in self.settled_items(store, from)?.chunks(PART_ITEMS_MAX) {
            parts.push(items.to_vec());
        }
        let mut after = from;
        loop {
            let mut page = self.base.changed_after(store, |_| Some(after), CELLS_PAGE)?;
            let (Some((first, _)), Some((end, _))) = (page.first(), page.last()) else { break };
            let (first, end) = (*first, *end);
            // A full page may break off inside its last position.
            if page.len() == CELLS_PAGE && first < end {
                page.retain(|(position, _)| *position < end);
            } else if page.len() == CELLS_PAGE {
                page = self.base.changed_after(store, |_| Some(after), usize::MAX)?;
                page.retain(|(position, _)| *position == end);
            }
            after = page.last().map_or(end, |(position, _)| *position);
            split(page.into_iter().map(|(_, cell)| cell).collect(), &mut parts)?;
        }
        self.send_report(now, id, parts);
        Ok(())
    }

    fn settled_items(&self, store: &dyn Store, from: u64) -> Result<Vec<Item>, StoreError> {
        let identity = &self.outbox.identity;
        let mut all = self.held.all_settled(store)?;
        all.retain(|(author, settled)| settled.position > from && *author != identity.replica);
        let own = self.held.settled(store, identity.replica)?;
        let (seq, link) = if own.seq > identity.settled.0 { (own.seq, own.link) } else { identity.settled };
        let others = all.into_iter().map(|(author, Settled { seq, link, .. })| Item::Settled { author, seq, link });
        Ok(others.chain((seq > 0).then_some(Item::Settled { author: identity.replica, seq, link })).collect())
    }

    /// A report is complete: base moves whole, or stays. (PEER-6 to PEER-8)
    pub(super) fn take_report(&mut self, now: Now, store: &mut dyn Store, id: LinkId, report: States) -> Result<(), StoreError> {
        let mut forked = false;
        let first = self.links.get(&id).is_some_and(|link| link.sent == (0, 0));
        for item in &report.items {
            let (Item::Held { author, seq, link } | Item::Settled { author, seq, link }) = item else { continue };
            let settled = matches!(item, Item::Settled { .. });
            forked |= *author == self.outbox.identity.replica && self.is_another(store, *seq, *link, settled)?;
            let Some(linked) = self.links.get_mut(&id) else { return Ok(()) };
            let known = linked.theirs.known.entry(*author).or_insert((*seq, *link));
            if matches!(item, Item::Held { .. }) || known.0 < *seq {
                *known = (*seq, *link);
            }
            if !first {
                linked.sent = (0, 0);
            }
        }
        if let Some(from) = report.items.iter().find_map(|item| if let Item::Base { from } = item { Some(*from) } else { None })
            && self.may_take(id, from, &report)
        {
            self.take_base(now, store, from, report)?;
        }
        if forked && !fault::is("peer-keeps-a-used-id") { self.part_ways(now, store) } else { Ok(()) }
    }

    /// Whether someone holds another chain under this replica's id, which stays rather than its own. (PEER-13)
    fn is_another(&self, store: &dyn Store, seq: u64, link: crate::hash::Link, settled: bool) -> Result<bool, StoreError> {
        let (last, _) = self.outbox.identity.last;
        let own = self.outbox.link_at(store, seq)?;
        let differs = own.is_some_and(|own| if settled { own != link } else { seq == last && own.0 > link.0 });
        Ok(seq > last || differs)
    }

    /// Base is taken only while no server serves it, and only where it stands where the giver took it to stand. (PEER-8)
    fn may_take(&self, id: LinkId, from: u64, report: &States) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let own = self.own().cursor;
        let stands = own == link.told && own.as_ref().map_or(from == 0, |own| from <= own.position);
        let ahead = own.as_ref().is_none_or(|own| report.to > own.position || report.history != own.history);
        let served = matches!(self.state, State::AwaitOpened { .. } | State::Streaming(_)) && !fault::is("peer-takes-base-beside-a-server");
        stands && ahead && report.to > 0 && !served
    }

    fn take_base(&mut self, now: Now, store: &mut dyn Store, from: u64, report: States) -> Result<(), StoreError> {
        self.drop_staging(store)?;
        // COMPACT-3
        self.names.forget(store)?;
        let before = self.own().cursor;
        if from == 0 {
            self.base.clear(store)?;
            self.held.forget_settled(store, report.to, true)?;
        }
        if let Some(before) = before.filter(|before| before.history != report.history) {
            self.held.leave_history(&before);
            self.held.save_ground(store)?;
        }
        let mut changed = ChangedNames::default();
        for item in report.items {
            if let Item::Settled { author, seq, link } = item {
                changed.extend(self.held.settle(store, author, Settled { seq, link, position: report.to })?);
                continue;
            }
            self.take_item(now, store, item, report.to, &mut changed, &mut Vec::new())?;
        }
        changed.extend(self.held.prune(store)?);
        self.outbox.identity.cursor = Some(Cursor { position: report.to, history: report.history, staged: None });
        self.verified = None;
        self.outbox.note_clock(&self.clock);
        self.outbox.save(store)?;
        self.event(Event::Changed(changed.finish()));
        Ok(())
    }
}

/// Cells as parts that keep their limit. (SYNC-10)
fn split(cells: Vec<Changed>, parts: &mut Vec<Vec<Item>>) -> Result<(), StoreError> {
    let items = items_of(cells.clone()).map_err(|error| StoreError(format!("a stored cell is damaged: {error}")))?;
    let history = crate::clock::History([0; 8]);
    let part = Message::States(States { last: false, to: 0, history, items: items.clone(), replaced: Vec::new() });
    if cells.len() == 1 || message_bytes(&part, 0).len() <= limits::PART_BYTES_MAX {
        parts.push(items);
        return Ok(());
    }
    let mut first = cells;
    let second = first.split_off(first.len() / 2);
    split(first, parts)?;
    split(second, parts)
}
