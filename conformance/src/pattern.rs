//! What expressions mean: their values, and whether a value matches one.

use std::collections::BTreeMap;

use crate::cbor::{Item, encode};
use crate::compute;
use crate::edn::{Expr, print, print_expr};

/// The names that are bound.
pub type Names = BTreeMap<String, Item>;

/// The value of an expression.
///
/// # Errors
/// A name that is not bound, an elision, or a call that makes no sense.
pub fn value(expr: &Expr, names: &Names) -> Result<Item, String> {
    match expr {
        Expr::Item(item) => Ok(item.clone()),
        Expr::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                match (item, value(item, names)?) {
                    (Expr::Call(name, _), Item::Array(many)) if name == "ops" || name == "rows" => all.extend(many),
                    (_, one) => all.push(one),
                }
            }
            Ok(Item::Array(all))
        }
        Expr::Map { pairs, .. } => {
            pairs.iter().map(|(k, v)| Ok((value(k, names)?, value(v, names)?))).collect::<Result<_, String>>().map(Item::Map)
        }
        Expr::Name(name) => names.get(name).cloned().ok_or(format!("${name} is not bound")),
        Expr::Call(name, arguments) => {
            let arguments: Vec<Item> = arguments.iter().map(|argument| value(argument, names)).collect::<Result<_, _>>()?;
            compute::call(name, &arguments)
        }
        Expr::Sum(first, more) => {
            let mut sum = integer(first, names)?;
            for (minus, term) in more {
                let term = integer(term, names)?;
                sum += if *minus { -term } else { term };
            }
            Ok(Item::Int(sum))
        }
        Expr::Elision | Expr::Any => Err(format!("`{}` has no value", print_expr(expr))),
    }
}

fn integer(expr: &Expr, names: &Names) -> Result<i128, String> {
    match value(expr, names)? {
        Item::Int(value) => Ok(value),
        other => Err(format!("{} is no integer", print(&other))),
    }
}

/// Fails unless the item matches; binds names that are met for the first time, where it does.
///
/// # Errors
/// The place of the first difference, and what stands there.
pub fn matches(expr: &Expr, item: &Item, names: &mut Names) -> Result<(), String> {
    let mut bound = names.clone();
    at(expr, item, &mut bound, "")?;
    *names = bound;
    Ok(())
}

fn at(expr: &Expr, item: &Item, names: &mut Names, place: &str) -> Result<(), String> {
    match (expr, item) {
        (Expr::Elision | Expr::Any, _) => Ok(()),
        (Expr::Name(name), _) if !names.contains_key(name) => {
            names.insert(name.clone(), item.clone());
            Ok(())
        }
        (Expr::Array(patterns), Item::Array(items)) => array(patterns, items, names, place),
        (Expr::Map { pairs, rest }, Item::Map(items)) => map(pairs, *rest, items, names, place),
        (Expr::Call(name, choices), _) if name == "any" => {
            let found = choices.iter().any(|choice| at(choice, item, names, place).is_ok());
            if found { Ok(()) } else { Err(differs(place, &print_expr(expr), item)) }
        }
        (Expr::Call(name, bounds), _) if name == "in" && bounds.len() == 2 => {
            let (low, high) = (integer(&bounds[0], names)?, integer(&bounds[1], names)?);
            let found = matches!(item, Item::Int(n) if (low..=high).contains(n));
            if found { Ok(()) } else { Err(differs(place, &print_expr(expr), item)) }
        }
        _ => {
            let expected = value(expr, names)?;
            if encode(&expected) == encode(item) { Ok(()) } else { Err(differs(place, &print(&expected), item)) }
        }
    }
}

fn array(patterns: &[Expr], items: &[Item], names: &mut Names, place: &str) -> Result<(), String> {
    let open = patterns.last() == Some(&Expr::Elision);
    let patterns = if open { &patterns[..patterns.len() - 1] } else { patterns };
    for (index, (pattern, item)) in patterns.iter().zip(items).enumerate() {
        at(pattern, item, names, &format!("{place}[{index}]"))?;
    }
    let fits = if open { items.len() >= patterns.len() } else { items.len() == patterns.len() };
    if fits { Ok(()) } else { Err(format!("{}: expected {} items, got {}", named(place), patterns.len(), items.len())) }
}

fn map(pairs: &[(Expr, Expr)], rest: bool, items: &[(Item, Item)], names: &mut Names, place: &str) -> Result<(), String> {
    for (key, pattern) in pairs {
        let key = value(key, names)?;
        let found = items.iter().find(|(k, _)| *k == key);
        let (_, item) = found.ok_or(format!("{}: the key {} is missing", named(place), print(&key)))?;
        at(pattern, item, names, &format!("{place}{{{}}}", print(&key)))?;
    }
    if rest || items.len() == pairs.len() {
        return Ok(());
    }
    Err(format!("{}: expected {} keys, got {}", named(place), pairs.len(), items.len()))
}

fn differs(place: &str, expected: &str, got: &Item) -> String {
    format!("{}: expected {expected}, got {}", named(place), print(got))
}

fn named(place: &str) -> &str {
    if place.is_empty() { "the whole" } else { place }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edn::Cursor;

    fn check(pattern: &str, item: &str, expected: Result<(), &str>) {
        let pattern = Cursor::new(pattern).expr().expect("a pattern");
        let item = value(&Cursor::new(item).expr().expect("an item"), &Names::new()).expect("a value");
        assert_eq!(matches(&pattern, &item, &mut Names::new()), expected.map_err(str::to_owned));
    }

    #[test]
    fn an_elision_at_the_end_is_any_rest() {
        check("[13, 11, ...]", "[13, 11, 1, \"x\"]", Ok(()));
        check("[13, 11]", "[13, 11, 1]", Err("the whole: expected 2 items, got 3"));
    }

    #[test]
    fn a_name_binds_once() {
        check("[$a, $a]", "[1, 1]", Ok(()));
        check("[$a, $a]", "[1, 2]", Err("[1]: expected 1, got 2"));
    }

    #[test]
    fn choices_and_ranges() {
        check("[any(1, 2), in(0, 5), -3]", "[2, 5, -3]", Ok(()));
        check("{0: 1, ...}", "{0: 1, 2: 3}", Ok(()));
        check("{0: 1}", "{0: 1, 2: 3}", Err("the whole: expected 1 keys, got 2"));
        check("null", "undefined", Err("the whole: expected null, got undefined"));
    }
}
