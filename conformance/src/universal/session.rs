//! Which message may follow which on a connection and on a channel (spec, section 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::Item;
use crate::checks::{code, code_of};

use super::{Fault, Seen};

/// For how long an answer that is due at once may be outstanding.
const ANSWER_MS: u64 = 5000;
/// A side that sends more pings in a minute is no proof of life but a flood.
const PINGS_PER_MINUTE_MAX: usize = 60;

/// One connection.
#[derive(Debug, Default)]
pub struct Session {
    hello: Option<Vec<Item>>,
    agreed: Option<Vec<u64>>,
    /// By side: when it said that the connection ends.
    ending: [Option<u64>; 2],
    /// By side: the pings it was sent and has not answered, with their time.
    asked: [BTreeMap<u64, u64>; 2],
    /// By side: all numbers it was ever sent.
    numbers: [BTreeSet<u64>; 2],
    /// By side: when it sent pings.
    pings: [Vec<u64>; 2],
    channels: BTreeMap<u64, Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    opening: Option<u64>,
    opened: bool,
    /// By side: whether it said `shut`, or ended the channel with an error.
    shut: [bool; 2],
    failed: [bool; 2],
    /// The positions of the marks that were sent.
    marks: BTreeSet<u64>,
}

impl Session {
    /// Takes a message; a fault is the sender's.
    pub fn message(&mut self, seen: &Seen) -> Result<(), Fault> {
        let side = usize::from(seen.client);
        if self.ending[side].is_some() {
            return Err(("SESS-9", "nothing after an error on channel 0 or a bye".to_owned()));
        }
        let code = code_of(seen.message).unwrap_or(u64::MAX);
        self.place(seen, code)?;
        self.profile(code)?;
        match seen.channel {
            0 => self.connection(seen, code),
            _ if seen.client => self.client(seen, code),
            _ => self.server(seen, code),
        }
    }

    /// Whether this side may say this, and on such a channel.
    fn place(&self, seen: &Seen, code: u64) -> Result<(), Fault> {
        let on_zero = matches!(code, code::HELLO | code::WELCOME | code::PING | code::PONG | code::BYE | code::AUTH);
        if on_zero != (seen.channel == 0) && code != code::ERROR {
            return Err(("FRAME-5", format!("another channel than {}", seen.channel)));
        }
        let clients = matches!(code, code::HELLO | code::OPEN | code::PUSH | code::AUTH);
        let servers =
            matches!(code, code::WELCOME | code::OPENED | code::ACK | code::REJECT | code::CHANGE | code::STATES | code::MARK | code::VOID);
        if clients && !seen.client || servers && seen.client {
            return Err(("FRAME-5", "a message of this side".to_owned()));
        }
        Ok(())
    }

    fn profile(&self, code: u64) -> Result<(), Fault> {
        let (profile, name) = match code {
            code::AUTH => (10, "access"),
            code::CREDIT => (9, "flow"),
            code::RANGES => (11, "repair"),
            code::PRESENCE => (3, "presence"),
            code::SIGNAL => (12, "signal"),
            _ => return Ok(()),
        };
        match &self.agreed {
            Some(agreed) if agreed.contains(&profile) => Ok(()),
            _ => Err(("PROFILE-2", format!("no message of `{name}`, which was not agreed"))),
        }
    }

    fn connection(&mut self, seen: &Seen, code: u64) -> Result<(), Fault> {
        let (side, items) = (usize::from(seen.client), seen.message.items());
        let number = items.get(1).and_then(Item::as_u64).unwrap_or(0);
        if self.hello.is_none() && !matches!(code, code::HELLO | code::ERROR | code::BYE) {
            return Err(("SESS-1", "hello first".to_owned()));
        }
        match code {
            code::HELLO if self.hello.is_some() => return Err(("SESS-1", "one hello".to_owned())),
            code::HELLO => self.hello = Some(items.to_vec()),
            code::WELCOME => return self.welcome(items),
            code::PING => {
                self.pings[side].retain(|at| at + 60_000 > seen.at);
                self.pings[side].push(seen.at);
                if self.agreed.is_some() {
                    self.asked[1 - side].insert(number, seen.at);
                }
                self.numbers[1 - side].insert(number);
                if self.pings[side].len() > PINGS_PER_MINUTE_MAX {
                    return Err(("SESS-7", format!("at most {PINGS_PER_MINUTE_MAX} pings a minute")));
                }
            }
            code::PONG => {
                self.asked[side].remove(&number);
                if !self.numbers[side].contains(&number) {
                    return Err(("SESS-6", "a pong with the number of a ping".to_owned()));
                }
            }
            code::ERROR | code::BYE => self.ending[side] = Some(seen.at),
            _ => {}
        }
        Ok(())
    }

