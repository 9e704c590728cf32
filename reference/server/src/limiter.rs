//! What one client may take up: connections by address and by subject, and how fast it may send. Spec 10.
//!
//! | bound | who keeps it | what comes of more |
//! |---|---|---|
//! | connections of an address, connections before `hello` | `Arrivals`, where connections are accepted | closed before a byte is read |
//! | connections of a subject, frames and bytes per second | `Limiter`, in the engine | ended with `busy` and when to come back |

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use syncline::limits;
use syncline::server::ConnId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections served at a time, handshakes included.
const CONNECTIONS_MAX: usize = 10_000;
/// Connections that may wait for their `welcome` at a time, where the operator sets nothing.
const BEFORE_HELLO: u32 = 5_000;
/// For how many seconds a client that was quiet may send at once.
const BURST_SECONDS: u64 = 10;
/// Who is over the number of its connections is told to come back after this.
const CONNECTIONS_WAIT_MS: u64 = 5_000;
/// Buckets of subjects that are kept beside those of connected ones, until the full ones are dropped.
const IDLE_BUCKETS_MAX: usize = 1_024;

/// What an operator sets; none: no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// Connections of one IPv4 address or one IPv6 network of 64 bits.
    pub connections_per_address: Option<u32>,
    /// Connections that were not welcomed yet, of all addresses together; none: 5,000.
    pub connections_before_hello: Option<u32>,
    /// Connections of one subject, where there are tokens.
    pub connections_per_subject: Option<u32>,
    /// Frames that a subject's connections may send together; without tokens, those of each connection.
    pub frames_per_second: Option<u32>,
    /// The same, in bytes.
    pub bytes_per_second: Option<u32>,
}

impl ClientLimits {
    /// Whether each bound lets something through.
    ///
    /// # Errors
    /// Which key is 0.
    pub(crate) fn check(&self) -> Result<(), String> {
        let keys = [
            (Bound::Address, self.connections_per_address),
            (Bound::BeforeHello, self.connections_before_hello),
            (Bound::Subject, self.connections_per_subject),
            (Bound::Frames, self.frames_per_second),
            (Bound::Bytes, self.bytes_per_second),
        ];
        match keys.iter().find(|(_, value)| *value == Some(0)) {
            Some((bound, _)) => Err(format!("limits.{}: found 0; allowed is 1 or more, or no such key", bound.name())),
            None => Ok(()),
        }
    }
}

/// A bound that a client met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    All,
    Address,
    BeforeHello,
    Subject,
    Frames,
    Bytes,
}

impl Bound {
    /// The key that sets it, as the log and the metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::Address => "connections_per_address",
            Self::BeforeHello => "connections_before_hello",
            Self::Subject => "connections_per_subject",
            Self::Frames => "frames_per_second",
            Self::Bytes => "bytes_per_second",
        }
    }
}

/// Counts connections from when they are accepted.
#[derive(Clone)]
pub(crate) struct Arrivals {
    seats: Arc<Semaphore>,
    greetings: Arc<Semaphore>,
    per_address: Option<u32>,
    addresses: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

/// The place of one connection, given back when it is dropped.
pub(crate) struct Visit {
    _seat: OwnedSemaphorePermit,
    greeting: Mutex<Option<OwnedSemaphorePermit>>,
    address: IpAddr,
    addresses: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

impl Arrivals {
    pub fn new(limits: &ClientLimits) -> Self {
        let greetings = limits.connections_before_hello.unwrap_or(BEFORE_HELLO);
        Self {
            seats: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            greetings: Arc::new(Semaphore::new((greetings as usize).min(CONNECTIONS_MAX))),
            per_address: limits.connections_per_address,
            addresses: Arc::default(),
        }
    }

    /// The same without a bound on addresses: of connections that another server passed on, which counted them.
    pub fn passed_on(limits: &ClientLimits) -> Self {
        Self { per_address: None, ..Self::new(limits) }
    }

    /// A place for a connection of this address, or the bound that it met.
    pub fn admit(&self, address: IpAddr) -> Result<Visit, Bound> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| Bound::All)?;
        let greeting = Arc::clone(&self.greetings).try_acquire_owned().map_err(|_| Bound::BeforeHello)?;
        let address = network(address);
        let mut open = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        if self.per_address.is_some_and(|max| count >= max) {
            return Err(Bound::Address);
        }
        open.insert(address, count + 1);
        Ok(Visit { _seat: seat, greeting: Mutex::new(Some(greeting)), address, addresses: Arc::clone(&self.addresses) })
    }
}

impl Visit {
    /// The connection was welcomed: it does not count as one that is still to say who it is.
    pub fn greeted(&self) {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.address)),
        }
    }
}

/// What counts as one address: who has one of IPv6 has its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

/// What fills at a steady rate and is drawn from. Amounts are thousandths, so that a millisecond adds a whole number.
#[derive(Debug, Clone)]
struct Bucket {
    per_second: u64,
    full: u64,
    held: u64,
    filled_ms: u64,
}

