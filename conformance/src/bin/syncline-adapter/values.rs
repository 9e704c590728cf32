//! Values, rows and bytes as the adapter protocol writes them in JSON.

use serde_json::{Value as Json, json};
use syncline::change::RecordName;
use syncline::client::{Edit, Write};
use syncline::space::{Fields, Shown, View};
use syncline::value::{Value, ValueMap};

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hex digits.
pub fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
    pairs.map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or("something that is no hex".to_owned())).collect()
}

/// The rows of a local write; the inner error is a value that no field can hold, which is refused.
pub fn write_rows(rows: &Json) -> Result<Result<Vec<Write>, String>, String> {
    let mut all = Vec::new();
    for row in rows.as_array().ok_or("`rows` is missing")? {
        let name = |index: usize| row["record"][index].as_str().map(str::to_owned).ok_or("`record` is no pair of names");
        let (collection, id) = (name(0)?, name(1)?);
        if row["delete"] == true {
            all.push(Write::Delete { collection, id });
            continue;
        }
        let mut fields = Vec::new();
        for (field, value) in row["fields"].as_object().ok_or("`fields` is missing")? {
            if value.get("$unset").is_some() {
                fields.push((field.clone(), None));
                continue;
            }
            match read(value) {
                Ok(value) => fields.push((field.clone(), Some(value))),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        if let Some(columns) = row["columns"].as_object() {
            match edits(columns) {
                Ok(edits) => all.push(Write::Edit { collection: collection.clone(), id: id.clone(), edits }),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        all.push(Write::Put { collection, id, fields });
    }
    Ok(Ok(all))
}

/// Columns of further rules: field to rule to what is written.
fn edits(columns: &serde_json::Map<String, Json>) -> Result<Vec<(String, Edit)>, String> {
    let mut edits = Vec::new();
    for (field, rules) in columns {
        for (rule, written) in rules.as_object().into_iter().flatten() {
            edits.push((field.clone(), edit(rule, written)?));
        }
    }
    Ok(edits)
}

fn edit(rule: &str, written: &Json) -> Result<Edit, String> {
    let items = || written.as_array().into_iter().flatten();
    Ok(match rule {
        "counter" => Edit::Add(written.as_i64().ok_or("an amount that is no integer")?),
        "max" => Edit::Max(read(written)?),
        "min" => Edit::Min(read(written)?),
        "set" => Edit::Elements(items().map(|pair| Ok((read(&pair[0])?, pair[1] == true))).collect::<Result<_, String>>()?),
        "map" => {
            let entry =
                |(key, value): (&String, &Json)| Ok((key.clone(), if value.get("$unset").is_some() { None } else { Some(read(value)?) }));
            Edit::Entries(written.as_object().into_iter().flatten().map(entry).collect::<Result<_, String>>()?)
        }
        "multi" => Edit::Values(items().map(read).collect::<Result<_, _>>()?),
        other => return Err(format!("{other} is no rule")),
    })
}

fn read(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::int(value).ok_or("an integer beyond 2^53 - 1")?,
            None => float(number.as_f64().ok_or("a number out of range")?)?,
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(read).collect::<Result<_, _>>()?),
        Json::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Json::as_str);
            if let Some(digits) = text("$bytes") {
                return unhex(digits).map(Value::Bytes);
            }
            if let Some(digits) = text("$int") {
                return digits.parse().ok().and_then(Value::int).ok_or(format!("{digits} is beyond 2^53 - 1"));
            }
            if let Some(digits) = text("$float") {
                return float(digits.parse().map_err(|_| "no number")?);
            }
            return map(object);
        }
    })
}

fn float(value: f64) -> Result<Value, String> {
    Value::number(value).ok_or(format!("{value} is no number that a value can be"))
}

fn map(object: &serde_json::Map<String, Json>) -> Result<Value, String> {
    let pairs: Vec<(String, Value)> = match object.get("$map").and_then(Json::as_array) {
        Some(pairs) => pairs
            .iter()
            .map(|pair| Ok((pair[0].as_str().ok_or("a key that is no text")?.to_owned(), read(&pair[1])?)))
            .collect::<Result<_, String>>()?,
        None => object.iter().map(|(key, value)| Ok((key.clone(), read(value)?))).collect::<Result<_, String>>()?,
    };
    ValueMap::new(pairs).map(Value::Map).ok_or("a key that stands twice".to_owned())
}

/// A value in JSON.
pub fn show(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) if value.get().fract() == 0.0 => json!({"$float": format!("{:?}", value.get())}),
        Value::Float(value) => json!(value.get()),
        Value::Bytes(bytes) => json!({"$bytes": hex(bytes)}),
        Value::Text(text) => json!(text),
        Value::Array(items) => items.iter().map(show).collect(),
        Value::Map(map) if map.pairs().iter().any(|(key, _)| key.starts_with('$')) => {
            json!({"$map": map.pairs().iter().map(|(key, value)| json!([key, show(value)])).collect::<Vec<_>>()})
        }
        Value::Map(map) => Json::Object(map.pairs().iter().map(|(key, value)| (key.clone(), show(value))).collect()),
    }
}

/// A view in JSON.
pub fn view(records: Vec<(RecordName, View)>) -> Json {
    let fields = |fields: &Fields| Json::Object(fields.iter().map(|(name, value)| (name.clone(), show(value))).collect());
    let record = |(name, view): &(RecordName, View)| match columns(view) {
        Json::Null => json!([name.collection, name.id, fields(&view.fields)]),
        columns => json!([name.collection, name.id, fields(&view.fields), columns]),
    };
    records.iter().map(record).collect()
}

/// What the columns of further rules show, by field and the rule's name; null where there are none.
fn columns(view: &View) -> Json {
    let mut columns = Json::Null;
    for ((field, _), shown) in &view.columns {
        let (rule, value) = match shown {
            Shown::Counter(sum) => ("counter", json!(sum)),
            Shown::Max(value) => ("max", show(value)),
            Shown::Min(value) => ("min", show(value)),
            Shown::Set(elements) => ("set", elements.iter().map(show).collect()),
            Shown::Map(entries) => ("map", show(&Value::Map(entries.clone()))),
            Shown::Multi(values) => ("multi", values.iter().map(|(_, value)| show(value)).collect()),
        };
        columns[field][rule] = value;
    }
    columns
}
