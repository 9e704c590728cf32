//! Frozen revisions: which checks bind an implementation that claims one (README, Versions).

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::corpus::Corpus;
use crate::judge::{Judged, Verdict};
use crate::scenario::{Scenario, ScenarioError};
use crate::vectors::Vector;

/// The version of the protocol that the spec describes.
pub const SPEC_VERSION: u64 = 1;
/// Claimed where nothing else is: all checks bind, the newest too.
pub const DRAFT: &str = "draft";
/// The folder of the revisions, in a checkout.
pub const FOLDER: &str = "conformance/revisions";
const WITHDRAWN: &str = "withdrawn";

/// The checks that a revision froze: their ids, each with the digest of its content.
pub type Revision = BTreeMap<String, String>;

/// The revisions that are frozen, and the checks that were withdrawn from them.
#[derive(Debug, Clone, Default)]
pub struct Revisions {
    /// The revisions, by name.
    pub frozen: BTreeMap<String, Revision>,
    /// Check to reason.
    pub withdrawn: BTreeMap<String, String>,
}

impl Revisions {
    /// Reads the revisions, and the faults of lines that are none.
    pub fn load(corpus: &Corpus) -> (Self, Vec<ScenarioError>) {
        let (mut revisions, mut faults) = (Self::default(), Vec::new());
        for (file, text) in corpus.files(FOLDER, "txt") {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut checks = Revision::new();
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
                let fault = |fault: &str| ScenarioError { file: file.clone(), line: index + 1, fault: fault.to_owned() };
                match line.split_once(' ') {
                    None => faults.push(fault("a check and, behind a space, its digest or why it was withdrawn are needed")),
                    Some((check, rest)) => {
                        if checks.insert(check.to_owned(), rest.to_owned()).is_some() {
                            faults.push(fault("this check is there twice"));
                        }
                    }
                }
            }
            if name == WITHDRAWN {
                revisions.withdrawn = checks;
            } else {
                revisions.frozen.insert(name, checks);
            }
        }
        (revisions, faults)
    }

    /// Whether an implementation may claim this.
    pub fn knows(&self, name: &str) -> bool {
        name == DRAFT || self.frozen.contains_key(name)
    }

    /// A failure of a check that is newer than the revision claimed, or was changed since, is told and not counted.
    pub fn apply(&self, claimed: &str, digests: &BTreeMap<String, String>, judged: &mut [Judged]) {
        let Some(revision) = self.frozen.get(claimed) else { return };
        for judged in judged.iter_mut().filter(|judged| judged.verdict.accuses()) {
            let id = judged.check.split('@').next().unwrap_or_default();
            let frozen = revision.get(id);
            if frozen.is_none() || frozen != digests.get(id) {
                let since = if frozen.is_none() { "came" } else { "was changed" };
                judged.why =
                    format!("this check {since} after revision {claimed}, and would be: {}\n{}", judged.verdict.name(), judged.why);
                judged.verdict = Verdict::Newer;
            }
        }
    }
}

/// What freezes the checks of today: the text of a revision's file.
pub fn freeze(digests: &BTreeMap<String, String>) -> String {
    let mut text = "# The checks that bind who claims this revision, each with the digest of its content. Never edited.\n".to_owned();
    digests.iter().for_each(|(check, digest)| text.push_str(&format!("{check} {digest}\n")));
    text
}

/// Every check of the suite with the digest of its content; comments and spaces around steps do not count.
pub fn digests(scenarios: &[Scenario], vectors: &[Vector]) -> BTreeMap<String, String> {
    let scenarios = scenarios.iter().map(|scenario| {
        let head = format!(
            "{:?} {:?} {:?} {} {} {:?}",
            scenario.role, scenario.covers, scenario.profiles, scenario.level, scenario.sockets, scenario.tokens
        );
        let steps = scenario.steps.iter().flat_map(|step| [step.rule.clone(), step.text.clone()]);
        (scenario.id.clone(), digest(std::iter::once(head).chain(steps)))
    });
    let vectors = vectors.iter().map(|vector| {
        let (kind, rule, given) = (vector.kind.clone(), vector.rule.clone(), vector.given.clone());
        (format!("vectors/{}", vector.name), digest([kind, vector.profiles.join(" "), rule, given, format!("{:?}", vector.expected)]))
    });
    scenarios.chain(vectors).collect()
}

fn digest(parts: impl IntoIterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    crate::edn::hex(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Who claims a revision with the check `a/b` of this digest, and fails `a/b` of the digest `1`.
    fn check(frozen: &[(&str, &str)], claimed: &str, expected: Verdict) {
        let own = |(check, digest): (&str, &str)| (check.to_owned(), digest.to_owned());
        let frozen = frozen.iter().copied().map(own).collect();
        let revisions = Revisions { frozen: [("2026".to_owned(), frozen)].into(), ..Revisions::default() };
        let mut judged = [Judged::failing("a/b@L3", Verdict::Fail)];
        revisions.apply(claimed, &[own(("a/b", "1"))].into(), &mut judged);
        assert_eq!(judged[0].verdict, expected);
    }

    #[test]
    fn a_frozen_check_binds_who_claims_the_revision() {
        check(&[("a/b", "1")], "2026", Verdict::Fail);
    }

    #[test]
    fn a_later_check_fails_nobody_who_claims_an_earlier_revision() {
        check(&[("a/c", "1")], "2026", Verdict::Newer);
    }

    #[test]
    fn a_check_changed_since_fails_nobody_who_claims_an_earlier_revision() {
        check(&[("a/b", "2")], "2026", Verdict::Newer);
    }

    #[test]
    fn every_check_binds_who_claims_the_draft() {
        check(&[("a/c", "1")], DRAFT, Verdict::Fail);
    }

    #[test]
    fn a_comment_changes_no_digest_and_a_step_does() {
        let digest = |text: &str| {
            let scenario = crate::scenario::parse("a/b", Path::new("a/b.scn"), text).expect("a scenario");
            digests(&[scenario], &[])["a/b"].clone()
        };
        let first = digest("# One.\ncovers IDENT-5\nlevel L0\nrole server\n\nopen a R1\n");
        assert_eq!(digest("# Two.\ncovers IDENT-5\nlevel L0\nrole server\n# more\nopen a R1\n"), first);
        assert_ne!(digest("# One.\ncovers IDENT-5\nlevel L0\nrole server\n\nopen a R2\n"), first);
        assert_ne!(digest("# One.\ncovers IDENT-5\nlevel L1\nrole server\n\nopen a R1\n"), first);
    }
}
