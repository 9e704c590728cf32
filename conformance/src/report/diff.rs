//! Lays a value in diagnostic notation out over lines, with the part that differs marked.

use crate::edn::{Cursor, Expr, print_expr};

/// What fits into a line stays on it.
const LINE_CHARS_MAX: usize = 76;
/// What is nested deeper is shown as it stands.
const NESTING_MAX: usize = 64;

/// A piece of a text, and whether it is the part that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The characters.
    pub text: String,
    /// Whether they are what differs.
    pub marked: bool,
}

/// The pieces of a text; of one that is no value in diagnostic notation, itself.
pub fn pieces(text: &str, path: Option<&str>) -> Vec<Piece> {
    let Some(expr) = parse(text) else { return vec![Piece { text: text.to_owned(), marked: path == Some("") }] };
    let mut layout = Layout { path, pieces: Vec::new() };
    layout.expr(&expr, "", 0);
    layout.pieces
}

fn parse(text: &str) -> Option<Expr> {
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return None;
        }
    }
    let mut cursor = Cursor::new(text);
    cursor.expr().ok().filter(|_| cursor.is_end())
}

struct Layout<'a> {
    path: Option<&'a str>,
    pieces: Vec<Piece>,
}

impl Layout<'_> {
    fn put(&mut self, text: &str, marked: bool) {
        match self.pieces.last_mut() {
            Some(last) if last.marked == marked => last.text.push_str(text),
            _ => self.pieces.push(Piece { text: text.to_owned(), marked }),
        }
    }

    fn expr(&mut self, expr: &Expr, at: &str, indent: usize) {
        let flat = print_expr(expr);
        let differs = self.path == Some(at);
        let around = self.path.is_some_and(|path| path.len() > at.len() && path.starts_with(at));
        let long = flat.chars().count() + indent > LINE_CHARS_MAX;
        match expr {
            Expr::Array(items) if !differs && (around || long) => {
                let parts = items.iter().enumerate().map(|(index, item)| (String::new(), Some(item), format!("{at}[{index}]")));
                self.group("[]", &parts.collect::<Vec<_>>(), long, indent);
            }
            Expr::Map { pairs, rest } if !differs && (around || long) => {
                let pair = |(key, item)| {
                    let key = print_expr(key);
                    (format!("{key}: "), Some(item), format!("{at}{{{key}}}"))
                };
                let mut parts: Vec<_> = pairs.iter().map(|(key, item)| pair((key, item))).collect();
                parts.extend(rest.then(|| ("...".to_owned(), None, String::new())));
                self.group("{}", &parts, long, indent);
            }
            _ => self.put(&flat, differs),
        }
    }

    /// Brackets around parts: what stands before each, the part, and its path.
    fn group(&mut self, brackets: &str, parts: &[(String, Option<&Expr>, String)], long: bool, indent: usize) {
        let (open, close) = brackets.split_at(1);
        let line = |indent: usize| format!("\n{}", " ".repeat(indent));
        self.put(open, false);
        for (index, (before, expr, at)) in parts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let space = match (long, index) {
                (true, _) => line(indent + 2),
                (false, 0) => String::new(),
                (false, _) => " ".to_owned(),
            };
            self.put(&format!("{comma}{space}{before}"), false);
            if let Some(expr) = expr {
                self.expr(expr, at, indent + 2);
            }
        }
        self.put(&if long { line(indent) + close } else { close.to_owned() }, false);
    }
}

/// The pieces on one line, the part that differs between arrows: for where there are no colours.
pub fn plain(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| if piece.marked { format!("▶{}◀", piece.text) } else { piece.text.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: Option<&str>, expected: &str) {
        assert_eq!(plain(&pieces(text, path)), expected);
    }

    #[test]
    fn the_part_that_differs_is_marked() {
        check("[6, 1, {\"a\": [1, 2]}]", Some("[2]{\"a\"}[1]"), "[6, 1, {\"a\": [1, ▶2◀]}]");
        check("[6, 1]", Some("[1]"), "[6, ▶1◀]");
        check("[6, 1, ...]", None, "[6, 1, ...]");
        check("{0: 1, ...}", Some("{0}"), "{0: ▶1◀, ...}");
        check("null", Some(""), "▶null◀");
    }

    #[test]
    fn an_item_is_not_taken_for_another_whose_number_it_begins() {
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let marked = plain(&pieces(&format!("[{}]", many.join(", ")), Some("[11]")));
        assert!(marked.contains("10, ▶11◀") && !marked.contains("▶1◀"), "{marked}");
    }

    #[test]
    fn what_is_long_goes_over_lines() {
        let long = format!("[8, \"{}\", [1]]", "x".repeat(80));
        assert_eq!(plain(&pieces(&long, Some("[2][0]"))), format!("[\n  8,\n  \"{}\",\n  [▶1◀]\n]", "x".repeat(80)));
    }

    #[test]
    fn what_is_no_notation_stays_as_it_is() {
        check("nothing on channel 1 in 6000 ms", Some("[1]"), "nothing on channel 1 in 6000 ms");
        let deep = "[".repeat(100_000);
        check(&deep, None, &deep);
    }
}
