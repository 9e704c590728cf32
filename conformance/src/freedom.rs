//! What the spec leaves free in a message, taken out where a message does not match as it stands.

use crate::cbor::Item;
use crate::checks::{code, code_of};
use crate::edn::Expr;
use crate::oracle::order;
use crate::pattern::{Names, matches};

/// Where the items of a part begin.
const ITEMS: usize = 4;
const ALIVE: Item = Item::Int(-4);
const SETTLED: Item = Item::Int(-2);

/// The message as the pattern would have it, as far as that is free: profiles in rising order, no extension that the pattern does not name and
/// nobody needs to know, the items of a part and their rows in the pattern's order.
pub fn alike(pattern: &Expr, message: &Item, names: &Names) -> Item {
    let mut fields = without_extensions(pattern, message);
    match code_of(message) {
        Some(code::HELLO | code::WELCOME) => {
            if let Some(Item::Array(profiles)) = fields.get_mut(2) {
                profiles.sort_by(order);
            }
        }
        Some(code::STATES) if fields.len() > ITEMS => {
            let items = fields.split_off(ITEMS);
            fields.extend(arranged(parts_of(pattern), items, names));
        }
        _ => {}
    }
    Item::Array(fields)
}

/// Whether a pattern stands for the end of a catch-up, whatever parts lead there.
pub fn wants_last_part(pattern: &Expr) -> bool {
    let parts = parts_of(pattern);
    parts.first() == Some(&Expr::Item(Item::Int(9))) && parts.get(1) == Some(&Expr::Item(Item::Bool(true)))
}

/// Whether a message is a part, and whether the last.
pub fn part(message: &Item) -> Option<bool> {
    match message.items() {
        [Item::Int(9), Item::Bool(last), ..] => Some(*last),
        _ => None,
    }
}

/// One part that says what these say together.
pub fn joined(parts: &[Item]) -> Option<Item> {
    let mut all = parts.last()?.items().get(..ITEMS)?.to_vec();
    let mut groups: Vec<(Vec<Item>, Vec<Item>)> = Vec::new();
    for item in parts.iter().flat_map(|part| part.items().iter().skip(ITEMS)).filter(|item| matches!(item, Item::Array(_))) {
        let (head, rows) = item.items().split_at(head_len(item));
        match groups.iter_mut().find(|(known, _)| known == head) {
            // What is settled of an author last.
            Some((_, known)) if head[0] == SETTLED => *known = rows.to_vec(),
            Some((_, known)) => rows.iter().for_each(|row| add_row(known, row)),
            None => groups.push((head.to_vec(), rows.to_vec())),
        }
    }
    let implied: Vec<Item> = groups.iter().filter(|(head, _)| head[0] != ALIVE).flat_map(|(_, rows)| rows).filter_map(record).collect();
    for (_, rows) in groups.iter_mut().filter(|(head, _)| head[0] == ALIVE) {
        rows.retain(|row| row.items().len() > 1 || record(row).is_none_or(|record| !implied.contains(&record)));
    }
    groups.retain(|(head, rows)| head[0] != ALIVE || !rows.is_empty());
    all.extend(groups.into_iter().map(|(head, rows)| Item::Array(head.into_iter().chain(rows).collect())));
    Some(Item::Array(all))
}

fn parts_of(pattern: &Expr) -> &[Expr] {
    match pattern {
        Expr::Array(parts) => parts,
        _ => &[],
    }
}

/// The fields of a message without the extensions that the pattern does not name; a change has none that may be left out (FRAME-7).
fn without_extensions(pattern: &Expr, message: &Item) -> Vec<Item> {
    let [rest @ .., Item::Map(pairs)] = message.items() else { return message.items().to_vec() };
    if code_of(message) == Some(code::CHANGE) {
        return message.items().to_vec();
    }
    let named: &[(Expr, Expr)] = match parts_of(pattern).last() {
        Some(Expr::Map { pairs, .. }) => pairs,
        _ => &[],
    };
    let is_named = |key: &Item| named.iter().any(|(name, _)| *name == Expr::Item(key.clone()));
    let kept: Vec<_> = pairs.iter().filter(|(key, _)| key.as_u64().is_none() || is_named(key)).cloned().collect();
    let mut fields = rest.to_vec();
    if !kept.is_empty() {
        fields.push(Item::Map(kept));
    }
    fields
}

/// The items in the order of the patterns that they match; what matches none stands last, as it came.
fn arranged(pattern: &[Expr], mut items: Vec<Item>, names: &Names) -> Vec<Item> {
    let (mut names, mut arranged) = (names.clone(), Vec::new());
    items.iter_mut().for_each(sort_rows);
    for wanted in pattern.iter().skip(ITEMS).filter(|wanted| matches!(wanted, Expr::Array(_))) {
        if let Some(index) = items.iter().position(|item| matches(wanted, item, &mut names).is_ok()) {
            arranged.push(items.remove(index));
        }
    }
    arranged.extend(items);
    arranged
}

fn sort_rows(item: &mut Item) {
    let head = head_len(item);
    if let Item::Array(fields) = item {
        fields[head..].sort_by(|one, other| match (record(one), record(other)) {
            (Some(one), Some(other)) => order(&one, &other),
            _ => std::cmp::Ordering::Equal,
        });
    }
}

/// How many fields of an item say what its rows are.
fn head_len(item: &Item) -> usize {
    let fields = item.items();
    match fields.first() {
        Some(Item::Int(-4)) => 1,
        Some(Item::Bytes(_) | Item::Int(-2)) => 2,
        Some(Item::Int(-5)) => 3,
        _ => fields.len(),
    }
    .min(fields.len())
}

fn record(row: &Item) -> Option<Item> {
    row.items().first().filter(|name| matches!(name, Item::Array(_))).cloned()
}

/// Adds a row to those of an item: its columns to those of the same record.
fn add_row(rows: &mut Vec<Item>, row: &Item) {
    let same = rows.iter_mut().find(|known| record(known).is_some() && record(known) == record(row));
    let Some(Item::Array(known)) = same else { return rows.push(row.clone()) };
    let columns = known.split_off(1);
    let mut pairs: Vec<_> = columns.chunks(2).chain(row.items()[1..].chunks(2)).map(<[Item]>::to_vec).collect();
    pairs.sort_by(|one, other| order(&one[0], &other[0]));
    pairs.dedup_by(|next, first| next[0] == first[0] && next.len() == 2 && first.len() == 2 && add_dots(&mut first[1], &next[1]));
    known.extend(pairs.concat());
}

/// Adds the dots of a column to those of the same column: which of a change's values are gone, and those that stand. Whether both are dots.
fn add_dots(known: &mut Item, more: &Item) -> bool {
    let (Item::Array(known), [Item::Array(more_gone), more_stand @ ..]) = (known, more.items()) else { return false };
    let [Item::Array(gone), ..] = known.as_mut_slice() else { return false };
    gone.extend(more_gone.iter().cloned());
    gone.sort_by(order);
    known.extend(more_stand.iter().cloned());
    known[1..].sort_by(order);
    true
}
