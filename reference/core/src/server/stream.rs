//! What a channel is sent: verdicts and changes from the tail, else a catch-up by states, then a mark. Spec 7 and 8.
//!
//! Nothing is queued for a reader: a channel remembers only how far it was sent. (SYNC-17)

use crate::fault;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::log::{HistoryStart, Log, Settled, Verdict};
use super::names::{Known, Named};
use super::part::{PART_CELLS_MAX, whole_positions};
use super::presence::{Room, Told};
use super::repair::Asked;
use super::signal::Budget;
use super::{ConnId, Right};
use crate::change::Change;
use crate::clock::Replica;
use crate::credit::Credit;
use crate::hash::Link;
use crate::limits;
use crate::message::{
    Ack, Item, Mark, Message, Open, Outcome, PlacedChange, Reject, States, Void, frame_of, items_of, message_bytes, packed_frame,
};
use crate::registry::{Code, Profiles};
use crate::rules::LWW;
use crate::space::Changed;
use crate::store::{Store, StoreError};

/// Live messages share a frame up to about this many bytes.
const FRAME_BYTES_TARGET: usize = 16 * 1024;
/// They share it while their literal forms have up to about so many.
const LITERAL_BYTES_TARGET: usize = 256 * 1024;
/// Bytes of the tail kept for one space.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Outcomes read for one part.
const PART_OUTCOMES_MAX: usize = 256;
/// Authors told of in one part.
const PART_AUTHORS_MAX: usize = 256;
/// What an outcome costs in a part, at the most.
const OUTCOME_BYTES: usize = 64;

/// A recent entry of the log, encoded once for all subscribers.
#[derive(Debug, Clone)]
pub(super) struct TailEntry {
    pub position: u64,
    pub author: Replica,
    pub seq: u64,
    pub verdict: Verdict,
    /// The collections that an accepted change has rows in. (SUB-2)
    pub collections: Vec<String>,
    /// Whether another than its author brought it.
    pub relayed: bool,
    /// The `change` or `void` message.
    pub body: Arc<[u8]>,
    /// The same for channels without the further rules, where it differs. (RULES-17)
    pub core_body: Option<Arc<[u8]>>,
    /// The same with numbers for names, where it was accepted. (COMPACT-8)
    pub compact_body: Option<Arc<[u8]>>,
    /// The numbers that it gave the records of its rows. (COMPACT-9)
    pub numbers: Vec<u64>,
    /// How many columns and replicas have numbers with it.
    pub names: (u64, u64),
}

/// A space that was opened since the start.
#[derive(Debug)]
pub(super) struct Hosted {
    pub log: Log,
    pub history: HistoryStart,
    /// The last position, that of the open transaction included.
    pub head: u64,
    /// The last position that is durable; nothing beyond it is sent. (SESS-22)
    pub committed: u64,
    tail: VecDeque<TailEntry>,
    tail_bytes: usize,
    /// When the last change came, for marks.
    pub changed_ms: u64,
    /// Whether the space's creation and history are durable.
    pub durable: bool,
    /// What an ack says of where a change is kept.
    pub durability: u64,
    /// The channel that has each replica open. (IDENT-8)
    pub readers: BTreeMap<Replica, (ConnId, u16)>,
    /// Who is there. (PRES-5)
    pub room: Room,
}

/// A client's view of one space on one connection.
#[derive(Debug)]
pub(super) struct Channel {
    pub space: u64,
    pub replica: Replica,
    /// What the token allowed when it was opened. (ACCESS-6)
    pub right: Right,
    /// What is agreed on its connection.
    pub profiles: Profiles,
    /// What it subscribes.
    pub scope: Scope,
    /// When it was opened, on the monotonic clock. (HORIZON-6)
    pub opened_ms: u64,
    /// Up to where everything was sent.
    pub sent: u64,
    /// The last own seq whose verdict the client has from `open` or an outcome.
    pub settled: u64,
    /// Whether a catch-up by states has begun and not ended.
    pub catching: bool,
    /// How many ended, until they are counted.
    pub caught_up: u64,
    /// Whether what is settled of authors is told. (PEER-18)
    pub peer: bool,
    /// The position and time of the last mark.
    pub marked: Option<(u64, u64)>,
    /// The signals it sent of late.
    /// What may be sent on it, and what it may send. (FLOW-1)
    pub credit: Credit,
    pub signals: Budget,
    /// What it was told of who is there, where presence is agreed.
    pub presence: Option<Told>,
    /// What it asks about ranges. (REPAIR-5)
    pub asked: Asked,
    /// The horizon it was told last.
    pub told_horizon: u64,
    /// What the client knows of the numbers; none: it is sent literals. (COMPACT-5)
    pub names: Option<Known>,
}

