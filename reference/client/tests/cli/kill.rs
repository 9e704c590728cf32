//! Processes that are killed at any moment: what was acknowledged stays, nothing counts twice, and all end equal.

use std::time::Duration;

use syncline::entropy::Entropy;

use crate::harness::{Replica, Running, Server};

#[test]
fn kills_at_any_moment_lose_and_double_nothing() {
    let rounds = number("SYNCLINE_KILL_ROUNDS", 10);
    let seed = number("SYNCLINE_KILL_SEED", 1);
    let mut entropy = Entropy::from_u64(seed);
    let [home, a, b] = [(); 3].map(|()| Replica::new());
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds {
        eprintln!("round {round} of seed {seed}");
        let server = Server::start(&home.path(""), &[]);
        // Short moments as often as long ones: most of what can go wrong happens in the first milliseconds.
        let mut moment = || {
            let bound_us = 1_000 << entropy.below(9);
            Duration::from_micros(entropy.below(bound_us))
        };
        for (name, replica) in [("a", &a), ("b", &b)] {
            let import =
                Running::start(replica.command(&["import", "--json", "--collection", "kill", "--id", "id", &lines(replica, name, round)]));
            let saved = import.kill_after(moment()).iter().filter(|line| line.contains("\"seq\"")).count();
            acknowledged.extend((0..saved).map(|change| format!("kill/{name}-{round}-{change}")));
        }
        let sync = |replica: &Replica| Running::start(replica.command(&["sync", "--server", &server.url]));
        let (first, second) = (sync(&a), sync(&b));
        if round % 2 == 0 {
            first.kill_after(moment());
            server.kill_after(moment());
        } else {
            server.kill_after(moment());
            first.kill_after(moment());
        }
        second.kill_after(moment());

        let server = Server::start(&home.path(""), &[]);
        let seqs = [&a, &b].map(|replica| {
            let put = replica.json(&["put", "kill/end", &format!("round={round}")]);
            put["seq"].as_u64().expect("a change has a seq")
        });
        for replica in [&a, &b, &a] {
            replica.sync(&server);
        }
        let exports = [&a, &b].map(|replica| replica.ok(&["export"]));
        assert_eq!(exports[0], exports[1], "seed {seed}, round {round}");
        for name in &acknowledged {
            let line = format!("\"id\":\"{}\"", name.trim_start_matches("kill/"));
            assert!(exports[0].contains(&line), "seed {seed}, round {round}: {name} was acknowledged and is lost");
        }
        // Every change took one position of the log, whatever was sent twice.
        let status = a.json(&["status"]);
        assert_eq!(status["in_sync"], true, "seed {seed}, round {round}: {status}");
        assert_eq!(status["position"].as_u64(), Some(seqs[0] + seqs[1]), "seed {seed}, round {round}: {status}");
        assert_eq!(status["rejected"], 0, "seed {seed}, round {round}: {status}");
    }
    assert!(!acknowledged.is_empty(), "seed {seed}: no import came to its first change");
}

/// A file of which every second line begins a new change, for it names the record `last` again.
fn lines(replica: &Replica, name: &str, round: u64) -> String {
    let text: String = (0..100)
        .map(|change| {
            format!("{{\"id\":\"last-{name}\",\"n\":\"{round}-{change}\"}}\n{{\"id\":\"{name}-{round}-{change}\",\"n\":{change}}}\n")
        })
        .collect();
    std::fs::write(replica.path("lines.ndjson"), text).expect("the folder is ours");
    "lines.ndjson".to_owned()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("the variable holds a number"))
}
