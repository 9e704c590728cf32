//! `get`, `list`, `export` and `rejected`.

use std::io::{BufWriter, Write};

use serde_json::json;
use syncline::change::{Change, Payload, RecordName};
use syncline::client::Rejection;
use syncline::space::View;
use syncline_client::json;

use super::args::Global;
use super::edit::absent;
use super::output::{column_json, exported, line, no_reader, shown, summary, title};
use super::{Failure, failed, open};

pub fn get(global: &Global, record: &RecordName) -> Result<(), Failure> {
    let local = open(global)?;
    let Some(view) = local.record(record)? else { return absent(&local, record) };
    if global.json {
        return line(&exported(record, &view));
    }
    line(&title(record))?;
    for (field, value) in &view.fields {
        line(&format!("  {} = {}", syncline_client::text::plain(field), shown(&json::write(value))))?;
    }
    for ((field, _), column) in &view.columns {
        let (rule, value) = column_json(column);
        line(&format!("  {} ({rule}) = {}", syncline_client::text::plain(field), shown(&value)))?;
    }
    Ok(())
}

pub fn list(global: &Global, collection: Option<&str>) -> Result<(), Failure> {
    write_all(global, collection, if global.json { exported } else { summary })
}

pub fn export(global: &Global, collection: Option<&str>) -> Result<(), Failure> {
    write_all(global, collection, exported)
}

fn write_all(global: &Global, collection: Option<&str>, form: fn(&RecordName, &View) -> String) -> Result<(), Failure> {
    let records = open(global)?.records(collection)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (name, view) in &records {
        writeln!(out, "{}", form(name, view)).map_err(no_reader)?;
    }
    out.flush().map_err(no_reader)
}

pub fn rejected(global: &Global, dismiss: Option<u64>) -> Result<(), Failure> {
    let mut local = open(global)?;
    let rejections = local.rejections()?;
    if let Some(number) = dismiss {
        if !rejections.iter().any(|rejection| rejection.number == number) {
            let numbers: Vec<String> = rejections.iter().map(|rejection| rejection.number.to_string()).collect();
            let there = if numbers.is_empty() { "there are none".to_owned() } else { format!("there are: {}", numbers.join(", ")) };
            return failed(format!("no rejection has the number {number}; {there}"));
        }
        local.dismiss(number)?;
        return if global.json { line(&json!({ "dismissed": number }).to_string()) } else { line(&format!("dismissed {number}")) };
    }
    if rejections.is_empty() && !global.json {
        return line("nothing was rejected");
    }
    for rejection in &rejections {
        if global.json {
            line(&rejection_json(rejection).to_string())?;
        } else {
            line(&format!("{}: {} (change {} of {})", rejection.number, rejection.code.name(), rejection.seq, rejection.replica))?;
            for text in rows(&rejection.change) {
                line(&format!("  {text}"))?;
            }
        }
    }
    Ok(())
}

fn rejection_json(rejection: &Rejection) -> serde_json::Value {
    let row = |row: &syncline::change::Row| {
        let fields: serde_json::Map<String, serde_json::Value> =
            row.ops.iter().map(|op| (op.field.clone(), written(&op.payload))).collect();
        json!({ "collection": row.record.collection, "id": row.record.id, "life": row.life, "fields": fields })
    };
    json!({
        "number": rejection.number,
        "seq": rejection.seq,
        "replica": rejection.replica.to_string(),
        "code": rejection.code.0,
        "name": rejection.code.name(),
        "rows": rejection.change.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// What an op wrote: {"value": …}, {"unset": true} or nothing known.
fn written(payload: &Payload) -> serde_json::Value {
    match payload {
        Payload::Set(value) => json!({ "value": json::write(value) }),
        Payload::Unset => json!({ "unset": true }),
        _ => json!({}),
    }
}

fn rows(change: &Change) -> Vec<String> {
    let mut texts = Vec::new();
    for row in &change.rows {
        let mut text = title(&row.record);
        if row.life % 2 == 0 {
            text.push_str(" deleted");
        }
        for op in &row.ops {
            let field = syncline_client::text::plain(&op.field);
            match &op.payload {
                Payload::Set(value) => text.push_str(&format!(" {field}={}", shown(&json::write(value)))),
                Payload::Unset => text.push_str(&format!(" {field} unset")),
                _ => text.push_str(&format!(" {field} by another rule")),
            }
        }
        texts.push(text);
    }
    texts
}
