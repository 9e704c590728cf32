//! Where the chain and the server's part: outcomes up to there, and a fresh id after. Spec 6.

use super::{Client, Event};
use crate::clock::Now;
use crate::fault;
use crate::message::Outcome;
use crate::peer::held::Settled;
use crate::registry::Code;
use crate::store::{Store, StoreError};

impl Client {
    /// Takes a fresh id, mints again what has no verdict, and opens under it. (IDENT-12 to IDENT-14, IDENT-24)
    pub(super) fn remint(&mut self, now: Now, store: &mut dyn Store, retained_after: Option<u64>) -> Result<(), StoreError> {
        if retained_after.is_some() {
            // What the server settled under the old id is not known.
            self.forget_whole(store)?;
        }
        self.take_fresh_id(store, retained_after)?;
        self.reopen(now, store)?;
        Ok(())
    }

    /// The same, without a word on the present channel.
    pub(super) fn take_fresh_id(&mut self, store: &mut dyn Store, retained_after: Option<u64>) -> Result<(), StoreError> {
        // SYNC-31: the outcomes in it are of another replica.
        self.drop_staging(store)?;
        self.leave_id(store)?;
        let reminted = self.outbox.remint(store, &mut self.entropy, retained_after)?;
        self.follow_id(store)?;
        let lost = if fault::is("ident-loss-not-told") { 0 } else { reminted.lost };
        self.event(Event::Forked { lost });
        for seq in reminted.orphans {
            self.event(Event::Rejected { seq, code: Code::NEEDS });
        }
        Ok(())
    }

    /// Settles own changes by what became of them, up to where the chains agree. (SYNC-14, IDENT-13)
    pub(super) fn settle_outcomes(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        outcomes: &[Outcome],
        position: u64,
    ) -> Result<(), StoreError> {
        if let Some(Outcome { seq, link, .. }) = outcomes.last() {
            let own = self.outbox.identity.replica;
            self.held.settle(store, own, Settled { seq: *seq, link: *link, position })?;
        }
        for outcome in outcomes {
            let settled = self.outbox.identity.settled.0;
            if outcome.seq <= settled {
                continue;
            }
            let own = self.outbox.pending(outcome.seq).map(|pending| pending.link);
            let compared = !fault::is("ident-opened-not-compared") && !fault::is("ident-outcomes-not-compared");
            if outcome.seq != settled + 1 || own != Some(outcome.link) && compared {
                self.session().fork();
                return Ok(());
            }
            match outcome.code {
                Code::ACCEPTED => {
                    self.outbox.settle(store, Code::ACCEPTED, position)?;
                }
                code => self.settle_rejected(now, store, (code, outcome.detail), position)?,
            }
            self.landed(outcome.seq);
            let session = self.session();
            session.push_past(outcome.seq);
        }
        Ok(())
    }
}