/// The part of a space that a channel carries. Spec 17.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The collections subscribed; none: all.
    pub collections: Option<BTreeSet<String>>,
    /// Those of them that the client's base holds up to `cursor`; none: all of them.
    pub known: Option<BTreeSet<String>>,
    /// Up to where base reaches.
    pub cursor: u64,
}

impl Scope {
    /// What an `open` asks for; `cursor` is where its accepted cursor stands, or 0.
    pub fn of(open: &Open, cursor: u64) -> Self {
        let set = |names: &Option<Vec<String>>| names.as_ref().map(|names| names.iter().cloned().collect::<BTreeSet<_>>());
        Self { collections: set(&open.collections), known: set(&open.known), cursor }
    }

    /// Whether something is subscribed that base does not hold yet. (SUB-7)
    pub fn joins(&self) -> bool {
        match (&self.known, &self.collections) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(known), Some(collections)) => !collections.is_subset(known),
        }
    }

    /// Whether a change with rows in these collections is for the channel; what is rejected has none. (SUB-2)
    fn takes(&self, rows: &[String]) -> bool {
        fault::is("sub-sends-all") || self.collections.as_ref().is_none_or(|collections| rows.iter().any(|row| collections.contains(row)))
    }

    /// The position above which the channel lacks cells of a collection, where it was sent everything else up to `sent`. (SUB-6)
    pub(super) fn above(&self, collection: &str, sent: u64) -> Option<u64> {
        let wanted = fault::is("sub-states-of-all") || self.collections.as_ref().is_none_or(|collections| collections.contains(collection));
        let known = self.known.as_ref().is_none_or(|known| known.contains(collection));
        wanted.then(|| if known || fault::is("sub-joins-from-the-cursor") { sent.max(self.cursor) } else { sent })
    }
}

impl Hosted {
    pub fn new(log: Log, history: HistoryStart, head: u64, durability: u64) -> Self {
        Self {
            log,
            history,
            head,
            committed: head,
            tail: VecDeque::new(),
            tail_bytes: 0,
            changed_ms: 0,
            durable: false,
            durability,
            readers: BTreeMap::new(),
            room: Room::default(),
        }
    }

    /// Takes in an entry that the open transaction appended.
    pub fn push(&mut self, entry: TailEntry, now_ms: u64) {
        self.head = entry.position;
        self.changed_ms = now_ms;
        self.tail_bytes += entry.body.len();
        self.tail.push_back(entry);
    }

    /// The open transaction is durable.
    pub fn commit(&mut self, tail_changes_max: usize) {
        self.committed = self.head;
        self.durable = true;
        while self.tail.len() > tail_changes_max || self.tail_bytes > TAIL_BYTES_MAX {
            let Some(entry) = self.tail.pop_front() else { return };
            self.tail_bytes -= entry.body.len();
        }
    }

    /// The verdicts that the open transaction appended.
    pub fn undurable_verdicts(&self) -> impl Iterator<Item = Code> {
        self.tail.iter().rev().take_while(|entry| entry.position > self.committed).map(|entry| entry.verdict.code)
    }

    /// Forgets the recent entries; whoever has not read them is served by states.
    pub fn forget_tail(&mut self) {
        self.tail.clear();
        self.tail_bytes = 0;
    }

    /// What the open transaction appended after the position is gone.
    pub fn roll_back_to(&mut self, position: u64) {
        while self.tail.back().is_some_and(|entry| entry.position > position) {
            let entry = self.tail.pop_back().expect("the loop's condition saw it");
            self.tail_bytes -= entry.body.len();
        }
        self.head = position;
    }

    fn tail_after(&self, position: u64) -> Option<impl Iterator<Item = &TailEntry>> {
        let first = self.tail.front()?.position;
        let skip = (position + 1).checked_sub(first)?;
        let upto = self.committed;
        Some(self.tail.iter().skip(skip as usize).take_while(move |entry| entry.position <= upto))
    }

    /// When the channel next wants something without a new change: its mark.
    pub fn mark_due_ms(&self, channel: &Channel) -> Option<u64> {
        match channel.marked {
            _ if channel.sent != self.committed || channel.catching => None,
            _ if fault::is("sync-no-marks") => None,
            None => Some(0),
            Some((position, marked_ms)) if position == self.committed => fault::is("sync-marks-again").then_some(marked_ms + 1_000),
            Some(_) if fault::is("mirror-eager-marks") => Some(0),
            // SYNC-19: after a quiet moment, and from time to time without one.
            Some((_, marked_ms)) => Some((self.changed_ms + limits::MARK_QUIET_MS).min(marked_ms + limits::MARK_INTERVAL_MS)),
        }
    }

