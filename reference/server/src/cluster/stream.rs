//! A shard's stream in NATS JetStream: appended to by whoever knows its last sequence, and read in order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, StorageType};
use async_nats::jetstream::{self, Context};
use futures_util::{StreamExt, TryStreamExt};
use syncline_store::FORMAT;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::ClusterError;
use super::entry::{Entry, EntryKind, PAYLOAD_BYTES_MIN};
use super::store::Applied;

/// The oldest release of the stream's servers that is used. 2.9 gives two writers the same place; what lies between is not tested.
const VERSION_MIN: (u64, u64) = (2, 15);
/// How long an append is tried, for instance while the stream's servers elect a leader.
const APPEND_WAIT: Duration = Duration::from_secs(10);
/// One try, and the pause after one that failed.
const TRY_WAIT: Duration = Duration::from_secs(2);
const TRY_PAUSE: Duration = Duration::from_millis(100);
/// How long the stream's servers remember the id of an append; longer than it is tried.
const IDS_KEPT: Duration = Duration::from_secs(120);
/// The codes of an append whose expected sequence is not the last one.
const CONFLICTS: [u64; 2] = [10_071, 10_164];
/// Entries that are overwritten at the most, and at a time.
const ERASED_MAX: u64 = 10_000;
const ERASED_AT_ONCE: usize = 128;
/// Where a stream says which format of the store its entries are for.
const FORMAT_KEY: &str = "syncline-format";

/// What an operator says of the stream.
#[derive(Debug, Clone)]
pub(super) struct StreamConfig {
    /// `nats://` addresses of its servers, separated by commas.
    pub servers: String,
    /// The shard; the stream is `syncline-SHARD`.
    pub shard: String,
    /// On how many servers it is made, where it is not there.
    pub replicas: usize,
    /// Where this server serves the other members.
    pub address: String,
    /// Names the appends of this run.
    pub run: String,
}

/// The stream, and the place in it that this server knows of as the last.
pub(super) struct Stream {
    config: StreamConfig,
    context: Context,
    name: String,
    runtime: Handle,
    created: String,
    /// The last sequence when this server connected.
    found: u64,
    last: u64,
    /// Bytes of the stream, as far as this server knows.
    bytes: u64,
    appends: u64,
}

impl Stream {
    /// Connects, checks the servers' release and makes the stream where it is not there.
    pub async fn connect(config: StreamConfig) -> Result<Self, ClusterError> {
        let unreachable =
            |error: &dyn std::fmt::Display| ClusterError::Unreachable { log: public(&config.servers), reason: error.to_string() };
        let servers: Vec<&str> = config.servers.split(',').collect();
        let client = async_nats::connect(servers.as_slice()).await.map_err(|error| unreachable(&error))?;
        let info = client.server_info();
        check_release(&info.version)?;
        if info.max_payload < PAYLOAD_BYTES_MIN {
            return Err(ClusterError::Payload { found: info.max_payload, least: PAYLOAD_BYTES_MIN });
        }
        let context = jetstream::new(client);
        let name = format!("syncline-{}", config.shard);
        let settings = stream::Config {
            name: name.clone(),
            subjects: vec![format!("syncline.{}", config.shard)],
            storage: StorageType::File,
            num_replicas: config.replicas,
            duplicate_window: IDS_KEPT,
            metadata: HashMap::from([(FORMAT_KEY.to_owned(), FORMAT.to_string())]),
            ..stream::Config::default()
        };
        let refused = |error: &dyn std::fmt::Display| ClusterError::Stream { stream: name.clone(), reason: error.to_string() };
        let mut made = context.get_or_create_stream(settings).await.map_err(|error| refused(&error))?;
        let info = made.info().await.map_err(|error| refused(&error))?;
        if info.config.num_replicas < config.replicas {
            return Err(ClusterError::Replicas { stream: name, found: info.config.num_replicas, wanted: config.replicas });
        }
        let format = info.config.metadata.get(FORMAT_KEY).map_or("none", String::as_str);
        if format != FORMAT.to_string() {
            return Err(ClusterError::Format { stream: name, found: format.to_owned(), own: FORMAT });
        }
        let (created, found, bytes) = (info.created.to_string(), info.state.last_sequence, info.state.bytes);
        Ok(Self { config, context, name, runtime: Handle::current(), created, found, last: 0, bytes, appends: 0 })
    }

    /// Whether nothing was ever appended.
    pub fn is_new(&self) -> bool {
        self.found == 0 && self.last == 0
    }

    /// The sequence of the last entry known.
    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn address(&self) -> &str {
        &self.config.address
    }

    /// Up to where a cache holds the stream that holds what this server knows of it.
    pub fn applied(&self) -> Applied {
        Applied { stream: self.created.clone(), sequence: self.last }
    }

    /// Goes on from where a cache stands, which may be empty.
    pub fn resume(&mut self, applied: Option<Applied>, empty: bool) -> Result<(), ClusterError> {
        let found = match &applied {
            Some(applied) if applied.stream != self.created => format!("a cache of the one created {}", applied.stream),
            Some(applied) if applied.sequence > self.found => {
                format!("its entries up to {}, of which the stream has lost those after {}", applied.sequence, self.found)
            }
            None if !empty => "a store of its own".to_owned(),
            _ => {
                self.go_back(applied);
                return Ok(());
            }
        };
        Err(ClusterError::Foreign { stream: self.name.clone(), found, created: self.created.clone() })
    }

    /// What is wrong where a store could not be written to this stream as its beginning.
    pub fn unseeded(&self, reason: String) -> ClusterError {
        ClusterError::Seed { stream: self.name.clone(), reason }
    }

