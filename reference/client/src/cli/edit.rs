//! `put`, `unset`, `delete` and `logout`.

use std::collections::BTreeMap;

use serde_json::json;
use syncline::change::RecordName;
use syncline::client::{Guard, Wiped, Write};
use syncline::value::Value;
use syncline_client::Local;
use syncline_client::json::{self, JsonError};
use syncline_client::text::plain;

use super::args::Global;
use super::output::{counted, line, title};
use super::{Failure, failed, open, store_path};

pub fn put(global: &Global, record: RecordName, fields: Vec<(String, String)>, if_unchanged: bool) -> Result<(), Failure> {
    let mut values = BTreeMap::new();
    for (field, text) in fields {
        let value =
            value_of(&text).or_else(|error| failed(format!("the field {field}: {error}; to set it as text, quote it: '{field}=\"…\"'")))?;
        if values.insert(field.clone(), Some(value)).is_some() {
            return Err(Failure::Usage(format!("the field {field} is set twice")));
        }
    }
    let mut local = open(global)?;
    let RecordName { collection, id } = record.clone();
    let mut guards = Vec::new();
    if if_unchanged {
        guards.push(Guard::Record(record.clone()));
        guards.extend(values.keys().map(|field| Guard::Field(record.clone(), field.clone())));
    }
    let seq = local.write_if(&[Write::Put { collection, id, fields: values.into_iter().collect() }], &guards)?;
    report(global, &local, seq, "saved", &[record])
}

/// Forgets all that the store holds, and removes its file. (ACCESS-18)
pub fn logout(global: &Global, force: bool) -> Result<(), Failure> {
    let mut local = open(global)?;
    let lost = match local.wipe(force)? {
        Wiped::Done { lost } => lost,
        Wiped::Refused { unsent } => {
            return failed(format!(
                "{} would be lost, for the server has no verdict on it; sync first, or give --force",
                counted(unsent, "change")
            ));
        }
    };
    drop(local);
    let path = store_path(global);
    for ending in ["", "-wal", "-shm", "-lock"] {
        let mut file = path.clone().into_os_string();
        file.push(ending);
        // What the wipe left is empty, and the endings are there only at times.
        let _ = std::fs::remove_file(file);
    }
    match (global.json, lost) {
        (true, _) => line(&json!({ "logged_out": true, "lost": lost }).to_string()),
        (false, 0) => line("logged out; this device holds nothing of the space any more"),
        (false, _) => line(&format!("logged out; {} were lost", counted(lost, "change"))),
    }
}

/// JSON where it parses, else text.
pub fn value_of(text: &str) -> Result<Value, JsonError> {
    match json::value(text) {
        Err(JsonError::Syntax(_)) => Ok(Value::Text(text.to_owned())),
        other => other,
    }
}

pub fn unset(global: &Global, record: &RecordName, fields: Vec<String>) -> Result<(), Failure> {
    let mut local = open(global)?;
    let Some(held) = local.record(record)? else { return absent(&local, record) };
    if let Some(field) = fields.iter().find(|field| !held.fields.contains_key(*field)) {
        let held: Vec<&str> = held.fields.keys().map(String::as_str).collect();
        return failed(format!("{}/{} has no field {field}; it has: {}", record.collection, record.id, held.join(", ")));
    }
    let fields = fields.into_iter().map(|field| (field, None)).collect();
    let RecordName { collection, id } = record.clone();
    let seq = local.write(&[Write::Put { collection, id, fields }])?;
    report(global, &local, seq, "saved", std::slice::from_ref(record))
}

pub fn delete(global: &Global, records: Vec<RecordName>) -> Result<(), Failure> {
    let mut local = open(global)?;
    for record in &records {
        if local.record(record)?.is_none() {
            return absent(&local, record);
        }
    }
    let deletion = |RecordName { collection, id }: RecordName| Write::Delete { collection, id };
    let writes: Vec<Write> = records.iter().cloned().map(deletion).collect();
    let seq = local.write(&writes)?;
    report(global, &local, seq, "deleted", &records)
}

/// There is no such record: says what there is.
pub fn absent<T>(local: &Local, record: &RecordName) -> Result<T, Failure> {
    let RecordName { collection, id } = record;
    let others = local.records(Some(collection))?.len() as u64;
    let holds = match others {
        0 => format!("the collection {collection} is empty here"),
        _ => format!("the collection {collection} has {} here", counted(others, "record")),
    };
    failed(format!("no record {collection}/{id} in the space {}; {holds}", local.space()))
}

pub fn report(global: &Global, local: &Local, seq: u64, done: &str, records: &[RecordName]) -> Result<(), Failure> {
    let pending = local.status()?.pending;
    if global.json {
        let names: Vec<_> = records.iter().map(|name| json!({ "collection": name.collection, "id": name.id })).collect();
        return line(&json!({ "seq": seq, "records": names, "pending": pending }).to_string());
    }
    let names: Vec<String> = records.iter().map(title).collect();
    line(&format!("{done} {}; {} to sync", names.join(" "), counted(pending, "change")))
}

/// Names the collections to sync, or shows them.
pub fn subscribe(global: &Global, collections: &[String], all: bool) -> Result<(), Failure> {
    let mut local = open(global)?;
    if all || !collections.is_empty() {
        local.subscribe((!all).then_some(collections))?;
    }
    let names = local.subscription();
    if global.json {
        return line(&json!({ "collections": names }).to_string());
    }
    match names {
        None => line("all collections are synced"),
        Some(names) => line(&format!("synced: {}", plain(&names.iter().cloned().collect::<Vec<_>>().join(", ")))),
    }
}
