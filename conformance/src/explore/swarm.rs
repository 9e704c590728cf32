//! What a seed stands for: who takes part, how the machines are set, what goes wrong, and every step.

use syncline::entropy::Entropy;
use syncline::registry::Profiles;
use syncline::sim::{Faults, Setup, Step, plan};

/// Rounds of phase 1. Each is one ordinary thing and perhaps some trouble, so a run has more steps than rounds.
pub const ROUNDS: u64 = 300;

/// One kind of fault: its name, its field, and its chance in a thousand for each round, where a seed takes it.
type Kind = (&'static str, fn(&mut Faults) -> &mut u64, u64);

/// The fault menu.
const MENU: &[Kind] = &[
    ("cut", |faults| &mut faults.cut, 12),
    ("cut-catch-up", |faults| &mut faults.cut_catch_up, 60),
    ("half-open", |faults| &mut faults.half_open, 8),
    ("one-way", |faults| &mut faults.one_way, 8),
    ("stall", |faults| &mut faults.stall, 12),
    ("lose", |faults| &mut faults.lose, 4),
    ("duplicate", |faults| &mut faults.duplicate, 6),
    ("reorder", |faults| &mut faults.reorder, 4),
    ("replay", |faults| &mut faults.replay, 8),
    ("batch", |faults| &mut faults.batch, 80),
    ("crash-server", |faults| &mut faults.crash_server, 5),
    ("crash-client", |faults| &mut faults.crash_client, 8),
    ("reload", |faults| &mut faults.crash_client, 300),
    ("disk", |faults| &mut faults.disk, 16),
    ("clone", |faults| &mut faults.clone, 3),
    ("restore-client", |faults| &mut faults.restore_client, 3),
    ("restore-server", |faults| &mut faults.restore_server, 3),
    ("spoil", |faults| &mut faults.spoil, 8),
    ("jump", |faults| &mut faults.jump, 30),
    ("skew", |faults| &mut faults.skew, 5),
    ("freeze", |faults| &mut faults.freeze, 4),
    ("skew-server", |faults| &mut faults.skew_server, 5),
    ("subscribe", |faults| &mut faults.subscribe, 20),
    ("rights", |faults| &mut faults.rights, 15),
    ("retain", |faults| &mut faults.retain, 8),
    ("purge", |faults| &mut faults.purge, 4),
];

/// The names of the menu.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    MENU.iter().map(|(name, ..)| *name)
}

/// Everything that makes a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// From which it was drawn.
    pub seed: u64,
    /// Who takes part, and how the machines are set.
    pub setup: Setup,
    /// What may go wrong.
    pub faults: Faults,
    /// The kinds of fault that it takes.
    pub kinds: Vec<&'static str>,
    /// Phase 1.
    pub steps: Vec<Step>,
}

/// Draws a run; of the menu, only the kinds named, where any are.
pub fn draw(seed: u64, only: &[String]) -> Run {
    let mut dice = Entropy::from_u64(seed);
    let clients = 3 + dice.below(3) as usize;
    let peers = dice.below(4) == 0;
    let served = (0..clients).map(|client| !peers || client == 0 || dice.below(2) == 0).collect();
    let mut faults = Faults { start: 10, links: if peers { 75 } else { 0 }, ..Faults::default() };
    let mut kinds = Vec::new();
    for (name, field, chance) in MENU {
        let taken = dice.below(3) == 0;
        if taken && (only.is_empty() || only.iter().any(|only| only == name)) {
            kinds.push(*name);
            let field = field(&mut faults);
            *field = (*field).max(*chance);
        }
    }
    part(&mut faults, &mut kinds, peers);
    let mut setup = Setup::small(served);
    setup.profiles = profiles(&mut dice);
    setup.part_bytes_max = [1, 512, 512, 100_000][dice.below(4) as usize];
    setup.tail_changes_max = [0, 8, 8, 1_024][dice.below(4) as usize];
    setup.credit_bytes = [1, 600, 600, 1 << 20][dice.below(4) as usize];
    setup.retention_ms = if faults.retain > 0 { 30_000 } else { 0 };
    let steps = plan(&mut dice, &faults, clients, ROUNDS);
    Run { seed, setup, faults, kinds, steps }
}

/// Faults that would explain each other away do not meet.
fn part(faults: &mut Faults, kinds: &mut Vec<&'static str>, peers: bool) {
    let mut leave = |name: &str, field: &mut u64| {
        *field = 0;
        kinds.retain(|kind| *kind != name);
    };
    // When a token ends hangs on the server's clock.
    if faults.rights > 0 {
        leave("skew-server", &mut faults.skew_server);
    }
    // Peers hold the whole space, and remember as long as the server does. (PEER-1, HORIZON-12)
    if peers {
        leave("subscribe", &mut faults.subscribe);
        leave("retain", &mut faults.retain);
        leave("spoil", &mut faults.spoil);
        leave("rights", &mut faults.rights);
    }
}

/// The profiles that everyone speaks: the rules always, for the runs write under them; of the others some.
fn profiles(dice: &mut Entropy) -> Profiles {
    let others =
        [Profiles::FLOW, Profiles::REPAIR, Profiles::ACCESS, Profiles::SIGNAL, Profiles::CONDITIONS, Profiles::COMPACT, Profiles::PACKED];
    let always = Profiles::CORE.and(Profiles::RULES).and(Profiles::SUBSCRIBE).and(Profiles::PRESENCE).and(Profiles::PEER);
    others.into_iter().fold(always, |all, one| if dice.below(4) > 0 { all.and(one) } else { all })
}
