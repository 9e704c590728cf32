//! Reading frames: bytes become messages once, or the first fault met.

use super::packed::PACKED;
use super::{
    Ack, AddressRange, ErrorMessage, Frame, Hello, Item, Mark, Message, NewNames, Open, Opened, Outcome, PlacedChange, Presence, Push,
    Ranges, Reject, Relayed, Signal, States, Void, Welcome,
};
use crate::change::{Change, Cursor, Form, Pushed, Row, expect_items, read_fixed, read_name, read_row, read_seq, read_stamp};
use crate::clock::{History, MS_MAX, Replica, Stamp};
use crate::codec::{CodecError, Fault, Major, Reader};
use crate::fault;
use crate::hash::Link;
use crate::limits::{
    COLLECTION_NAME_BYTES_MAX, ERROR_TEXT_BYTES_MAX, INT_MAX, SPACE_NAME_BYTES_MAX, SUBSCRIPTION_COLLECTIONS_MAX, TOKEN_BYTES_MAX,
};
use crate::registry::{Class, Code, Profiles};

/// The extension key of a mark's backed-up position.
pub(super) const BACKED_UP_KEY: i64 = 1;
/// The extension key of a mark's horizon.
pub(super) const HORIZON_KEY: i64 = 2;
/// The extension keys of an `open`'s collections and of those that are known.
pub(super) const COLLECTIONS_KEY: i64 = 0;
pub(super) const KNOWN_KEY: i64 = 1;
/// The extension key of how many names an `open`'s client holds.
pub(super) const NAMES_KEY: i64 = 2;
/// The extension key of an `ack`'s numbers.
pub(super) const NUMBERS_KEY: i64 = 0;
/// The extension key of an `opened`'s rights.
pub(super) const RIGHTS_KEY: i64 = 0;
/// The extension key of the link before what a relayed `push` holds.
pub(super) const BEFORE_KEY: i64 = 0;
/// The extension key of a `void`'s link.
pub(super) const LINK_KEY: i64 = 0;
/// The extension key of the ranges that a `states` replaces.
pub(super) const REPLACED_KEY: i64 = 0;
/// The greatest wait of a `bye`, in milliseconds.
const WAIT_MS_MAX: u64 = 86_400_000;

/// Why bytes are refused, as the error that answers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// The code.
    pub code: Code,
    /// What the registry says the code's detail is.
    pub detail: Option<u64>,
    /// What was found where, for people.
    pub text: String,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.text)
    }
}

impl std::error::Error for WireError {}

impl From<CodecError> for WireError {
    /// CODEC-12, CODEC-13
    fn from(error: CodecError) -> Self {
        let code = if error.fault.canonical_only() { Code::NOT_CANONICAL } else { Code::MALFORMED };
        Self { code, detail: None, text: error.to_string() }
    }
}

/// Reads a frame where `profiles` are agreed. `base_of` gives what stamps on a channel are relative to; an `opened` in
/// the frame sets it anew.
///
/// # Errors
/// The first fault met, as the error that answers it. (CODEC-11 to CODEC-13, FRAME-1 to FRAME-6, PROFILE-3)
pub fn decode_frame(bytes: &[u8], profiles: Profiles, base_of: impl Fn(u16) -> u64) -> Result<Frame, WireError> {
    let mut r = Reader::new(bytes);
    let channel = u16::try_from(r.uint()?).or_else(|_| r.fault(Fault::Schema("a channel up to 65535")))?;
    let mut base_ms = base_of(channel);
    let mut messages = Vec::new();
    while !r.is_end() {
        let message = match read_message(&mut r, profiles, base_ms) {
            Err(_) if fault::is("codec-rest-ignored") && !messages.is_empty() => break,
            read => read?,
        };
        if let Message::Opened(opened) = &message {
            base_ms = opened.base_ms;
        }
        messages.push(message);
    }
    if messages.is_empty() && !fault::is("frame-empty-taken") {
        r.fault(Fault::Truncated)?;
    }
    Ok(Frame { channel, messages })
}

