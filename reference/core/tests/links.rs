//! Every relative link of the texts in this tree leads somewhere: to a file that is there, and to a heading or an id in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold what others wrote or what a build made.
const SKIPPED: [&str; 4] = ["target", "node_modules", "dist", "fuzz"];
/// The book, and what is published beside it under the same relative paths: `.ci/site` copies it. Nothing else is.
const BOOK: &str = "spec/src";
const BESIDE: [&str; 2] = ["spec/syncline.cddl", "spec/registries"];

#[test]
fn every_relative_link_leads_somewhere() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the tree is there");
    let mut texts = BTreeMap::new();
    collect(&top, &mut texts);
    assert!(texts.contains_key(&top.join("README.md")) && texts.len() > 20, "{} texts", texts.len());
    let ids: BTreeMap<_, _> = texts.iter().map(|(path, text)| (path.clone(), ids(text))).collect();
    let mut faults = Vec::new();
    let mut links = 0;
    for (path, text) in &texts {
        for link in targets(text) {
            links += 1;
            if let Err(fault) = follow(&top, path, &link, &ids) {
                let path = path.strip_prefix(&top).expect("below the top");
                faults.push(format!("{}: {link}: {fault}", path.display()));
            }
        }
    }
    assert!(links > 100, "{links} links were found");
    let site = fs::read_to_string(top.join(".ci/site")).expect("it builds the site");
    assert!(site.contains(&format!("cp -r {} \"$site/\"", BESIDE.join(" "))), "{BESIDE:?} are copied beside the book");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Path::new("/book/page.md").to_owned();
    let text = "# A `b` Heading\n## Twice\n## Twice\n```\n[no](link.md)\n```\n[x](#a-b-heading) `[no](n)` [y](#twice-1)\n[z]: #nowhere\n";
    let ids = BTreeMap::from([(page.clone(), ids(text))]);
    let found: Vec<_> = targets(text).iter().map(|link| follow(Path::new("/book"), &page, link, &ids).is_ok()).collect();
    assert_eq!(found, [true, true, false]);
    assert!(follow(Path::new("/book"), &page, "gone.md", &ids).is_err());
}

fn collect(folder: &Path, texts: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().expect("a type").is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                collect(&path, texts);
            }
        } else if name.ends_with(".md") {
            texts.insert(path.clone(), fs::read_to_string(&path).expect("a text"));
        }
    }
}

/// The lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// Where links lead that name no other site.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        let bare: String = line.split('`').step_by(2).collect();
        let inline = bare.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let defined = bare.split_once("]: ").filter(|(name, _)| name.starts_with('[')).map(|(_, target)| target.trim());
        targets.extend(inline.chain(defined).filter(|target| !target.contains("://") && !target.starts_with("mailto:")).map(str::to_owned));
    }
    targets
}

/// What a link can name in a text: its headings, as they are turned into ids, and the ids that it gives.
fn ids(text: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for line in prose(text) {
        ids.extend(line.split("id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let id: String = title.trim().to_lowercase().chars().filter_map(id_char).collect();
        let mut numbered = id.clone();
        let mut times = 0;
        while !ids.insert(numbered) {
            times += 1;
            numbered = format!("{id}-{times}");
        }
    }
    ids
}

fn id_char(c: char) -> Option<char> {
    match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ => c.is_alphanumeric().then_some(c),
    }
}

fn follow(top: &Path, from: &Path, link: &str, ids: &BTreeMap<PathBuf, BTreeSet<String>>) -> Result<(), String> {
    let (file, id) = link.split_once('#').map_or((link, None), |(file, id)| (file, Some(id)));
    let to = match file {
        "" => from.to_owned(),
        file => from.parent().expect("a file lies in a folder").join(file).canonicalize().map_err(|error| error.to_string())?,
    };
    let book = top.join(BOOK);
    let published = to.is_file() && (to.starts_with(&book) || BESIDE.iter().any(|path| to.starts_with(top.join(path))));
    if from.starts_with(&book) && !published {
        return Err(format!("allowed are files of {BOOK}, and of {}, which are published with it", BESIDE.join(" and ")));
    }
    match (id, ids.get(&to)) {
        (Some(id), Some(ids)) if !ids.contains(id) => Err(format!("no heading or id \"{id}\" there")),
        _ => Ok(()),
    }
}
