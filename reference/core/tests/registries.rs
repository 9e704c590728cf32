//! The constants are those of `spec/registries/`: the two cannot drift apart.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use syncline::registry::{self, Class, Code, Reset};
use syncline::{limits, rules};

#[derive(Deserialize)]
struct Entry {
    name: String,
    code: Option<u64>,
    key: Option<u64>,
    value: Option<u64>,
    class: Option<String>,
}

/// The entries of one table of a registry.
fn entries(file: &str, table: &str) -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/registries").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut tables: BTreeMap<String, toml::Value> = toml::from_str(&text).expect("a registry is TOML");
    let entries = tables.remove(table).unwrap_or_else(|| panic!("{file} has no [[{table}]]"));
    entries.try_into().expect("an entry has a name and numbers")
}

/// Code and name of each entry, as the constants list them.
fn named(entries: &[Entry]) -> Vec<(u64, &str)> {
    entries.iter().map(|entry| (entry.code.expect("an entry has a code"), entry.name.as_str())).collect()
}

#[test]
fn the_limits_are_the_registrys() {
    let ours = limits_by_name();
    let theirs: BTreeMap<String, u64> =
        entries("limits.toml", "limit").into_iter().map(|entry| (entry.name, entry.value.expect("a limit has a value"))).collect();
    assert_eq!(ours, theirs);
}

/// Every `pub const NAME: usize or u64` of `limits.rs`, evaluated by the list below; the list is checked against the source.
fn limits_by_name() -> BTreeMap<String, u64> {
    macro_rules! list {
        ($($name:ident)*) => { BTreeMap::from([$((stringify!($name).to_lowercase(), limits::$name as u64)),*]) };
    }
    let listed = list! {
        FRAME_BYTES_MAX CHANGE_OPS_MAX CHANGE_BYTES_MAX VALUE_BYTES_MAX PART_BYTES_MAX CHANNELS_MAX PUSH_WINDOW_CHANGES
        PUSH_WINDOW_BYTES CREDIT_BYTES DEPTH_MAX SPACE_NAME_BYTES_MAX RECORD_ID_BYTES_MAX COLLECTION_NAME_BYTES_MAX FIELD_NAME_BYTES_MAX KEY_BYTES_MAX
        TOKEN_BYTES_MAX ERROR_TEXT_BYTES_MAX CLOCK_ABSORB_MS CLOCK_ADMIT_MS CLOCK_RTT_MAX_MS HELLO_TIMEOUT_MS PING_INTERVAL_MS
        SILENCE_TIMEOUT_MS ACK_TIMEOUT_MS CONNECT_TIMEOUT_MS BACKOFF_BASE_MS BACKOFF_CAP_MS RESET_INTERVAL_MS MARK_INTERVAL_MS MARK_QUIET_MS
        RETAINED_CHANGES_MIN PENDING_CHANGES_MAX HELD_CHANGES_MAX LINKS_MAX REVOKE_MS_MAX TOKEN_REFRESH_MS SPACE_REPLICAS_MAX PUSHED_OVERHEAD_MAX SIGNAL_BYTES_MAX SIGNALS_PER_MINUTE_MAX LIFE_MAX
        PRESENCE_BYTES_MAX PRESENCE_TTL_MAX_MS PRESENCE_AUTHORS_MAX SPACE_COLLECTIONS_MAX SUBSCRIPTION_COLLECTIONS_MAX
        RETENTION_MS HORIZON_POSITIONS_MIN HORIZON_STEP_CELLS HORIZON_WAIT_MS
        REPAIR_CELLS_MAX REPAIR_CELLS_PER_MINUTE_MAX REPAIR_RANGES_MAX REPAIR_LIST_MAX NAMES_MAX
    };
    let source = include_str!("../src/limits.rs");
    let declared =
        source.lines().filter(|line| line.starts_with("pub const ") && (line.contains(": usize") || line.contains(": u64"))).count();
    assert_eq!(declared, listed.len(), "a constant of limits.rs is not listed in this test");
    listed
}

#[test]
fn the_advertised_limits_are_those_with_a_key() {
    let keyed = |entry: &Entry| Some((entry.key?, entry.value?));
    let theirs: Vec<(u64, u64)> = entries("limits.toml", "limit").iter().filter_map(keyed).collect();
    assert_eq!(limits::ADVERTISED, theirs);
}

#[test]
fn the_messages_are_the_registrys() {
    assert_eq!(registry::MESSAGES, named(&entries("messages.toml", "message")));
}

#[test]
fn the_profiles_are_the_registrys() {
    assert_eq!(registry::PROFILES, named(&entries("profiles.toml", "profile")));
}

#[test]
fn the_rules_are_the_registrys() {
    assert_eq!(rules::RULES, named(&entries("rules.toml", "rule")));
}

#[test]
fn the_joins_are_the_registrys() {
    for entry in entries("rules.toml", "join") {
        let join = rules::join_of(entry.code.expect("a join has a code")).map(|join| format!("{join:?}"));
        assert_eq!(join.map(|name| name.to_lowercase()), Some(entry.name.replace('-', "")));
    }
}

#[test]
fn the_error_codes_and_their_classes_are_the_registrys() {
    let classes: BTreeMap<String, u64> =
        entries("errors.toml", "class").into_iter().map(|entry| (entry.name, entry.code.expect("a class has a code"))).collect();
    let theirs = entries("errors.toml", "error");
    let ours: Vec<(u64, &str)> = Code::ALL.iter().map(|code| (code.0, code.name())).collect();
    assert_eq!(ours, named(&theirs));
    for entry in theirs {
        let code = Code(entry.code.expect("an error has a code"));
        let class = entry.class.unwrap_or_default();
        assert_eq!(Some(&code.class().code()), classes.get(&class), "{}: class {class}", entry.name);
    }
    assert_eq!((0..).map_while(Class::from_code).count(), classes.len());
}

#[test]
fn the_reset_reasons_and_durabilities_are_the_registrys() {
    let resets = [
        (Reset::NONE, "none"),
        (Reset::NO_CURSOR, "no-cursor"),
        (Reset::HISTORY, "history"),
        (Reset::HORIZON, "horizon"),
        (Reset::FUTURE, "future"),
    ];
    assert_eq!(resets.as_slice(), named(&entries("errors.toml", "reset")));
    let durabilities = [(registry::DURABILITY_STORED, "stored"), (registry::DURABILITY_REPLICATED, "replicated")];
    assert_eq!(durabilities.as_slice(), named(&entries("errors.toml", "durability")));
}
