//! What `run --watch` goes by: which files changed between two looks, and what two runs tell apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::judge::Judged;

/// Folders of caches and builds: no change of them is a change of what is judged.
const NOT_WATCHED: [&str; 4] = ["target", "node_modules", "__pycache__", "dist"];
/// Files that one look sees at most.
const FILES_MAX: usize = 20_000;
/// Checks that a delta names at most, for each direction.
const NAMED_MAX: usize = 20;

/// Files as they were at one moment: when each was written, and its length in bytes.
pub type Look = BTreeMap<PathBuf, (SystemTime, u64)>;

/// The files at these places: each place itself, or all below it. What is hidden or built is left out.
pub fn look(places: &[PathBuf]) -> Look {
    let (mut seen, mut waiting) = (Look::new(), places.to_vec());
    while let Some(path) = waiting.pop() {
        // What went away between listing and looking is not there.
        let Ok(found) = fs::metadata(&path) else { continue };
        if found.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| ours(path)));
        } else if seen.len() < FILES_MAX {
            seen.insert(path, (found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len()));
        }
    }
    seen
}

fn ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let built = path.is_dir() && NOT_WATCHED.contains(&name.as_ref());
    !built && !name.starts_with('.')
}

/// Decides when to run again.
#[derive(Debug, Default)]
pub struct Watch {
    /// As the files were when the last run began.
    judged: Look,
    /// As they were at the last look.
    last: Look,
    /// What changed in the course of the last run.
    meanwhile: BTreeSet<PathBuf>,
    /// What changes in the course of every run: the run itself writes it.
    own: BTreeSet<PathBuf>,
}

impl Watch {
    /// A run begins, of files that look so.
    pub fn begins(&mut self, now: Look) {
        self.judged = now;
    }

    /// It ended. What changed meanwhile calls for another run; what changes in each of two runs is written by them, and does not.
    pub fn ended(&mut self, now: Look) {
        let meanwhile = changed(&self.judged, &now);
        self.own.extend(meanwhile.intersection(&self.meanwhile).cloned());
        (self.meanwhile, self.last) = (meanwhile, now);
    }

    /// Whether to run: something changed since the last run began, and nothing since the look before.
    pub fn due(&mut self, now: Look) -> bool {
        let settled = self.last == now;
        self.last = now;
        settled && changed(&self.judged, &self.last).difference(&self.own).next().is_some()
    }
}

fn changed(before: &Look, after: &Look) -> BTreeSet<PathBuf> {
    before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

/// What the later of two runs tells that the earlier did not: what passes now, what fails now.
pub fn delta(before: &[Judged], after: &[Judged]) -> String {
    let was: BTreeMap<&str, &Judged> = before.iter().map(|judged| (judged.check.as_str(), judged)).collect();
    let came = |is: fn(&Judged) -> bool| {
        let new = |judged: &&Judged| is(judged) && !was.get(judged.check.as_str()).is_some_and(|was| is(was));
        after.iter().filter(new).map(|judged| judged.check.as_str()).collect::<Vec<_>>()
    };
    let told =
        named("now passing", &came(|judged| judged.verdict.passed())) + &named("now failing", &came(|judged| judged.verdict.failed()));
    if told.is_empty() { "nothing passes or fails that did not before\n".to_owned() } else { told }
}

fn named(what: &str, checks: &[&str]) -> String {
    let mut told: String = checks.iter().take(NAMED_MAX).map(|check| format!("{what}: {check}\n")).collect();
    if checks.len() > NAMED_MAX {
        told += &format!("{what}: {} more\n", checks.len() - NAMED_MAX);
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::judge::Verdict;

    /// Files with the second each was written in.
    fn files(of: &[(&str, u64)]) -> Look {
        of.iter().map(|(path, second)| (PathBuf::from(path), (SystemTime::UNIX_EPOCH + Duration::from_secs(*second), 1))).collect()
    }

    /// A run of the files as they are at first, which writes nothing.
    fn judged(of: &[(&str, u64)]) -> Watch {
        let mut watch = Watch::default();
        watch.begins(files(of));
        watch.ended(files(of));
        watch
    }

    #[test]
    fn nothing_is_due_until_a_file_changes_comes_or_goes() {
        let mut watch = judged(&[("a", 1), ("b", 1)]);
        assert!(!watch.due(files(&[("a", 1), ("b", 1)])));
        for later in [files(&[("a", 2), ("b", 1)]), files(&[("a", 1)]), files(&[("a", 1), ("b", 1), ("c", 1)])] {
            let mut watch = judged(&[("a", 1), ("b", 1)]);
            assert!(!watch.due(later.clone()), "it may still be written");
            assert!(watch.due(later));
        }
    }

    #[test]
    fn a_file_that_is_still_written_is_waited_for() {
        let mut watch = judged(&[("a", 1)]);
        assert!(![2, 3, 4].into_iter().any(|second| watch.due(files(&[("a", second)]))));
        assert!(watch.due(files(&[("a", 4)])));
    }

    #[test]
    fn what_changed_in_the_course_of_a_run_is_judged_by_the_next() {
        let mut watch = Watch::default();
        watch.begins(files(&[("a", 1)]));
        watch.ended(files(&[("a", 2)]));
        assert!(watch.due(files(&[("a", 2)])));
    }

    #[test]
    fn what_each_run_writes_calls_for_none() {
        let mut watch = Watch::default();
        for second in 1..=2 {
            watch.begins(files(&[("a", 1), ("log", second)]));
            watch.ended(files(&[("a", 1), ("log", second + 1)]));
        }
        assert!(!watch.due(files(&[("a", 1), ("log", 3)])));
        assert!(![false, true].map(|_| watch.due(files(&[("a", 1), ("log", 9)])))[1]);
        assert!([false, true].map(|_| watch.due(files(&[("a", 5), ("log", 9)])))[1]);
    }

    #[test]
    fn a_delta_names_what_turned() {
        let run =
            |verdicts: &[(&str, Verdict)]| verdicts.iter().map(|(check, verdict)| Judged::failing(check, *verdict)).collect::<Vec<_>>();
        let before = run(&[("a", Verdict::Pass), ("b", Verdict::Fail), ("c", Verdict::Fail), ("d", Verdict::NotClaimed)]);
        let after = run(&[("a", Verdict::Crash), ("b", Verdict::Pass), ("c", Verdict::Timeout), ("d", Verdict::Pass)]);
        assert_eq!(delta(&before, &after), "now passing: b\nnow passing: d\nnow failing: a\n");
        assert_eq!(delta(&after, &after), "nothing passes or fails that did not before\n");
    }

    #[test]
    fn a_look_leaves_out_what_is_hidden_or_built() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.py", ".git/x", "target/x", "inner/b.py", "__pycache__/x"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder");
            fs::write(path, "x").expect("a file");
        }
        let seen: Vec<PathBuf> = look(&[folder.path().to_owned()]).into_keys().collect();
        assert_eq!(seen, ["a.py", "inner/b.py"].map(|name| folder.path().join(name)));
    }
}
