//! What is wrong with an adapter whatever it implements, and what to implement next.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use serde_json::{Value, json};

use crate::adapter::Adapter;
use crate::checks::Rulebook;
use crate::config::{AdapterProgram, Config};
use crate::judge::{Judged, Selection, Suite, Verdict, run};
use crate::trouble::Trouble;
use crate::vectors::Vector;
use crate::world::START_MS;

const ROLES: [&str; 3] = ["server", "client", "peer"];
/// The ids of commands that are given before the first of them is answered.
const AT_ONCE: [u64; 3] = [1_000_000, 1_000_001, 1_000_002];
/// The kinds in the order that costs least, as the guide for implementers has it; others come after them.
const FIRST_KINDS: [&str; 8] = ["value", "frame", "merge", "join", "clock", "admit", "link", "fingerprint"];

/// One thing that was looked at.
type Look = (&'static str, fn(&mut Adapter, &[String]) -> Result<(), Trouble>);

const LOOKS: [Look; 5] = [
    ("it names profiles and roles of the spec", names),
    ("it claims nothing that is put into its mouth", parrot),
    ("it refuses what does not exist", unknown),
    ("it answers in the order of the commands", order),
    ("it lives on after a line that is no command", garbage),
];

/// Examines an adapter: what held, told one by one, and then the first thing that did not.
///
/// # Errors
/// What is wrong with it; `Start` where it does not start or greet.
pub fn examine(program: &AdapterProgram, profiles: &[String], tell: &mut dyn FnMut(&str)) -> Result<Vec<String>, Trouble> {
    let mut adapter = Adapter::start(program, START_MS)?;
    tell(&format!("it starts and greets as {:?}", adapter.hello.name));
    for (what, look) in LOOKS {
        look(&mut adapter, profiles)?;
        adapter.unasked()?;
        if !adapter.take().is_empty() {
            return Err(Trouble::Adapter("it wrote outputs though no peer was opened".to_owned()));
        }
        tell(what);
    }
    Ok(adapter.hello.roles.clone())
}

fn names(adapter: &mut Adapter, profiles: &[String]) -> Result<(), Trouble> {
    let known = |name: &String| profiles.contains(name);
    if let Some(name) = adapter.hello.profiles.iter().find(|name| !known(name)) {
        return Err(Trouble::Adapter(format!("hello names the profile {name}; the spec has {}", profiles.join(", "))));
    }
    match adapter.hello.roles.iter().find(|role| !ROLES.contains(&role.as_str())) {
        Some(role) => Err(Trouble::Adapter(format!("hello names the role {role}; the roles are {}", ROLES.join(", ")))),
        None => Ok(()),
    }
}

fn parrot(adapter: &mut Adapter, _: &[String]) -> Result<(), Trouble> {
    let word = made_up();
    let reply = adapter.call("hello", json!({"version": crate::adapter::PROTOCOL, "profiles": [word], "roles": [word]}))?;
    let claims = |name: &str| reply.get(name).and_then(Value::as_array).is_some_and(|listed| listed.contains(&json!(word)));
    if claims("profiles") || claims("roles") {
        return Err(Trouble::Adapter(format!("asked with the made-up profile and role {word}, it claims them")));
    }
    Ok(())
}

fn unknown(adapter: &mut Adapter, _: &[String]) -> Result<(), Trouble> {
    let (verb, kind) = (made_up(), made_up());
    match adapter.call(&verb, json!({})) {
        Err(Trouble::Refused(_)) => {}
        Err(trouble) => return Err(trouble),
        Ok(_) => return Err(Trouble::Adapter(format!("it replied ok to the made-up verb {verb}; an \"error\" is what belongs there"))),
    }
    let reply = adapter.call("vectors", json!({"kind": kind, "hex": "00"}));
    match reply.map(|reply| reply.get("error").and_then(Value::as_str) == Some("unknown-kind")) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Trouble::Adapter(format!("it answered a vector of the made-up kind {kind}; \"unknown-kind\" is what belongs there")))
        }
        Err(trouble) => Err(trouble),
    }
}

