//! The verdict on one pushed change: a function of the log before it and the server's clock. Spec 6, 9 and 10.

use super::log::{Entry, Log, Verdict};
use super::names::Named;
use super::quota::{Quota, only_deletes};
use crate::change::{CONDITIONS_KEY, Change, NEEDS_KEY, Origin, Payload, Pushed};
use crate::clock::Replica;
use crate::fault;
use crate::hash::Link;
use crate::limits;
use crate::registry::{Code, Profiles};
use crate::store::{Store, StoreError};

/// What became of a pushed change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Judged {
    /// It has this position and verdict now. (IDENT-21)
    Settled { position: u64, seq: u64, verdict: Verdict, change: Option<Change>, named: Box<Named> },
    /// It was settled before, with this verdict. (IDENT-4)
    Again { position: u64, seq: u64, verdict: Verdict },
    /// The channel ends with this error and detail. (IDENT-5, IDENT-6)
    Refused { code: Code, detail: u64 },
}

/// What a verdict goes by besides the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// What the space may hold.
    pub quota: Quota,
    /// The profiles agreed with who pushes.
    pub profiles: Profiles,
    /// The server's clock in Unix milliseconds.
    pub now_ms: u64,
}

/// Judges what `author` pushed and, where it is the next seq, appends and applies it in the open transaction. (IDENT-7)
pub(super) fn judge(log: &Log, store: &mut dyn Store, author: Replica, pushed: Pushed, terms: Terms) -> Result<Judged, StoreError> {
    let (seq, hash) = match &pushed {
        Pushed::Change { change, .. } => (change.seq, change.hash()),
        Pushed::Skip { seq, hash } => (*seq, *hash),
    };
    let last = log.settled(store, author)?.map_or(0, |settled| settled.seq);
    // IDENT-6: nothing is taken from beyond a gap.
    if seq > last + 1 && fault::is("ident-gap-acked") {
        return Ok(Judged::Again { position: 0, seq, verdict: Verdict::ACCEPTED });
    }
    if seq > last + 1 {
        return Ok(Judged::Refused { code: Code::GAP, detail: last + 1 });
    }
    let Some(before) = log.link_at(store, author, seq - 1)? else {
        return Err(StoreError(format!("the link at seq {} of replica {author} is not there", seq - 1)));
    };
    let link = before.next(hash);
    if seq <= last {
        return again(log, store, author, seq, link);
    }
    let Pushed::Change { change, bytes, value_bytes_max } = pushed else {
        // IDENT-20: the chain goes on through a skip.
        return settle(
            log,
            store,
            author,
            seq,
            link,
            None,
            if fault::is("ident-skip-accepted") { Verdict::ACCEPTED } else { Verdict::rejected(Code::SKIPPED, None) },
        );
    };
    let mut verdict = verdict(log, store, &name(author, seq, link), &change, (bytes, value_bytes_max), terms)?;
    // ACCESS-10
    if verdict == Verdict::ACCEPTED && terms.quota != Quota::default() && !only_deletes(&change) {
        let usage = log.usage(store)?;
        let after = usage.after(log, store, &change, change.literal().len())?;
        verdict = usage.broken(after, terms.quota).map_or(verdict, |bound| Verdict::rejected(Code::QUOTA, Some(bound)));
    }
    settle(log, store, author, seq, link, Some(change), verdict)
}

fn again(log: &Log, store: &dyn Store, author: Replica, seq: u64, link: Link) -> Result<Judged, StoreError> {
    match log.settled_change(store, author, seq)? {
        // IDENT-4: the same change once more.
        Some(settled) if (settled.link == link) != fault::is("ident-repeat-is-fork") || fault::is("ident-fork-acked") => {
            Ok(Judged::Again { position: settled.position, seq, verdict: settled.verdict })
        }
        // IDENT-5: another change under the same name.
        _ => Ok(Judged::Refused { code: Code::FORK, detail: seq }),
    }
}

fn name(replica: Replica, seq: u64, link: Link) -> Origin {
    Origin { replica, seq, link }
}