    /// Whether the channel can be sent something now.
    pub fn has_more(&self, channel: &Channel, now_ms: u64) -> bool {
        let at_head = channel.sent == self.committed;
        channel.catching
            || !at_head
            || channel.asked.is_due(channel.credit.sending.is_open())
            || self.mark_due_ms(channel).is_some_and(|due| due <= now_ms)
    }

    /// The next frame for the channel, or none while there is nothing to say.
    pub fn next_frame(
        &self,
        store: &dyn Store,
        number: u16,
        channel: &mut Channel,
        part_bytes_max: usize,
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let more = self.has_more(channel, now_ms);
        if let Some(frame) = self.presence_frame(number, channel, more) {
            return Ok(Some(frame));
        }
        if !more {
            return Ok(None);
        }
        let data = self.data_frame(store, number, channel, part_bytes_max, now_ms)?;
        // FLOW-5: where data waits for credit, presence does not.
        Ok(data.or_else(|| self.presence_frame(number, channel, false)))
    }

    /// The next frame of verdicts, changes and states, or a mark; none where they wait for credit.
    fn data_frame(
        &self,
        store: &dyn Store,
        number: u16,
        channel: &mut Channel,
        part_bytes_max: usize,
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if !channel.catching && channel.sent == self.committed {
            // REPAIR-5: in its place among the positions, and before the mark.
            if let Some(frame) = self.repair_frame(store, number, channel, now_ms)? {
                return Ok(Some(frame));
            }
            if self.mark_due_ms(channel).is_none_or(|due| due > now_ms) {
                return Ok(None);
            }
            let mark = self.mark(store, channel, now_ms)?;
            return Ok(Some(frame_of(number, &self.bytes(mark))));
        }
        if !channel.catching && self.tail_after(channel.sent).is_some() {
            if let Some(frame) = self.live_frame(store, number, channel)? {
                return Ok(Some(frame));
            }
            // PEER-20: a verdict that the author compares comes in states.
            if !channel.catching {
                // SUB-8: all that was recent may have been for others.
                if channel.sent < self.committed || !self.has_more(channel, now_ms) {
                    return Ok(None);
                }
                let mark = self.mark(store, channel, now_ms)?;
                return Ok(Some(frame_of(number, &self.bytes(mark))));
            }
        }
        // FLOW-1
        if !channel.credit.sending.is_open() {
            return Ok(None);
        }
        // COMPACT-8
        if let Some(names) = channel.names.as_mut().filter(|_| !channel.catching) {
            names.from = channel.sent;
        }
        let part = self.part(store, channel, part_bytes_max)?;
        let (part, cost) = self.states_bytes(store, channel, part)?;
        channel.credit.sending.spend(cost);
        Ok(Some(data_of(number, channel, &part, true)))
    }

    /// Who came and went, after the first mark; where there is data as well, the two take turns. (PRES-6)
    fn presence_frame(&self, number: u16, channel: &mut Channel, more: bool) -> Option<Vec<u8>> {
        let told = channel.presence.as_mut().filter(|_| channel.marked.is_some() || fault::is("pres-before-the-first-mark"))?;
        let turn = std::mem::replace(&mut told.turn, more);
        if more && !turn {
            return None;
        }
        let mut bodies = Vec::new();
        while let Some(presence) = self.room.next(told, channel.replica) {
            bodies.extend(message_bytes(&Message::Presence(presence), self.history.base_ms));
            if bodies.len() >= FRAME_BYTES_TARGET {
                break;
            }
        }
        told.turn &= bodies.is_empty();
        (!bodies.is_empty()).then(|| frame_of(number, &bodies))
    }

