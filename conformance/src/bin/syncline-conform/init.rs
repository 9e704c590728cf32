//! `init`: writes an adapter that runs at once and can do nothing, and the conform.toml that names it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::{USAGE, fail, say};

/// In what to write an adapter, and where.
#[derive(Args)]
pub struct Arguments {
    /// The adapter's language
    #[arg(long)]
    lang: Lang,
    /// The folder to write into; no file in it is written over
    #[arg(default_value = ".")]
    folder: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    Rust,
    Typescript,
    Python,
}

/// What is written for a language.
struct Skeleton {
    files: &'static [(&'static str, &'static str)],
    /// The adapter's command in conform.toml.
    cmd: &'static str,
    /// What has to be done before it starts.
    first: &'static str,
}

impl Lang {
    fn skeleton(self) -> Skeleton {
        match self {
            Self::Rust => Skeleton {
                files: &[
                    ("src/main.rs", include_str!("../../../skeletons/rust/main.rs")),
                    ("Cargo.toml", include_str!("../../../skeletons/rust/Cargo.toml.txt")),
                ],
                cmd: r#"["{dir}/target/release/adapter"]"#,
                first: "cargo build --release in the folder, then ",
            },
            Self::Typescript => Skeleton {
                files: &[("adapter.ts", include_str!("../../../skeletons/typescript/adapter.ts"))],
                // Node 22.6 and later; from 23.6 on it needs no flag, and takes it all the same.
                cmd: r#"["node", "--experimental-strip-types", "--no-warnings", "{dir}/adapter.ts"]"#,
                first: "",
            },
            Self::Python => Skeleton {
                files: &[("adapter.py", include_str!("../../../skeletons/python/adapter.py"))],
                cmd: r#"["python3", "{dir}/adapter.py"]"#,
                first: "",
            },
        }
    }
}

/// Writes the files, and says what to do with them.
pub fn init(arguments: &Arguments) -> ExitCode {
    let skeleton = arguments.lang.skeleton();
    let config = format!("profiles = [\"core\"]\n\n[implementation]\nname = \"mine\"\n\n[adapter]\ncmd = {}\n", skeleton.cmd);
    let config_file = arguments.folder.join("conform.toml");
    let adapter = skeleton.files.iter().map(|(name, text)| (arguments.folder.join(name), *text));
    let files: Vec<(PathBuf, &str)> = adapter.chain([(config_file.clone(), config.as_str())]).collect();
    if let Some((taken, _)) = files.iter().find(|(file, _)| file.exists()) {
        return fail(USAGE, &format!("{} is there already; nothing was written", taken.display()));
    }
    for (file, text) in &files {
        if let Err(error) = place(file, text) {
            return fail(USAGE, &format!("{}: {error}", file.display()));
        }
        say(&format!("wrote {}\n", file.display()));
    }
    say(&format!("next: {}syncline-conform doctor --impl {}\n", skeleton.first, config_file.display()));
    ExitCode::SUCCESS
}

/// Writes a file that is not there, and the folders it is in.
fn place(file: &Path, text: &str) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)?;
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}
