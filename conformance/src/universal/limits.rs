//! What each side sends lies within what the other advertised (spec, sections 9 and 15).

use std::collections::BTreeMap;

use crate::cbor::{Item, encode};
use crate::checks::{code, code_of};

use super::{Fault, Seen};

/// Keys of limits with the values of the registry (registries/limits.toml).
const FRAME_BYTES: (u64, u64) = (0, 1_048_576);
const WINDOW_CHANGES: (u64, u64) = (6, 256);
const WINDOW_BYTES: (u64, u64) = (7, 1_048_576);
const CREDIT_BYTES: (u64, u64) = (8, 1_048_576);
const FLOW: u64 = 9;

/// What the sides of one connection advertised, and what they sent since.
#[derive(Debug, Default)]
pub struct Limits {
    /// By side: what it takes.
    takes: [BTreeMap<u64, u64>; 2],
    flow: bool,
    channels: BTreeMap<u64, Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    /// By side: the bytes of data it sent, and the credit that it was given beyond the first.
    sent: [u64; 2],
    credit: [u64; 2],
    /// Pushed changes without a verdict, with their bytes.
    unsettled: BTreeMap<u64, u64>,
}

impl Limits {
    fn takes(&self, client: bool, (key, usual): (u64, u64)) -> u64 {
        self.takes[usize::from(client)].get(&key).copied().unwrap_or(usual)
    }

    /// A frame of so many bytes was sent.
    pub fn frame(&self, client: bool, bytes: usize) -> Result<(), Fault> {
        let most = self.takes(!client, FRAME_BYTES);
        if bytes as u64 > most { Err(("LIMIT-2", format!("a frame of at most {most} bytes"))) } else { Ok(()) }
    }

    /// Takes a message; a fault is the sender's.
    pub fn message(&mut self, seen: &Seen) -> Result<(), Fault> {
        let items = seen.message.items();
        let number = |index: usize| items.get(index).and_then(Item::as_u64).unwrap_or(0);
        let code = code_of(seen.message).unwrap_or(u64::MAX);
        match code {
            code::HELLO | code::WELCOME => self.advertised(seen.client, items),
            code::OPEN => drop(self.channels.insert(seen.channel, Channel::default())),
            code::CREDIT => {
                let credit = &mut self.channels.entry(seen.channel).or_default().credit[usize::from(!seen.client)];
                *credit = number(1).max(*credit);
            }
            code::OPENED => self.settled(seen.channel, number(3)),
            code::ACK | code::REJECT => self.settled(seen.channel, number(1)),
            _ => {}
        }
        if matches!(code, code::PUSH | code::CHANGE | code::VOID | code::STATES) {
            self.data(seen)?;
        }
        if code == code::PUSH { self.window(seen) } else { Ok(()) }
    }

    fn advertised(&mut self, client: bool, items: &[Item]) {
        if let Some(Item::Map(pairs)) = items.get(3) {
            let pairs = pairs.iter().filter_map(|(key, value)| Some((key.as_u64()?, value.as_u64()?)));
            self.takes[usize::from(client)] = pairs.collect();
        }
        if !client {
            self.flow = items.get(2).is_some_and(|profiles| profiles.items().contains(&Item::Int(i128::from(FLOW))));
        }
    }

    fn settled(&mut self, channel: u64, seq: u64) {
        self.channels.entry(channel).or_default().unsettled.retain(|pushed, _| *pushed > seq);
    }

    fn data(&mut self, seen: &Seen) -> Result<(), Fault> {
        let (flow, side, first) = (self.flow, usize::from(seen.client), self.takes(!seen.client, CREDIT_BYTES));
        let channel = self.channels.entry(seen.channel).or_default();
        let (sent, credit) = (channel.sent[side], channel.credit[side].max(first));
        channel.sent[side] += encode(seen.message).len() as u64;
        if flow && sent >= credit { Err(("FLOW-1", format!("no data beyond the credit of {credit} bytes"))) } else { Ok(()) }
    }

    fn window(&mut self, seen: &Seen) -> Result<(), Fault> {
        let (changes, bytes) = (self.takes(false, WINDOW_CHANGES), self.takes(false, WINDOW_BYTES));
        let channel = self.channels.entry(seen.channel).or_default();
        // Those of other authors travel in a push that names their author first.
        if matches!(seen.message.items().get(1), Some(Item::Bytes(_))) {
            return Ok(());
        }
        for change in seen.message.items().iter().skip(1).filter(|change| !change.items().is_empty()) {
            let seq = change.items()[0].as_u64().unwrap_or(0);
            channel.unsettled.insert(seq, encode(change).len() as u64);
        }
        let (count, sum) = (channel.unsettled.len() as u64, channel.unsettled.values().sum::<u64>());
        if count > changes {
            return Err(("SESS-19", format!("at most {changes} unsettled changes, not {count}")));
        }
        // One change alone may be greater than a window that is less than a change.
        if sum > bytes && count > 1 { Err(("SESS-19", format!("at most {bytes} bytes of unsettled changes, not {sum}"))) } else { Ok(()) }
    }
}
