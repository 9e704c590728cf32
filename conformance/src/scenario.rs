//! Scenario files: the header, and the steps with the rule that each checks.

use std::path::{Path, PathBuf};

use crate::corpus::Corpus;
use crate::edn::{Cursor, Expr};
use crate::step::{Action, parse_action};

/// Who the implementation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server; the harness plays raw clients.
    Server,
    /// The client; the harness plays the server.
    Client,
    /// Both; the harness is the network.
    Both,
    /// A client that is linked to others; the harness plays those.
    Peer,
}

impl Role {
    /// As the header names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
            Self::Peer => "peer",
        }
    }
}

/// One story.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The path below `scenarios`, without its extension; permanent.
    pub id: String,
    /// The file.
    pub file: PathBuf,
    /// The first comment.
    pub title: String,
    /// The rules it shows.
    pub covers: Vec<String>,
    /// Whose claimants it binds, and what is agreed in it besides the core.
    pub profiles: Vec<String>,
    /// The lowest level at which it runs.
    pub level: u8,
    /// Whether it is about the sockets themselves, which an adapter does not have.
    pub sockets: bool,
    /// Who is judged.
    pub role: Role,
    /// Token to subject, where the server requires one.
    pub tokens: Option<Expr>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Whether a step checks this rule.
    pub fn marks(&self, rule: &str) -> bool {
        self.steps.iter().any(|step| step.rule == rule)
    }
}

/// One line of a story.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line it begins on, from 1.
    pub line: usize,
    /// The rule it checks.
    pub rule: String,
    /// As it is written.
    pub text: String,
    /// What it does.
    pub action: Action,
}

/// What is wrong with a scenario file, and where.
#[derive(Debug, Clone)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: String,
}

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.fault)
    }
}

impl std::error::Error for ScenarioError {}

/// The version of the format of scenario files.
pub const FORMAT: u64 = 1;
/// The folder of the scenarios, in a checkout.
const FOLDER: &str = "conformance/scenarios";

/// Every scenario, in the order of their ids, and the faults of the files that are none.
pub fn load(corpus: &Corpus) -> (Vec<Scenario>, Vec<ScenarioError>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (file, text) in corpus.files(FOLDER, "scn") {
        let id = file.strip_prefix(FOLDER).unwrap_or(&file).with_extension("").to_string_lossy().into_owned();
        match parse(&id, &file, &text) {
            Ok(scenario) => good.push(scenario),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

/// Parses one file.
///
/// # Errors
/// The first line at fault.
pub fn parse(id: &str, file: &Path, text: &str) -> Result<Scenario, ScenarioError> {
    let title = text.lines().next().and_then(|line| line.strip_prefix('#')).unwrap_or("").trim().to_owned();
    let mut scenario = Scenario {
        id: id.to_owned(),
        file: file.to_owned(),
        title,
        covers: Vec::new(),
        profiles: Vec::new(),
        level: 3,
        sockets: false,
        role: Role::Server,
        tokens: None,
        steps: Vec::new(),
    };
    for (line, text) in statements(text) {
        let fail = |fault: String| ScenarioError { file: file.to_owned(), line, fault };
        if scenario.steps.is_empty() && header(&mut scenario, &text).map_err(fail)? {
            continue;
        }
        scenario.steps.push(step(&scenario, line, &text).map_err(fail)?);
    }
    complete(&scenario).map_err(|fault| ScenarioError { file: file.to_owned(), line: 1, fault })?;
    Ok(scenario)
}

fn complete(scenario: &Scenario) -> Result<(), String> {
    if scenario.title.is_empty() {
        return Err("the first line is not a comment with the title".to_owned());
    }
    if scenario.covers.is_empty() {
        return Err("`covers` is missing".to_owned());
    }
    if scenario.role != Role::Server && scenario.level < 3 {
        return Err("the roles client, peer and both need level L3".to_owned());
    }
    if scenario.sockets && scenario.level > 1 {
        return Err("a story about sockets needs level L0 or L1".to_owned());
    }
    if scenario.steps.is_empty() { Err("no steps".to_owned()) } else { Ok(()) }
}

/// Takes a header line; false where it is none.
fn header(scenario: &mut Scenario, text: &str) -> Result<bool, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.split('#').next().unwrap_or("").trim();
    match word {
        "covers" => scenario.covers.extend(rest.split_whitespace().map(str::to_owned)),
        "profile" => scenario.profiles.extend(rest.split_whitespace().map(str::to_owned)),
        "level" => {
            let level = rest.strip_prefix('L').and_then(|digit| digit.parse().ok()).filter(|level| *level <= 3);
            scenario.level = level.ok_or(format!("`{rest}` is no level from L0 to L3"))?;
        }
        "sockets" => scenario.sockets = true,
        "role" => {
            scenario.role = match rest {
                "server" => Role::Server,
                "client" => Role::Client,
                "both" => Role::Both,
                "peer" => Role::Peer,
                _ => return Err(format!("`{rest}` is no role")),
            }
        }
        "tokens" => scenario.tokens = Some(Cursor::new(rest).expr()?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn step(scenario: &Scenario, line: usize, text: &str) -> Result<Step, String> {
    let mut body = text.trim();
    let mut rule = scenario.covers.first().cloned().ok_or("`covers` is missing")?;
    if let Some((mark, rest)) = body.strip_prefix('[').and_then(|b| b.split_once(']')) {
        rule = mark.trim().to_owned();
        body = rest.trim();
    }
    let mut cursor = Cursor::new(body);
    let action = parse_action(&mut cursor)?;
    cursor.end()?;
    Ok(Step { line, rule, text: body.to_owned(), action })
}

/// Lines without comments and blanks, each with the lines that follow it while a bracket is open.
fn statements(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    for (index, line) in text.lines().enumerate() {
        let line = uncommented(line);
        if depth > 0 {
            let (_, open) = all.last_mut().expect("a bracket was opened in it");
            open.push(' ');
            open.push_str(line.trim());
        } else if !line.trim().is_empty() {
            all.push((index + 1, line.trim().to_owned()));
        }
        depth += balance(line);
    }
    all
}

fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (index, c) in line.char_indices() {
        match c {
            '#' if !quoted => return &line[..index],
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    line
}

/// Brackets opened less those closed, outside of text.
fn balance(line: &str) -> i32 {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in line.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_on_while_a_bracket_is_open() {
        let text = "# It works.\ncovers SESS-1\nlevel L0\n\n[SESS-9] a > 1, [5, # why\n  [1]]\na closed\n";
        let scenario = parse("x", Path::new("x.scn"), text).expect("a scenario");
        let lines: Vec<_> = scenario.steps.iter().map(|step| (step.line, step.rule.as_str())).collect();
        assert_eq!(lines, [(5, "SESS-9"), (7, "SESS-1")]);
    }

    #[test]
    fn a_step_that_is_none_is_refused_with_its_line() {
        let error = parse("x", Path::new("x.scn"), "# T.\ncovers SESS-1\na flies\n").expect_err("no step");
        assert_eq!(error.line, 3);
    }
}