    fn welcome(&mut self, items: &[Item]) -> Result<(), Fault> {
        let hello = self.hello.clone().unwrap_or_default();
        let all = |items: &[Item], index: usize| items.get(index).map(|item| item.items().to_vec()).unwrap_or_default();
        let (wanted, agreed) = (all(&hello, 2), all(items, 2));
        if self.agreed.is_some() {
            return Err(("SESS-2", "one welcome".to_owned()));
        }
        self.agreed = Some(agreed.iter().filter_map(Item::as_u64).collect());
        if !items.get(1).is_some_and(|version| all(&hello, 1).contains(version)) {
            return Err(("SESS-2", "a version that hello named".to_owned()));
        }
        if agreed.iter().any(|profile| *profile != Item::Int(0) && !wanted.contains(profile)) {
            return Err(("SESS-4", "profiles that hello named".to_owned()));
        }
        Ok(())
    }

    fn client(&mut self, seen: &Seen, code: u64) -> Result<(), Fault> {
        let channel = self.channels.entry(seen.channel).or_default();
        if code == code::OPEN {
            let in_use = (channel.opened || channel.opening.is_some()) && !channel.shut[0] && !channel.failed[0];
            *channel = Channel { opening: Some(seen.at), ..Channel::default() };
            return if in_use { Err(("FRAME-5", "a channel that is not in use".to_owned())) } else { Ok(()) };
        }
        if channel.shut[1] {
            return Err(("SESS-17", "nothing on a channel after its shut".to_owned()));
        }
        if channel.failed[1] {
            return Err(("ERROR-5", "nothing on a channel after its error".to_owned()));
        }
        channel.shut[1] |= code == code::SHUT;
        channel.failed[1] |= code == code::ERROR;
        if code == code::PUSH && !channel.opened {
            return Err(("SESS-18", "no push before opened".to_owned()));
        }
        Ok(())
    }

    fn server(&mut self, seen: &Seen, code: u64) -> Result<(), Fault> {
        let channel = self.channels.entry(seen.channel).or_default();
        if code == code::OPENED {
            let asked = channel.opening.take().is_some();
            channel.opened = true;
            return if asked { Ok(()) } else { Err(("SESS-15", "opened once, in answer to open".to_owned())) };
        }
        if channel.shut[0] {
            return Err(("SESS-17", "nothing on a channel after its shut".to_owned()));
        }
        if channel.failed[0] {
            return Err(("ERROR-5", "nothing on a channel after its error".to_owned()));
        }
        match code {
            code::ERROR => (channel.failed[0], channel.opening) = (true, None),
            code::SHUT if !channel.shut[1] => return Err(("SESS-17", "shut in answer to shut".to_owned())),
            code::SHUT => (channel.shut[0], channel.opening) = (true, None),
            _ if !channel.opened => return Err(("SESS-15", "opened or an error first".to_owned())),
            code::MARK => {
                let position = seen.message.items().get(1).and_then(Item::as_u64).unwrap_or(0);
                if !channel.marks.insert(position) {
                    return Err(("SYNC-24", format!("one mark for the position {position}")));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Who owes something by this time, and what; where frames are delayed, only what it owes to nobody's answer.
    pub fn late(&self, now: u64, delayed: bool, judged: impl Fn(bool) -> bool) -> Option<(bool, Fault)> {
        let over = |since: &u64| since + ANSWER_MS < now;
        for side in [0, 1].into_iter().filter(|side| judged(*side == 1)) {
            if self.ending[side].as_ref().is_some_and(over) {
                return Some((side == 1, ("SESS-9", "the end of the connection after its error or bye".to_owned())));
            }
            let unanswered = self.asked[side].iter().find(|(_, since)| over(since));
            if let (Some((number, _)), false) = (unanswered, delayed) {
                return Some((side == 1, ("SESS-6", format!("the pong {number}"))));
            }
        }
        let unopened = self.channels.iter().find(|(_, channel)| channel.opening.as_ref().is_some_and(over));
        match unopened {
            Some((number, _)) if !delayed && judged(false) && self.agreed.is_some() && self.ending == [None, None] => {
                Some((false, ("SESS-15", format!("opened or an error on channel {number}"))))
            }
            _ => None,
        }
    }
}
