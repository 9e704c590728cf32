//! Builds a program that brings its corpus along again when a file of the corpus changed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_EMBED").is_some() {
        for folder in ["scenarios", "vectors", "schema", "mutants", "revisions", "../spec"] {
            println!("cargo:rerun-if-changed={folder}");
        }
    }
}
