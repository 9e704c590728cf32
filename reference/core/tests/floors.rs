//! The modules stand on floors, and the files stay readable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lines that a file may have.
const LINES_MAX: usize = 600;

/// Every Rust file below `src`, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

/// Module → floor, from the table in the documentation of `lib.rs`.
fn floors() -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    for line in include_str!("../src/lib.rs").lines() {
        let mut columns = line.trim_start_matches("//! |").split('|').map(str::trim);
        let Some(Ok(floor)) = columns.next().map(str::parse::<usize>) else { continue };
        for name in columns.next().unwrap_or_default().split('`').skip(1).step_by(2) {
            floors.insert(name.to_owned(), floor);
        }
    }
    floors
}

/// The module of `lib.rs` that a file belongs to; none for `lib.rs` itself.
fn module(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("it was found there");
    let first = inside.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs");
    (first != "lib").then(|| first.to_owned())
}

/// The modules that a source names behind `crate::`, those in braces too.
fn imports(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && c.is_alphabetic() => {
                    names.push(word(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_module_has_a_floor() {
    let floors = floors();
    let modules: Vec<String> = include_str!("../src/lib.rs").lines().filter_map(|line| line.strip_prefix("pub mod ")).map(word).collect();
    assert!(!modules.is_empty());
    for name in &modules {
        assert!(floors.contains_key(name), "{name} has no floor in the table of lib.rs");
    }
    assert_eq!(floors.len(), modules.len(), "the table of lib.rs names a module that is not there");
}

#[test]
fn imports_point_down() {
    let floors = floors();
    let mut up = Vec::new();
    for (path, text) in sources() {
        let Some(name) = module(&path) else { continue };
        let own = floors.get(&name).unwrap_or_else(|| panic!("{name} has no floor"));
        for import in imports(&text) {
            match floors.get(&import) {
                Some(floor) if floor <= own => {}
                Some(floor) => up.push(format!("{}: floor {own} uses {import} on floor {floor}", path.display())),
                None => up.push(format!("{}: crate::{import} is no module with a floor", path.display())),
            }
        }
    }
    assert!(up.is_empty(), "{}", up.join("\n"));
}

#[test]
fn imports_are_found_in_braces_and_paths() {
    let found = imports("use crate::{limits, server::VERSION};\nfn f(x: crate::change::Change) {}\n// crate::sim");
    assert_eq!(found, ["limits", "server", "change"]);
}

#[test]
fn no_file_is_long() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", path.display());
    }
}