/// The checks in the order of ERROR-4.
fn verdict(
    log: &Log,
    store: &dyn Store,
    own_name: &Origin,
    change: &Change,
    (bytes, value_bytes): (usize, usize),
    terms: Terms,
) -> Result<Verdict, StoreError> {
    let reject = |code, detail| Ok(Verdict::rejected(code, detail));
    // IDENT-15: a change settled under another name has had its verdict.
    for origin in [Some(own_name), change.origin.as_ref()].into_iter().flatten() {
        match log.origin_verdict(store, origin)?.filter(|_| !fault::is("ident-origin-ignored")) {
            Some(Code::ACCEPTED | Code::DUPLICATE) => return reject(Code::DUPLICATE, None),
            Some(code) => return reject(code, None),
            None => {}
        }
    }
    if fault::is("error-clock-before-limits") && change.reading.ms() > terms.now_ms + limits::CLOCK_ADMIT_MS {
        return reject(Code::CLOCK, Some(terms.now_ms));
    }
    // LIMIT-3, LIMIT-4
    let bounds = [(change.op_count(), limits::CHANGE_OPS_MAX), (bytes, limits::CHANGE_BYTES_MAX), (value_bytes, limits::VALUE_BYTES_MAX)];
    let bounds = &bounds[if fault::is("limit-any-change") { 2 } else { 0 }..if fault::is("limit-any-value") { 2 } else { 3 }];
    if let Some((_, bound)) = bounds.iter().find(|(found, bound)| found > bound) {
        return reject(Code::LIMIT, Some(*bound as u64));
    }
    // SUB-18
    if log.cells().has_too_many_collections(store, change, limits::SPACE_COLLECTIONS_MAX)? && !fault::is("sub-collections-without-bound") {
        return reject(Code::LIMIT, Some(limits::SPACE_COLLECTIONS_MAX as u64));
    }
    // CLOCK-10
    let late = change.reading.ms() + limits::CLOCK_ADMIT_MS < terms.now_ms && fault::is("clock-rejects-the-past");
    if change.reading.ms() > terms.now_ms + limits::CLOCK_ADMIT_MS && !fault::is("clock-admits-the-future") || late {
        return reject(Code::CLOCK, Some(terms.now_ms));
    }
    // FRAME-7, FRAME-8, RULES-3
    let foreign = |row: &crate::change::Row| row.ops.iter().any(|op| matches!(op.payload, Payload::Other(_)));
    let known = |key: u64| key == NEEDS_KEY || key == CONDITIONS_KEY && terms.profiles.has(Profiles::CONDITIONS);
    let unknown = change.extra.iter().any(|(key, _)| !known(*key)) && !fault::is("frame-change-keys-ignored");
    if unknown || change.rows.iter().any(foreign) && !fault::is("frame-foreign-rules-taken") {
        return reject(Code::UNSUPPORTED, None);
    }
    // IDENT-26
    if needs_what_was_rejected(log, store, own_name.replica, change)? {
        return reject(Code::NEEDS, None);
    }
    // HORIZON-8
    let horizon = log.horizon(store)?;
    if log.is_stale(store, horizon, own_name.replica, change)? {
        return reject(Code::STALE, None);
    }
    // MERGE-5, HORIZON-9
    let forgotten = if fault::is("horizon-lives-from-0") { 0 } else { horizon.greatest_life };
    if !fault::is("merge-bad-row-left-out") && log.cells().raises_too_far(store, change, forgotten)? {
        return reject(Code::DEPENDENCY, None);
    }
    // RULES-10
    if log.cells().sums_too_far(store, own_name.replica, change)? {
        return reject(Code::LIMIT, Some(limits::INT_MAX as u64));
    }
    // COND-2
    for condition in change.conditions() {
        if !log.cells().holds(store, &condition)? && !fault::is("cond-unjudged") {
            return reject(Code::CONDITION, None);
        }
    }
    Ok(Verdict::ACCEPTED)
}

/// Whether the change needs one of its author's that has no effect. (IDENT-26)
fn needs_what_was_rejected(log: &Log, store: &dyn Store, author: Replica, change: &Change) -> Result<bool, StoreError> {
    for seq in change.needs() {
        let needed = log.settled_change(store, author, seq)?;
        if !fault::is("ident-needs-unchecked")
            && needed.is_none_or(|needed| !matches!(needed.verdict.code, Code::ACCEPTED | Code::DUPLICATE))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn settle(
    log: &Log,
    store: &mut dyn Store,
    author: Replica,
    seq: u64,
    link: Link,
    change: Option<Change>,
    verdict: Verdict,
) -> Result<Judged, StoreError> {
    if fault::is("ident-rejection-takes-no-seq") && verdict != Verdict::ACCEPTED {
        return Ok(Judged::Again { position: log.head(store)? + 1, seq, verdict });
    }
    let literal = change.as_ref().map(Change::literal);
    let entry = Entry { author, seq, verdict, literal };
    let origin = change.as_ref().and_then(|change| change.origin.clone());
    let position = log.append(store, &entry, link, origin.as_ref())?;
    let mut named = Named::default();
    // IDENT-23: only an accepted change has an effect.
    if let Some(change) = &change
        && (verdict == Verdict::ACCEPTED || fault::is("ident-rejected-applied"))
    {
        let bytes = entry.literal.as_ref().map_or(0, Vec::len);
        let usage = log.usage(store)?.after(log, store, change, bytes)?;
        log.put_usage(store, usage)?;
        log.cells().apply(store, author, change, position)?;
        named = log.name_all(store, author, change, position)?;
    }
    Ok(Judged::Settled { position, seq, verdict, change, named: Box::new(named) })
}
