//! The rows of one run, and the one table they end up in.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// What a row must reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// The row is there to be read beside others.
    None,
}

/// One figure, beside those of others on the same data in the same run.
#[derive(Debug, Clone)]
pub struct Row {
    pub workload: &'static str,
    pub measure: String,
    pub unit: &'static str,
    pub ours: f64,
    pub target: Target,
    pub others: Vec<(&'static str, f64)>,
}

/// A cost at several sizes of what it is held against.
#[derive(Debug, Clone)]
pub struct Curve {
    pub against: &'static str,
    pub measure: &'static str,
    pub points: Vec<(f64, f64)>,
}

impl Row {
    pub fn new(workload: &'static str, measure: impl Into<String>, unit: &'static str, ours: f64, target: Target) -> Self {
        Self { workload, measure: measure.into(), unit, ours, target, others: Vec::new() }
    }

    pub fn beside(mut self, name: &'static str, figure: f64) -> Self {
        self.others.push((name, figure));
        self
    }

    /// Whether the target is reached; none where there is none.
    pub fn reached(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(bound) => Some(self.ours <= bound),
            Target::AtLeast(bound) => Some(self.ours >= bound),
            Target::None => None,
        }
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::AtMost(bound) => format!("≤ {}", figure(bound)),
            Target::AtLeast(bound) => format!("≥ {}", figure(bound)),
            Target::None => "–".into(),
        }
    }
}

/// Three digits that count.
fn figure(number: f64) -> String {
    match number.abs() {
        _ if number == 0.0 => "0".into(),
        large if large >= 100.0 => format!("{number:.0}"),
        middle if middle >= 10.0 => format!("{number:.1}"),
        small if small >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

/// The table in Markdown, under a heading that says what was measured on what.
pub fn markdown(rows: &[Row], machine: &str) -> String {
    let mut text =
        format!("{machine}\n\n| | measure | Syncline | target | | beside, and its ratio to Syncline |\n|---|---|---|---|---|---|\n");
    for row in rows {
        let verdict = row.reached().map_or("", |reached| if reached { "reached" } else { "**not reached**" });
        // Beside a ratio stand the figures that it is made of.
        let ratio =
            |other: f64| if row.ours == 0.0 || row.unit == "×" { String::new() } else { format!(" ({}×)", figure(other / row.ours)) };
        let others: Vec<String> = row.others.iter().map(|(name, other)| format!("{name} {}{}", figure(*other), ratio(*other))).collect();
        let ours = format!("{} {}", figure(row.ours), row.unit);
        let cells = [row.workload, &row.measure, &ours, &row.target_text(), verdict, &others.join(", ")].join(" | ");
        writeln!(text, "| {cells} |").expect("a string takes all");
    }
    text
}

/// The median time of so many goes.
pub fn median(goes: usize, mut go: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..goes).map(|_| go()).collect();
    times.sort();
    times[goes / 2]
}

/// How long something took, and what came of it.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let made = work();
    (started.elapsed(), made)
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
