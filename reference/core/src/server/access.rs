//! Who may do what: tokens, rights, their end. Spec 14.

use crate::fault;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{ConnId, Failure, Phase, Server, refuse};
use crate::clock::{Now, Replica};
use crate::registry::Code;

/// What may be done in a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing, not even to learn whether it is there. (SEC-5)
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl Right {
    /// What `opened` says. (ACCESS-11)
    pub fn code(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Read => 1,
            Self::Write => 2,
        }
    }

    /// The right of a word: `none`, `read` or `write`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }
}

/// Rights by the names of spaces. A name that ends in `*` stands for all that begin so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights(BTreeMap<String, Right>);

impl Rights {
    /// The right to all spaces.
    pub fn to_all(right: Right) -> Self {
        Self(BTreeMap::from([("*".to_owned(), right)]))
    }

    /// The right to a space: that of its name, else of the longest beginning, else none.
    pub fn of(&self, space: &str) -> Right {
        if let Some(right) = self.0.get(space).filter(|_| !space.ends_with('*')) {
            return *right;
        }
        let begins = |(name, _): &(&String, &Right)| name.strip_suffix('*').is_some_and(|start| space.starts_with(start));
        let longest = self.0.iter().filter(begins).max_by_key(|(name, _)| name.len());
        longest.map_or(Right::None, |(_, right)| *right)
    }
}

impl FromIterator<(String, Right)> for Rights {
    fn from_iter<I: IntoIterator<Item = (String, Right)>>(rights: I) -> Self {
        Self(rights.into_iter().collect())
    }
}

/// Whom a token stands for, and what it allows. (SESS-5, IDENT-9)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The subject that replicas are bound to.
    pub subject: String,
    /// What it may do, by space.
    pub rights: Rights,
    /// Whether it may make a space by opening it. (ACCESS-9)
    pub creates: bool,
    /// Whether it may administer the server.
    pub admin: bool,
    /// When it ends, in Unix milliseconds. (ACCESS-3)
    pub expires_ms: Option<u64>,
    /// The name by which the token can be revoked. (ACCESS-4)
    pub token_id: Option<String>,
}

impl Grant {
    /// A subject that may do all in every space.
    pub fn full(subject: impl Into<String>) -> Self {
        let rights = Rights::to_all(Right::Write);
        Self { subject: subject.into(), rights, creates: true, admin: false, expires_ms: None, token_id: None }
    }
}

/// Says what a token grants; the shell's seam. It keeps no state between calls, and time is an argument.
pub trait Verifier: fmt::Debug + Send + Sync {
    /// What the token grants now; none where it is missing, unknown or not good.
    fn verify(&self, token: Option<&str>, now_ms: u64) -> Option<Grant>;
}

/// Everyone may do everything, as one subject.
#[derive(Debug)]
pub struct Anyone;

impl Verifier for Anyone {
    fn verify(&self, _token: Option<&str>, _now_ms: u64) -> Option<Grant> {
        Some(Grant::full(""))
    }
}

/// A table of tokens.
#[derive(Clone, Default)]
pub struct Tokens(pub BTreeMap<String, Grant>);

impl Verifier for Tokens {
    fn verify(&self, token: Option<&str>, _now_ms: u64) -> Option<Grant> {
        self.0.get(token?).cloned()
    }
}

impl fmt::Debug for Tokens {
    /// Without the tokens. (SEC-2)
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.values()).finish()
    }
}

/// What is not let in any more, whatever a token says. (ACCESS-4, ACCESS-7)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revoked {
    /// Everything of these subjects.
    pub subjects: BTreeSet<String>,
    /// The tokens of these names.
    pub tokens: BTreeSet<String>,
    /// These replicas: devices that were lost.
    pub replicas: BTreeSet<Replica>,
}

impl Revoked {
    fn holds(&self, grant: &Grant) -> bool {
        self.subjects.contains(&grant.subject) || grant.token_id.as_ref().is_some_and(|id| self.tokens.contains(id))
    }
}

/// Who may come in.
#[derive(Debug, Clone)]
pub struct Access {
    /// What tokens grant.
    pub verifier: Arc<dyn Verifier>,
    /// What was taken back.
    pub revoked: Revoked,
}

impl Access {
    /// Access by a verifier, with nothing revoked.
    pub fn new(verifier: impl Verifier + 'static) -> Self {
        Self { verifier: Arc::new(verifier), revoked: Revoked::default() }
    }

    /// What a token grants now. (SESS-5, ACCESS-3, ACCESS-4)
    pub fn grant(&self, token: Option<&str>, now_ms: u64) -> Option<Grant> {
        self.verifier.verify(token, now_ms).filter(|grant| self.stands(grant, now_ms))
    }

    /// Whether what the verifier granted is neither over nor revoked.
    fn stands(&self, grant: &Grant, now_ms: u64) -> bool {
        grant.expires_ms.is_none_or(|end| now_ms < end) && !self.revoked.holds(grant)
    }
}

impl Default for Access {
    /// Open to everyone.
    fn default() -> Self {
        Self::new(Anyone)
    }
}

/// What a connection was granted, and by which token.
pub(super) struct Granted {
    pub grant: Grant,
    token: Option<String>,
    /// The end of the token on the monotonic clock.
    pub ends_ms: Option<u64>,
}

impl Granted {
    pub fn new(grant: Grant, token: Option<String>, now: Now) -> Self {
        let ends_ms = grant.expires_ms.map(|end| now.mono_ms.saturating_add(end.saturating_sub(now.wall_ms)));
        Self { grant, token, ends_ms }
    }

