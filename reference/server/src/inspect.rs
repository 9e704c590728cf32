//! A space as the store holds it, for an operator who wants to know why.

use std::path::Path;

use serde_json::{Map, Value as Json, json};
use syncline::change::{Change, RecordName};
use syncline::registry::Code;
use syncline::rules::State;
use syncline::server::{KnownReplica, Logged, base, head, histories, logged, replicas};
use syncline::space::RecordState;
use syncline::store::{Store, StoreError};
use syncline::value::Value;
use syncline_store::{Kind, SqliteStore};

/// Entries of the log that are shown, the last ones.
const LOG_ENTRIES_MAX: u64 = 100;
/// Records that are shown, the first ones.
const RECORDS_MAX: usize = 1_000;

/// The space: its log's end, its replicas, its first records with every cell; none where there is no such space.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn inspect(store: &dyn Store, space: &str) -> Result<Option<Json>, StoreError> {
    let Some(cells) = base(store, space)? else { return Ok(None) };
    let (mut records, mut count) = (Vec::new(), 0u64);
    cells.each_record(store, None, &mut |name, state| {
        count += 1;
        if records.len() < RECORDS_MAX {
            records.push(record(&name, &state));
        }
        Ok(())
    })?;
    let mut found = log(store, space)?;
    found["records_in_all"] = json!(count);
    found["records"] = records.into();
    Ok(Some(found))
}

/// The log's end and the replicas of a space, without a value of any record.
///
/// # Errors
/// Where the store fails or is damaged.
pub(crate) fn log(store: &dyn Store, space: &str) -> Result<Json, StoreError> {
    let position = head(store, space)?;
    let entries = logged(store, space, position.saturating_sub(LOG_ENTRIES_MAX))?;
    let starts = histories(store, space)?.into_iter().map(|(history, first)| json!({ "history": hex(&history), "first": first }));
    Ok(json!({
        "space": space,
        "position": position,
        "histories": starts.collect::<Vec<_>>(),
        "replicas": replicas(store, space)?.into_iter().map(replica).collect::<Vec<_>>(),
        "log": entries.into_iter().map(entry).collect::<Vec<_>>(),
    }))
}

fn replica(known: KnownReplica) -> Json {
    json!({ "replica": known.replica.to_string(), "subject": known.subject, "opened": known.opened, "seq": known.seq })
}

fn entry(entry: Logged) -> Json {
    let change = entry.literal.as_deref().and_then(|bytes| Change::from_bytes(bytes).ok());
    let rows: Vec<String> = change.iter().flat_map(|change| &change.rows).map(|row| full_name(&row.record)).collect();
    json!({
        "position": entry.position,
        "author": hex(&entry.author),
        "seq": entry.seq,
        "verdict": if entry.code == 0 { "accepted" } else { Code(entry.code).name() },
        "bytes": entry.literal.as_ref().map_or(0, Vec::len),
        "records": rows,
    })
}

fn record(name: &RecordName, state: &RecordState) -> Json {
    let cells = state.cells.iter().map(|(cell, state)| {
        let mut shown = shown(state);
        shown.insert("field".into(), json!(cell.field));
        shown.insert("rule".into(), json!(cell.rule));
        shown.insert("key".into(), json!(hex(cell.key.as_bytes())));
        Json::Object(shown)
    });
    json!({ "record": full_name(name), "life": state.life, "cells": cells.collect::<Vec<_>>() })
}

fn full_name(record: &RecordName) -> String {
    format!("{}/{}", record.collection, record.id)
}

fn shown(state: &State) -> Map<String, Json> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Json| shown.insert(name.to_owned(), value);
    match state {
        State::Stamped(cell) => {
            put("stamp", json!(format!("{:?}", cell.stamp)));
            put("value", cell.value.as_ref().map_or(json!({ "unset": true }), to_json));
        }
        State::Extreme(value) => {
            put("value", to_json(value));
        }
        State::Sequenced { seq, value } => {
            put("seq", json!(seq));
            put("value", to_json(value));
        }
        State::Dot(value) => {
            put("value", value.as_ref().map_or(json!({ "removed": true }), to_json));
        }
    }
    shown
}

/// A value for reading; bytes are hexadecimal in an object of their own, and a key that begins with `$` is given another.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value.get()),
        Value::Bytes(bytes) => json!({ "$bytes": hex(bytes) }),
        Value::Text(text) => json!(text),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map.pairs().iter().map(|(key, value)| (said(key), to_json(value))).collect::<Map<_, _>>().into(),
    }
}

fn said(key: &str) -> String {
    if key.starts_with('$') { format!("${key}") } else { key.to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same of the store in a file, whoever has it.
///
/// # Errors
/// Where the file cannot be read or is damaged.
pub(crate) fn inspect_file(path: &Path, space: &str) -> Result<Option<Json>, Box<dyn std::error::Error>> {
    Ok(inspect(&SqliteStore::open_to_read(path, Kind::Server)?, space)?)
}
