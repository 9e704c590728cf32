//! Writing frames.

use super::{Ack, ErrorMessage, Hello, Item, Mark, Message, Open, Opened, Outcome, PlacedChange, Push, States, Void, Welcome, read};
use crate::change::{Cursor, write_row, write_stamp};
use crate::codec::Writer;
use crate::fault;
use crate::limits::ERROR_TEXT_BYTES_MAX;

/// A frame of these messages. Stamps are relative to `base_ms`.
pub fn encode_frame(channel: u16, messages: &[Message], base_ms: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.uint(u64::from(channel));
    messages.iter().for_each(|message| write_message(&mut w, message, base_ms));
    w.finish()
}

/// A message without a channel: the same bytes for every subscriber.
pub fn message_bytes(message: &Message, base_ms: u64) -> Vec<u8> {
    let mut w = Writer::default();
    write_message(&mut w, message, base_ms);
    w.finish()
}

/// A frame of messages that are encoded already.
pub fn frame_of(channel: u16, messages: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.uint(u64::from(channel));
    w.raw(messages);
    w.finish()
}

fn write_message(w: &mut Writer, message: &Message, base_ms: u64) {
    w.array(1 + field_count(message));
    w.uint(message.code());
    match message {
        Message::Hello(hello) => write_hello(w, hello),
        Message::Welcome(welcome) => write_welcome(w, welcome),
        Message::Open(open) => write_open(w, open),
        Message::Opened(opened) => write_opened(w, opened),
        Message::Shut => {}
        Message::Push(push) => write_push(w, push, base_ms),
        Message::Ack(ack) => write_ack(w, ack),
        Message::Reject(reject) => {
            write_numbers(w, &[reject.seq, reject.position, reject.code.0, reject.class.code()]);
            write_detail(w, reject.detail);
        }
        Message::Change(placed) => write_placed(w, placed, base_ms),
        Message::States(states) => write_states(w, states, base_ms),
        Message::Mark(mark) => write_mark(w, mark),
        Message::Ping(number) => w.uint(*number),
        Message::Pong { number, time_ms } => write_numbers(w, &[*number, *time_ms]),
        Message::Error(error) => write_error(w, error),
        Message::Bye { wait_ms } => w.uint(*wait_ms),
        Message::Auth { token } => w.text(token),
        Message::Credit { bytes } => w.uint(*bytes),
        Message::Ranges(ranges) => ranges.write(w),
        Message::Presence(presence) => presence.write(w),
        Message::Signal(signal) => signal.write(w),
        Message::Void(void) => write_void(w, void),
        Message::Names(names) => names.write(w),
    }
}

/// Items behind the code, the map at the end included.
fn field_count(message: &Message) -> usize {
    match message {
        Message::Shut => 0,
        Message::Ping(_) | Message::Bye { .. } | Message::Auth { .. } | Message::Credit { .. } => 1,
        Message::Pong { .. } | Message::Ranges(_) | Message::Signal(_) => 2,
        Message::Ack(ack) => 3 + usize::from(!ack.numbers.is_empty()),
        Message::Hello(_) | Message::Welcome(_) | Message::Names(_) | Message::Error(_) | Message::Presence(_) => 4,
        Message::Open(open) => 4 + usize::from(open.collections.is_some() || open.known.is_some() || open.names.is_some()),
        Message::Void(void) => 4 + usize::from(void.link.is_some()),
        Message::Reject(_) => 5,
        Message::Opened(opened) => 6 + usize::from(opened.rights.is_some()),
        Message::Push(push) => 2 * usize::from(push.author.is_some()) + push.items.len(),
        Message::Change(placed) => 4 + placed.change.rows.len() + usize::from(placed.change.has_map()),
        Message::States(states) => 3 + states.items.len() + usize::from(!states.replaced.is_empty()),
        Message::Mark(mark) => 3 + usize::from(mark.backed_up.or(mark.horizon).is_some()),
    }
}

fn write_hello(w: &mut Writer, hello: &Hello) {
    write_list(w, &hello.versions);
    write_list(w, &hello.profiles);
    write_limits(w, &hello.limits);
    match &hello.token {
        Some(token) => w.text(token),
        None => w.null(),
    }
}

fn write_welcome(w: &mut Writer, welcome: &Welcome) {
    w.uint(welcome.version);
    write_list(w, &welcome.profiles);
    write_limits(w, &welcome.limits);
    w.uint(welcome.time_ms);
}

fn write_open(w: &mut Writer, open: &Open) {
    w.text(&open.space);
    w.bytes(&open.replica.0);
    w.uint(open.settled);
    write_cursor(w, open.cursor.as_ref());
    let named = [(read::COLLECTIONS_KEY, &open.collections), (read::KNOWN_KEY, &open.known)];
    let named: Vec<_> = named.into_iter().filter_map(|(key, names)| Some((key, names.as_ref()?))).collect();
    let pairs = named.len() + usize::from(open.names.is_some());
    if pairs == 0 {
        return;
    }
    w.map(pairs);
    for (key, names) in named {
        w.int(key);
        w.array(names.len());
        names.iter().for_each(|name| w.text(name));
    }
    if let Some((columns, replicas)) = open.names {
        w.int(read::NAMES_KEY);
        w.array(2);
        write_numbers(w, &[columns, replicas]);
    }
}

fn write_ack(w: &mut Writer, ack: &Ack) {
    write_numbers(w, &[ack.seq, ack.position, ack.durability]);
    if !ack.numbers.is_empty() {
        w.map(1);
        w.int(read::NUMBERS_KEY);
        write_list(w, &ack.numbers);
    }
}

