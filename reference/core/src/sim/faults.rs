//! What may go wrong in a world, and how often.

/// What may go wrong, and how often: chances in a thousand for each step.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A connection is cut; what was under way is lost.
    pub cut: u64,
    /// A connection is cut after a part of a catch-up, with more to come.
    pub cut_catch_up: u64,
    /// A client reads nothing for up to a minute.
    pub stall: u64,
    /// A frame is lost without the connection noticing.
    pub lose: u64,
    /// A frame arrives twice.
    pub duplicate: u64,
    /// Two frames change places.
    pub reorder: u64,
    /// The server loses what was not committed, and starts again.
    pub crash_server: u64,
    /// A client loses what was not committed, and starts again.
    pub crash_client: u64,
    /// A client's clock jumps by up to two hours.
    pub skew: u64,
    /// A client syncs other collections from now on.
    pub subscribe: u64,
    /// A client's store becomes a copy of another's, both live.
    pub clone: u64,
    /// A client's store becomes what it was some time ago.
    pub restore_client: u64,
    /// The server's store becomes what it was some time ago.
    pub restore_server: u64,
    /// A client's base comes to differ in one place.
    pub spoil: u64,
    /// A long time passes, up to two minutes.
    pub jump: u64,
    /// For how long the server remembers deletions, in milliseconds; 0: for ever.
    pub retention_ms: u64,
    /// A connection is gone, and one end does not know.
    pub half_open: u64,
    /// A connection carries nothing more in one direction, and nobody knows.
    pub one_way: u64,
    /// A frame that arrived long ago arrives again.
    pub replay: u64,
    /// Several inputs share a transaction of the server.
    pub batch: u64,
    /// A disk fails at the next commit, or the process dies before or after it.
    pub disk: u64,
    /// A client's clock stands still, or goes again.
    pub freeze: u64,
    /// The server's clock jumps by up to ten minutes.
    pub skew_server: u64,
    /// A token is taken back, ends, or allows something else.
    pub rights: u64,
    /// The server remembers deletions for another time.
    pub retain: u64,
    /// The operator purges a record.
    pub purge: u64,
    /// The application asks to connect again.
    pub start: u64,
    /// A client dials another.
    pub links: u64,
}

impl Faults {
    /// What networks, processes and clocks do. A transport is ordered and reliable: what it loses, it loses by a cut.
    pub fn common() -> Self {
        Self { cut: 12, duplicate: 4, crash_server: 3, crash_client: 5, skew: 3, ..Self::default() }
    }

    /// The common faults, readers that stall, and catch-ups that are cut where they are.
    pub fn slow_readers() -> Self {
        Self { cut_catch_up: 150, stall: 12, ..Self::common() }
    }

    /// The common faults over a transport that breaks its word. A rejection that it loses can pass for an acceptance,
    /// so a change may go; the states become equal all the same.
    pub fn broken_transport() -> Self {
        Self { lose: 4, reorder: 4, ..Self::common() }
    }

    /// The common faults, catch-ups that are cut, and clients that change what they subscribe at any moment.
    pub fn subscribers() -> Self {
        Self { subscribe: 25, cut_catch_up: 20, stall: 5, ..Self::common() }
    }

    /// The common faults, and clients that are cloned and restored.
    pub fn identity() -> Self {
        Self { clone: 2, restore_client: 2, ..Self::common() }
    }

    /// All faults, with a server that forgets what it had acknowledged.
    pub fn forgetful() -> Self {
        Self { restore_server: 2, ..Self::identity() }
    }

    /// The common faults, and a server that forgets deletions while readers come, go and lag.
    pub fn short_memory() -> Self {
        Self { jump: 40, retention_ms: 30_000, ..Self::common() }
    }

    /// The common faults, and bases that come to differ.
    pub fn spoilt() -> Self {
        Self { spoil: 8, ..Self::common() }
    }

    /// Whether a store may go that held the only copy of a change.
    pub fn loses_changes(&self) -> bool {
        self.clone + self.restore_client + self.restore_server + self.lose + self.reorder > 0
    }

    /// Whether what an application saw rejected may stand in the log after all.
    pub fn loses_verdicts(&self) -> bool {
        // Of two copies of one store, one may set aside behind the horizon what the other brought home. (HORIZON-12)
        let behind = self.retain > 0 && self.clone + self.restore_client > 0;
        self.restore_server > 0 || behind
    }
}