    /// The entries that are recent; none where the channel lacks older ones, or none of them is for it.
    fn live_frame(&self, store: &dyn Store, number: u16, channel: &mut Channel) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bodies = Vec::new();
        let (mut cost, mut literal) = (0, 0);
        let mut ack: Option<Ack> = None;
        for entry in self.tail_after(channel.sent).into_iter().flatten() {
            let own = entry.author == channel.replica && !fault::is("sess-echo");
            // PEER-20: the author compares links before it takes the verdict.
            if own && entry.relayed && !fault::is("peer-verdict-by-ack") {
                channel.catching = true;
                break;
            }
            if !own && !channel.scope.takes(&entry.collections) {
                channel.sent = entry.position;
                // SUB-4: positions that are left out end the run of an ack.
                if let Some(ack) = ack.take_if(|_| !fault::is("sub-ack-over-a-gap")) {
                    bodies.extend(self.ack(ack));
                }
                continue;
            }
            // FLOW-1, FLOW-5: what is another's needs credit, a verdict only its place.
            if (!own || fault::is("flow-verdicts-wait")) && !channel.credit.sending.is_open_after(cost) {
                break;
            }
            channel.sent = entry.position;
            if own && entry.verdict == Verdict::ACCEPTED {
                let position = entry.position + u64::from(fault::is("sess-ack-of-a-later-position"));
                let mut numbers = ack.take().map(|ack| ack.numbers).unwrap_or_default();
                numbers.extend(entry.numbers.iter().filter(|_| channel.names.is_some()));
                literal += entry.numbers.len();
                ack = Some(Ack { seq: entry.seq, position, durability: self.durability, numbers });
                channel.settled = entry.seq;
                if fault::is("mirror-ack-for-each") {
                    bodies.extend(ack.take().into_iter().flat_map(|ack| self.ack(ack)));
                }
                if literal >= FRAME_BYTES_TARGET {
                    break;
                }
                continue;
            }
            // SESS-20: acks keep their place among the positions.
            if let Some(ack) = ack.take() {
                bodies.extend(self.ack(ack));
            }
            if own {
                // SESS-23: a verdict goes to the author, the change does not.
                bodies.extend(self.bytes(reject(entry.seq, entry.position, entry.verdict)));
                channel.settled = entry.seq;
            } else {
                let core = entry.core_body.as_ref().filter(|_| !channel.profiles.has(Profiles::RULES));
                let mut body = core.unwrap_or(&entry.body);
                literal += body.len();
                if let (Some(known), Some(compact)) = (&mut channel.names, &entry.compact_body) {
                    if known.lengths < entry.names || known.lengths.1 < entry.names.1 {
                        bodies.extend(self.new_names(store, known, entry.position)?.unwrap_or_default());
                    }
                    body = compact;
                }
                bodies.extend_from_slice(body);
                if fault::is("sub-repeats-changes") && channel.scope.collections.is_some() {
                    bodies.extend_from_slice(body);
                }
                cost += body.len();
            }
            // COMPACT-10: also the literal form fits a frame.
            if bodies.len() >= FRAME_BYTES_TARGET || literal >= LITERAL_BYTES_TARGET {
                break;
            }
        }
        if let Some(ack) = ack {
            bodies.extend(self.ack(ack));
        }
        channel.credit.sending.spend(cost);
        Ok((!bodies.is_empty()).then(|| data_of(number, channel, &bodies, channel.marked.is_none())))
    }

    /// An `ack`; where no record got a number it says nothing of numbers. (COMPACT-9)
    fn ack(&self, mut ack: Ack) -> Vec<u8> {
        if ack.numbers.iter().all(|number| *number == 0) || fault::is("compact-acks-without-numbers") {
            ack.numbers.clear();
        }
        self.bytes(Message::Ack(ack))
    }

    pub(super) fn bytes(&self, message: Message) -> Vec<u8> {
        message_bytes(&message, self.history.base_ms)
    }

    /// The next part of a catch-up, from where the channel was sent to. (SYNC-8 to SYNC-12)
    fn part(&self, store: &dyn Store, channel: &mut Channel, part_bytes_max: usize) -> Result<States, StoreError> {
        let part_bytes_max = match () {
            () if fault::is("mirror-part-of-one") => 1,
            () if fault::is("mirror-part-of-hundred") => 100,
            () => part_bytes_max,
        };
        channel.catching = true;
        let outcomes = self.log.settled_after(store, channel.replica, channel.settled, PART_OUTCOMES_MAX)?;
        let upto = match outcomes.last() {
            Some(last) if outcomes.len() == PART_OUTCOMES_MAX => last.position,
            _ => self.committed,
        };
        let authors = if channel.peer { self.log.authors_after(store, channel.sent, PART_AUTHORS_MAX)? } else { Vec::new() };
        let upto = match authors.last() {
            Some((last, _)) if authors.len() == PART_AUTHORS_MAX => upto.min(*last),
            _ => upto,
        };
        let above = |collection: &str| channel.scope.above(collection, channel.sent);
        let page = self.log.cells().changed_after(store, above, PART_CELLS_MAX)?;
        let (cells, to) = whole_positions(page, upto, part_bytes_max.saturating_sub(outcomes.len() * OUTCOME_BYTES));
        let rules = channel.profiles.has(Profiles::RULES);
        // RULES-17
        let cells = cells.into_iter().filter(|cell| rules || !matches!(cell, Changed::Cell(_, _, name, _) if name.rule != LWW)).collect();
        let mut items = items_of(cells).map_err(|error| StoreError(format!("a stored cell is damaged: {error}")))?;
        if fault::is("mirror-items-reversed") {
            items.reverse();
        }
        if fault::is("sync-cells-twice") {
            items.extend(items.clone());
        }
        if fault::is("sync-part-lacks-a-cell") {
            items.pop();
        }
        for outcome in outcomes.iter().filter(|outcome| outcome.position <= to && !fault::is("sync-no-outcomes")) {
            let Verdict { code, detail } = outcome.verdict;
            items.push(Item::Outcome(Outcome { seq: outcome.seq, link: outcome.link, code, class: code.class(), detail }));
            channel.settled = outcome.seq;
        }
        for (_, author) in authors.iter().filter(|(at, author)| *at <= to && *author != channel.replica) {
            if let Some(Settled { seq, link, .. }) = self.log.settled(store, *author)? {
                items.push(Item::Settled { author: *author, seq, link });
            }
        }
        let last = to == self.committed;
        channel.catching = !last;
        channel.caught_up += u64::from(last);
        channel.sent = to;
        let said = if fault::is("sync-last-part-stops-short") && last { to.saturating_sub(1) } else { to };
        Ok(States { last, to: said, history: self.history.history, items, replaced: Vec::new() })
    }

    fn mark(&self, store: &dyn Store, channel: &mut Channel, now_ms: u64) -> Result<Message, StoreError> {
        let rules = channel.profiles.has(Profiles::RULES);
        let fingerprint = match channel.scope.collections.as_ref().filter(|_| !fault::is("sub-marks-of-all")) {
            None => self.log.cells().fingerprint(store, rules)?,
            Some(collections) => self.log.cells().fingerprint_of(store, collections, rules)?,
        };
        let fingerprint = if fault::is("sync-mark-of-nothing") { [0; 16] } else { fingerprint.wire() };
        channel.marked = Some((self.committed, now_ms));
        let known = self.log.horizon(store)?.position;
        // HORIZON-11
        let horizon = (known > std::mem::replace(&mut channel.told_horizon, known) && !fault::is("horizon-untold")).then_some(known);
        Ok(Message::Mark(Mark { position: self.committed, history: self.history.history, fingerprint, backed_up: None, horizon }))
    }
}

