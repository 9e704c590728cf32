//! Text that a terminal cannot mistake for commands.

use std::fmt::Write;

/// `text` with every character that could steer a terminal, or turn its reading direction, written as `\u{…}`.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// JSON text, still valid, without what could steer a terminal.
pub fn plain_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            // All of them lie in the basic plane, so one JSON escape holds each.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(plain("a\u{1b}[31m\n\u{9b}é\u{202e}"), "a\\u{1b}[31m\\u{a}\\u{9b}é\\u{202e}", "SEC-1");
        assert_eq!(plain_json("\"\u{9b}é\u{7f}\""), "\"\\u009bé\\u007f\"", "SEC-1");
    }
}