    /// Whether the token's time is over. (ACCESS-3)
    pub fn has_ended(&self, now: Now) -> bool {
        self.ends_ms.is_some_and(|end| end <= now.mono_ms) && !fault::is("access-token-without-an-end")
    }
}

impl fmt::Debug for Granted {
    /// Without the token. (SEC-2)
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.grant.fmt(f)
    }
}

impl Server {
    /// Sets who may come in. What is connected is judged by it at the next `Input::Recheck`.
    pub fn set_access(&mut self, access: Access) {
        self.reverify |= !Arc::ptr_eq(&self.config.access.verifier, &access.verifier);
        self.config.access = access;
    }

    /// What a token grants now; for the shell's own doors.
    pub fn grant(&self, token: Option<&str>, now_ms: u64) -> Option<Grant> {
        self.config.access.grant(token, now_ms)
    }

    /// Whom a welcomed connection stands for; nothing where it was not welcomed, or ends.
    pub fn subject(&self, id: ConnId) -> Option<&str> {
        match &self.conns.get(&id)?.phase {
            Phase::Open { granted, .. } => Some(&granted.grant.subject),
            Phase::AwaitHello { .. } | Phase::Closing => None,
        }
    }

    /// Ends the connection where its token's time is over. (ACCESS-3)
    pub(super) fn end_if_expired(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        if matches!(&conn.phase, Phase::Open { granted, .. } if granted.has_ended(now)) {
            self.fail(id, Code::UNAUTHORIZED, None, "the token has ended");
        }
    }

    /// A new token on an open connection. (ACCESS-13, ACCESS-14)
    pub(super) fn auth(&mut self, now: Now, id: ConnId, token: String) -> Result<(), Failure> {
        let grant = self.config.access.grant(Some(&token), now.wall_ms);
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        let Phase::Open { granted, .. } = &mut conn.phase else { return Ok(()) };
        match grant {
            Some(grant) if grant.subject == granted.grant.subject || fault::is("access-auth-of-anyone") => {
                if fault::is("access-auth-changes-nothing") {
                    return Ok(());
                }
                *granted = Granted::new(grant, Some(token), now);
                self.regrant(id);
                self.set_alarm(now, id);
                Ok(())
            }
            _ => refuse(0, Code::UNAUTHORIZED, None, "the new token is unknown, or another subject's"),
        }
    }

    /// Judges every connection by what its token grants now. (ACCESS-4 to ACCESS-7)
    pub(super) fn recheck(&mut self, now: Now) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        // A signature is checked again only by another verifier: a new list of revocations is looked up in an instant.
        let reverify = std::mem::take(&mut self.reverify);
        for id in ids {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            let Phase::Open { granted, .. } = &mut conn.phase else { continue };
            let access = &self.config.access;
            let grant = match reverify {
                true => access.grant(granted.token.as_deref(), now.wall_ms),
                false => Some(granted.grant.clone()).filter(|grant| access.stands(grant, now.wall_ms)),
            };
            match grant {
                Some(grant) if grant.subject == granted.grant.subject => {
                    *granted = Granted::new(grant, granted.token.take(), now);
                    self.regrant(id);
                    self.set_alarm(now, id);
                }
                _ if fault::is("access-revoked-tokens-go-on") => {}
                _ => self.fail(id, Code::UNAUTHORIZED, None, "the token grants nothing any more"),
            }
        }
    }

    /// Ends the channels for which the connection's rights are not what they were. (ACCESS-5 to ACCESS-7)
    fn regrant(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        let Phase::Open { granted, .. } = &conn.phase else { return };
        let mut ended = Vec::new();
        for (number, channel) in &conn.channels {
            let Some(space) = self.spaces.get(&channel.space) else { continue };
            let right = granted.grant.rights.of(space.log.name());
            let revoked = self.config.access.revoked.replicas.contains(&channel.replica) && !fault::is("access-revoked-replicas-stay");
            if right == Right::None && fault::is("access-former-readers-stay") {
                continue;
            }
            if right == Right::None || revoked {
                ended.push((*number, Code::FORBIDDEN, "the right to this space was taken back"));
            } else if right != channel.right && !fault::is("access-rights-change-in-silence") {
                ended.push((*number, Code::RIGHTS_CHANGED, "the right to write came or went; open again"));
            }
        }
        for (number, code, text) in ended {
            self.fail_channel(id, number, code, None, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_that_of_the_name_else_of_the_longest_beginning() {
        let words = [("home", "read"), ("team-*", "write"), ("team-secret*", "none"), ("team-secret-ours", "read")];
        let rights: Rights = words.iter().map(|(name, word)| (name.to_string(), Right::from_word(word).expect("a word"))).collect();
        let cases = [
            ("home", Right::Read),
            ("home2", Right::None),
            ("team-", Right::Write),
            ("team-x", Right::Write),
            ("team-secret", Right::None),
            ("team-secret-ours", Right::Read),
            ("", Right::None),
        ];
        for (space, right) in cases {
            assert_eq!(rights.of(space), right, "{space}");
        }
        assert_eq!(Rights::to_all(Right::Read).of("any"), Right::Read);
    }

    #[test]
    fn a_token_is_never_printed() {
        let tokens = Tokens(BTreeMap::from([("hunter2".to_owned(), Grant::full("alice"))]));
        let granted = Granted::new(Grant::full("alice"), Some("hunter2".to_owned()), Now { wall_ms: 0, mono_ms: 0 });
        let printed = format!("{:?} {granted:?}", Access::new(tokens));
        assert!(printed.contains("alice") && !printed.contains("hunter2"), "SEC-2: {printed}");
    }
}
