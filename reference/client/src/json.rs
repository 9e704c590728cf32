//! Values as JSON, exactly: what cannot be held is refused, never rounded. (CODEC-15)
//!
//! Bytes are `{"$bytes": "hex"}`. A map whose only key is `$bytes`, or that with more dollars in front, gets one more dollar.
//! The keys of every object written are in ascending order of their UTF-8 bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use syncline::limits;
use syncline::value::{Value, ValueMap};

/// JSON that is no value, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON.
    #[error("{0}")]
    Syntax(String),
    /// The text is JSON, but no value holds it.
    #[error("{0}")]
    Domain(String),
}

/// Reads one JSON text as a value.
pub fn value(text: &str) -> Result<Value, JsonError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(syntax)?;
    value_of(raw, limits::DEPTH_MAX)
}

/// Reads one JSON object as its members, in their order.
pub fn members(text: &str) -> Result<Vec<(String, Value)>, JsonError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(syntax)?;
    if !raw.get().starts_with('{') {
        return Err(JsonError::Domain(format!("expected an object, found {}", kind(raw.get()))));
    }
    let object: Object = serde_json::from_str(raw.get()).map_err(domain)?;
    let read = |(name, member): (String, &RawValue)| {
        let value = value_of(member, limits::DEPTH_MAX).map_err(|error| JsonError::Domain(format!("{name:?}: {error}")))?;
        Ok((name, value))
    };
    object.0.into_iter().map(read).collect()
}

/// Reads an object of the exported form: the names and texts beside the text of `fields`.
pub fn parts(text: &str) -> Result<BTreeMap<String, String>, JsonError> {
    let object: Object = serde_json::from_str(text).map_err(syntax)?;
    Ok(object.0.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect())
}

fn value_of(raw: &RawValue, depth: usize) -> Result<Value, JsonError> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'"') => Ok(Value::Text(serde_json::from_str(text).map_err(domain)?)),
        Some(b'[') => {
            let depth = deeper(depth)?;
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(domain)?;
            Ok(Value::Array(items.into_iter().map(|item| value_of(item, depth)).collect::<Result<_, _>>()?))
        }
        Some(b'{') => object(text, depth),
        _ => number(text),
    }
}

fn object(text: &str, depth: usize) -> Result<Value, JsonError> {
    let Object(mut members) = serde_json::from_str(text).map_err(domain)?;
    if let [(name, raw)] = members.as_mut_slice()
        && is_bytes_key(name)
    {
        if name.as_str() == BYTES {
            return bytes(raw.get());
        }
        name.remove(0);
    }
    let depth = deeper(depth)?;
    let read = |(name, raw): (String, &RawValue)| Ok((name, value_of(raw, depth)?));
    let pairs = members.into_iter().map(read).collect::<Result<_, _>>()?;
    let map = ValueMap::new(pairs).ok_or_else(|| JsonError::Domain("a name occurs twice in one object".into()))?;
    Ok(Value::Map(map))
}

const BYTES: &str = "$bytes";

fn is_bytes_key(name: &str) -> bool {
    name.starts_with('$') && name.trim_start_matches('$') == "bytes"
}

fn bytes(text: &str) -> Result<Value, JsonError> {
    let fault = || JsonError::Domain(format!("{{\"$bytes\": …}} holds {text}; allowed is text of an even number of hexadecimal digits"));
    let hex: String = serde_json::from_str(text).map_err(|_| fault())?;
    if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) || !hex.len().is_multiple_of(2) {
        return Err(fault());
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| fault());
    Ok(Value::Bytes((0..hex.len()).step_by(2).map(byte).collect::<Result<_, _>>()?))
}

fn deeper(depth: usize) -> Result<usize, JsonError> {
    let fault = || JsonError::Domain(format!("arrays and objects are nested deeper than the {} levels allowed", limits::DEPTH_MAX));
    depth.checked_sub(1).ok_or_else(fault)
}

/// A number that a value can hold as written: the decimal must name its nearest double exactly.
fn number(text: &str) -> Result<Value, JsonError> {
    if let Some(value) = text.parse().ok().and_then(Value::int) {
        return Ok(value);
    }
    let refuse = || {
        JsonError::Domain(format!(
            "the number {text} would be rounded; allowed are integers from -{max} to {max} and finite doubles as they are written",
            max = limits::INT_MAX
        ))
    };
    let nearest: f64 = text.parse().map_err(|_| refuse())?;
    let value = Value::number(nearest).ok_or_else(refuse)?;
    let written = Decimal::of(text);
    // The shortest digits that name a double, the 17 that always do, and all of an integer's.
    let names = [format!("{nearest:e}"), format!("{nearest:.16e}"), format!("{nearest:.0}")];
    if names.iter().any(|name| Decimal::of(name) == written) { Ok(value) } else { Err(refuse()) }
}

