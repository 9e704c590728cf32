//! What an operator measures, in the text form that Prometheus reads.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use syncline::registry::Code;
use syncline::server::{Counts, Standing};

use crate::limiter::Bound;

/// Bytes of a page of memory, as the system counts them.
const PAGE_BYTES: i64 = 4_096;

/// What is measured where it happens: times from 50 µs in steps of two to 1.6 s, and refusals.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    /// A commit that had something to write, until it was on disk.
    pub commit: Histogram,
    /// What the commit led to, until every connection that could take it had it.
    pub fan_out: Histogram,
    /// Clients that were refused for the operator's limits.
    pub limited: Limited,
}

/// Refusals, by the bound that was met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limited(Family<Vec<(String, String)>, Counter>);

impl Limited {
    /// Counts one.
    pub fn count(&self, bound: Bound) {
        self.0.get_or_create(&vec![("limit".to_owned(), bound.name().to_owned())]).inc();
    }
}

impl Default for Times {
    fn default() -> Self {
        let new = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        Self { commit: new(), fan_out: new(), limited: Limited::default() }
    }
}

/// Adds a duration.
pub(crate) fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}

/// The engine at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// Connections that it serves.
    pub connections: u64,
    /// Connections since the start.
    pub connected: u64,
    /// Whether the server stops.
    pub draining: bool,
    pub counts: Counts,
    pub spaces: Vec<Standing>,
}

/// The moment as a page of metrics.
pub(crate) fn page(moment: &Moment, times: &Times) -> String {
    let mut all = Registry::with_prefix("syncline");
    gauge(&mut all, "connections", "Connections that are open", moment.connections);
    counter(&mut all, "accepted_connections", "Connections since the start", moment.connected);
    by_code(&mut all, "changes", "Changes that got a durable verdict, by verdict", &moment.counts.verdicts);
    by_code(&mut all, "refusals", "Errors that ended a channel or a connection, by code", &moment.counts.errors);
    counter(&mut all, "catch_ups", "Catch-ups by states that were sent to their end", moment.counts.catch_ups);
    let comparisons = "Questions of clients whose records have another fingerprint than the server's";
    counter(&mut all, "fingerprint_mismatches", comparisons, moment.counts.comparisons);
    let lag = moment.spaces.iter().map(|space| space.lag).max().unwrap_or(0);
    gauge(&mut all, "lag_positions", "Positions that the reader furthest behind was not sent yet", lag);
    gauge(&mut all, "spaces", "Spaces opened since the start", moment.spaces.len() as u64);
    gauge(&mut all, "channels", "Channels that are open", moment.spaces.iter().map(|space| space.readers).sum());
    all.register("commit_seconds", "Commits, until they were on disk", times.commit.clone());
    all.register("fan_out_seconds", "What a commit led to, until it was handed to all connections", times.fan_out.clone());
    all.register("limited_clients", "Connections and frames refused for the operator's limits, by limit", times.limited.0.clone());
    if let Some(bytes) = memory_bytes() {
        gauge(&mut all, "resident_memory_bytes", "Memory that the process holds", bytes);
    }
    let mut text = String::new();
    // A text takes whatever is written to it.
    let _ = encode(&mut text, &all);
    text
}

fn gauge(all: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    all.register(name, help, gauge);
}

fn counter(all: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    all.register(name, help, counter);
}

fn by_code(all: &mut Registry, name: &str, help: &str, counts: &BTreeMap<u64, u64>) {
    let family = Family::<Vec<(String, String)>, Counter>::default();
    for (code, count) in counts {
        let code = if *code == 0 { "accepted" } else { Code(*code).name() };
        family.get_or_create(&vec![("code".to_owned(), code.to_owned())]).inc_by(*count);
    }
    all.register(name, help, family);
}

/// Memory that the process holds, where the system says it.
pub(crate) fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = text.split(' ').nth(1)?.parse().ok()?;
    u64::try_from(pages.checked_mul(PAGE_BYTES)?).ok()
}
