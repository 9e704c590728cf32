//! What can happen in a world, as data: a run is a list of steps, and any of them may be left out.

use super::world::World;
use crate::change::RecordName;
use crate::client::Write;
use crate::server::Right;

/// One of a client's two neighbours on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Towards the server.
    Up,
    /// Towards the client.
    Down,
}

/// What a disk does at the next commit that has something to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It keeps nothing and says so: full, or broken for a moment.
    Fails,
    /// The process dies instead.
    DiesBefore,
    /// The process dies right after, before it says anything to anyone.
    DiesAfter,
}

/// One thing that happens. A step that has no meaning where it stands does nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The application writes. Besides what it wants it makes the record `own/CLIENT-NUMBER` and counts the change, so that
    /// each change can be found again.
    Write {
        /// The client.
        client: usize,
        /// Names the change in the run.
        number: u64,
        /// What it wants. Left out where the client refuses it.
        wanted: Write,
    },
    /// The application sets its presence, or takes it back.
    Present(usize, Option<Vec<u8>>),
    /// The application syncs these collections only; none: all.
    Subscribe(usize, Option<Vec<String>>),
    /// The application asks a client to connect.
    Start(usize),
    /// The next frame of a client's connection arrives.
    Deliver(usize, Way),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A client dials another.
    Wire(usize, usize),
    /// A link is cut, by its place among those that stand.
    CutWire(usize),
    /// The next frame of a link arrives at one of its two ends.
    DeliverWire(usize, usize),
    /// A connection is cut for both; what was under way is lost.
    Cut(usize),
    /// Every client that has kept parts of a catch-up under way is cut.
    CutCatchUp,
    /// A connection is gone, and only the end that frames in this way leave from knows.
    HalfOpen(usize, Way),
    /// From here on a connection loses all that is sent one way, and nobody knows.
    OneWay(usize, Way),
    /// A client reads nothing for so many milliseconds.
    Stall(usize, u64),
    /// The next frame is lost.
    Lose(usize, Way),
    /// The next frame arrives again after those under way.
    Duplicate(usize, Way),
    /// The next two frames change places.
    Reorder(usize, Way),
    /// A frame of this client's that was delivered earlier arrives again, so many before the last one.
    Replay(usize, Way, usize),
    /// The server handles so many inputs in its next transaction.
    Batch(u64),
    /// The server loses what was not committed, and starts again.
    CrashServer,
    /// A client loses what was not committed, and starts again.
    CrashClient(usize),
    /// What the server's disk does next.
    ServerDisk(Disk),
    /// What a client's disk does next.
    ClientDisk(usize, Disk),
    /// Every store is kept to be restored.
    Snapshot,
    /// A client's store becomes a copy of another's, both live.
    Clone {
        /// The client.
        client: usize,
        /// Whose store is copied.
        from: usize,
    },
    /// A client's store becomes the oldest that was kept.
    RestoreClient(usize),
    /// The server's store becomes the oldest that was kept.
    RestoreServer,
    /// A client's base comes to differ in one place.
    Spoil(usize, RecordName, Option<String>),
    /// A client's clock stands so far off, in milliseconds.
    Skew(usize, i64),
    /// A client's clock stands still, or goes again.
    Freeze(usize, bool),
    /// The server's clock stands so far off, in milliseconds.
    SkewServer(i64),
    /// What a client's token allows from here on.
    Grant(usize, Right),
    /// A client's token is taken back, or given again.
    Revoke(usize, bool),
    /// A client's token ends in so many milliseconds.
    Expire(usize, u64),
    /// A client has a token without an end.
    Renew(usize),
    /// For how long the server remembers deletions, in milliseconds; 0: for ever.
    Retain(u64),
    /// The operator purges a record.
    Purge(RecordName),
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, or had no meaning.
    Done,
    /// The client took the write.
    Written,
    /// The client refused the write, and refused it without what was wanted too.
    Refused,
    /// The client died over it: it may have been kept.
    Died,
}