/// A frame of data. What a channel missed is packed where that was agreed; what is live goes to many, whom packing it for each would hold up.
pub(super) fn data_of(number: u16, channel: &Channel, messages: &[u8], missed: bool) -> Vec<u8> {
    if channel.profiles.has(Profiles::PACKED) && (missed || fault::is("mirror-packs-all")) {
        packed_frame(number, messages)
    } else {
        frame_of(number, messages)
    }
}

/// The `reject` message of a verdict.
pub(super) fn reject(seq: u64, position: u64, verdict: Verdict) -> Message {
    let Verdict { code, detail } = verdict;
    Message::Reject(Reject { seq, position, code, class: code.class(), detail })
}

impl TailEntry {
    /// The entry of what was just settled, encoded as the other replicas get it. (SESS-20, RULES-17)
    pub fn new(
        (position, author, seq): (u64, Replica, u64),
        (verdict, link): (Verdict, Option<Link>),
        change: Option<Change>,
        (base_ms, named): (u64, Box<Named>),
    ) -> Self {
        let bytes = |message| -> Arc<[u8]> { message_bytes(&message, base_ms).into() };
        let (mut collections, mut core_body) = (Vec::new(), None);
        let message = match change {
            Some(change) if verdict.code == Code::ACCEPTED => {
                collections.extend(change.rows.iter().map(|row| row.record.collection.clone()));
                collections.dedup();
                if change.rows.iter().flat_map(|row| &row.ops).any(|op| op.rule != LWW) && !fault::is("rules-to-everyone") {
                    let mut change = change.clone();
                    change.rows.iter_mut().for_each(|row| row.ops.retain(|op| op.rule == LWW));
                    core_body = Some(bytes(Message::Change(PlacedChange { position, author, change })));
                }
                Message::Change(PlacedChange { position, author, change })
            }
            _ => Message::Void(Void {
                position,
                author,
                seq,
                code: verdict.code,
                link: link.filter(|_| !fault::is("peer-voids-without-links")),
            }),
        };
        let body = bytes(message);
        let compact_body = (verdict.code == Code::ACCEPTED).then(|| named.compact(&body).into());
        Self {
            position,
            author,
            seq,
            verdict,
            collections,
            relayed: false,
            body,
            core_body,
            compact_body,
            numbers: named.rows,
            names: named.lengths,
        }
    }
}
