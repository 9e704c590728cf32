//! What `inspect` shows, in CBOR's diagnostic notation (RFC 8949, section 8), which has bytes where JSON has none.

use serde_json::Value as Json;

/// The JSON of `inspect` in the other notation: `{"$bytes": "00ff"}` is `h'00ff'`, and a key's doubled `$` is one.
pub(crate) fn to_edn(json: &Json) -> String {
    let mut text = String::new();
    write(json, 0, &mut text);
    text
}

/// Short things stand in a line; maps and arrays of maps have a line for each item.
fn write(json: &Json, depth: usize, text: &mut String) {
    match json {
        Json::Array(items) if items.iter().any(Json::is_object) => {
            list('[', ']', items, depth, text, |item, text| write(item, depth + 1, text));
        }
        Json::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { ", " });
                write(item, depth, text);
            }
            text.push(']');
        }
        Json::Object(map) => {
            if let (1, Some(hex)) = (map.len(), map.get("$bytes").and_then(Json::as_str)) {
                text.push_str(&format!("h'{hex}'"));
                return;
            }
            list('{', '}', map, depth, text, |(key, value), text| {
                let key = if key.starts_with("$$") { &key[1..] } else { key };
                text.push_str(&format!("{}: ", Json::from(key)));
                write(value, depth + 1, text);
            });
        }
        // The rest is written alike in both.
        _ => text.push_str(&json.to_string()),
    }
}

fn list<I: IntoIterator>(open: char, close: char, items: I, depth: usize, text: &mut String, one: impl Fn(I::Item, &mut String)) {
    text.push(open);
    let mut first = true;
    for item in items {
        text.push_str(if first { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        one(item, text);
        first = false;
    }
    if !first {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(json: Json, expected: &str) {
        assert_eq!(to_edn(&json), expected);
    }

    #[test]
    fn bytes_are_bytes_and_keys_are_as_they_were() {
        check(json!([1, -2, 1.0, null, true, "a\"b"]), r#"[1, -2, 1.0, null, true, "a\"b"]"#);
        check(json!({ "$bytes": "00ff" }), "h'00ff'");
        check(json!({ "$$bytes": "00ff" }), "{\n  \"$bytes\": \"00ff\"\n}");
        check(json!({}), "{}");
        check(json!({ "a": [{ "b": [] }] }), "{\n  \"a\": [\n    {\n      \"b\": []\n    }\n  ]\n}");
    }
}
