//! `sync`, `watch` and `status`: the commands that connect.

use std::time::Duration;

use serde_json::json;
use syncline::change::RecordName;
use syncline::client::{Event, Status};
use syncline::clock::Replica;
use syncline::registry::Class;
use syncline_client::session::TokenPolicy;
use syncline_client::text::plain;
use syncline_client::{Address, Local, Notice, Session};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout_at};

use super::args::Global;
use super::output::{counted, exported, line, summary, title};
use super::{Failure, failed, open, store_path, token};

pub fn sync(global: &Global, patience: Duration) -> Result<(), Failure> {
    let (local, address) = open_online(global)?;
    let server = address.to_string();
    let status = runtime()?.block_on(async {
        let mut session = Session::start(local, address, policy(global))?;
        let ended = until_in_sync(&mut session, Instant::now() + patience).await;
        let status = session.with(|local| local.status()).await??;
        session.stop().await?;
        match ended {
            Ended::InSync => Ok(status),
            Ended::Refused(why) => failed(why),
            Ended::TimedOut(why) => failed(format!(
                "not in sync with {server} within {patience:?}: {}; {} to sync",
                why.unwrap_or_else(|| format!("still {}", status.state)),
                counted(status.pending, "change")
            )),
        }
    })?;
    if status.rejected > 0 {
        eprintln!("note: {} not dismissed; see `syncline rejected`", counted(status.rejected, "rejection"));
    }
    let position = status.cursor.as_ref().map_or(0, |cursor| cursor.position);
    if global.json {
        return line(&json!({ "in_sync": true, "position": position, "fingerprint": hex(&status.fingerprint) }).to_string());
    }
    line(&format!("in sync with {} at position {position}, fingerprint {}", plain(&server), hex(&status.fingerprint)))
}

enum Ended {
    InSync,
    /// Going on is of no use.
    Refused(String),
    /// The time was over; what went wrong last.
    TimedOut(Option<String>),
}

/// Waits until everything is equal, the server refuses, or `until`.
async fn until_in_sync(session: &mut Session, until: Instant) -> Ended {
    let mut trouble = None;
    loop {
        match timeout_at(until, session.next()).await {
            Err(_) => return Ended::TimedOut(trouble),
            Ok(None) => return Ended::Refused("the session ended, for the store failed".into()),
            Ok(Some(Notice::NotReached(why))) => trouble = Some(why),
            Ok(Some(Notice::Event(event))) => match event {
                Event::InSync => return Ended::InSync,
                Event::Refused { .. } | Event::Mismatch => return Ended::Refused(told(&event)),
                Event::Disconnected if trouble.is_none() => trouble = Some(told(&event)),
                Event::Rights { write: false } => trouble = Some(told(&event)),
                Event::Rejected { .. } | Event::Forked { .. } | Event::TokenWanted | Event::Rights { .. } => {
                    eprintln!("note: {}", plain(&told(&event)))
                }
                Event::Changed(_)
                | Event::Reset { .. }
                | Event::Signal { .. }
                | Event::Presence(_)
                | Event::Left(_)
                | Event::LinkRefused { .. }
                | Event::Disconnected => {}
            },
        }
    }
}

/// An event in words.
pub fn told(event: &Event) -> String {
    match event {
        Event::Changed(names) if names.is_empty() => "many records changed; list them again".into(),
        Event::Changed(names) => format!("{} changed", counted(names.len() as u64, "record")),
        Event::Rejected { seq, code } => format!("change {seq} was rejected: {}", code.name()),
        Event::Forked { lost: 0 } => "this store was a copy, or lost its end; it took a new replica id".into(),
        Event::Forked { lost } => format!("the server lost changes; {} could not be offered again", counted(*lost, "change")),
        Event::InSync => "in sync".into(),
        Event::Mismatch => "the server's fingerprint still differs after a fresh start; please report this".into(),
        Event::Reset { reason } => format!("the server sends everything again (reset {reason})"),
        Event::Refused { code, text } => format!("the server refused: {} ({text})", code.name()),
        Event::LinkRefused { code, text, .. } => format!("the other client ended the link: {} ({text})", code.name()),
        Event::Signal { from, payload } => format!("{from} sent a signal of {}", counted(payload.len() as u64, "byte")),
        Event::Disconnected => "the connection ended".into(),
        Event::Rights { write: true } => "the token allows writing again".into(),
        Event::Rights { write: false } => "the token allows reading only; changes wait for the right to write".into(),
        Event::TokenWanted => "the token ends soon; a new one is wanted".into(),
        Event::Left(collections) => format!("no longer synced and gone from here: {}", collections.join(", ")),
        Event::Presence(replicas) => format!("{} came, went or moved", counted(replicas.len() as u64, "replica")),
    }
}

