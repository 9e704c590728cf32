//! Three replicas that write apart end equal.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Replica, Server, ran};

#[test]
fn replicas_that_wrote_apart_end_equal() {
    let [home, a, b, c] = [(); 4].map(|()| Replica::new());
    let server = Server::start(&home.path(""), &[]);
    let (packages, targets) = packages();
    let count = packages.len() + targets.len();
    assert!(count >= 300, "this workspace has {count} packages and targets");
    for (collection, records) in [("packages", &packages), ("targets", &targets)] {
        std::fs::write(a.path("lines.ndjson"), lines(records)).expect("the folder is ours");
        let imported = a.ok(&["import", "lines.ndjson", "--collection", collection, "--id", "id"]);
        assert!(imported.contains(&format!("read {} records", records.len())), "{imported}");
    }
    let ids: Vec<String> =
        packages.iter().map(|package| format!("packages/{}", package["id"].as_str().expect("cargo names its packages"))).collect();
    for replica in [&a, &b, &c] {
        replica.sync(&server);
    }
    assert_eq!(b.ok(&["export"]), a.ok(&["export"]));

    for id in &ids[..10] {
        b.ok(&["put", id, "note=from b", "b=1"]);
        c.ok(&["put", id, "note=from c", "c=1"]);
    }
    let doomed: Vec<&str> = ids[10..15].iter().map(String::as_str).collect();
    c.ok(&[&["delete"], doomed.as_slice()].concat());
    for replica in [&b, &c, &a, &b] {
        replica.sync(&server);
    }

    let exports = [&a, &b, &c].map(|replica| replica.ok(&["export"]));
    assert_eq!(exports[0].lines().count(), count - 5);
    assert!(exports[0] == exports[1] && exports[1] == exports[2], "the exports differ");
    let statuses = [&a, &b, &c].map(|replica| replica.json(&["status"]));
    for status in &statuses {
        assert_eq!(status["in_sync"], true, "{status}");
        assert_eq!(status["pending"], 0, "{status}");
        assert_eq!(status["fingerprint"], statuses[0]["fingerprint"]);
    }
    // C wrote last on every record that both edited, and fields that only one of them wrote are both there.
    let both = a.json(&["get", &ids[0]]);
    assert_eq!([&both["fields"]["note"], &both["fields"]["b"], &both["fields"]["c"]], [&json!("from c"), &json!(1), &json!(1)]);

    // What was exported can be imported elsewhere, and is the same there.
    let copy = Replica::new();
    assert_eq!(copy.feed(&["import"], &exports[0]).status, 0);
    assert_eq!(copy.ok(&["export"]), exports[0]);
}

/// The packages that this workspace is built of, and their targets, each flat.
fn packages() -> (Vec<Value>, Vec<Value>) {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--format-version", "1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let metadata: Value = serde_json::from_str(&ran(metadata).out).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    (packages.iter().map(package).collect(), packages.iter().flat_map(targets).collect())
}

fn package(package: &Value) -> Value {
    let names = ["name", "version", "id", "license", "edition", "description", "repository", "rust_version", "keywords"];
    let mut fields: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), package[name].clone())).collect();
    fields.insert("dependencies".into(), package["dependencies"].as_array().map_or(0, Vec::len).into());
    Value::Object(fields)
}

fn targets(package: &Value) -> Vec<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = |target: &Value| {
        let id = format!("{}@{}/{}/{}", text(&package["name"]), text(&package["version"]), text(&target["kind"][0]), text(&target["name"]));
        json!({ "id": id, "package": package["id"], "edition": target["edition"], "test": target["test"], "kind": target["kind"] })
    };
    package["targets"].as_array().map(|all| all.iter().map(target).collect()).unwrap_or_default()
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}