/// A message's fields: how many are left to read, with the extension map at their end.
pub(super) struct Fields<'r, 'a> {
    pub(super) r: &'r mut Reader<'a>,
    left: usize,
    profiles: Profiles,
}

/// The profile that a message belongs to; none for an unknown one. (FRAME-4)
fn owner(code: u64) -> Option<Profiles> {
    match code {
        0..=14 | 21 => Some(Profiles::CORE),
        15 => Some(Profiles::ACCESS),
        16 => Some(Profiles::FLOW),
        17 => Some(Profiles::REPAIR),
        18 => Some(Profiles::PRESENCE),
        19 => Some(Profiles::SIGNAL),
        PACKED => Some(Profiles::PACKED),
        22 => Some(Profiles::COMPACT),
        _ => None,
    }
}

fn read_message(r: &mut Reader, profiles: Profiles, base_ms: u64) -> Result<Message, WireError> {
    let items = expect_items(r, 1..=usize::MAX)?;
    let code = r.uint()?;
    // FRAME-4
    if !owner(code).is_some_and(|owner| profiles.has(owner) || fault::is("profile-any-message")) {
        let code_of = if fault::is("frame-unknown-is-malformed") { Code::MALFORMED } else { Code::UNKNOWN_MESSAGE };
        return Err(WireError { code: code_of, detail: Some(code), text: format!("message code {code}") });
    }
    let mut fields = Fields { r, left: items - 1, profiles };
    let message = match code {
        0 => Message::Hello(fields.hello()?),
        1 => Message::Welcome(fields.welcome()?),
        2 => return fields.open(),
        3 => return fields.opened(),
        4 => Message::Shut,
        5 => return fields.push(base_ms),
        6 => return fields.ack(),
        7 => Message::Reject(fields.reject()?),
        8 => return read_change(fields, base_ms),
        9 => return fields.states(base_ms),
        10 => return fields.mark(),
        11 => {
            fields.take(1)?;
            Message::Ping(fields.r.uint()?)
        }
        12 => {
            fields.take(2)?;
            Message::Pong { number: fields.r.uint()?, time_ms: fields.unix_ms()? }
        }
        13 => Message::Error(fields.error()?),
        14 => {
            fields.take(1)?;
            Message::Bye { wait_ms: fields.within(0..=WAIT_MS_MAX, "a wait of at most a day")? }
        }
        15 => {
            fields.take(1)?;
            Message::Auth { token: read_name(fields.r, TOKEN_BYTES_MAX)? }
        }
        16 => {
            fields.take(1)?;
            Message::Credit { bytes: fields.r.uint()? }
        }
        17 => Message::Ranges(Ranges::read(&mut fields)?),
        18 => Message::Presence(Presence::read(&mut fields)?),
        19 => Message::Signal(Signal::read(&mut fields)?),
        // PACK-2
        PACKED => fields.r.fault(Fault::Schema("a packed alone in its frame"))?,
        22 => Message::Names(NewNames::read(&mut fields)?),
        _ => return fields.void(),
    };
    fields.extensions(|_, _| Ok(false))?;
    Ok(message)
}

/// The codec and the bytes of a `packed`.
pub(super) fn read_packed<'a>(r: &mut Reader<'a>) -> Result<(u64, &'a [u8]), WireError> {
    let items = expect_items(r, 3..=4)?;
    r.uint()?;
    let (codec, bytes) = (r.uint()?, r.bytes()?);
    Fields { r, left: items - 3, profiles: Profiles::PACKED }.extensions(|_, _| Ok(false))?;
    Ok((codec, bytes))
}

/// A `change` ends in its own map, of which every key counts. (FRAME-7)
fn read_change(mut fields: Fields, base_ms: u64) -> Result<Message, WireError> {
    fields.take(4)?;
    let rules = fields.profiles.has(Profiles::RULES);
    let r = fields.r;
    let position = r.uint()?;
    let author = Replica(read_fixed(r, "a replica of 16 bytes")?);
    let seq = read_seq(r)?;
    let reading = read_stamp(r, base_ms)?;
    let (change, _) = Change::read_rows_and_map(r, fields.left, (seq, reading), (base_ms, rules))?;
    Ok(Message::Change(PlacedChange { position, author, change }))
}

