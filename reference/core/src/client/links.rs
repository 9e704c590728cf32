//! The client's links to other clients. Spec 21.

mod base;
mod exchange;

pub(super) use exchange::Waiting;

use super::{Client, Event, Output, State};
use crate::clock::Now;
use crate::fault;
use crate::limits;
use crate::message::{ErrorMessage, Message, decode_frame, encode_frame};
use crate::peer::LinkId;
use crate::peer::link::{CHANNEL, Fault, Link, Own, Step};
use crate::registry::Code;
use crate::store::{Store, StoreError};

impl Client {
    /// What the other side of a link has to show, and is shown, on the next links. (PEER-2)
    pub fn set_link_token(&mut self, token: Option<String>) {
        self.link_token = token;
    }

    /// Holds at most so many changes of others, for a device with less room than `held_changes_max`. (PEER-11)
    pub fn hold_at_most(&mut self, changes: usize) {
        self.held.room = changes.min(limits::HELD_CHANGES_MAX);
    }

    fn own(&self) -> Own {
        let identity = &self.outbox.identity;
        Own {
            space: identity.space.clone(),
            replica: identity.replica,
            settled: identity.settled.0,
            cursor: identity.cursor.clone().filter(|cursor| cursor.position > 0),
            profiles: self.config.profiles.of_links(),
            token: self.link_token.clone(),
        }
    }

    /// Bytes flow between this client and another.
    pub(super) fn linked(&mut self, now: Now, id: LinkId, dials: bool) {
        // PEER-21, PEER-23
        if self.links.len() >= limits::LINKS_MAX && !fault::is("peer-links-without-bound")
            || self.subscription.is_partial() && !fault::is("peer-links-a-part")
        {
            self.outputs.push_back(Output::Unlink(id));
            return;
        }
        let (link, messages) = Link::new(now, &self.own(), dials);
        self.links.insert(id, link);
        self.link_send_all(now, id, messages);
    }

    /// A frame arrived on a link.
    pub(super) fn link_frame(&mut self, now: Now, store: &mut dyn Store, id: LinkId, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(link) = self.links.get(&id) else { return Ok(()) };
        let frame = match decode_frame(bytes, link.agreed, |_| link.base_ms) {
            Ok(frame) => frame,
            Err(error) => {
                self.link_accuse(now, id, 0, (error.code, error.detail), &error.text);
                return Ok(());
            }
        };
        for message in frame.messages {
            if let (Message::Welcome(welcome), true) = (&message, fault::is("peer-clock-of-a-link")) {
                self.clock.correct(now, now, welcome.time_ms);
            }
            let own = self.own();
            let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
            match link.take(now, &own, frame.channel, message) {
                Ok(step) => self.link_step(now, store, id, step)?,
                Err(Fault { channel, code, detail, text }) => self.link_accuse(now, id, channel, (code, detail), text),
            }
        }
        Ok(())
    }

    fn link_step(&mut self, now: Now, store: &mut dyn Store, id: LinkId, step: Step) -> Result<(), StoreError> {
        match step {
            Step::None => {}
            Step::Reply(messages) => self.link_send_all(now, id, messages),
            Step::Joined(messages) => {
                self.link_send_all(now, id, messages);
                self.report_held(now, id);
            }
            Step::Report(report) => self.take_report(now, store, id, report)?,
            Step::Push(push) => self.take_push(now, store, id, push)?,
            // PEER-14
            Step::Replaced if fault::is("peer-keeps-a-replaced-id") => {}
            Step::Replaced => self.part_ways(now, store)?,
            Step::Ended(error) => {
                self.unlink(id);
                if let Some(error) = error {
                    self.event(Event::LinkRefused { link: id, code: error.code, text: error.text });
                }
            }
        }
        Ok(())
    }

    /// Another has this replica's id: a fresh one is taken, here and where a server is spoken to. (PEER-13, PEER-14)
    fn part_ways(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        if matches!(self.state, State::AwaitOpened { .. } | State::Streaming(_)) {
            return self.remint(now, store, None);
        }
        self.take_fresh_id(store, None)
    }

    /// Ends a link from this side.
    pub(super) fn unlink(&mut self, id: LinkId) {
        if self.links.remove(&id).is_some() {
            self.outputs.push_back(Output::Unlink(id));
        }
    }

    /// Ends every link: what was said on them of this replica holds no longer.
    pub(super) fn unlink_all(&mut self) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        ids.into_iter().for_each(|id| self.unlink(id));
    }

    fn link_accuse(&mut self, now: Now, id: LinkId, channel: u16, (code, detail): (Code, Option<u64>), text: &str) {
        let error = ErrorMessage { code, class: code.class(), detail, text: text.to_owned() };
        self.link_send_all(now, id, vec![(channel, Message::Error(error))]);
        self.unlink(id);
    }

    fn link_send_all(&mut self, now: Now, id: LinkId, messages: Vec<(u16, Message)>) {
        for (channel, message) in messages {
            self.link_send(now, id, channel, &message);
        }
    }

    fn link_send(&mut self, now: Now, id: LinkId, channel: u16, message: &Message) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.note_sent(now);
        let base_ms = if channel == CHANNEL { link.base_ms } else { 0 };
        self.outputs.push_back(Output::LinkSend(id, encode_frame(channel, std::slice::from_ref(message), base_ms)));
    }

    /// What time asks of the links.
    pub(super) fn tick_links(&mut self, now: Now) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            match link.tick(now) {
                Ok(None) => {}
                Ok(Some(ping)) => self.link_send(now, id, 0, &ping),
                Err(Fault { channel, code, detail, text }) => self.link_accuse(now, id, channel, (code, detail), text),
            }
        }
    }

    /// When the links want to be woken.
    pub(super) fn links_wake_ms(&self) -> Option<u64> {
        let wake = |link: &Link| if self.base_is_due(link) { link.wake_ms().min(link.next_base_ms) } else { link.wake_ms() };
        self.links.values().map(wake).min()
    }

    /// Says on every link what is new here. Call when anything may have changed.
    pub(super) fn pump_links(&mut self, now: Now, store: &dyn Store) -> Result<(), StoreError> {
        let ids: Vec<LinkId> = self.links.iter().filter(|(_, link)| link.is_ready()).map(|(id, _)| *id).collect();
        for id in ids {
            self.pump_base(now, store, id)?;
            self.pump_changes(now, store, id)?;
        }
        Ok(())
    }
}