/// A decimal number: 0.digits × 10^exponent, without zeros at either end.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// The number of a JSON or Rust number text. Exponents saturate, far beyond any double.
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 });
        let (whole, fraction) = mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let exponent = exponent + whole.len() as i64 - (all.len() - digits.len()) as i64;
        let digits = digits.trim_end_matches('0').to_owned();
        let negative = mantissa.starts_with('-') && !digits.is_empty();
        let exponent = if digits.is_empty() { 0 } else { exponent };
        Self { negative, digits, exponent }
    }
}

/// Writes a value as JSON.
pub fn write(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(integer) => (*integer).into(),
        Value::Float(float) => float.get().into(),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::Value::Object([(BYTES.to_owned(), hex.into())].into_iter().collect())
        }
        Value::Text(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(write).collect(),
        Value::Map(map) => {
            let mut members: Vec<(String, serde_json::Value)> =
                map.pairs().iter().map(|(name, value)| (name.clone(), write(value))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            if let [(name, _)] = members.as_mut_slice()
                && is_bytes_key(name)
            {
                name.insert(0, '$');
            }
            serde_json::Value::Object(members.into_iter().collect())
        }
    }
}

/// Writes fields as a JSON object, by name.
pub fn write_fields(fields: &BTreeMap<String, Value>) -> serde_json::Value {
    serde_json::Value::Object(fields.iter().map(|(name, value)| (name.clone(), write(value))).collect())
}

/// An object's members as they stand, each name once.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.contains_key(&name) {
                        return Err(serde::de::Error::custom(format!("the name {name:?} occurs twice in one object")));
                    }
                    members.insert(name, raw);
                }
                Ok(members.into_iter().collect())
            }
        }
        deserializer.deserialize_map(Members).map(Object)
    }
}

fn syntax(error: serde_json::Error) -> JsonError {
    JsonError::Syntax(format!("not JSON: {error}"))
}

fn domain(error: serde_json::Error) -> JsonError {
    JsonError::Domain(error.to_string())
}

fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "text",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let found = value(text).map(|value| write(&value).to_string());
        assert_eq!(found.as_deref().ok(), expected, "{text}: {found:?}");
    }

    #[test]
    fn numbers_are_held_exactly_or_refused() {
        check("0", Some("0"));
        check("-0.0", Some("0"));
        check("1e3", Some("1000"));
        check("1.0", Some("1"));
        check("0.1", Some("0.1"));
        check("0.10000000000000001", Some("0.1"));
        check("-2.50e-3", Some("-0.0025"));
        check("9007199254740991", Some("9007199254740991"));
        check("9007199254740993", None);
        check("-9007199254740993", None);
        check("12345678901234567890", None);
        check("1e22", Some("1e+22"));
        check("1e400", None);
        check("1e-400", None);
        check("3.141592653589793238", None);
        check("1.00000000000000000001", None);
        check("0e999999999999999999999", Some("0"));
        check("1e99999999999999999999", None);
    }

    #[test]
    fn bytes_and_maps_that_look_like_bytes_return_as_they_were() {
        check(r#"{"$bytes":"00ff"}"#, Some(r#"{"$bytes":"00ff"}"#));
        check(r#"{"$$bytes":"00ff"}"#, Some(r#"{"$$bytes":"00ff"}"#));
        check(r#"{"$bytes":"0"}"#, None);
        check(r#"{"$bytes":"+1"}"#, None);
        check(r#"{"$bytes":1}"#, None);
        check(r#"{"b":1,"aa":2,"$bytes":[]}"#, Some(r#"{"$bytes":[],"aa":2,"b":1}"#));
    }

    #[test]
    fn what_no_value_holds_is_refused() {
        check(r#"{"a":1,"a":2}"#, None);
        check(r#""\ud800""#, None);
        check("[1,]", None);
        check(&format!("{}{}", "[".repeat(16), "]".repeat(16)), Some(&format!("{}{}", "[".repeat(16), "]".repeat(16))));
        check(&format!("{}{}", "[".repeat(17), "]".repeat(17)), None);
        assert!(matches!(value("1.2.3"), Err(JsonError::Syntax(_))));
        assert!(matches!(value("1e400"), Err(JsonError::Domain(_))));
        assert!(matches!(members("[]"), Err(JsonError::Domain(_))));
    }
}
