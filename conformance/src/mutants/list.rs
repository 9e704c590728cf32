//! The list of variants: `mutants/*.toml`.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::corpus::Corpus;
use crate::spec::Rule;

/// A variant that breaks rules.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// As the code asks for it: `fault::is("name")`.
    pub name: String,
    /// The rules it breaks. An assertion of each has to catch it.
    pub breaks: Vec<String>,
    /// What it does, in a sentence.
    pub does: String,
    /// Whether only the server's sockets show it (L0, L1); else the adapter does (L3).
    #[serde(default)]
    pub sockets: bool,
}

/// A variant that is as legal as the reference, and differs from it where the spec leaves a choice.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// As the code asks for it.
    pub name: String,
    /// What it does, in a sentence.
    pub does: String,
}

/// The variants, in the order of their files and lines.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The faulty ones.
    #[serde(default, rename = "mutant")]
    pub mutants: Vec<Mutant>,
    /// The legal ones.
    #[serde(default, rename = "mirror")]
    pub mirrors: Vec<Mirror>,
}

impl List {
    /// Reads every list.
    ///
    /// # Errors
    /// A file that makes no sense, a name used twice, a mutant that breaks nothing or a rule that is not in the spec.
    pub fn load(corpus: &Corpus, rules: &[Rule]) -> Result<Self, String> {
        let mut all = Self::default();
        for (file, text) in corpus.files("conformance/mutants", "toml") {
            let list: Self = toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            all.mutants.extend(list.mutants);
            all.mirrors.extend(list.mirrors);
        }
        all.faults(rules).map_or(Ok(all), Err)
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.mutants.iter().map(|mutant| mutant.name.as_str()).chain(self.mirrors.iter().map(|mirror| mirror.name.as_str()))
    }

    /// Keeps the variants whose name, or a rule they break, holds a text.
    pub fn keep(&mut self, filter: &str) {
        let holds = |text: &String| text.contains(filter);
        self.mutants.retain(|mutant| holds(&mutant.name) || mutant.breaks.iter().any(holds));
        self.mirrors.retain(|mirror| holds(&mirror.name));
    }

    fn faults(&self, rules: &[Rule]) -> Option<String> {
        let mut seen = BTreeSet::new();
        if let Some(name) = self.names().find(|name| !seen.insert(*name)) {
            return Some(format!("two mutants are called {name}"));
        }
        let known: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        for mutant in &self.mutants {
            if mutant.breaks.is_empty() {
                return Some(format!("the mutant {} breaks no rule", mutant.name));
            }
            if let Some(rule) = mutant.breaks.iter().find(|rule| !known.contains(rule.as_str())) {
                return Some(format!("the mutant {} breaks {rule}, which is no rule of the spec", mutant.name));
            }
        }
        None
    }
}