    /// Goes back to where the cache stands.
    pub fn go_back(&mut self, applied: Option<Applied>) {
        self.last = applied.map_or(0, |applied| applied.sequence);
    }

    /// The entries after the last one known, as they come.
    pub async fn read(&self) -> Result<Ordered, String> {
        let stream = self.context.get_stream_no_info(&self.name).await.map_err(|error| error.to_string())?;
        let policy = DeliverPolicy::ByStartSequence { start_sequence: self.last + 1 };
        let config = OrderedConfig { deliver_policy: policy, ..OrderedConfig::default() };
        let consumer = stream.create_consumer(config).await.map_err(|error| error.to_string())?;
        consumer.messages().await.map_err(|error| error.to_string())
    }

    /// The next entry, if one comes in time.
    ///
    /// # Errors
    /// Where the reading has to begin anew.
    pub async fn next(&mut self, entries: &mut Ordered, wait: Duration) -> Result<Option<EntryKind>, String> {
        let Ok(next) = timeout(wait, entries.next()).await else { return Ok(None) };
        let message = next.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
        let sequence = message.info().map_err(|error| error.to_string())?.stream_sequence;
        let entry = Entry::decode(&message.payload).map_err(|error| format!("entry {sequence}: {error}"))?;
        // What stood before all there is may be gone.
        if entry.after != self.last && !matches!(entry.kind, EntryKind::Part { whole: true, .. }) {
            return Err(format!("entry {sequence} stands after {}, and {} was read last", entry.after, self.last));
        }
        self.last = sequence;
        self.bytes += message.payload.len() as u64;
        Ok(Some(entry.kind))
    }

    /// Does something with the stream from a thread that may wait.
    pub fn blocking<T>(&mut self, run: impl AsyncFnOnce(&mut Self) -> T) -> T {
        self.runtime.clone().block_on(run(self))
    }

    /// Drops the entries before this one from the stream's servers. With `erase` the last ones are overwritten before: the servers
    /// drop files, and what shares one with an entry that stays would remain in it.
    pub async fn drop_before(&mut self, sequence: u64, erase: bool) -> Result<(), String> {
        let dropped = async {
            let mut stream = self.context.get_stream(&self.name).await.map_err(|error| error.to_string())?;
            if erase {
                let from = stream.cached_info().state.first_sequence.max(sequence.saturating_sub(ERASED_MAX));
                let erased = futures_util::stream::iter(from..sequence).map(|entry| stream.delete_message(entry));
                let erased = erased.buffer_unordered(ERASED_AT_ONCE).try_for_each(async |_| Ok(()));
                erased.await.map_err(|error| error.to_string())?;
            }
            stream.purge().sequence(sequence).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(stream.info().await.map_err(|error| error.to_string())?.state.bytes)
        };
        self.bytes = timeout(APPEND_WAIT, dropped).await.map_err(|_| "no answer in time".to_owned())??;
        Ok(())
    }

    /// Appends an entry after the last one known, or not at all. After an error it may stand there nevertheless, unless another
    /// does.
    pub async fn append(&mut self, kind: EntryKind) -> Result<(), String> {
        let payload = Entry { after: self.last, kind }.encode();
        self.appends += 1;
        // A try whose answer was lost is known by its id.
        let bytes = payload.len() as u64;
        let message = PublishMessage::build()
            .message_id(format!("{}-{}", self.config.run, self.appends))
            .expected_last_sequence(self.last)
            .payload(payload.into());
        let until = Instant::now() + APPEND_WAIT;
        loop {
            match timeout(TRY_WAIT, self.publish(message.clone())).await {
                Ok(Ok(sequence)) => {
                    self.last = sequence;
                    self.bytes += bytes;
                    return Ok(());
                }
                Ok(Err(error)) if is_conflict(&error) => return Err(format!("another entry stands after {}: {error}", self.last)),
                Ok(Err(error)) if until <= Instant::now() => return Err(error.to_string()),
                Err(_) if until <= Instant::now() => return Err("no answer in time".to_owned()),
                _ => sleep(TRY_PAUSE).await,
            }
        }
    }

    async fn publish(&self, message: PublishMessage) -> Result<u64, PublishError> {
        let sent = self.context.send_publish(format!("syncline.{}", self.config.shard), message).await?;
        Ok(sent.await?.sequence)
    }
}

/// Whether another entry was first. The client library knows one of the two codes by name.
fn is_conflict(error: &PublishError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence || source.is_some_and(|source| CONFLICTS.contains(&source.error_code().0))
}

/// The addresses without what stands before an `@`.
fn public(servers: &str) -> String {
    let one = |server: &str| match server.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or(rest)),
        None => server.rsplit('@').next().unwrap_or(server).to_owned(),
    };
    servers.split(',').map(one).collect::<Vec<_>>().join(",")
}

fn check_release(version: &str) -> Result<(), ClusterError> {
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u64>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < VERSION_MIN {
        return Err(ClusterError::Release { found: version.to_owned(), least: VERSION_MIN });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused() {
        for good in ["2.15.0", "2.15.1", "2.16.0-RC.1", "3.0.0"] {
            check_release(good).expect(good);
        }
        for old in ["2.9.10", "2.14.9", "1.99.0", "", "dev"] {
            let error = check_release(old).expect_err(old).to_string();
            assert!(error.contains(old) && error.contains("2.15"), "{error}");
        }
    }

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        assert_eq!(public("nats://a:hunter2@one:1,two:2,hunter2@three"), "nats://one:1,two:2,three");
    }
}