/// For how long the others take this replica for present without hearing of it.
const PRESENCE_TTL: Duration = Duration::from_secs(30);

pub fn watch(global: &Global, collection: Option<String>, presence: Option<String>) -> Result<(), Failure> {
    let (mut local, address) = open_online(global)?;
    let with_presence = presence.is_some();
    local.set_presence(presence.map(String::into_bytes), PRESENCE_TTL)?;
    runtime()?.block_on(async {
        let mut session = Session::start(local, address, policy(global))?;
        let remote = session.remote();
        let ended = tokio::select! {
            ended = token::follow(global, remote) => ended,
            ended = show_changes(global, &mut session, collection.as_deref(), with_presence) => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from),
        };
        session.stop().await?;
        ended
    })
}

async fn show_changes(global: &Global, session: &mut Session, collection: Option<&str>, with_presence: bool) -> Result<(), Failure> {
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Event(Event::Changed(names)) if !names.is_empty() => {
                for name in names.into_iter().filter(|name| collection.is_none_or(|wanted| name.collection == wanted)) {
                    show_change(global, session, name).await?;
                }
            }
            Notice::Event(Event::Presence(replicas)) if with_presence => show_presence(global, session, replicas).await?,
            Notice::Event(Event::Presence(_)) => {}
            // Another token may come.
            Notice::Event(event @ Event::Refused { .. }) if wants_token(global, &event) => eprintln!("{}", plain(&told(&event))),
            Notice::Event(event @ Event::Refused { .. }) => return failed(told(&event)),
            Notice::Event(event) => eprintln!("{}", plain(&told(&event))),
            Notice::NotReached(why) => eprintln!("{}", plain(&why)),
        }
    }
    // The session's end is told by `stop`.
    Ok(())
}

/// Whether a refusal ends with a new token, and the file may bring one.
fn wants_token(global: &Global, event: &Event) -> bool {
    global.token_file.is_some() && matches!(event, Event::Refused { code, .. } if code.class() == Class::Credentials)
}

async fn show_change(global: &Global, session: &Session, name: RecordName) -> Result<(), Failure> {
    let read = name.clone();
    let fields = session.with(move |local| local.record(&read)).await??;
    match (fields, global.json) {
        (Some(fields), true) => line(&exported(&name, &fields)),
        (Some(fields), false) => line(&summary(&name, &fields)),
        (None, true) => line(&json!({ "collection": name.collection, "id": name.id, "deleted": true }).to_string()),
        (None, false) => line(&format!("{} deleted", title(&name))),
    }
}

/// A line for each replica whose presence changed: its payload as text, or that it is gone.
async fn show_presence(global: &Global, session: &Session, replicas: Vec<Replica>) -> Result<(), Failure> {
    let shown = session.with(|local| local.presence().clone()).await?;
    for replica in replicas {
        let id = hex(&replica.0);
        let text = shown.get(&replica).map(|payload| String::from_utf8_lossy(payload).into_owned());
        match (text, global.json) {
            (text, true) => line(&json!({ "replica": id, "presence": text }).to_string())?,
            (Some(text), false) => line(&format!("replica {id} is there: {}", plain(&text)))?,
            (None, false) => line(&format!("replica {id} is gone"))?,
        }
    }
    Ok(())
}

/// How long `status` waits for the server.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

