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
/// They do not build.
pub fn build() -> Result<(), String> {
    cargo(&[], &[("CARGO_TARGET_DIR", target()?)])
}

/// Builds both with every variant of `mutants/` in them, and gives their folder, which is not that of the ordinary programs.
///
/// # Errors
/// They do not build.
pub fn build_mutants() -> Result<PathBuf, String> {
    let (target, folder) = (target()?, target()?.join("mutants"));
    // What both builds have in common stands in `target` and is built once; a cargo before 1.91 builds it twice.
    let environment = [("CARGO_BUILD_BUILD_DIR", target), ("CARGO_TARGET_DIR", folder.clone())];
    cargo(&["--features", "syncline-server/mutants,syncline-conformance/mutants"], &environment)?;
    Ok(folder.join(if released() { "release" } else { "debug" }))
}

/// The folder of this program, and of the ordinary server and adapter.
///
/// # Errors
/// The system does not say.
pub fn folder() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    exe.parent().map(Path::to_owned).ok_or(format!("{} stands in no folder", exe.display()))
}

/// The folder that cargo builds in.
fn target() -> Result<PathBuf, String> {
    folder().map(|folder| folder.parent().unwrap_or(&folder).to_owned())
}

fn released() -> bool {
    folder().is_ok_and(|folder| folder.ends_with("release"))
}

fn cargo(arguments: &[&str], environment: &[(&str, PathBuf)]) -> Result<(), String> {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or("cargo".to_owned()));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.args(["build", "--quiet", "--package", "syncline-server", "--package", "syncline-conformance"]);
    command.args(["--bin", "syncline-server", "--bin", "syncline-adapter"]).args(arguments);
    if released() {
        command.arg("--release");
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the reference does not build".to_owned()) }
}
