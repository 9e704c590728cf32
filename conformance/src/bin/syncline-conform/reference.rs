//! Builds the reference, so that it can be judged.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How the suite reaches the reference.
pub fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.toml")
}

/// Builds the reference's server and adapter beside this program.
///
/// # Errors
/// It does not build.
pub fn build() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var("CARGO").unwrap_or("cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(root).args([
        "build",
        "--quiet",
        "--package",
        "syncline-server",
        "--package",
        "syncline-conformance",
        "--bin",
        "syncline-server",
        "--bin",
        "syncline-adapter",
    ]);
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = exe.parent();
    if profile.is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    if let Some(target) = profile.and_then(Path::parent) {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the reference does not build".to_owned()) }
}