impl World {
    /// Lets one thing happen.
    pub fn perform(&mut self, step: &Step) -> Outcome {
        let exists = |client: &usize| *client < self.clients();
        if !step.clients().iter().all(exists) {
            return Outcome::Done;
        }
        match step.clone() {
            Step::Write { client, number, wanted } => return self.write_marked(client, number, wanted),
            Step::Present(client, payload) => self.present(client, payload),
            Step::Subscribe(client, names) => self.subscribe(client, names.as_deref()),
            Step::Start(client) => self.start(client),
            Step::Deliver(client, way) => self.deliver(client, way == Way::Up),
            Step::Pass(ms) => self.pass(ms),
            Step::Batch(inputs) => self.batch(inputs),
            Step::Snapshot => self.snapshot(),
            Step::Spoil(client, record, field) => self.spoil(client, &record, field.as_deref()),
            Step::Retain(ms) => self.retain(ms),
            Step::Purge(record) => self.purge(&record),
            other => self.damage(other),
        }
        Outcome::Done
    }

    /// What goes wrong.
    fn damage(&mut self, step: Step) {
        match step {
            Step::Wire(a, b) => self.wire(a, b),
            Step::CutWire(at) => self.with_wire(at, Self::cut_wire),
            Step::DeliverWire(at, end) => self.with_wire(at, |world, id| _ = world.deliver_wire(id, end % 2)),
            Step::Cut(client) => self.cut(client),
            Step::CutCatchUp => self.cut_catch_up(),
            Step::HalfOpen(client, way) => self.half_open(client, way),
            Step::OneWay(client, way) => self.one_way(client, way),
            Step::Stall(client, ms) => self.stall(client, ms),
            Step::Lose(client, way) => self.lose(client, way == Way::Up),
            Step::Duplicate(client, way) => self.duplicate(client, way == Way::Up),
            Step::Reorder(client, way) => self.reorder(client, way == Way::Up),
            Step::Replay(client, way, back) => self.replay(client, way, back),
            Step::CrashServer => self.crash_server(),
            Step::CrashClient(client) => self.crash_client(client),
            Step::ServerDisk(disk) => self.disk = Some(disk),
            Step::ClientDisk(client, disk) => self.nodes[client].disk = Some(disk),
            Step::Clone { client, from } => self.clone_client(client, from),
            Step::RestoreClient(client) => self.restore_client(client),
            Step::RestoreServer => self.restore_server(),
            Step::Skew(client, ms) => self.skew(client, ms),
            Step::Freeze(client, frozen) => self.freeze(client, frozen),
            Step::SkewServer(ms) => self.skew_server(ms),
            Step::Grant(client, right) => self.with_standing(client, |standing| standing.right = right),
            Step::Revoke(client, revoked) => self.with_standing(client, |standing| standing.revoked = revoked),
            Step::Expire(client, ms) => self.expire(client, ms),
            Step::Renew(client) => self.renew(client),
            _ => {}
        }
    }
}

impl Step {
    /// The clients it is about.
    pub fn clients(&self) -> Vec<usize> {
        match self {
            Self::Write { client, .. } | Self::Present(client, _) | Self::Subscribe(client, _) | Self::Start(client) => vec![*client],
            Self::Deliver(client, _) | Self::Cut(client) | Self::HalfOpen(client, _) | Self::OneWay(client, _) => vec![*client],
            Self::Stall(client, _) | Self::Lose(client, _) | Self::Duplicate(client, _) | Self::Reorder(client, _) => vec![*client],
            Self::Replay(client, ..) | Self::CrashClient(client) | Self::ClientDisk(client, _) => vec![*client],
            Self::RestoreClient(client) | Self::Spoil(client, ..) | Self::Skew(client, _) | Self::Freeze(client, _) => vec![*client],
            Self::Grant(client, _) | Self::Revoke(client, _) | Self::Expire(client, _) | Self::Renew(client) => vec![*client],
            Self::Clone { client: a, from: b } | Self::Wire(a, b) => vec![*a, *b],
            _ => Vec::new(),
        }
    }
}
