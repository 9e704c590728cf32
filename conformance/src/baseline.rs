//! The list of what is known to fail, and how it is written into a conform.toml.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::config::{Known, today};
use crate::judge::{Judged, Verdict};

/// The list of what failed: an entry of before stays as it is, others are as `new` says.
///
/// # Errors
/// The implementation was not judged whole, a fault is the harness's own, or the day of a new entry is none to come.
pub fn listed(judged: &[Judged], before: &[Known], new: &Known) -> Result<Vec<Known>, String> {
    let whole = |judged: &&Judged| matches!(judged.verdict, Verdict::StartError | Verdict::HarnessError | Verdict::Unknown);
    if let Some(judged) = judged.iter().find(whole) {
        return Err(format!("{} is {}: {}; nothing was listed", judged.check, judged.verdict.name(), judged.why));
    }
    if !is_day(&new.until) || new.until < today() {
        return Err(format!("--until {}: a day as YYYY-MM-DD is allowed, from {} on", new.until, today()));
    }
    let known = |check: &str| before.iter().find(|known| known.check == check).cloned();
    let failed = judged.iter().filter(|judged| judged.verdict.failed());
    Ok(failed.map(|judged| known(&judged.check).unwrap_or_else(|| Known { check: judged.check.clone(), ..new.clone() })).collect())
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.chars().enumerate().all(|(at, c)| if at == 4 || at == 7 { c == '-' } else { c.is_ascii_digit() })
}

/// A conform.toml with this list in the place of its own; all else stays as it is written.
///
/// # Errors
/// The text is no TOML.
pub fn write_list(text: &str, list: &[Known]) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    document.remove("known");
    let tables: ArrayOfTables = list.iter().map(table).collect();
    if !list.is_empty() {
        document.insert("known", Item::ArrayOfTables(tables));
    }
    Ok(document.to_string())
}

fn table(known: &Known) -> Table {
    let fields = [("check", &known.check), ("issue", &known.issue), ("until", &known.until)];
    fields.into_iter().map(|(name, text)| (name, value(text.as_str()))).collect()
}