impl Bucket {
    fn new(per_second: u32, burst_min: u64, now_ms: u64) -> Self {
        let per_second = u64::from(per_second);
        let full = 1_000 * (per_second * BURST_SECONDS).max(burst_min);
        Self { per_second, full, held: full, filled_ms: now_ms }
    }

    fn fill(&mut self, now_ms: u64) {
        let ms = now_ms.saturating_sub(self.filled_ms);
        self.held = self.held.saturating_add(ms.saturating_mul(self.per_second)).min(self.full);
        self.filled_ms = self.filled_ms.max(now_ms);
    }

    /// Draws the amount, or says in how many milliseconds half of the bucket and the amount are there.
    fn draw(&mut self, amount: u64, now_ms: u64) -> Result<(), u64> {
        self.fill(now_ms);
        let asked = 1_000 * amount;
        if let Some(left) = self.held.checked_sub(asked) {
            self.held = left;
            return Ok(());
        }
        let wanted = asked.max(self.full / 2).min(self.full);
        Err((wanted - self.held).div_ceil(self.per_second).max(1))
    }
}

/// The buckets of one client.
#[derive(Debug, Clone)]
struct Rates {
    frames: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Rates {
    fn is_full(&mut self, now_ms: u64) -> bool {
        [&mut self.frames, &mut self.bytes].into_iter().flatten().all(|bucket| {
            bucket.fill(now_ms);
            bucket.held == bucket.full
        })
    }
}

/// Who draws from a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    /// Of no known subject.
    Connection(ConnId),
    Subject(String),
}

/// A client is over a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    pub bound: Bound,
    /// Milliseconds after which it may come back.
    pub wait_ms: u64,
}

/// Counts what welcomed clients take up. Time is an argument.
pub(crate) struct Limiter {
    limits: ClientLimits,
    subjects: BTreeMap<ConnId, String>,
    connections: BTreeMap<String, u32>,
    rates: BTreeMap<Client, Rates>,
}

impl Limiter {
    pub fn new(limits: ClientLimits) -> Self {
        Self { limits, subjects: BTreeMap::new(), connections: BTreeMap::new(), rates: BTreeMap::new() }
    }

    /// A frame of so many bytes arrived.
    ///
    /// # Errors
    /// The client sends faster than it may.
    pub fn frame(&mut self, id: ConnId, bytes: usize, now_ms: u64) -> Result<(), Over> {
        if self.limits.frames_per_second.is_none() && self.limits.bytes_per_second.is_none() {
            return Ok(());
        }
        let client = self.subjects.get(&id).map_or(Client::Connection(id), |subject| Client::Subject(subject.clone()));
        let limits = &self.limits;
        let rates = self.rates.entry(client).or_insert_with(|| Rates {
            frames: limits.frames_per_second.map(|per_second| Bucket::new(per_second, 1, now_ms)),
            // LIMIT-1: the longest frame must have room.
            bytes: limits.bytes_per_second.map(|per_second| Bucket::new(per_second, limits::FRAME_BYTES_MAX as u64, now_ms)),
        });
        let draw = |bucket: &mut Option<Bucket>, amount, bound| match bucket {
            Some(bucket) => bucket.draw(amount, now_ms).map_err(|wait_ms| Over { bound, wait_ms }),
            None => Ok(()),
        };
        draw(&mut rates.frames, 1, Bound::Frames)?;
        draw(&mut rates.bytes, bytes as u64, Bound::Bytes)
    }

    /// The connection was welcomed as this subject; an empty one is nobody's.
    ///
    /// # Errors
    /// The subject has as many connections as it may.
    pub fn welcomed(&mut self, id: ConnId, subject: &str, now_ms: u64) -> Result<(), Over> {
        if subject.is_empty() || self.subjects.contains_key(&id) {
            return Ok(());
        }
        let count = self.connections.entry(subject.to_owned()).or_default();
        if self.limits.connections_per_subject.is_some_and(|max| *count >= max) {
            return Err(Over { bound: Bound::Subject, wait_ms: CONNECTIONS_WAIT_MS });
        }
        *count += 1;
        self.subjects.insert(id, subject.to_owned());
        self.rates.remove(&Client::Connection(id));
        self.sweep(now_ms);
        Ok(())
    }