impl Fields<'_, '_> {
    /// Fields that must be there.
    pub(super) fn take(&mut self, count: usize) -> Result<(), CodecError> {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.r.fault(Fault::Schema("more fields")),
        }
    }

    /// Whether another item stands before the extensions.
    fn has_item(&self) -> Result<bool, CodecError> {
        Ok(self.left > 0 && self.r.peek()? != Major::Map)
    }

    /// The extension map, if there is one. `known` reads the value of a key that it knows. (FRAME-2, FRAME-3, FRAME-6)
    fn extensions(&mut self, mut known: impl FnMut(i64, &mut Reader) -> Result<bool, CodecError>) -> Result<(), WireError> {
        if self.left == 0 {
            return Ok(());
        }
        let at = self.r.position();
        if self.left > 1 {
            return Err(CodecError { at, fault: Fault::Schema("no more fields than the schema has") }.into());
        }
        let pairs = self.r.map()?;
        if pairs == 0 && !fault::is("frame-empty-extensions") {
            return Err(CodecError { at, fault: Fault::Schema("no empty extension map") }.into());
        }
        let mut before = None;
        for _ in 0..pairs {
            let at = self.r.position();
            let key = self.r.int()?;
            if before.is_some_and(|before| key_place(before) >= key_place(key)) {
                return Err(CodecError { at, fault: Fault::KeyOrder }.into());
            }
            before = Some(key);
            if known(key, self.r)? {
                continue;
            }
            if key < 0 && !fault::is("frame-critical-ignored") || fault::is("frame-all-critical") {
                let text = format!("byte {at}: extension key {key} is not known");
                return Err(WireError { code: Code::CRITICAL_EXTENSION, detail: None, text });
            }
            self.r.skip_item()?;
        }
        Ok(())
    }

    fn within(&mut self, allowed: std::ops::RangeInclusive<u64>, expected: &'static str) -> Result<u64, CodecError> {
        let at = self.r.position();
        let number = self.r.uint()?;
        if allowed.contains(&number) { Ok(number) } else { Err(CodecError { at, fault: Fault::Schema(expected) }) }
    }

    fn unix_ms(&mut self) -> Result<u64, CodecError> {
        self.within(0..=MS_MAX, "Unix milliseconds below 2^47")
    }

    fn uints(&mut self) -> Result<Vec<u64>, CodecError> {
        (0..self.r.array()?).map(|_| self.r.uint()).collect()
    }

    fn limits(&mut self) -> Result<Vec<(u64, u64)>, CodecError> {
        let mut limits: Vec<(u64, u64)> = Vec::new();
        for _ in 0..self.r.map()? {
            let at = self.r.position();
            let key = self.r.uint()?;
            if limits.last().is_some_and(|(before, _)| *before >= key) {
                return Err(CodecError { at, fault: Fault::KeyOrder });
            }
            if key > 8 && fault::is("limit-unknown-refused") {
                return Err(CodecError { at, fault: Fault::Schema("a limit that is known") });
            }
            limits.push((key, self.r.uint()?));
        }
        Ok(limits)
    }

    fn detail(&mut self) -> Result<Option<u64>, CodecError> {
        if self.r.is_null() {
            return self.r.null().map(|()| None);
        }
        self.r.uint().map(Some)
    }

    fn class(&mut self) -> Result<Class, CodecError> {
        let at = self.r.position();
        Class::from_code(self.r.uint()?).ok_or(CodecError { at, fault: Fault::Schema("a retry class") })
    }

    pub(super) fn replica(&mut self) -> Result<Replica, CodecError> {
        read_fixed(self.r, "a replica of 16 bytes").map(Replica)
    }

    fn history(&mut self) -> Result<History, CodecError> {
        read_fixed(self.r, "a history of 8 bytes").map(History)
    }

    fn link(&mut self) -> Result<Link, CodecError> {
        read_fixed(self.r, "a link of 16 bytes").map(Link)
    }

    fn hello(&mut self) -> Result<Hello, CodecError> {
        self.take(4)?;
        let at = self.r.position();
        let versions = self.uints()?;
        if versions.is_empty() {
            return Err(CodecError { at, fault: Fault::Schema("a version") });
        }
        let (profiles, limits) = (self.uints()?, self.limits()?);
        let token = if self.r.is_null() { self.r.null().map(|()| None) } else { read_name(self.r, TOKEN_BYTES_MAX).map(Some) }?;
        Ok(Hello { versions, profiles, limits, token })
    }

    fn welcome(&mut self) -> Result<Welcome, CodecError> {
        self.take(4)?;
        Ok(Welcome { version: self.r.uint()?, profiles: self.uints()?, limits: self.limits()?, time_ms: self.unix_ms()? })
    }

    fn open(mut self) -> Result<Message, WireError> {
        self.take(4)?;
        let space = read_name(self.r, SPACE_NAME_BYTES_MAX)?;
        let (replica, settled) = (self.replica()?, self.r.uint()?);
        let cursor = self.cursor()?;
        let at = self.r.position();
        let (mut collections, mut known): (Option<Vec<String>>, Option<Vec<String>>) = (None, None);
        let mut names = None;
        let (agreed, compact) = (self.profiles.has(Profiles::SUBSCRIBE), self.profiles.has(Profiles::COMPACT));
        self.extensions(|key, r| {
            match key {
                NAMES_KEY if compact => names = Some(read_lengths(r)?),
                COLLECTIONS_KEY if agreed => collections = Some(read_collections(r, 1)?),
                KNOWN_KEY if agreed => known = Some(read_collections(r, 0)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        // SUB-1
        if let (Some(collections), Some(known)) = (&collections, &known)
            && !known.iter().all(|name| collections.contains(name))
        {
            return Err(CodecError { at, fault: Fault::Schema("known collections among those subscribed") }.into());
        }
        Ok(Message::Open(Open { space, replica, settled, cursor, collections, known, names }))
    }

    fn ack(mut self) -> Result<Message, WireError> {
        self.take(3)?;
        let (seq, position) = (read_seq(self.r)?, self.r.uint()?);
        let mut ack = Ack { seq, position, durability: self.within(1..=2, "a durability")?, numbers: Vec::new() };
        let compact = self.profiles.has(Profiles::COMPACT);
        self.extensions(|key, r| {
            if compact && key == NUMBERS_KEY {
                ack.numbers = (0..expect_items(r, 1..=usize::MAX)?).map(|_| r.uint()).collect::<Result<_, _>>()?;
            }
            Ok(compact && key == NUMBERS_KEY)
        })?;
        Ok(Message::Ack(ack))
    }

    fn void(mut self) -> Result<Message, WireError> {
        self.take(4)?;
        let (position, author, seq, code) = (self.r.uint()?, self.replica()?, read_seq(self.r)?, Code(self.r.uint()?));
        let mut link = None;
        let agreed = self.profiles.has(Profiles::PEER);
        self.extensions(|key, r| {
            if agreed && key == LINK_KEY {
                link = Some(Link(read_fixed(r, "a link of 16 bytes")?));
            }
            Ok(agreed && key == LINK_KEY)
        })?;
        Ok(Message::Void(Void { position, author, seq, code, link }))
    }

    fn cursor(&mut self) -> Result<Option<Cursor>, CodecError> {
        if self.r.is_null() {
            return self.r.null().map(|()| None);
        }
        let items = expect_items(self.r, 2..=3)?;
        let (position, history) = (self.r.uint()?, self.history()?);
        // SYNC-32
        let least = if fault::is("sync-staged-below") { 0 } else { position };
        let staged = if items == 3 { Some(self.within(least..=u64::MAX, "a staged position from the cursor's on")?) } else { None };
        Ok(Some(Cursor { position, history, staged }))
    }

    fn opened(mut self) -> Result<Message, WireError> {
        self.take(6)?;
        let mut opened = Opened {
            position: self.r.uint()?,
            history: self.history()?,
            last_seq: self.r.uint()?,
            link: self.link()?,
            base_ms: self.unix_ms()?,
            reset: self.within(0..=4, "a reset reason")?,
            rights: None,
        };
        let agreed = self.profiles.has(Profiles::ACCESS);
        self.extensions(|key, r| {
            if agreed && key == RIGHTS_KEY {
                opened.rights = Some(r.uint()?);
            }
            Ok(agreed && key == RIGHTS_KEY)
        })?;
        Ok(Message::Opened(opened))
    }

    fn push(mut self, base_ms: u64) -> Result<Message, WireError> {
        let mut author = None;
        // A relay is a form of the peer profile. (PROFILE-3)
        if self.profiles.has(Profiles::PEER) && self.left > 0 && self.r.peek()? == Major::Bytes {
            self.take(1)?;
            author = Some(self.replica()?);
        }
        let mut items = Vec::new();
        while self.has_item()? {
            self.take(1)?;
            items.push(Pushed::read(self.r, base_ms, self.profiles.has(Profiles::RULES))?);
        }
        if items.is_empty() {
            self.r.fault(Fault::Schema("a change"))?;
        }
        let (at, mut before) = (self.r.position(), None);
        self.extensions(|key, r| {
            if author.is_some() && key == BEFORE_KEY {
                before = Some(Link(read_fixed(r, "a link of 16 bytes")?));
            }
            Ok(author.is_some() && key == BEFORE_KEY)
        })?;
        let author = match (author, before) {
            (None, _) => None,
            (Some(replica), Some(before)) => Some(Relayed { replica, before }),
            // PEER-9
            (Some(replica), None) if fault::is("peer-relays-without-a-link") => Some(Relayed { replica, before: Link([0; 16]) }),
            (Some(_), None) => return Err(CodecError { at, fault: Fault::Schema("the author's link before its changes") }.into()),
        };
        Ok(Message::Push(Push { author, items }))
    }

    fn reject(&mut self) -> Result<Reject, CodecError> {
        self.take(5)?;
        let (seq, position, code) = (read_seq(self.r)?, self.r.uint()?, Code(self.r.uint()?));
        Ok(Reject { seq, position, code, class: self.class()?, detail: self.detail()? })
    }

    fn error(&mut self) -> Result<ErrorMessage, CodecError> {
        self.take(4)?;
        let (code, class, detail) = (Code(self.r.uint()?), self.class()?, self.detail()?);
        let at = self.r.position();
        let text = self.r.text()?;
        if text.len() > ERROR_TEXT_BYTES_MAX {
            return Err(CodecError { at, fault: Fault::Schema("a text within its limit") });
        }
        Ok(ErrorMessage { code, class, detail, text: text.to_owned() })
    }

    fn states(mut self, base_ms: u64) -> Result<Message, WireError> {
        self.take(3)?;
        let (last, to, history) = (self.r.bool()?, self.r.uint()?, self.history()?);
        let mut items = Vec::new();
        while self.has_item()? {
            self.take(1)?;
            items.push(self.item(base_ms)?);
        }
        let mut replaced = Vec::new();
        let agreed = self.profiles.has(Profiles::REPAIR);
        self.extensions(|key, r| {
            if agreed && key == REPLACED_KEY {
                replaced = read_replaced(r)?;
            }
            Ok(agreed && key == REPLACED_KEY)
        })?;
        Ok(Message::States(States { last, to, history, items, replaced }))
    }

    fn item(&mut self, base_ms: u64) -> Result<Item, CodecError> {
        let items = expect_items(self.r, 2..=usize::MAX)?;
        if self.r.peek()? == Major::Bytes {
            return self.cells(items, base_ms);
        }
        let at = self.r.position();
        match (self.r.int()?, items) {
            (-2, 4) if self.profiles.has(Profiles::PEER) => {
                Ok(Item::Settled { author: self.replica()?, seq: read_seq(self.r)?, link: self.link()? })
            }
            (-6, 4) if self.profiles.has(Profiles::PEER) => {
                Ok(Item::Held { author: self.replica()?, seq: self.r.uint()?, link: self.link()? })
            }
            (-7, 2) if self.profiles.has(Profiles::PEER) => Ok(Item::Base { from: self.r.uint()? }),
            (-3, 6) => {
                let (seq, link, code) = (read_seq(self.r)?, self.link()?, Code(self.r.uint()?));
                Ok(Item::Outcome(Outcome { seq, link, code, class: self.class()?, detail: self.detail()? }))
            }
            (-4, _) => Ok(Item::Plain(self.plain(items - 1)?)),
            (-5, 4..) if self.profiles.has(Profiles::RULES) || fault::is("profile-any-form") => {
                let (author, seq) = (self.replica()?, read_seq(self.r)?);
                Ok(Item::Keyed { author, seq, rows: self.rows(items - 3, &Form::Keyed)? })
            }
            // Also the items of other profiles. (PROFILE-3)
            _ => Err(CodecError { at, fault: Fault::Schema("an item of the agreed profiles") }),
        }
    }

    fn cells(&mut self, items: usize, base_ms: u64) -> Result<Item, CodecError> {
        let author = self.replica()?;
        let reading = read_stamp(self.r, base_ms)?;
        if items < 3 {
            return self.r.fault(Fault::Schema("a row"));
        }
        let rows = self.rows(items - 2, &Form::Stamped { rules: self.profiles.has(Profiles::RULES) })?;
        Ok(Item::Cells { stamp: Stamp { reading, author }, rows })
    }

    /// Rows of states; they stand in any order.
    fn rows(&mut self, count: usize, form: &Form) -> Result<Vec<Row>, CodecError> {
        (0..count).map(|_| Ok(read_row(self.r, form)?.0)).collect()
    }

    /// Lives; cells of `max` and `min` only where the further rules are agreed. (PROFILE-3)
    fn plain(&mut self, count: usize) -> Result<Vec<Row>, CodecError> {
        let at = self.r.position();
        let rows = self.rows(count, &Form::Plain)?;
        if !self.profiles.has(Profiles::RULES) && rows.iter().any(|row| !row.ops.is_empty()) {
            return Err(CodecError { at, fault: Fault::Schema("rows without columns") });
        }
        Ok(rows)
    }

    fn mark(mut self) -> Result<Message, WireError> {
        self.take(3)?;
        let (position, history) = (self.r.uint()?, self.history()?);
        let fingerprint = read_fixed(self.r, "a fingerprint of 16 bytes")?;
        let (mut backed_up, mut horizon) = (None, None);
        self.extensions(|key, r| {
            match key {
                BACKED_UP_KEY => backed_up = Some(r.uint()?),
                HORIZON_KEY => horizon = Some(r.uint()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Message::Mark(Mark { position, history, fingerprint, backed_up, horizon }))
    }
}

/// How many names of both tables are held.
fn read_lengths(r: &mut Reader) -> Result<(u64, u64), CodecError> {
    expect_items(r, 2..=2)?;
    Ok((r.uint()?, r.uint()?))
}

/// Names of collections, ascending, at least `least`.
fn read_collections(r: &mut Reader, least: usize) -> Result<Vec<String>, CodecError> {
    let at = r.position();
    let count = expect_items(r, least..=SUBSCRIPTION_COLLECTIONS_MAX)?;
    let mut names: Vec<String> = Vec::new();
    for _ in 0..count {
        names.push(read_name(r, COLLECTION_NAME_BYTES_MAX)?);
    }
    let ascending = names.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes());
    if ascending || fault::is("sub-names-in-any-order") {
        Ok(names)
    } else {
        Err(CodecError { at, fault: Fault::Schema("collections in ascending order, each once") })
    }
}

/// Ranges of addresses, at least one.
fn read_replaced(r: &mut Reader) -> Result<Vec<AddressRange>, CodecError> {
    let mut replaced = Vec::new();
    for _ in 0..expect_items(r, 1..=usize::MAX)? {
        expect_items(r, 2..=2)?;
        replaced.push((r.bytes()?.to_vec(), r.bytes()?.to_vec()));
    }
    Ok(replaced)
}

/// The place of a key in the order of encodings: 0, 1, 2 … and then -1, -2, -3 … (CODEC-5)
fn key_place(key: i64) -> (bool, u64) {
    (key < 0, key.unsigned_abs())
}

const _: () = assert!(INT_MAX as u64 > MS_MAX, "a time is an integer of the codec");
