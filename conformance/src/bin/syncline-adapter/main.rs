//! The reference's adapter: the core on a memory store, driven by JSON lines (conformance/README.md, The adapter).

mod access;
mod peer;
mod shape;
mod states;
mod values;
mod vectors;

use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};

use serde_json::{Value, json};
use syncline::registry::Profiles;
use syncline::store::MemoryStore;

use peer::{Peer, Setup};

fn main() {
    #[cfg(feature = "mutants")]
    std::env::var(syncline::fault::VARIABLE).into_iter().for_each(syncline::fault::select);
    let mut adapter = Adapter::default();
    let mut out = stdout().lock();
    for line in stdin().lock().lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap_or_default();
        let reply = adapter.reply(&command);
        let lines: String =
            shape::shaped(adapter.lines.drain(..).collect()).into_iter().chain([reply]).map(|line| format!("{line}\n")).collect();
        if out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_err() || command["verb"] == "bye" {
            return;
        }
    }
}

/// What a command answers with besides `ok` and `wake`, or why it cannot.
pub type Answer = Result<Value, String>;

#[derive(Default)]
struct Adapter {
    peers: BTreeMap<String, Peer>,
    saved: BTreeMap<String, MemoryStore>,
    lines: Vec<Value>,
}

impl Adapter {
    fn reply(&mut self, command: &Value) -> Value {
        let mut reply = match self.verb(command) {
            Ok(answer) => answer,
            Err(why) => return json!({"id": command["id"], "error": why}),
        };
        reply["id"] = command["id"].clone();
        reply["ok"] = json!(true);
        reply["wake"] = json!(self.peers.values().filter_map(Peer::wake).min());
        reply
    }

    fn verb(&mut self, command: &Value) -> Answer {
        let now = command["now"].as_u64().ok_or("`now` is missing")?;
        let name = command["peer"].as_str().unwrap_or("").to_owned();
        match command["verb"].as_str().unwrap_or("") {
            "hello" => {
                Ok(json!({"version": 1, "name": "syncline", "profiles": Profiles::OFFERED.names(), "roles": ["server", "client", "peer"]}))
            }
            "bye" => Ok(json!({})),
            "vectors" => vectors::answer(command),
            "open" => {
                let peer = Peer::open(name.clone(), Setup::read(command)?, MemoryStore::default(), now)?;
                self.peers.insert(name, peer);
                Ok(json!({}))
            }
            "advance" => {
                for peer in self.peers.values_mut() {
                    peer.advance(now, &mut self.lines)?;
                }
                Ok(json!({}))
            }
            "save" => {
                let store = self.peers.get(&name).ok_or("no such peer")?.durable();
                self.saved.insert(command["name"].as_str().unwrap_or("").to_owned(), store);
                Ok(json!({}))
            }
            verb @ ("crash" | "load") => {
                let peer = self.peers.get_mut(&name).ok_or("no such peer")?;
                let saved = self.saved.get(command["name"].as_str().unwrap_or(""));
                let store = if verb == "crash" { peer.durable() } else { saved.ok_or("no such copy")?.clone() };
                peer.reopen(store, now)?;
                Ok(json!({}))
            }
            verb => {
                self.peers.get_mut(&name).ok_or(format!("no such verb or peer: {verb} {name}"))?.verb(verb, command, now, &mut self.lines)
            }
        }
    }
}
