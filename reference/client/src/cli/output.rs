//! Lines for people and for programs.

use std::io::{ErrorKind, Write};

use serde_json::{Value as Json, json};
use syncline::change::RecordName;
use syncline::space::{Shown, View};
use syncline::value::Value;
use syncline_client::json;
use syncline_client::text::{plain, plain_json};

use super::Failure;

/// Writes one line and hands it over at once.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(no_reader)
}

pub fn no_reader(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::NoReader,
        _ => Failure::Failed(format!("cannot write the output: {error}")),
    }
}

/// The line of `export` for a record.
pub fn exported(name: &RecordName, view: &View) -> String {
    let mut line = json!({ "collection": name.collection, "id": name.id, "fields": json::write_fields(&view.fields) });
    for ((field, _), column) in &view.columns {
        let (rule, value) = column_json(column);
        line["columns"][field][rule] = value;
    }
    line.to_string()
}

/// A record's name for people.
pub fn title(name: &RecordName) -> String {
    plain(&format!("{}/{}", name.collection, name.id))
}

/// A value for people.
pub fn shown(value: &Json) -> String {
    plain_json(&value.to_string())
}

/// A record on one line for people.
pub fn summary(name: &RecordName, view: &View) -> String {
    let mut text = title(name);
    for (field, value) in &view.fields {
        text.push_str(&format!(" {}={}", plain(field), shown(&json::write(value))));
    }
    for ((field, _), column) in &view.columns {
        let (rule, value) = column_json(column);
        text.push_str(&format!(" {}:{rule}={}", plain(field), shown(&value)));
    }
    text
}

/// A further rule's name, and what a column of it shows.
pub fn column_json(column: &Shown) -> (&'static str, Json) {
    match column {
        Shown::Counter(sum) => ("counter", json!(sum)),
        Shown::Max(value) => ("max", json::write(value)),
        Shown::Min(value) => ("min", json::write(value)),
        Shown::Set(elements) => ("set", elements.iter().map(json::write).collect()),
        Shown::Map(entries) => ("map", json::write(&Value::Map(entries.clone()))),
        Shown::Multi(values) => ("multi", values.iter().map(|(_, value)| json::write(value)).collect()),
    }
}

/// A count and its noun.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
