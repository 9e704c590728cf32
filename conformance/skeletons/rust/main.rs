//! An adapter of Syncline's conformance suite: one JSON object a line on stdin, one on stdout. Logs belong on stderr.

use std::io::{BufRead, Write, stdin, stdout};

use serde_json::{Value, json};

/// Why there is no result.
#[allow(dead_code)] // until `decode` refuses something
enum Failure {
    /// This implementation does not do it yet.
    Unsupported,
    /// The bytes are refused, with a name from the registry of errors, such as `malformed`.
    Fault(&'static str),
}

/// What your implementation holds of a value or a frame.
struct Decoded;

/// The bytes of one `value` or one `frame`.
fn decode(_kind: &str, _bytes: &[u8]) -> Result<Decoded, Failure> {
    Err(Failure::Unsupported)
}

/// What `decode` gave, as bytes.
fn encode(_kind: &str, _decoded: &Decoded) -> Result<Vec<u8>, Failure> {
    Err(Failure::Unsupported)
}

fn recoded(command: &Value) -> Result<Vec<u8>, Failure> {
    let kind = command["kind"].as_str().unwrap_or_default();
    if !["value", "frame", "frame-agreed"].contains(&kind) {
        return Err(Failure::Unsupported);
    }
    let hex = command["hex"].as_str().unwrap_or_default();
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    encode(kind, &decode(kind, &bytes)?)
}

fn vectors(command: &Value) -> Value {
    match recoded(command) {
        Ok(bytes) => json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()}),
        Err(Failure::Fault(name)) => json!({"error": name}),
        Err(Failure::Unsupported) => json!({"error": "unknown-kind"}),
    }
}

fn answer(command: &Value) -> Value {
    // Each further verb of the README's table is an arm more.
    let mut reply = match command["verb"].as_str() {
        _ if !command["id"].is_u64() => return json!({"id": null, "error": "no JSON object with an id"}),
        Some("hello") => json!({"version": 1, "name": "mine", "profiles": ["core"], "roles": []}),
        Some("vectors") => vectors(command),
        Some("bye") => json!({}),
        _ => return json!({"id": command["id"], "error": "unsupported"}),
    };
    (reply["id"], reply["ok"], reply["wake"]) = (command["id"].clone(), json!(true), Value::Null);
    reply
}

fn main() -> std::io::Result<()> {
    for line in stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?).unwrap_or_default();
        writeln!(stdout(), "{}", answer(&command))?;
        if command["verb"] == "bye" {
            break;
        }
    }
    Ok(())
}
