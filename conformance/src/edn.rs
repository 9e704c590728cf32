//! CBOR diagnostic notation as scenarios use it: a parser, a printer, and expressions with names, calls and elision.

use crate::cbor::Item;

/// A parsed piece of notation: a value, or a pattern that values match.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A value.
    Item(Item),
    /// An array; an elision at its end stands for any rest.
    Array(Vec<Expr>),
    /// A map; with `rest`, other keys may follow.
    #[allow(missing_docs)]
    Map { pairs: Vec<(Expr, Expr)>, rest: bool },
    /// `...`: anything.
    Elision,
    /// `$name`.
    Name(String),
    /// `$_`: anything, one of it.
    Any,
    /// A call such as `link(…)`.
    Call(String, Vec<Expr>),
    /// A sum; true stands for minus.
    Sum(Box<Expr>, Vec<(bool, Expr)>),
}

/// A reader of notation and of the words around it.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left, from the next thing that is neither space nor comment.
    pub fn rest(&mut self) -> &'a str {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return trimmed;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Whether nothing is left.
    pub fn is_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Takes these characters, where they are next.
    pub fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes this word, where it is next and ends there.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let found = ahead.word() == word;
        if found {
            *self = ahead;
        }
        found
    }

    /// Takes the next run of letters, digits and `-_.`; empty where there is none.
    pub fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Fails unless these characters are next.
    ///
    /// # Errors
    /// Says what stands there instead.
    pub fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("expected `{token}`, found `{}`", excerpt(self.rest()))) }
    }

    /// Fails unless nothing is left.
    ///
    /// # Errors
    /// Says what is left.
    pub fn end(&mut self) -> Result<(), String> {
        if self.is_end() { Ok(()) } else { Err(format!("`{}` is left over", excerpt(self.rest()))) }
    }

    /// Parses expressions separated by commas, up to the end.
    ///
    /// # Errors
    /// What is wrong with the notation.
    pub fn sequence(&mut self) -> Result<Vec<Expr>, String> {
        let mut all = vec![self.expr()?];
        while self.eat(",") {
            all.push(self.expr()?);
        }
        Ok(all)
    }

    /// Parses one expression.
    ///
    /// # Errors
    /// What is wrong with the notation.
    pub fn expr(&mut self) -> Result<Expr, String> {
        let first = self.term()?;
        let mut more = Vec::new();
        loop {
            let minus = self.rest().starts_with("- ");
            if !minus && !self.rest().starts_with("+ ") {
                break;
            }
            self.at += 1;
            more.push((minus, self.term()?));
        }
        Ok(if more.is_empty() { first } else { Expr::Sum(Box::new(first), more) })
    }

    fn term(&mut self) -> Result<Expr, String> {
        let rest = self.rest();
        if self.eat("...") {
            return Ok(Expr::Elision);
        }
        match rest.chars().next() {
            Some('[') => self.array(),
            Some('{') => self.map(),
            Some('"') => Ok(Expr::Item(Item::Text(self.text()?))),
            Some('$') => {
                self.at += 1;
                let name = self.word();
                Ok(if name == "_" { Expr::Any } else { Expr::Name(name.to_owned()) })
            }
            Some('h') if rest.starts_with("h'") => self.hex(),
            Some(c) if c.is_ascii_digit() || c == '-' => self.number(),
            Some(c) if c.is_alphabetic() => self.named(),
            _ => Err(format!("expected a value, found `{}`", excerpt(rest))),
        }
    }

    fn array(&mut self) -> Result<Expr, String> {
        self.expect("[")?;
        let mut all = Vec::new();
        while !self.eat("]") {
            all.push(self.expr()?);
            if !self.eat(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Expr::Array(all))
    }

    fn map(&mut self) -> Result<Expr, String> {
        self.expect("{")?;
        let (mut pairs, mut rest) = (Vec::new(), false);
        while !self.eat("}") {
            if self.eat("...") {
                rest = true;
            } else {
                let key = self.expr()?;
                self.expect(":")?;
                pairs.push((key, self.expr()?));
            }
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Map { pairs, rest })
    }

    /// Takes a text in double quotes.
    ///
    /// # Errors
    /// A text that does not end, or an unknown escape.
    pub fn text(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut out = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += index + 1;
                    return Ok(out);
                }
                '\\' => out.push(match chars.next().map(|(_, c)| c) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(c @ ('"' | '\\' | '/')) => c,
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or(format!("\\u{digits} is no character"))?
                    }
                    other => return Err(format!("an unknown escape \\{}", other.unwrap_or(' '))),
                }),
                c => out.push(c),
            }
        }
        Err("a text that does not end".to_owned())
    }

    fn hex(&mut self) -> Result<Expr, String> {
        self.expect("h'")?;
        let rest = &self.text[self.at..];
        let end = rest.find('\'').ok_or("bytes that do not end")?;
        self.at += end + 1;
        let digits: String = rest[..end].chars().filter(|c| !c.is_whitespace()).collect();
        Ok(Expr::Item(Item::Bytes(unhex(&digits)?)))
    }

    fn number(&mut self) -> Result<Expr, String> {
        let rest = self.rest();
        let end = rest
            .char_indices()
            .find(|(i, c)| !(c.is_ascii_digit() || (*c == '-' && *i == 0) || numeric(rest, *i, *c)))
            .map_or(rest.len(), |(i, _)| i);
        let digits = &rest[..end];
        self.at += end;
        if digits.contains(['.', 'e']) {
            return digits.parse().map(|value| Expr::Item(Item::Float(value))).map_err(|_| format!("`{digits}` is no number"));
        }
        digits.parse().map(|value| Expr::Item(Item::Int(value))).map_err(|_| format!("`{digits}` is no number"))
    }

    fn named(&mut self) -> Result<Expr, String> {
        let name = self.word();
        if let Some(digit) = name.strip_prefix('R').and_then(|d| d.parse::<u8>().ok()).filter(|d| (1..=9).contains(d)) {
            return Ok(Expr::Item(Item::Bytes(vec![digit * 0x11; 16])));
        }
        if self.text[self.at..].starts_with('(') {
            self.at += 1;
            let arguments = if self.rest().starts_with(')') { Vec::new() } else { self.sequence()? };
            self.expect(")")?;
            return Ok(Expr::Call(name.to_owned(), arguments));
        }
        Ok(Expr::Item(match name {
            "null" => Item::Null,
            "undefined" => Item::Undefined,
            "true" => Item::Bool(true),
            "false" => Item::Bool(false),
            "NaN" => Item::Float(f64::NAN),
            "Infinity" => Item::Float(f64::INFINITY),
            _ => return Err(format!("`{name}` is no value")),
        }))
    }
}

