//! A frame taken in whole: decoded, charged, given to the state table, and undone where the store fails it.

use super::{ConnId, Failure, Input, Phase, RETRY_MS, Refusal, Server};
use crate::clock::Now;
use crate::credit::Credit;
use crate::fault;
use crate::limits;
use crate::message::{Message, costs, decode_frame, unpack};
use crate::registry::{Code, Profiles};
use crate::store::{Store, StoreError};

impl Server {
    /// Takes a frame in whole; where the store fails it, undoes it and ends the connection. (SESS-13)
    pub(super) fn frame_or_undo(&mut self, now: Now, store: &mut dyn Store, id: ConnId, bytes: &[u8]) -> Result<(), StoreError> {
        self.touched.clear();
        store.mark();
        let Err(error) = self.frame(now, store, id, bytes) else { return Ok(()) };
        store.back_to_mark()?;
        for (number, head) in std::mem::take(&mut self.touched) {
            match (head, self.spaces.get_mut(&number)) {
                (Some(head), Some(space)) => space.roll_back_to(head),
                _ => self.unhost(number),
            }
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.replies.clear();
        }
        self.fail(id, Code::INTERNAL, Some(RETRY_MS), "the store could not keep this; try again");
        self.faults.push(error);
        Ok(())
    }

    fn frame(&mut self, now: Now, store: &mut dyn Store, id: ConnId, bytes: &[u8]) -> Result<(), StoreError> {
        // ACCESS-2, ACCESS-3
        self.end_if_expired(now, id);
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        if matches!(conn.phase, Phase::Closing) {
            return Ok(());
        }
        conn.heard_ms = now.mono_ms;
        self.batch_conns.insert(id);
        if bytes.len() > if fault::is("limit-frames-of-half") { limits::FRAME_BYTES_MAX / 2 } else { limits::FRAME_BYTES_MAX } {
            return self.handle(now, store, Input::TooLarge(id));
        }
        let profiles = conn.agreed();
        let decoded =
            unpack(bytes, profiles).and_then(|bytes| Ok((decode_frame(&bytes, profiles, |number| self.base_ms(id, number))?, bytes)));
        let (frame, bytes) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                self.fail(id, error.code, error.detail, &error.text);
                return Ok(());
            }
        };
        let costs = if profiles.has(Profiles::FLOW) { costs(&bytes) } else { Vec::new() };
        for (message, cost) in frame.messages.into_iter().zip(costs.into_iter().chain(std::iter::repeat(0))) {
            // FLOW-4
            if self.credit(id, frame.channel).is_some_and(|credit| !credit.taking.take(cost)) {
                self.fail(id, Code::UNEXPECTED, Some(message.code()), "it began without credit");
                return Ok(());
            }
            match self.message(now, store, id, frame.channel, message) {
                Ok(()) => {}
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::Peer(Refusal { channel: 0, code, detail, text })) => {
                    self.fail(id, code, detail, text);
                    return Ok(());
                }
                Err(Failure::Peer(Refusal { channel, code, detail, text })) => self.fail_channel(id, channel, code, detail, text),
            }
        }
        // FLOW-3
        if let Some(bytes) = self.credit(id, frame.channel).and_then(|credit| credit.taking.due()) {
            self.reply(id, frame.channel, &Message::Credit { bytes }, 0);
        }
        Ok(())
    }

    /// The credit of an open channel.
    pub(super) fn credit(&mut self, id: ConnId, number: u16) -> Option<&mut Credit> {
        Some(&mut self.conns.get_mut(&id)?.channels.get_mut(&number)?.credit)
    }

    /// What stamps on a channel are relative to, also after it ended.
    pub(super) fn base_ms(&self, id: ConnId, number: u16) -> u64 {
        let Some(conn) = self.conns.get(&id) else { return 0 };
        let Some(channel) = conn.channels.get(&number) else { return conn.ended.get(&number).copied().unwrap_or(0) };
        self.spaces.get(&channel.space).map_or(0, |space| space.history.base_ms)
    }
}
