//! Where the suite's files come from: a checkout, or this program itself.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What judges an implementation, by folder and extension; the digest is over these.
const JUDGING: &[(&str, &str)] = &[("conformance/scenarios", "scn"), ("conformance/vectors", "vec")];

/// The files of the suite and of the spec, by their paths in a checkout.
#[derive(Debug, Clone)]
pub struct Corpus(Root);

#[derive(Debug, Clone)]
enum Root {
    Folder(PathBuf),
    #[cfg(feature = "embed")]
    Embedded,
}

impl Corpus {
    /// A checkout, or what was unpacked from a release.
    pub fn folder(root: &Path) -> Self {
        Self(Root::Folder(root.to_owned()))
    }

    /// What this program brings along; the checkout it was built from, where it brings nothing.
    pub fn own() -> Self {
        #[cfg(feature = "embed")]
        return Self(Root::Embedded);
        #[cfg(not(feature = "embed"))]
        Self::folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
    }

    /// The folder it is in; none where the program brings it along.
    pub fn root(&self) -> Option<&Path> {
        match &self.0 {
            Root::Folder(root) => Some(root),
            #[cfg(feature = "embed")]
            Root::Embedded => None,
        }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// It is not there, or is not text.
    pub fn read(&self, path: &str) -> Result<String, String> {
        match &self.0 {
            Root::Folder(root) => fs::read_to_string(root.join(path)).map_err(|error| format!("{}: {error}", root.join(path).display())),
            #[cfg(feature = "embed")]
            Root::Embedded => {
                let file = embedded::file(path).ok_or(format!("{path} is not in this program"))?;
                file.contents_utf8().map(str::to_owned).ok_or(format!("{path} is not text"))
            }
        }
    }

    /// The files below a folder with this extension, sorted: each with its path from the root, and its text.
    pub fn files(&self, below: &str, extension: &str) -> Vec<(PathBuf, String)> {
        let mut found: Vec<(PathBuf, String)> = self
            .paths(below)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .map(|path| (path, String::new()))
            .collect();
        found.sort();
        for (path, text) in &mut found {
            // What cannot be read is told where its text makes no sense.
            *text = self.read(&path.to_string_lossy()).unwrap_or_default();
        }
        found
    }

    /// Every file below a folder, by its path from the root.
    pub fn paths(&self, below: &str) -> Vec<PathBuf> {
        match &self.0 {
            Root::Folder(root) => {
                let (mut found, mut folders) = (Vec::new(), vec![root.join(below)]);
                while let Some(folder) = folders.pop() {
                    for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                        if path.is_dir() {
                            folders.push(path);
                        } else {
                            found.extend(path.strip_prefix(root).map(Path::to_owned));
                        }
                    }
                }
                found
            }
            #[cfg(feature = "embed")]
            Root::Embedded => embedded::paths(below),
        }
    }

    /// Names what judges: SHA-256, in hex, over the path and the text of every scenario and vector file.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, text) in JUDGING.iter().flat_map(|(folder, extension)| self.files(folder, extension)) {
            for part in [path.to_string_lossy().as_bytes(), text.as_bytes()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        crate::edn::hex(&hash.finalize())
    }
}

/// The files that a released program brings along.
#[cfg(feature = "embed")]
mod embedded {
    use std::path::PathBuf;

    use include_dir::{Dir, DirEntry, File, include_dir};

    static PARTS: &[(&str, Dir)] = &[
        ("conformance/scenarios", include_dir!("$CARGO_MANIFEST_DIR/scenarios")),
        ("conformance/vectors", include_dir!("$CARGO_MANIFEST_DIR/vectors")),
        ("conformance/schema", include_dir!("$CARGO_MANIFEST_DIR/schema")),
        ("conformance/mutants", include_dir!("$CARGO_MANIFEST_DIR/mutants")),
        ("conformance/revisions", include_dir!("$CARGO_MANIFEST_DIR/revisions")),
        ("spec", include_dir!("$CARGO_MANIFEST_DIR/../spec")),
    ];

    pub fn file(path: &str) -> Option<&'static File<'static>> {
        PARTS.iter().find_map(|(root, dir)| dir.get_file(path.strip_prefix(root)?.strip_prefix('/')?))
    }

    pub fn paths(below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (root, dir) in PARTS {
            let mut dirs = vec![dir];
            while let Some(dir) = dirs.pop() {
                for entry in dir.entries() {
                    match entry {
                        DirEntry::Dir(dir) => dirs.push(dir),
                        DirEntry::File(file) => found.push(PathBuf::from(root).join(file.path())),
                    }
                }
            }
        }
        found.retain(|path| path.starts_with(below));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_named_from_the_root() {
        let files = Corpus::folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).files("spec/registries", "toml");
        let names: Vec<String> = files.iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
        assert!(names.contains(&"spec/registries/errors.toml".to_owned()) && names.is_sorted(), "{names:?}");
        assert!(files.iter().all(|(_, text)| !text.is_empty()));
    }

    #[test]
    fn the_digest_follows_what_judges_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder for a test");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder for a test");
            fs::write(path, text).expect("a file for a test");
        };
        let digest = || Corpus::folder(folder.path()).digest();
        write("conformance/scenarios/a/one.scn", "# One.");
        let first = digest();
        write("conformance/README.md", "Read me.");
        assert_eq!(digest(), first);
        write("conformance/vectors/a.vec", "kind value");
        assert_ne!(digest(), first);
    }
}
