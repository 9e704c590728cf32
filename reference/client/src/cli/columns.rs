//! `add`, `offer`, `set`, `map` and `multi`: writes under the further rules.

use syncline::change::RecordName;
use syncline::client::{Edit, Write};
use syncline::value::Value;

use super::args::Global;
use super::edit::{report, value_of};
use super::{Failure, failed, open};

/// Writes to a field under one of the further rules.
pub fn column(global: &Global, record: RecordName, field: String, edit: Edit) -> Result<(), Failure> {
    let mut local = open(global)?;
    let RecordName { collection, id } = record.clone();
    let seq = local.write(&[Write::Edit { collection, id, edits: vec![(field, edit)] }])?;
    report(global, &local, seq, "saved", &[record])
}

pub fn offer(global: &Global, record: RecordName, field: String, value: &str, least: bool) -> Result<(), Failure> {
    let value = read(&field, value)?;
    column(global, record, field, if least { Edit::Min(value) } else { Edit::Max(value) })
}

pub fn set(global: &Global, record: RecordName, field: String, elements: &[String], present: bool) -> Result<(), Failure> {
    let elements = elements.iter().map(|text| Ok((read(&field, text)?, present))).collect::<Result<_, Failure>>()?;
    column(global, record, field, Edit::Elements(elements))
}

pub fn map(global: &Global, record: RecordName, field: String, entries: Vec<(String, String)>, unset: Vec<String>) -> Result<(), Failure> {
    let mut all = Vec::new();
    for (key, text) in entries {
        all.push((key, Some(read(&field, &text)?)));
    }
    all.extend(unset.into_iter().map(|key| (key, None)));
    column(global, record, field, Edit::Entries(all))
}

pub fn multi(global: &Global, record: RecordName, field: String, values: &[String]) -> Result<(), Failure> {
    let values = values.iter().map(|text| read(&field, text)).collect::<Result<_, Failure>>()?;
    column(global, record, field, Edit::Values(values))
}

fn read(field: &str, text: &str) -> Result<Value, Failure> {
    value_of(text).or_else(|error| failed(format!("the field {field}: {error}; to give it as text, quote it: '\"…\"'")))
}
