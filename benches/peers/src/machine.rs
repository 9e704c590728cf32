//! What was measured on what.

/// The packages that stand beside Syncline, and those that its own figures hang on.
const NAMED: [&str; 9] = ["automerge", "loro", "minicbor", "negentropy", "yrs", "rusqlite", "tokio", "tokio-tungstenite", "zstd"];

/// The packages that stand beside it on Node.
const ON_NODE: [&str; 4] = ["yjs", "y-websocket", "@automerge/automerge-repo", "ws"];

/// The machine, the build and the versions, as a paragraph.
pub fn heading() -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = file("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unnamed processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = file("/proc/sys/kernel/osrelease");
    let load = file("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let mut versions: Vec<String> = NAMED.iter().map(|name| format!("{name} {}", version(name))).collect();
    versions.extend(ON_NODE.iter().map(|name| format!("{name} {}", version_on_node(name))));
    format!(
        "{cores} cores of {model}, Linux {}, load {load} at the end; release build with thin LTO. {}.",
        kernel.trim(),
        versions.join(", ")
    )
}

/// The version of a package in this program's lock file.
fn version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let package = lock.split("[[package]]").find(|package| package.lines().any(|line| line == format!("name = \"{name}\"")));
    let line = package.and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = ")));
    line.map_or("unknown", |version| version.trim_matches('"'))
}

/// The version of a package that the peers on Node ask for.
fn version_on_node(name: &str) -> String {
    let package: serde_json::Value = serde_json::from_str(include_str!("../node/package.json")).unwrap_or_default();
    package["dependencies"][name].as_str().unwrap_or("unknown").to_owned()
}