    /// The connection is gone. What its subject drew stays drawn, or coming back would fill the bucket.
    pub fn hung_up(&mut self, id: ConnId) {
        self.rates.remove(&Client::Connection(id));
        let Some(subject) = self.subjects.remove(&id) else { return };
        match self.connections.get_mut(&subject) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.connections.remove(&subject)),
        }
    }

    /// Forgets buckets that are full: new ones are, too.
    fn sweep(&mut self, now_ms: u64) {
        if self.rates.len() > 2 * self.subjects.len() + IDLE_BUCKETS_MAX {
            self.rates.retain(|_, rates| !rates.is_full(now_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(limits: ClientLimits) -> Limiter {
        Limiter::new(limits)
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_with_time() {
        let mut bucket = Bucket::new(2, 1, 1_000);
        assert!((0..20).all(|_| bucket.draw(1, 1_000).is_ok()), "ten seconds' worth at once");
        assert_eq!(bucket.draw(1, 1_000), Err(5_000), "until half of it is there");
        assert_eq!(bucket.draw(1, 1_500), Ok(()));
        assert_eq!(bucket.draw(1, 900), Err(5_000), "a clock that steps back fills nothing");
        assert!((0..20).all(|_| bucket.draw(1, 100_000).is_ok()));
        assert!(bucket.draw(1, 100_000).is_err(), "it holds no more than it can");
    }

    #[test]
    fn the_longest_frame_has_room_at_any_rate() {
        let mut limiter = limiter(ClientLimits { bytes_per_second: Some(1), ..ClientLimits::default() });
        assert_eq!(limiter.frame(ConnId(1), limits::FRAME_BYTES_MAX, 0), Ok(()));
        let over = limiter.frame(ConnId(1), 1, 0).expect_err("it is empty");
        assert_eq!(over.bound, Bound::Bytes);
        assert_eq!(limiter.frame(ConnId(1), 1, over.wait_ms), Ok(()), "who waits as told is let in");
    }

    #[test]
    fn a_subject_shares_one_bucket_and_keeps_it_when_it_comes_back() {
        let mut limiter = limiter(ClientLimits { frames_per_second: Some(1), ..ClientLimits::default() });
        for id in [1, 2] {
            limiter.welcomed(ConnId(id), "alice", 0).expect("no bound on connections");
        }
        assert!((0..10).all(|i| limiter.frame(ConnId(1 + i % 2), 9, 0).is_ok()));
        limiter.hung_up(ConnId(1));
        limiter.welcomed(ConnId(3), "alice", 0).expect("no bound on connections");
        for id in [2, 3] {
            assert_eq!(limiter.frame(ConnId(id), 9, 0), Err(Over { bound: Bound::Frames, wait_ms: 5_000 }));
        }
        limiter.welcomed(ConnId(4), "bob", 0).expect("no bound on connections");
        assert_eq!(limiter.frame(ConnId(4), 9, 0), Ok(()), "others are not held up");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut limiter = limiter(ClientLimits { frames_per_second: Some(1), ..ClientLimits::default() });
        for i in 0..5_000 {
            let (id, now_ms) = (ConnId(i), i * 1_000);
            limiter.welcomed(id, &format!("subject {i}"), now_ms).expect("no bound on connections");
            limiter.frame(id, 9, now_ms).expect("its first");
            limiter.hung_up(id);
        }
        assert!(limiter.rates.len() <= IDLE_BUCKETS_MAX + 1, "{}", limiter.rates.len());
        assert!(limiter.connections.is_empty() && limiter.subjects.is_empty());
    }

    #[test]
    fn a_subject_has_so_many_connections_and_no_more() {
        let mut limiter = limiter(ClientLimits { connections_per_subject: Some(1), ..ClientLimits::default() });
        assert_eq!(limiter.welcomed(ConnId(1), "alice", 0), Ok(()));
        assert_eq!(limiter.welcomed(ConnId(1), "alice", 0), Ok(()), "the same again");
        assert_eq!(limiter.welcomed(ConnId(2), "alice", 0), Err(Over { bound: Bound::Subject, wait_ms: 5_000 }));
        limiter.hung_up(ConnId(2));
        assert!(limiter.welcomed(ConnId(3), "alice", 0).is_err(), "who was refused gives nothing back");
        limiter.hung_up(ConnId(1));
        assert_eq!(limiter.welcomed(ConnId(4), "alice", 0), Ok(()));
        assert_eq!([limiter.welcomed(ConnId(5), "", 0), limiter.welcomed(ConnId(6), "", 0)], [Ok(()); 2], "nobody is not somebody");
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let limits = ClientLimits { connections_per_address: Some(1), connections_before_hello: Some(2), ..ClientLimits::default() };
        let arrivals = Arrivals::new(&limits);
        let admit = |address: &str| arrivals.admit(address.parse().expect("an address"));
        let first = admit("10.0.0.1").expect("the first");
        assert_eq!(admit("10.0.0.1").err(), Some(Bound::Address));
        assert_eq!(admit("::ffff:10.0.0.1").err(), Some(Bound::Address), "the same, written otherwise");
        let second = admit("2001:db8::1").expect("another");
        second.greeted();
        assert_eq!(admit("2001:db8::2").err(), Some(Bound::Address), "the same network");
        let third = admit("2001:db8:0:1::1").expect("another network");
        assert_eq!(admit("10.0.0.9").err(), Some(Bound::BeforeHello));
        drop(first);
        admit("10.0.0.1").expect("there is room again");
        drop((second, third));
        assert!(arrivals.addresses.lock().expect("nobody failed").is_empty(), "nothing is kept of who is gone");
    }
}
