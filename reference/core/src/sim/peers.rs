//! Worlds in which clients are linked with each other: with a server that some of them reach, and without one.

use super::world::{Node, World};
use super::{Faults, Ledger, REST_MS, ROUNDS, Report, Setup, Violation, plan};
use crate::entropy::Entropy;

/// Who reaches a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathering {
    /// Nobody: there is none.
    Serverless,
    /// One client at least and not all; who does changes.
    Mixed,
}

/// Milliseconds after which linked clients that still differ are at fault.
const EVEN_MS: u64 = 10 * 60 * 1_000;

/// Runs one seed with links between the clients.
///
/// # Errors
/// Where linked clients do not come to show the same, or a change is lost or applied twice.
pub fn run_peers(seed: u64, faults: &Faults, gathering: Gathering) -> Result<Report, Violation> {
    let mut dice = Entropy::from_u64(seed ^ 0x7065_6572);
    let clients = 2 + dice.below(4) as usize;
    let served = |dice: &mut Entropy| gathering == Gathering::Mixed && dice.below(2) == 0;
    let reach: Vec<bool> = (0..clients).map(|client| served(&mut dice) || client == 0 && gathering == Gathering::Mixed).collect();
    let mut world = World::new(seed, Setup::small(reach));
    let mut ledger = Ledger::default();
    for step in plan(&mut dice, &Faults { links: 75, ..faults.clone() }, clients, ROUNDS) {
        ledger.perform(&mut world, &step);
    }
    world.heal();
    let violation = |what: String| Violation { seed, what };
    if faults.restore_server > 0 {
        // What a restored server lost of one client's base, another may stand on: the server itself sets that right.
        (0..clients).for_each(|client| world.serve_client(client));
    }
    world.even(EVEN_MS).map_err(|what| violation(format!("linked clients differ: {what}: {}", world.standing())))?;
    if gathering == Gathering::Serverless {
        ledger.check_shown(&world, faults).map_err(violation)?;
        return Ok(Report::of(&world, ledger.own.len() as u64));
    }
    (0..clients).for_each(|client| world.serve_client(client));
    if !world.rest(REST_MS) {
        return Err(violation(format!("not in sync after {REST_MS} ms: {}", world.standing())));
    }
    world.check_equal().map_err(violation)?;
    ledger.check(&world, faults).map_err(violation)?;
    Ok(Report::of(&world, ledger.own.len() as u64))
}

impl World {
    /// From now on the client reaches the server.
    pub fn serve_client(&mut self, client: usize) {
        self.nodes[client].served = true;
        self.start(client);
    }

    /// Links all in a row and lets everything happen until all show the same.
    pub fn even(&mut self, limit_ms: u64) -> Result<(), String> {
        let mut left_ms = limit_ms;
        loop {
            for client in 1..self.clients() {
                self.wire(client - 1, client);
            }
            self.settle_wires();
            self.settle_server();
            let Err(what) = self.check_even() else { return Ok(()) };
            if left_ms == 0 {
                return Err(what);
            }
            if left_ms == limit_ms / 2 {
                self.meet_server();
            }
            let step_ms = left_ms.min(500);
            left_ms -= step_ms;
            self.pass(step_ms);
        }
    }

    /// A client whose base stands in a history that nobody here went on from gets a base from the server only. (PEER-8)
    fn meet_server(&mut self) {
        let history = |node: &Node| node.client.status(&node.store).ok().and_then(|status| Some(status.cursor?.history));
        let known = self.nodes.iter().filter(|node| node.served).find_map(history);
        let apart = |node: &Node| history(node).is_some() && history(node) != known;
        let lost: Vec<usize> = (0..self.clients()).filter(|client| known.is_some() && apart(&self.nodes[*client])).collect();
        lost.into_iter().for_each(|client| self.serve_client(client));
    }

    /// Everyone shows the same, and nobody who reaches the server waits for it.
    fn check_even(&self) -> Result<(), String> {
        let mut first = None;
        for (at, node) in self.nodes.iter().enumerate() {
            let seen = node.client.records(&node.store, None).map_err(|error| error.to_string())?;
            let status = node.client.status(&node.store).map_err(|error| error.to_string())?;
            if node.served && !status.in_sync {
                return Err(format!("client {at} is not in sync"));
            }
            match &first {
                None => first = Some(seen),
                Some(other) if *other != seen => {
                    let here = seen.iter().filter(|record| !other.contains(record)).collect::<Vec<_>>();
                    let there = other.iter().filter(|record| !seen.contains(record)).collect::<Vec<_>>();
                    return Err(format!("client {at} shows {here:?}, client 0 {there:?}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Ledger {
    /// Every write shows, where there is no server that could reject it.
    fn check_shown(&self, world: &World, faults: &Faults) -> Result<(), String> {
        let node = &world.nodes[0];
        let shown = node.client.records(&node.store, Some("own")).map_err(|error| error.to_string())?;
        for record in &self.own {
            if !faults.loses_changes() && !shown.iter().any(|(name, _)| name == record) {
                return Err(format!("{record:?} was lost"));
            }
        }
        Ok(())
    }
}
