//! The last frames of a trace as a sequence diagram.

use super::model::{Event, Frame, What};

/// So many things are drawn: the last.
const ROWS_MAX: usize = 14;
/// Characters between two lanes, as text.
const GAP: usize = 26;
/// Characters of a label.
const LABEL_CHARS_MAX: usize = 30;

/// Who took part, and what went between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    /// Who, from left to right.
    pub lanes: Vec<String>,
    /// What, from top to bottom.
    pub rows: Vec<Row>,
    /// How many frames came before and are not drawn.
    pub before: usize,
}

/// One line of a diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Milliseconds since the trace began.
    pub at_ms: u64,
    /// From which lane, counted from 0.
    pub from: usize,
    /// To which; the same where something happened to one alone.
    pub to: usize,
    /// What it is.
    pub label: String,
    /// The whole of it: a frame in diagnostic notation where it is some; empty where the label says all.
    pub shown: String,
}

/// Draws the last frames, and what happened to connections between them.
pub fn diagram(trace: &[Event]) -> Diagram {
    let drawn: Vec<&Event> = trace.iter().filter(|event| !matches!(event.what, What::Step(_))).collect();
    let before = drawn.len().saturating_sub(ROWS_MAX);
    let drawn = &drawn[before..];
    let lanes = lanes(drawn);
    let lane = |who: &str| lanes.iter().position(|lane| lane == who);
    let row = |event: &Event| match &event.what {
        What::Step(_) => None,
        What::Told { who, text } => {
            let lane = lane(who)?;
            let label = clip(text);
            let shown = if label == *text { String::new() } else { text.clone() };
            Some(Row { at_ms: event.at_ms, from: lane, to: lane, label, shown })
        }
        What::Frame(frame) => Some(Row {
            at_ms: event.at_ms,
            from: lane(&frame.from)?,
            to: lane(&frame.to)?,
            label: clip(&label(frame)),
            shown: frame.edn.clone().unwrap_or_else(|| format!("h'{}'", frame.hex)),
        }),
    };
    let rows = drawn.iter().filter_map(|event| row(event)).collect();
    Diagram { lanes, rows, before }
}

/// Who sent or took a frame, or had something happen to them: servers last, for that is where clients look.
fn lanes(events: &[&Event]) -> Vec<String> {
    let mut lanes: Vec<String> = Vec::new();
    for event in events {
        let named = match &event.what {
            What::Frame(Frame { from, to, .. }) => vec![from, to],
            What::Told { who, .. } => vec![who],
            What::Step(_) => Vec::new(),
        };
        for who in named {
            if !lanes.contains(who) {
                lanes.push(who.clone());
            }
        }
    }
    lanes.sort_by_key(|who| who == "server");
    lanes
}

fn label(frame: &Frame) -> String {
    if frame.messages.is_empty() { format!("{} bytes", frame.bytes) } else { frame.messages.join(", ") }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(LABEL_CHARS_MAX - 1) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Diagram {
    /// The diagram as lines of text of at most `width` characters.
    pub fn lines(&self, width: usize) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut head = " ".repeat(10);
        self.lanes.iter().for_each(|lane| head.push_str(&format!("{:<width$}", clip(lane), width = GAP + 1)));
        let mut lines = vec![head.trim_end().to_owned()];
        if self.before > 0 {
            lines.push(format!("{:>8}  … {} before", "", self.before));
        }
        for row in &self.rows {
            let line = format!("{:>5} ms  {}   {}", row.at_ms, self.drawn(row), row.shown.replace('\n', " "));
            let short = line.char_indices().nth(width).map(|(end, _)| format!("{}…", &line[..end]));
            lines.push(short.unwrap_or(line).trim_end().to_owned());
        }
        lines
    }

    fn drawn(&self, row: &Row) -> String {
        let last = (self.lanes.len() - 1) * (GAP + 1);
        let mut line: Vec<char> = (0..=last).map(|at| if at % (GAP + 1) == 0 { '│' } else { ' ' }).collect();
        let (left, right) = (row.from.min(row.to) * (GAP + 1), row.from.max(row.to) * (GAP + 1));
        if left == right {
            let label: Vec<char> = format!("● {}", row.label).chars().collect();
            line.truncate(left);
            line.extend(label);
            return line.into_iter().collect();
        }
        line[left + 1..right].fill('─');
        if row.from < row.to {
            line[right - 1] = '▶';
        } else {
            line[left + 1] = '◀';
        }
        let label: Vec<char> = format!(" {} ", row.label).chars().take(right - left - 4).collect();
        let start = left + (right - left - label.len()) / 2 + 1;
        line[start..start + label.len()].copy_from_slice(&label);
        line.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Side;
    use super::*;

    fn frame(at_ms: u64, from: &str, to: &str, name: &str) -> Event {
        let (from, to) = (from.to_owned(), to.to_owned());
        let messages = vec![name.to_owned()];
        let what =
            Frame { connection: "a1".to_owned(), from, to, sent_by: Side::Harness, messages, bytes: 4, hex: "00".to_owned(), edn: None };
        Event { at_ms, what: What::Frame(what) }
    }

    #[test]
    fn frames_are_arrows_between_who_sent_and_who_took_them() {
        let told = Event { at_ms: 9, what: What::Told { who: "server".to_owned(), text: "died".to_owned() } };
        let trace = [frame(0, "server", "a", "welcome"), frame(7, "a", "server", "push"), told];
        assert_eq!(
            diagram(&trace).lines(80),
            [
                "          a                          server",
                "    0 ms  │◀──────── welcome ────────│   h'00'",
                "    7 ms  │────────── push ─────────▶│   h'00'",
                "    9 ms  │                          ● died",
            ]
        );
    }

    #[test]
    fn only_the_last_are_drawn() {
        let trace: Vec<Event> = (0..100).map(|n| frame(n, "a", "b", "push")).collect();
        let diagram = diagram(&trace);
        assert_eq!((diagram.rows.len(), diagram.before), (ROWS_MAX, 100 - ROWS_MAX));
    }

    #[test]
    fn a_trace_without_frames_draws_nothing() {
        assert!(diagram(&[]).lines(80).is_empty());
    }
}
