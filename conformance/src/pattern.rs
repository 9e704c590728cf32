//! What expressions mean: their values, and whether a value matches one.

use std::collections::BTreeMap;
use std::fmt;

use crate::cbor::{Item, encode};
use crate::compute;
use crate::edn::{Expr, print, print_expr};

/// The names that are bound.
pub type Names = BTreeMap<String, Item>;

/// What stands for a key that the pattern, or the value, does not have.
const NOTHING: &str = "nothing";

/// The first place at which a value is not as a pattern says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `[1]` the second item of an array, `{"title"}` the value of a key, one after the other from the whole inwards; empty for the whole.
    pub path: String,
    /// What stands there in the pattern, or what it says of it.
    pub expected: String,
    /// What stands there in the value, or what is to be said of it.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the whole" } else { &self.path };
        write!(f, "{place}: expected {}, got {}", self.expected, self.found)
    }
}

impl From<Difference> for String {
    fn from(difference: Difference) -> Self {
        difference.to_string()
    }
}

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
/// The first difference.
pub fn matches(expr: &Expr, item: &Item, names: &mut Names) -> Result<(), Difference> {
    let mut bound = names.clone();
    at(expr, item, &mut bound, "")?;
    *names = bound;
    Ok(())
}

fn at(expr: &Expr, item: &Item, names: &mut Names, place: &str) -> Result<(), Difference> {
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
            if found { Ok(()) } else { Err(differs(place, print_expr(expr), item)) }
        }
        (Expr::Call(name, bounds), _) if name == "in" && bounds.len() == 2 => {
            let bound = |expr: &Expr| integer(expr, names).map_err(|why| differs(place, why, item));
            let (low, high) = (bound(&bounds[0])?, bound(&bounds[1])?);
            let found = matches!(item, Item::Int(n) if (low..=high).contains(n));
            if found { Ok(()) } else { Err(differs(place, print_expr(expr), item)) }
        }
        _ => {
            let expected = value(expr, names).map_err(|why| differs(place, why, item))?;
            if encode(&expected) == encode(item) { Ok(()) } else { Err(differs(place, print(&expected), item)) }
        }
    }
}

fn array(patterns: &[Expr], items: &[Item], names: &mut Names, place: &str) -> Result<(), Difference> {
    let open = patterns.last() == Some(&Expr::Elision);
    let patterns = if open { &patterns[..patterns.len() - 1] } else { patterns };
    for (index, (pattern, item)) in patterns.iter().zip(items).enumerate() {
        at(pattern, item, names, &format!("{place}[{index}]"))?;
    }
    let fits = if open { items.len() >= patterns.len() } else { items.len() == patterns.len() };
    if fits {
        Ok(())
    } else {
        Err(Difference { path: place.to_owned(), expected: format!("{} items", patterns.len()), found: items.len().to_string() })
    }
}

fn map(pairs: &[(Expr, Expr)], rest: bool, items: &[(Item, Item)], names: &mut Names, place: &str) -> Result<(), Difference> {
    let mut keys = Vec::with_capacity(pairs.len());
    for (key, pattern) in pairs {
        let whole = |expected| Difference { path: place.to_owned(), expected, found: print(&Item::Map(items.to_vec())) };
        let key = value(key, names).map_err(&whole)?;
        let inside = format!("{place}{{{}}}", print(&key));
        match items.iter().find(|(k, _)| *k == key) {
            Some((_, item)) => at(pattern, item, names, &inside)?,
            None => return Err(Difference { path: inside, expected: print_expr(pattern), found: NOTHING.to_owned() }),
        }
        keys.push(key);
    }
    match items.iter().find(|(key, _)| !rest && !keys.contains(key)) {
        Some((key, item)) => Err(differs(&format!("{place}{{{}}}", print(key)), NOTHING.to_owned(), item)),
        None => Ok(()),
    }
}

fn differs(place: &str, expected: String, got: &Item) -> Difference {
    Difference { path: place.to_owned(), expected, found: print(got) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edn::Cursor;

    fn check(pattern: &str, item: &str, expected: Result<(), &str>) {
        let pattern = Cursor::new(pattern).expr().expect("a pattern");
        let item = value(&Cursor::new(item).expr().expect("an item"), &Names::new()).expect("a value");
        let found = matches(&pattern, &item, &mut Names::new()).map_err(|difference| difference.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
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
        check("{0: 1}", "{0: 1, 2: 3}", Err("{2}: expected nothing, got 3"));
        check("{0: 1, ...}", "{2: 3}", Err("{0}: expected 1, got nothing"));
        check("[0, {1: [2]}]", "[0, {1: [3]}]", Err("[1]{1}[0]: expected 2, got 3"));
        check("null", "undefined", Err("the whole: expected null, got undefined"));
    }
}
