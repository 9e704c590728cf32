//! `import`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, stderr, stdin};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use syncline::change::RecordName;
use syncline::client::{Write, WriteError};
use syncline::limits;
use syncline::space::Fields;
use syncline::value::Value;
use syncline_client::Local;
use syncline_client::json::{self, JsonError};

use super::args::Global;
use super::output::{counted, line};
use super::{Failure, failed, open};

pub fn import(global: &Global, file: Option<&Path>, flat: Option<(String, String)>) -> Result<(), Failure> {
    let file = file.filter(|path| *path != Path::new("-"));
    let source = file.map_or("standard input".to_owned(), |path| path.display().to_string());
    let opened = match file {
        Some(path) => Some(File::open(path).or_else(|error| failed(format!("cannot read {source}: {error}")))?),
        None => None,
    };
    let bytes = opened.as_ref().and_then(|file| file.metadata().ok()).map(|found| found.len());
    let bar = progress(bytes);
    let input: Box<dyn BufRead> = match opened {
        Some(file) => Box::new(BufReader::new(file)),
        None => Box::new(stdin().lock()),
    };
    let mut batch =
        Batch { global, local: open(global)?, writes: Vec::new(), names: BTreeSet::new(), ops: 0, bytes: 0, records: 0, changes: 0 };
    for (at, text) in input.split(b'\n').enumerate() {
        let number = at as u64 + 1;
        let fault = |error: String| {
            Failure::Failed(format!(
                "{source}, line {number}: {error}; the {} before it are saved, and can be read again",
                counted(number - 1, "line")
            ))
        };
        let text = text.map_err(|error| fault(error.to_string()))?;
        bar.inc(text.len() as u64 + 1);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let read = read_line(&text, flat.as_ref());
        match read {
            Ok((record, fields)) => batch.add(number, record, fields).map_err(|failure| with_source(&source, failure))?,
            Err(error) => {
                batch.write().map_err(|failure| with_source(&source, failure))?;
                return Err(fault(error));
            }
        }
    }
    batch.write().map_err(|failure| with_source(&source, failure))?;
    bar.finish_and_clear();
    let pending = batch.local.status()?.pending;
    let (read, changes) = (batch.records, batch.changes);
    if global.json {
        return line(&json!({ "records": read, "changes": changes, "pending": pending }).to_string());
    }
    line(&format!("read {}, saved {}; {} to sync", counted(read, "record"), counted(changes, "change"), counted(pending, "change")))
}

fn with_source(source: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Failed(text) => Failure::Failed(format!("{source}, {text}")),
        other => other,
    }
}

fn progress(bytes: Option<u64>) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let Some(bytes) = bytes else { return ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The record that a line holds.
fn read_line(text: &[u8], flat: Option<&(String, String)>) -> Result<(RecordName, Fields), String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}"))?;
    match flat {
        Some((collection, id)) => flat_line(text, collection, id),
        None => exported_line(text),
    }
}

fn flat_line(text: &str, collection: &str, id_field: &str) -> Result<(RecordName, Fields), String> {
    let fields: Fields = json::members(text).map_err(|error| error.to_string())?.into_iter().collect();
    let id = match fields.get(id_field) {
        Some(Value::Text(id)) => id.clone(),
        Some(Value::Int(id)) => id.to_string(),
        Some(other) => return Err(format!("the field {id_field} is {}; an id is text or an integer", json::write(other))),
        None => return Err(format!("no field {id_field}, which --id names; there are: {}", names(&fields))),
    };
    Ok((RecordName { collection: collection.to_owned(), id }, fields))
}

fn names(fields: &Fields) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn exported_line(text: &str) -> Result<(RecordName, Fields), String> {
    const FORM: &str = r#"a line is {"collection":…,"id":…,"fields":{…}}; for other objects give --collection and --id"#;
    let mut parts = json::parts(text).map_err(|error: JsonError| format!("{error}; {FORM}"))?;
    if parts.contains_key("columns") {
        return Err(
            "a record with columns of further rules, which are what many wrote and cannot be written again; leave `columns` out".into()
        );
    }
    let (Some(collection), Some(id), Some(fields), true) =
        (parts.remove("collection"), parts.remove("id"), parts.remove("fields"), parts.is_empty())
    else {
        return Err(format!("not a line that `export` writes; {FORM}"));
    };
    let name = |text: String| serde_json::from_str::<String>(&text).map_err(|_| format!("{text} is no name; {FORM}"));
    let fields = json::members(&fields).map_err(|error| error.to_string())?;
    Ok((RecordName { collection: name(collection)?, id: name(id)? }, fields.into_iter().collect()))
}

/// Lines that become one change.
struct Batch<'a> {
    global: &'a Global,
    local: Local,
    /// With the number of the line.
    writes: Vec<(u64, Write)>,
    names: BTreeSet<RecordName>,
    ops: usize,
    bytes: usize,
    records: u64,
    changes: u64,
}

/// Half of what a change may hold: the sizes counted here leave out what surrounds the names and values.
const BATCH_BYTES_MAX: usize = limits::CHANGE_BYTES_MAX / 2;

impl Batch<'_> {
    fn add(&mut self, number: u64, record: RecordName, fields: Fields) -> Result<(), Failure> {
        self.records += 1;
        // MODEL-5: a change holds a record once.
        if self.names.contains(&record) {
            self.write()?;
        }
        let held = self.local.record(&record)?;
        let is_new = held.is_none();
        let held = held.unwrap_or_default().fields;
        let fields: Vec<(String, Value)> = fields.into_iter().filter(|(field, value)| held.get(field) != Some(value)).collect();
        if fields.is_empty() && !is_new {
            return Ok(());
        }
        let ops = fields.len().max(1);
        let size = |(field, value): &(String, Value)| field.len() + value.encoded().len() + OP_BYTES;
        let bytes = record.collection.len() + record.id.len() + OP_BYTES + fields.iter().map(size).sum::<usize>();
        if self.ops + ops > limits::CHANGE_OPS_MAX || self.bytes + bytes > BATCH_BYTES_MAX {
            self.write()?;
        }
        self.ops += ops;
        self.bytes += bytes;
        self.names.insert(record.clone());
        let fields = fields.into_iter().map(|(field, value)| (field, Some(value))).collect();
        self.writes.push((number, Write::Put { collection: record.collection, id: record.id, fields }));
        Ok(())
    }

    /// Makes the lines so far durable in one change; where that is refused, line by line, to name the one at fault.
    fn write(&mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.writes);
        self.names.clear();
        (self.ops, self.bytes) = (0, 0);
        let writes: Vec<Write> = lines.iter().map(|(_, write)| write.clone()).collect();
        if writes.is_empty() {
            return Ok(());
        }
        match self.local.write(&writes) {
            Ok(seq) => self.saved(seq, writes.len()),
            Err(WriteError::Refused(_)) => lines.into_iter().try_for_each(|(number, write)| {
                let seq =
                    self.local.write(&[write]).or_else(|error| failed(format!("line {number}: {error}; the lines before it are saved")))?;
                self.saved(seq, 1)
            }),
            Err(error) => failed(format!("line {}: {error}", lines[0].0)),
        }
    }

    fn saved(&mut self, seq: u64, records: usize) -> Result<(), Failure> {
        self.changes += 1;
        if self.global.json { line(&json!({ "seq": seq, "saved": records }).to_string()) } else { Ok(()) }
    }
}

/// What surrounds a name and a value, at most.
const OP_BYTES: usize = 32;