fn write_push(w: &mut Writer, push: &Push, base_ms: u64) {
    if let Some(relayed) = &push.author {
        w.bytes(&relayed.replica.0);
    }
    push.items.iter().for_each(|item| item.write(w, base_ms));
    if let Some(relayed) = &push.author {
        w.map(1);
        w.int(read::BEFORE_KEY);
        w.bytes(&relayed.before.0);
    }
}

fn write_placed(w: &mut Writer, placed: &PlacedChange, base_ms: u64) {
    w.uint(placed.position);
    w.bytes(&placed.author.0);
    w.uint(placed.change.seq);
    write_stamp(w, placed.change.reading, base_ms);
    placed.change.write_rows_and_map(w, base_ms);
}

fn write_mark(w: &mut Writer, mark: &Mark) {
    w.uint(mark.position);
    w.bytes(&mark.history.0);
    w.bytes(&mark.fingerprint);
    let keyed = [(read::BACKED_UP_KEY, mark.backed_up), (read::HORIZON_KEY, mark.horizon)];
    let said = keyed.into_iter().filter_map(|(key, position)| Some((key, position?)));
    if said.clone().count() > 0 {
        w.map(said.clone().count());
    }
    for (key, position) in said {
        w.int(key);
        w.uint(position);
    }
}

fn write_void(w: &mut Writer, void: &Void) {
    w.uint(void.position);
    w.bytes(&void.author.0);
    w.uint(void.seq);
    w.uint(void.code.0);
    if let Some(link) = &void.link {
        w.map(1);
        w.int(read::LINK_KEY);
        w.bytes(&link.0);
    }
}

fn write_numbers(w: &mut Writer, numbers: &[u64]) {
    numbers.iter().for_each(|number| w.uint(*number));
}

fn write_list(w: &mut Writer, numbers: &[u64]) {
    w.array(numbers.len());
    write_numbers(w, numbers);
}

fn write_limits(w: &mut Writer, limits: &[(u64, u64)]) {
    w.map(limits.len());
    for (key, value) in limits {
        w.uint(*key);
        w.uint(*value);
    }
}

fn write_cursor(w: &mut Writer, cursor: Option<&Cursor>) {
    let Some(cursor) = cursor else { return w.null() };
    w.array(if cursor.staged.is_some() { 3 } else { 2 });
    w.uint(cursor.position);
    w.bytes(&cursor.history.0);
    if let Some(staged) = cursor.staged {
        w.uint(staged);
    }
}

fn write_opened(w: &mut Writer, opened: &Opened) {
    w.uint(opened.position);
    w.bytes(&opened.history.0);
    w.uint(opened.last_seq);
    w.bytes(&opened.link.0);
    w.uint(opened.base_ms);
    w.uint(opened.reset);
    if let Some(rights) = opened.rights {
        w.map(1);
        w.int(read::RIGHTS_KEY);
        w.uint(rights);
    }
}

fn write_detail(w: &mut Writer, detail: Option<u64>) {
    match detail {
        Some(detail) => w.uint(detail),
        None => w.null(),
    }
}

fn write_error(w: &mut Writer, error: &ErrorMessage) {
    w.uint(error.code.0);
    w.uint(if fault::is("error-class-of-another") { (error.class.code() + 1) % 4 } else { error.class.code() });
    write_detail(w, error.detail.filter(|_| !fault::is("error-without-detail")));
    // LIMIT-7
    if fault::is("limit-long-text") {
        return w.text(&"x".repeat(ERROR_TEXT_BYTES_MAX + 1));
    }
    let end = (0..=ERROR_TEXT_BYTES_MAX.min(error.text.len())).rev().find(|end| error.text.is_char_boundary(*end));
    w.text(&error.text[..end.unwrap_or(0)]);
}

fn write_states(w: &mut Writer, states: &States, base_ms: u64) {
    w.bool(states.last);
    w.uint(states.to);
    w.bytes(&states.history.0);
    for item in &states.items {
        match item {
            Item::Cells { stamp, rows } => {
                w.array(2 + rows.len());
                w.bytes(&stamp.author.0);
                write_stamp(w, stamp.reading, base_ms);
                rows.iter().for_each(|row| write_row(w, row, base_ms));
            }
            Item::Base { from } => {
                w.array(2);
                w.int(-7);
                w.uint(*from);
            }
            Item::Held { author, seq, link } => {
                w.array(4);
                w.int(-6);
                w.bytes(&author.0);
                w.uint(*seq);
                w.bytes(&link.0);
            }
            Item::Settled { author, seq, link } => {
                w.array(4);
                w.int(-2);
                w.bytes(&author.0);
                w.uint(*seq);
                w.bytes(&link.0);
            }
            Item::Outcome(outcome) => write_outcome(w, outcome),
            Item::Plain(rows) => {
                w.array(1 + rows.len());
                w.int(-4);
                rows.iter().for_each(|row| write_row(w, row, base_ms));
            }
            Item::Keyed { author, seq, rows } => {
                w.array(3 + rows.len());
                w.int(-5);
                w.bytes(&author.0);
                w.uint(*seq);
                rows.iter().for_each(|row| write_row(w, row, base_ms));
            }
        }
    }
    if states.replaced.is_empty() {
        return;
    }
    w.map(1);
    w.int(read::REPLACED_KEY);
    w.array(states.replaced.len());
    for (lower, upper) in &states.replaced {
        w.array(2);
        w.bytes(lower);
        w.bytes(upper);
    }
}

fn write_outcome(w: &mut Writer, outcome: &Outcome) {
    w.array(6);
    w.int(-3);
    w.uint(outcome.seq);
    w.bytes(&outcome.link.0);
    w.uint(outcome.code.0);
    w.uint(outcome.class.code());
    write_detail(w, outcome.detail);
}
