//! The steps of scenarios (README, Scenarios).

use crate::edn::{Cursor, Expr, excerpt};

/// Options of a macro such as `open`: names with values.
pub type Options = Vec<(String, Expr)>;

/// What a `>` step sends.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A frame of items.
    Items(Vec<Expr>),
    /// These bytes.
    Bytes(Expr),
    /// So many zero bytes.
    Zeros(usize),
    /// A text message.
    Text(String),
}

/// A row of a local write: the fields, or none for a deletion.
pub type WriteRow = (String, String, Option<Expr>);

/// What must still be as it shows where the server takes a write: a field, or whether the record is there.
pub type Guard = (String, String, Option<String>);

/// The moment at which a peer dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// The n-th commit from now.
    pub commit: u64,
    /// After it, rather than instead of it.
    pub after: bool,
}

/// What a step does. The first text is whom it is about.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // each is a line of the README
pub enum Action {
    Let(String, Expr),
    Repeat(u64, Box<Action>),
    Clock(u64),
    Equal(Expr, Expr, bool),
    Handshake(Options),
    Connect(String),
    Hello(String, Options),
    Open(String, Options),
    Send(String, Payload),
    Expect(String, Vec<Expr>),
    Never(String, Vec<Expr>),
    Quiet(String),
    Closed(String),
    Reaches(String, Expr),
    Holds(String, (String, String), Option<Expr>),
    Mute(String),
    Cut(String),
    Crash(Option<String>, Option<CrashPoint>),
    Restart(Option<String>),
    Save(Option<String>, String),
    Load(Option<String>, String),
    Clone(String, String),
    Link(String, String),
    Unlink(String, String),
    Meet(String, bool),
    Join(String, Options),
    Accept(String, u64),
    Waits(String, Expr),
    Refuse(String),
    Serve(String, Options),
    Write { who: String, rows: Vec<WriteRow>, guards: Vec<Guard>, refused: bool },
    State(String, (String, String), Option<Expr>),
    Records(String, String, Expr),
    Status(String, Options),
    Event(String, String, Options, bool),
    Rejections(String, Expr),
    Dismiss(String, Expr),
    Start(String, bool),
    Signals(String, Expr, Expr),
    Token(String, Expr, Options),
    LinkToken(String, Expr),
    Wipe { who: String, force: bool, refused: bool },
    Tokens(Expr),
    Revoke(Expr),
    Quota(Expr),
    Retention(Expr),
    Spoil(String, (String, String), Option<String>),
    Purge(String, String),
    Space(&'static str, Expr),
    Stores(Expr, bool),
    Presence { who: String, payload: Expr, ttl: Option<Expr>, refused: bool },
    Present(String, Expr),
    Subscribe { who: String, collections: Expr, refused: bool },
    Wall(String, i64),
    Client(String, Options),
    Settle,
    Deliver,
    Partition(String, bool),
    Stall(String, bool),
    Hold(String, bool),
    Carry(String, bool),
    Same(String, String),
}

const ACCEPT_MS: u64 = 120_000;

/// Parses one step.
///
/// # Errors
/// What is wrong with it.
pub fn parse_action(cursor: &mut Cursor) -> Result<Action, String> {
    let first = cursor.word().to_owned();
    match first.as_str() {
        "let" => {
            cursor.expect("$")?;
            let name = cursor.word().to_owned();
            cursor.expect("=")?;
            Ok(Action::Let(name, cursor.expr()?))
        }
        "repeat" => Ok(Action::Repeat(number(cursor)?, Box::new(parse_action(cursor)?))),
        "clock" => {
            cursor.expect("+")?;
            number(cursor).map(Action::Clock)
        }
        "equal" | "differ" => {
            let left = cursor.expr()?;
            cursor.expect(",")?;
            Ok(Action::Equal(left, cursor.expr()?, first == "equal"))
        }
        "never" => never(cursor),
        "settle" => Ok(Action::Settle),
        "deliver" => Ok(Action::Deliver),
        "handshake" => options(cursor).map(Action::Handshake),
        "crash" => crash(cursor),
        "restart" => Ok(Action::Restart(optional(cursor))),
        "save" | "load" => {
            let one = name(cursor)?;
            let (who, copy) = if cursor.is_end() { (None, one) } else { (Some(one), name(cursor)?) };
            Ok(if first == "save" { Action::Save(who, copy) } else { Action::Load(who, copy) })
        }
        "" => Err(format!("`{}` is no step", excerpt(cursor.rest()))),
        _ => named(&first, cursor),
    }
}

/// Steps of the form `verb who …`, else of the form `who verb …`.
fn named(first: &str, cursor: &mut Cursor) -> Result<Action, String> {
    match first {
        "connect" => name(cursor).map(Action::Connect),
        "cut" => name(cursor).map(Action::Cut),
        "refuse" => name(cursor).map(Action::Refuse),
        "partition" | "heal" => Ok(Action::Partition(name(cursor)?, first == "partition")),
        "stall" | "resume" => Ok(Action::Stall(name(cursor)?, first == "stall")),
        "hold" | "release" => Ok(Action::Hold(name(cursor)?, first == "hold")),
        "carry" => {
            let who = name(cursor)?;
            let way = name(cursor)?;
            match way.as_str() {
                "up" | "down" => Ok(Action::Carry(who, way == "up")),
                _ => Err(format!("`{way}` is no way; allowed: up, down")),
            }
        }
        "link" | "unlink" => {
            let (a, b) = (name(cursor)?, name(cursor)?);
            Ok(if first == "link" { Action::Link(a, b) } else { Action::Unlink(a, b) })
        }
        "dial" | "called" => Ok(Action::Meet(name(cursor)?, first == "dial")),
        "clone" | "same" => {
            let (a, b) = (name(cursor)?, name(cursor)?);
            Ok(if first == "clone" { Action::Clone(a, b) } else { Action::Same(a, b) })
        }
        "open" | "join" => {
            let who = name(cursor)?;
            let mut all = vec![("replica".to_owned(), cursor.expr()?)];
            all.extend(options(cursor)?);
            Ok(if first == "open" { Action::Open(who, all) } else { Action::Join(who, all) })
        }
        "hello" => Ok(Action::Hello(name(cursor)?, options(cursor)?)),
        "serve" => Ok(Action::Serve(name(cursor)?, options(cursor)?)),
        "client" => Ok(Action::Client(name(cursor)?, options(cursor)?)),
        "accept" => {
            let who = name(cursor)?;
            let within = if cursor.eat_word("within") { number(cursor)? } else { ACCEPT_MS };
            Ok(Action::Accept(who, within))
        }
        "waits" => Ok(Action::Waits(name(cursor)?, cursor.expr()?)),
        "wall" => {
            let who = name(cursor)?;
            cursor.eat("+");
            let minus = cursor.eat("-");
            let skew = i64::try_from(number(cursor)?).map_err(|_| "too far off")?;
            Ok(Action::Wall(who, if minus { -skew } else { skew }))
        }
        "tokens" => cursor.expr().map(Action::Tokens),
        "revoke" => cursor.expr().map(Action::Revoke),
        "quota" => cursor.expr().map(Action::Quota),
        "retention" => cursor.expr().map(Action::Retention),
        "purge" => record(cursor).map(|(collection, id)| Action::Purge(collection, id)),
        "drop" => cursor.expr().map(|space| Action::Space("drop", space)),
        "make" => cursor.expr().map(|space| Action::Space("make", space)),
        "stored" => cursor.expr().map(|bytes| Action::Stores(bytes, true)),
        "forgotten" => cursor.expr().map(|bytes| Action::Stores(bytes, false)),
        who => told(who.to_owned(), cursor),
    }
}

fn told(who: String, cursor: &mut Cursor) -> Result<Action, String> {
    if cursor.eat("<") {
        return Ok(Action::Expect(who, cursor.sequence()?));
    }
    if cursor.eat(">") {
        return Ok(Action::Send(who, payload(cursor)?));
    }
    match cursor.word() {
        "closed" => Ok(Action::Closed(who)),
        "quiet" => Ok(Action::Quiet(who)),
        "mute" => Ok(Action::Mute(who)),
        "reaches" => Ok(Action::Reaches(who, cursor.expr()?)),
        "holds" => Ok(Action::Holds(who, record(cursor)?, fields(cursor)?)),
        "state" => Ok(Action::State(who, record(cursor)?, fields(cursor)?)),
        "records" => Ok(Action::Records(who, part(cursor)?, cursor.expr()?)),
        "status" => Ok(Action::Status(who, options(cursor)?)),
        "event" => Ok(Action::Event(who, name(cursor)?, options(cursor)?, true)),
        "rejections" => Ok(Action::Rejections(who, cursor.expr()?)),
        "dismiss" => Ok(Action::Dismiss(who, cursor.expr()?)),
        "spoil" => Ok(Action::Spoil(who, record(cursor)?, if cursor.is_end() { None } else { Some(part(cursor)?) })),
        "presence" => {
            let payload = cursor.expr()?;
            let ttl = if cursor.eat_word("ttl") { Some(cursor.expr()?) } else { None };
            Ok(Action::Presence { who, payload, ttl, refused: cursor.eat_word("refused") })
        }
        "subscribe" => Ok(Action::Subscribe { who, collections: cursor.expr()?, refused: cursor.eat_word("refused") }),
        "present" => Ok(Action::Present(who, cursor.expr()?)),
        "start" => Ok(Action::Start(who, true)),
        "stop" => Ok(Action::Start(who, false)),
        "signals" => {
            let to = cursor.expr()?;
            Ok(Action::Signals(who, to, cursor.expr()?))
        }
        "token" => Ok(Action::Token(who, cursor.expr()?, options(cursor)?)),
        "link-token" => Ok(Action::LinkToken(who, cursor.expr()?)),
        "wipe" => Ok(Action::Wipe { who, force: cursor.eat_word("force"), refused: cursor.eat_word("refused") }),
        "write" => {
            let (collection, id) = record(cursor)?;
            let first = (collection, id, Some(whole_record(cursor)?));
            write(who, first, cursor)
        }
        "delete" => {
            let (collection, id) = record(cursor)?;
            write(who, (collection, id, None), cursor)
        }
        verb => Err(format!("`{who} {verb}` is no step")),
    }
}

fn write(who: String, first: WriteRow, cursor: &mut Cursor) -> Result<Action, String> {
    let mut rows = vec![first];
    while cursor.eat_word("and") {
        let delete = cursor.eat_word("delete");
        let (collection, id) = record(cursor)?;
        let fields = if delete { None } else { Some(whole_record(cursor)?) };
        rows.push((collection, id, fields));
    }
    let mut guards = Vec::new();
    while cursor.eat_word("if") {
        let (collection, id) = record(cursor)?;
        let field = if cursor.eat_word("has") { Some(part(cursor)?) } else { None };
        guards.push((collection, id, field));
    }
    Ok(Action::Write { who, rows, guards, refused: cursor.eat_word("refused") })
}

fn payload(cursor: &mut Cursor) -> Result<Payload, String> {
    if cursor.eat_word("text") {
        return cursor.text().map(Payload::Text);
    }
    if cursor.eat_word("zeros") {
        return number(cursor).map(|count| Payload::Zeros(count as usize));
    }
    let mut items = cursor.sequence()?;
    match items.first() {
        Some(Expr::Item(crate::cbor::Item::Bytes(_))) if items.len() == 1 => Ok(Payload::Bytes(items.remove(0))),
        _ => Ok(Payload::Items(items)),
    }
}

fn never(cursor: &mut Cursor) -> Result<Action, String> {
    let who = name(cursor)?;
    if cursor.eat_word("event") {
        return Ok(Action::Event(who, name(cursor)?, options(cursor)?, false));
    }
    cursor.expect("<")?;
    Ok(Action::Never(who, cursor.sequence()?))
}

fn crash(cursor: &mut Cursor) -> Result<Action, String> {
    let point = |cursor: &mut Cursor| -> Result<Option<CrashPoint>, String> {
        let after = cursor.eat_word("after");
        if !after && !cursor.eat_word("at") {
            return Ok(None);
        }
        if !cursor.eat_word("commit") {
            return Err("expected `commit`".to_owned());
        }
        Ok(Some(CrashPoint { commit: number(cursor)?, after }))
    };
    if let Some(found) = point(cursor)? {
        return Ok(Action::Crash(None, Some(found)));
    }
    let who = optional(cursor);
    Ok(Action::Crash(who, point(cursor)?))
}

/// Pairs of a name and a value; a name without a value means true.
fn options(cursor: &mut Cursor) -> Result<Options, String> {
    let mut all = Vec::new();
    while !cursor.is_end() {
        let option = name(cursor)?;
        let flag = option == "nocatchup" || option == "apart";
        let value = if flag { Expr::Item(crate::cbor::Item::Bool(true)) } else { cursor.expr()? };
        all.push((option, value));
    }
    Ok(all)
}

fn record(cursor: &mut Cursor) -> Result<(String, String), String> {
    let collection = part(cursor)?;
    cursor.expect("/")?;
    Ok((collection, part(cursor)?))
}

fn part(cursor: &mut Cursor) -> Result<String, String> {
    if cursor.rest().starts_with('"') { cursor.text() } else { name(cursor) }
}

fn fields(cursor: &mut Cursor) -> Result<Option<Expr>, String> {
    if cursor.eat_word("absent") { Ok(None) } else { whole_record(cursor).map(Some) }
}

/// A record's fields, and where further rules are spoken of their columns behind: an array of both.
fn whole_record(cursor: &mut Cursor) -> Result<Expr, String> {
    let fields = cursor.expr()?;
    if cursor.rest().starts_with('{') { Ok(Expr::Array(vec![fields, cursor.expr()?])) } else { Ok(fields) }
}

fn name(cursor: &mut Cursor) -> Result<String, String> {
    match cursor.word() {
        "" => Err(format!("expected a name, found `{}`", excerpt(cursor.rest()))),
        word => Ok(word.to_owned()),
    }
}

fn optional(cursor: &mut Cursor) -> Option<String> {
    if cursor.is_end() { None } else { name(cursor).ok() }
}

fn number(cursor: &mut Cursor) -> Result<u64, String> {
    let word = cursor.word();
    word.parse().map_err(|_| format!("`{word}` is no count"))
}