/// Whether a character after the first goes on with a number: a point, an exponent, or the exponent's sign.
fn numeric(rest: &str, index: usize, c: char) -> bool {
    let next_is_digit = rest[index..].chars().nth(1).is_some_and(|c| c.is_ascii_digit() || c == '-' || c == '+');
    index > 0 && (((c == '.' || c == 'e') && next_is_digit) || ((c == '-' || c == '+') && rest[..index].ends_with('e')))
}

/// The first characters of a text, for messages.
pub fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Bytes from hex digits.
///
/// # Errors
/// An odd number of digits, or something else than digits.
pub fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("`{}` is no hex", excerpt(digits)));
    }
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).map_err(|_| format!("`{}` is no hex", excerpt(digits))))
        .collect()
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints an item in diagnostic notation, on one line.
pub fn print(item: &Item) -> String {
    match item {
        Item::Null => "null".to_owned(),
        Item::Undefined => "undefined".to_owned(),
        Item::Bool(value) => value.to_string(),
        Item::Int(value) => value.to_string(),
        Item::Float(value) => format!("{value:?}"),
        Item::Bytes(bytes) => format!("h'{}'", hex(bytes)),
        Item::Text(text) => quoted(text),
        Item::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(", ")),
        Item::Map(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}: {}", print(key), print(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// Prints an expression in the notation it was written in.
pub fn print_expr(expr: &Expr) -> String {
    let list = |all: &[Expr]| all.iter().map(print_expr).collect::<Vec<_>>().join(", ");
    match expr {
        Expr::Item(item) => print(item),
        Expr::Array(items) => format!("[{}]", list(items)),
        Expr::Map { pairs, rest } => {
            let mut all: Vec<String> = pairs.iter().map(|(key, value)| format!("{}: {}", print_expr(key), print_expr(value))).collect();
            all.extend(rest.then(|| "...".to_owned()));
            format!("{{{}}}", all.join(", "))
        }
        Expr::Elision => "...".to_owned(),
        Expr::Any => "$_".to_owned(),
        Expr::Name(name) => format!("${name}"),
        Expr::Call(name, arguments) => format!("{name}({})", list(arguments)),
        Expr::Sum(first, more) => more
            .iter()
            .fold(print_expr(first), |text, (minus, term)| format!("{text} {} {}", if *minus { '-' } else { '+' }, print_expr(term))),
    }
}

/// A text in double quotes; control characters are escaped, so that no terminal obeys them.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