fn order(adapter: &mut Adapter, _: &[String]) -> Result<(), Trouble> {
    let verb = made_up();
    adapter.send(&AT_ONCE, &verb, &json!({}));
    AT_ONCE.into_iter().try_for_each(|id| refused(adapter, Some(id), &verb))
}

fn garbage(adapter: &mut Adapter, _: &[String]) -> Result<(), Trouble> {
    adapter.send_line("no JSON");
    refused(adapter, None, "the line `no JSON`")?;
    unknown(adapter, &[])
}

fn refused(adapter: &mut Adapter, id: Option<u64>, verb: &str) -> Result<(), Trouble> {
    match adapter.answer(id, verb) {
        Err(Trouble::Refused(_)) => Ok(()),
        Err(trouble) => Err(trouble),
        Ok(_) => Err(Trouble::Adapter(format!("it replied ok to {verb}; an \"error\" is what belongs there"))),
    }
}

/// A word that no adapter can know.
fn made_up() -> String {
    format!("made-up-{:016x}", RandomState::new().hash_one(0))
}

/// What of one kind of vectors was judged.
struct Kind<'a> {
    name: &'a str,
    judged: Vec<&'a Judged>,
}

impl Kind<'_> {
    fn count(&self, is: fn(Verdict) -> bool) -> usize {
        self.judged.iter().filter(|judged| is(judged.verdict)).count()
    }
}

/// Judges an examined adapter's vectors; gives a line for each kind, and what to do next.
pub fn lead(suite: &Suite, config: &Config, rulebook: &Rulebook, roles: &[String], again: &str) -> (Vec<String>, String) {
    let selection = Selection { filter: "vectors/", level: 3, seed: 0, traces: None };
    let judged = run(suite, config, rulebook, &selection);
    let kinds: Vec<Kind> = kinds(&suite.vectors).into_iter().map(|name| Kind { name, judged: of_kind(suite, &judged, name) }).collect();
    let line = |kind: &Kind| {
        let (passed, failed) = (kind.count(Verdict::passed), kind.count(Verdict::failed));
        format!("vectors of the kind {}: {passed} passed, {failed} failed, {} skipped", kind.name, kind.count(Verdict::skipped))
    };
    let lines = kinds.iter().map(line).collect();
    let undone = kinds.iter().find(|kind| kind.count(Verdict::failed) > 0 || kind.count(Verdict::passed) == 0);
    if let Some(kind) = undone {
        let failed = kind.judged.iter().find(|judged| judged.verdict.failed());
        let answer = || format!("answer the vectors of the kind {} (conformance/vectors/README.md)", kind.name);
        return (lines, failed.map_or_else(answer, |failed| format!("repair {}: {again} --filter {}", failed.check, failed.check)));
    }
    let next = match roles {
        [] => format!("play a role: name `client` or `server` in hello, answer `open`, `connect`, `frame` and `advance`, then {again}"),
        _ => format!("{again}, which plays the stories of the role {}", roles.join(", ")),
    };
    (lines, next)
}

/// The kinds, those to begin with first.
fn kinds(vectors: &[Vector]) -> Vec<&str> {
    let others: BTreeSet<&str> = vectors.iter().map(|vector| vector.kind.as_str()).filter(|kind| !FIRST_KINDS.contains(kind)).collect();
    FIRST_KINDS.into_iter().chain(others).collect()
}

fn of_kind<'a>(suite: &Suite, judged: &'a [Judged], kind: &str) -> Vec<&'a Judged> {
    let named: BTreeSet<String> =
        suite.vectors.iter().filter(|vector| vector.kind == kind).map(|vector| format!("vectors/{}", vector.name)).collect();
    judged.iter().filter(|judged| named.contains(&judged.check)).collect()
}