pub fn status(global: &Global) -> Result<(), Failure> {
    let local = open(global)?;
    let server = local.server()?;
    let (status, trouble) = match &server {
        None => (local.status()?, Some("offline: no server is known; give --server URL".to_owned())),
        Some(_) if global.offline => (local.status()?, Some("offline, as --offline asks".to_owned())),
        Some(url) => ask(global, local, url.parse()?)?,
    };
    if global.json {
        return line(&status_json(global, server.as_deref(), &status, trouble.as_deref()).to_string());
    }
    let standing = match (&trouble, status.in_sync) {
        (None, true) => "in sync".to_owned(),
        (None, false) => format!("connected, {}", behind(&status)),
        (Some(trouble), _) => trouble.clone(),
    };
    let position = status.cursor.as_ref().map_or("none yet".to_owned(), |cursor| cursor.position.to_string());
    let rows = [
        ("state", standing),
        ("server", server.unwrap_or_else(|| "none".into())),
        ("space", global.space.clone()),
        ("store", store_path(global).display().to_string()),
        ("replica", status.replica.to_string()),
        ("rights", if status.may_write { "reading and writing".into() } else { "reading only; what is written waits".into() }),
        ("position", position),
        ("to sync", counted(status.pending, "change")),
        ("rejected", counted(status.rejected, "change")),
        ("fingerprint", hex(&status.fingerprint)),
        ("clock offset", format!("{} ms", status.clock_offset_ms)),
    ];
    rows.iter().try_for_each(|(name, value)| line(&format!("{name:<13}{}", plain(value))))
}

/// Connects for a short while. The text says why there is no knowing how far behind the replica is.
fn ask(global: &Global, local: Local, address: Address) -> Result<(Status, Option<String>), Failure> {
    runtime()?.block_on(async {
        let mut session = Session::start(local, address, policy(global))?;
        let until = Instant::now() + STATUS_PATIENCE;
        let trouble = loop {
            match timeout_at(until, session.next()).await {
                Err(_) | Ok(Some(Notice::Event(Event::InSync))) => break None,
                Ok(None) => break Some("the store failed".to_owned()),
                Ok(Some(Notice::NotReached(why))) => break Some(format!("offline: {why}")),
                Ok(Some(Notice::Event(event @ (Event::Refused { .. } | Event::Mismatch)))) => break Some(told(&event)),
                Ok(Some(Notice::Event(_))) => {}
            }
        };
        let status = session.with(|local| local.status()).await??;
        session.stop().await?;
        let silent = trouble.is_none() && status.head.is_none();
        Ok((status, if silent { Some("offline: the server did not answer in time".into()) } else { trouble }))
    })
}

fn status_json(global: &Global, server: Option<&str>, status: &Status, trouble: Option<&str>) -> serde_json::Value {
    json!({
        "in_sync": status.in_sync,
        "trouble": trouble,
        "server": server,
        "space": global.space,
        "store": store_path(global).display().to_string(),
        "replica": status.replica.to_string(),
        "position": status.cursor.as_ref().map(|cursor| cursor.position),
        "head": status.head,
        "pending": status.pending,
        "rejected": status.rejected,
        "may_write": status.may_write,
        "fingerprint": hex(&status.fingerprint),
        "clock_offset_ms": status.clock_offset_ms,
    })
}

fn behind(status: &Status) -> String {
    let position = status.cursor.as_ref().map_or(0, |cursor| cursor.position);
    match status.head.unwrap_or_default().saturating_sub(position) {
        0 => "not yet verified".to_owned(),
        behind => format!("{} behind", counted(behind, "position")),
    }
}

/// The replica and the server to sync it with.
fn open_online(global: &Global) -> Result<(Local, Address), Failure> {
    if global.offline {
        return Err(Failure::Usage("this command needs the server, and --offline was given".into()));
    }
    let local = open(global)?;
    let Some(url) = local.server()? else {
        return Err(Failure::Usage("no server is known for this store; give --server URL once, or set SYNCLINE_SERVER".into()));
    };
    Ok((local, url.parse()?))
}

fn policy(global: &Global) -> TokenPolicy {
    if global.insecure_token { TokenPolicy::Forced } else { TokenPolicy::Guarded }
}

pub fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
