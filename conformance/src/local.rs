//! Steps about a client's own state, and about clients among each other.

use serde_json::{Map, Value, json};

use crate::cbor::Item;
use crate::edn::{Expr, hex, print, print_expr, unhex};
use crate::pattern::{Names, matches, value};
use crate::scenario::Role;
use crate::step::{CrashPoint, Guard, Options, WriteRow};
use crate::trace::What;
use crate::trouble::Trouble;
use crate::world::{Never, Sut, World};

const SETTLE_MS: u64 = 300_000;
/// How long a presence holds where a step does not say.
const PRESENCE_MS: u64 = 30_000;
const PRESENT_STEP_MS: u64 = 500;

impl World<'_> {
    /// Opens a peer that the implementation plays, and starts it where it is a client.
    pub(crate) fn open_peer(&mut self, peer: &str, server: bool, extra: &Item) -> Result<(), Trouble> {
        self.seed += 1;
        let seed = self.seed;
        if server {
            let tokens = if *extra == Item::Null { Value::Null } else { to_json(extra) };
            self.note(What::Tokens { grants: tokens.clone() });
            return self.call("open", json!({"peer": peer, "role": "server", "seed": seed, "tokens": tokens})).map(drop);
        }
        let space = self.names["space"].as_text().unwrap_or_default().to_owned();
        self.call("open", json!({"peer": peer, "role": "client", "seed": seed, "space": space, "token": to_json(extra)}))?;
        if self.role == Role::Peer {
            return Ok(());
        }
        self.call("start", json!({"peer": peer})).map(drop)
    }

    pub(crate) fn write(&mut self, who: &str, rows: &[WriteRow], guards: &[Guard], refused: bool) -> Result<(), Trouble> {
        let mut written = Vec::new();
        for (collection, id, fields) in rows {
            written.push(match fields {
                Some(Expr::Array(parts)) if parts.len() == 2 => {
                    let [fields, columns] = [to_json(&value(&parts[0], &self.names)?), to_json(&value(&parts[1], &self.names)?)];
                    json!({"record": [collection, id], "fields": fields, "columns": columns})
                }
                Some(fields) => json!({"record": [collection, id], "fields": to_json(&value(fields, &self.names)?)}),
                None => json!({"record": [collection, id], "delete": true}),
            });
        }
        self.tell(who, format!("writes {}", Value::Array(written.clone())));
        let guard = |(collection, id, field): &Guard| json!({"record": [collection, id], "field": field});
        let guards: Vec<Value> = guards.iter().map(guard).collect();
        let reply = self.call("write", json!({"peer": who, "rows": written, "if": guards}))?;
        match (reply.get("refused"), refused) {
            (None, true) => Err(Trouble::fault("a refusal", "the write was taken")),
            (Some(why), false) => Err(Trouble::fault("the write to be taken", format!("refused: {}", why.as_str().unwrap_or("")))),
            _ => Ok(()),
        }
    }

    fn view(&mut self, who: &str) -> Result<Vec<(String, String, Item)>, Trouble> {
        let reply = self.call("state", json!({"peer": who}))?;
        let wrong = || Trouble::Adapter("`records` is not a list of [collection, id, fields]".to_owned());
        let records = reply.get("records").and_then(Value::as_array).ok_or_else(wrong)?;
        let record = |row: &Value| {
            let fields = from_json(row.get(2)?).ok()?;
            let shown = match row.get(3) {
                Some(columns) => Item::Array(vec![fields, from_json(columns).ok()?]),
                None => fields,
            };
            Some((row.get(0)?.as_str()?.to_owned(), row.get(1)?.as_str()?.to_owned(), shown))
        };
        records.iter().map(|row| record(row).ok_or_else(wrong)).collect()
    }

    pub(crate) fn state(&mut self, who: &str, name: &(String, String), fields: Option<&Expr>) -> Result<(), Trouble> {
        let view = self.view(who)?;
        let found = view.into_iter().find(|(collection, id, _)| (collection, id) == (&name.0, &name.1)).map(|(_, _, fields)| fields);
        self.compare_record(name, fields, found)
    }

    pub(crate) fn records(&mut self, who: &str, collection: &str, ids: &Expr) -> Result<(), Trouble> {
        let view = self.view(who)?;
        let found = view.into_iter().filter(|(c, _, _)| c == collection).map(|(_, id, _)| Item::Text(id)).collect();
        let found = Item::Array(found);
        matches(ids, &found, &mut self.names).map_err(|difference| Trouble::differs(print_expr(ids), &found, difference))
    }

    pub(crate) fn status(&mut self, who: &str, fields: &Options) -> Result<(), Trouble> {
        let status = self.call("status", json!({"peer": who}))?;
        self.fields(fields, &status)
    }

    /// Fails unless each field of a reply or event matches.
    fn fields(&mut self, fields: &Options, object: &Map<String, Value>) -> Result<(), Trouble> {
        let key = |name: &String| Item::Text(name.clone());
        let found: Result<_, String> =
            fields.iter().map(|(name, _)| Ok((key(name), object.get(name).map_or(Ok(Item::Null), status_item)?))).collect();
        let found = Item::Map(found.map_err(Trouble::Adapter)?);
        let pairs = fields.iter().map(|(name, pattern)| (Expr::Item(key(name)), pattern.clone())).collect();
        let expected = Expr::Map { pairs, rest: true };
        matches(&expected, &found, &mut self.names).map_err(|difference| Trouble::differs(print_expr(&expected), &found, difference))
    }

    pub(crate) fn event_step(&mut self, who: &str, name: &str, fields: &Options, wanted: bool) -> Result<(), Trouble> {
        if !wanted {
            self.nevers.push((who.to_owned(), Never::Event(name.to_owned(), fields.clone())));
            return Ok(());
        }
        let is = |event: &Map<String, Value>| event.get("event").and_then(Value::as_str) == Some(name);
        let waiting = |world: &World| world.events.get(who).is_some_and(|events| events.iter().any(is));
        self.pass_until(crate::wire::PATIENCE_MS, waiting)?;
        while let Some(event) = self.events.entry(who.to_owned()).or_default().pop_front() {
            if is(&event) {
                return self.fields(fields, &event);
            }
        }
        Err(Trouble::fault(format!("the event {name}"), "none"))
    }

    pub(crate) fn signals(&mut self, who: &str, to: &Expr, payload: &Expr) -> Result<(), Trouble> {
        let (to, payload) = (value(to, &self.names)?, value(payload, &self.names)?);
        let as_hex = |item: &Item| hex(item.as_bytes().unwrap_or_default());
        let reply = self.call("signal", json!({"peer": who, "to": as_hex(&to), "payload": as_hex(&payload)}))?;
        let sent = reply.get("sent") == Some(&Value::Bool(true));
        if sent { Ok(()) } else { Err(Trouble::fault("the signal to be sent", "it was not")) }
    }

    pub(crate) fn rejections(&mut self, who: &str, pattern: &Expr) -> Result<(), Trouble> {
        let reply = self.call("rejections", json!({"peer": who}))?;
        let number = |row: &Value, name: &str| Item::Int(row.get(name).and_then(Value::as_i64).map_or(-1, i128::from));
        let rows = reply.get("rejections").and_then(Value::as_array).cloned().unwrap_or_default();
        let found = Item::Array(rows.iter().map(|row| Item::Array(vec![number(row, "seq"), number(row, "code")])).collect());
        matches(pattern, &found, &mut self.names).map_err(|difference| Trouble::differs(print_expr(pattern), &found, difference))
    }

    /// The application sets what a client tells of itself; null takes it back.
    pub(crate) fn presence(&mut self, who: &str, payload: &Expr, ttl: Option<&Expr>, refused: bool) -> Result<(), Trouble> {
        let payload = value(payload, &self.names)?;
        let ttl = ttl.map(|ttl| value(ttl, &self.names)).transpose()?.and_then(|ttl| ttl.as_u64()).unwrap_or(PRESENCE_MS);
        let reply = self.call("present", json!({"peer": who, "payload": payload.as_bytes().map(hex), "ttl": ttl}))?;
        refusal(&reply, "the presence", refused)
    }

    /// The application names the collections to sync; null for all.
    pub(crate) fn subscribe(&mut self, who: &str, collections: &Expr, refused: bool) -> Result<(), Trouble> {
        let collections = to_json(&value(collections, &self.names)?);
        let reply = self.call("subscribe", json!({"peer": who, "collections": collections}))?;
        refusal(&reply, "the subscription", refused)
    }

    /// Whom a client knows to be there; time passes until they are those.
    pub(crate) fn present(&mut self, who: &str, pattern: &Expr) -> Result<(), Trouble> {
        let end = self.now() + crate::wire::PATIENCE_MS;
        loop {
            let reply = self.call("presence", json!({"peer": who}))?;
            let found = reply.get("presence").map_or(Ok(Item::Null), hex_items).map_err(Trouble::Adapter)?;
            let Err(difference) = matches(pattern, &found, &mut self.names) else { return Ok(()) };
            let now = self.now();
            if now >= end {
                return Err(Trouble::differs(print_expr(pattern), &found, difference));
            }
            self.pass_until(PRESENT_STEP_MS, |_| false)?;
        }
    }

    /// The peer dies, now or at a commit to come.
    pub(crate) fn crash(&mut self, peer: Option<&str>, point: Option<CrashPoint>) -> Result<(), Trouble> {
        let peer = peer.unwrap_or("server");
        if let Some(point) = point {
            return self.call("commit", json!({"peer": peer, "n": point.commit, "after": point.after})).map(drop);
        }
        if let Sut::Sockets(sockets) = &mut self.sut {
            sockets.crash()?;
            self.note(What::Crash { who: peer.to_owned() });
            return self.drop_links(peer);
        }
        self.reopen(peer, "crash", json!({"peer": peer}))
    }

    /// The peer dies and opens again, on what is durable or on a copy.
    pub(crate) fn reopen(&mut self, peer: &str, verb: &str, fields: Value) -> Result<(), Trouble> {
        let who = peer.to_owned();
        self.note(if verb == "load" { What::Load { who } } else { What::Crash { who } });
        self.wants.remove(peer);
        self.crashed.insert(peer.to_owned());
        self.drop_links(peer)?;
        self.crashed.remove(peer);
        self.call(verb, fields)?;
        if peer == "server" { Ok(()) } else { self.call("start", json!({"peer": peer})).map(drop) }
    }

    pub(crate) fn save(&mut self, peer: Option<&str>, name: &str, load: bool) -> Result<(), Trouble> {
        let peer = peer.unwrap_or("server");
        let fields = json!({"peer": peer, "name": name});
        if load { self.reopen(peer, "load", fields) } else { self.call("save", fields).map(drop) }
    }

    pub(crate) fn clone_peer(&mut self, from: &str, to: &str) -> Result<(), Trouble> {
        let copy = format!("clone of {from}");
        self.call("save", json!({"peer": from, "name": copy}))?;
        if !self.links.contains_key(to) {
            self.seed += 1;
            let (seed, space) = (self.seed, self.names["space"].as_text().unwrap_or_default().to_owned());
            self.call("open", json!({"peer": to, "role": "client", "seed": seed, "space": space, "token": null}))?;
        }
        self.reopen(to, "load", json!({"peer": to, "name": copy}))
    }

    pub(crate) fn partition(&mut self, who: &str, apart: bool) -> Result<(), Trouble> {
        if !apart {
            self.apart.remove(who);
            return Ok(());
        }
        self.apart.insert(who.to_owned());
        if self.links.contains_key(who) { self.cut(who) } else { Ok(()) }
    }

    pub(crate) fn stall(&mut self, who: &str, stalled: bool) -> Result<(), Trouble> {
        // Whether it connects is up to the implementation.
        let none = || Trouble::fault(format!("a connection of {who}"), "none");
        self.links.get_mut(who).ok_or_else(none)?.stalled = stalled;
        self.call("advance", json!({})).map(drop)
    }

    /// Lets time pass until each client that can be is in sync.
    pub(crate) fn settle(&mut self) -> Result<(), Trouble> {
        if self.role != Role::Both {
            return Err(Trouble::Script("settle is for the role both".to_owned()));
        }
        let end = self.now() + SETTLE_MS;
        let mut seen = self.unsettled()?;
        while !seen.is_empty() {
            let wake = self.wake().filter(|wake| *wake <= end);
            let Some(wake) = wake else { return Err(Trouble::fault("every client in sync", format!("not after {SETTLE_MS} ms: {seen}"))) };
            let now = self.now();
            self.set_now(wake.max(now));
            self.call("advance", json!({}))?;
            if self.now() == now {
                let later = now + 1;
                self.set_now(later);
            }
            seen = self.unsettled()?;
        }
        self.synced()
    }

    /// Keeps where the clients in sync stand.
    fn synced(&mut self) -> Result<(), Trouble> {
        for who in self.peers.clone() {
            let status = self.call("status", json!({"peer": who}))?;
            let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if let (Some(Value::Bool(true)), Some(position)) = (status.get("in_sync"), status.get("position").and_then(Value::as_u64)) {
                self.note(What::Synced { who, position, history: text("history"), fingerprint: text("fingerprint") });
            }
        }
        Ok(())
    }

    /// The clients that could be in sync and are not, with their status.
    fn unsettled(&mut self) -> Result<String, Trouble> {
        let peers: Vec<String> =
            self.peers.iter().filter(|who| !self.apart.contains(*who) && !self.crashed.contains(*who)).cloned().collect();
        let mut all = Vec::new();
        for peer in peers {
            let stalled = self.links.get(&peer).is_some_and(|link| link.stalled);
            let status = self.call("status", json!({"peer": peer}))?;
            if !stalled && status.get("in_sync") != Some(&Value::Bool(true)) {
                all.push(format!("{peer} {}", Value::Object(status)));
            }
        }
        Ok(all.join("; "))
    }

    pub(crate) fn same(&mut self, a: &str, b: &str) -> Result<(), Trouble> {
        let (left, right) = (self.view(a)?, self.view(b)?);
        if let Some((one, other)) = left.iter().zip(&right).find(|(one, other)| one != other) {
            let show = |(c, id, fields): &(String, String, Item)| format!("{c}/{id} {}", print(fields));
            return Err(Trouble::fault(format!("what {a} shows: {}", show(one)), format!("{b} shows {}", show(other))));
        }
        if left.len() != right.len() {
            return Err(Trouble::fault(format!("{} records, as {a} shows", left.len()), format!("{}, in {b}", right.len())));
        }
        let (left, right) = (self.call("status", json!({"peer": a}))?, self.call("status", json!({"peer": b}))?);
        for field in ["position", "history", "fingerprint"] {
            if left.get(field) != right.get(field) {
                return Err(Trouble::fault(
                    format!("{field} {:?}, as {a} has", left.get(field)),
                    format!("{:?}, in {b}", right.get(field)),
                ));
            }
        }
        Ok(())
    }
}

/// Whether an event has this name and these fields.
pub(crate) fn event_matches(event: &Map<String, Value>, name: &str, fields: &Options, names: &Names) -> bool {
    let mut names = names.clone();
    let named = event.get("event").and_then(Value::as_str) == Some(name);
    let mut field = |field: &(String, Expr)| {
        event.get(&field.0).and_then(|v| status_item(v).ok()).is_some_and(|item| matches(&field.1, &item, &mut names).is_ok())
    };
    named && fields.iter().all(&mut field)
}

/// A field of a reply: ids in hex become bytes.
fn status_item(field: &Value) -> Result<Item, String> {
    match field {
        Value::String(text) if text.len() >= 16 && text.bytes().all(|b| b.is_ascii_hexdigit()) => unhex(text).map(Item::Bytes),
        other => from_json(other),
    }
}

/// Whether a reply says `refused` exactly where it should.
fn refusal(reply: &Map<String, Value>, what: &str, refused: bool) -> Result<(), Trouble> {
    match (reply.get("refused"), refused) {
        (None, true) => Err(Trouble::fault("a refusal", format!("{what} was taken"))),
        (Some(why), false) => Err(Trouble::fault(format!("{what} to be taken"), format!("refused: {}", why.as_str().unwrap_or("")))),
        _ => Ok(()),
    }
}

/// Arrays of hex become arrays of bytes.
fn hex_items(value: &Value) -> Result<Item, String> {
    match value {
        Value::Array(items) => items.iter().map(hex_items).collect::<Result<_, _>>().map(Item::Array),
        Value::String(text) => unhex(text).map(Item::Bytes),
        other => Err(format!("{other} is no hex")),
    }
}

/// A value as the adapter protocol writes it.
pub fn to_json(item: &Item) -> Value {
    match item {
        Item::Null => Value::Null,
        Item::Undefined => json!({"$unset": true}),
        Item::Bool(value) => json!(value),
        Item::Int(value) if value.abs() <= crate::cbor::INT_MAX => json!(*value as i64),
        Item::Int(value) => json!({"$int": value.to_string()}),
        Item::Float(value) if value.is_finite() && value.fract() != 0.0 => json!(value),
        Item::Float(value) => json!({"$float": format!("{value:?}")}),
        Item::Bytes(bytes) => json!({"$bytes": hex(bytes)}),
        Item::Text(text) => json!(text),
        Item::Array(items) => items.iter().map(to_json).collect(),
        Item::Map(pairs) => {
            let plain = pairs.iter().all(|(key, _)| key.as_text().is_some_and(|key| !key.starts_with('$')));
            let pairs = pairs.iter().map(|(key, value)| (key.as_text().unwrap_or_default().to_owned(), to_json(value)));
            if plain { Value::Object(pairs.collect()) } else { json!({"$map": pairs.map(|(k, v)| json!([k, v])).collect::<Vec<_>>()}) }
        }
    }
}

/// A value that the adapter protocol wrote.
///
/// # Errors
/// Something that is no value.
pub fn from_json(value: &Value) -> Result<Item, String> {
    Ok(match value {
        Value::Null => Item::Null,
        Value::Bool(value) => Item::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Item::Int(i128::from(value)),
            None => Item::Float(number.as_f64().ok_or("a number out of range")?),
        },
        Value::String(text) => Item::Text(text.clone()),
        Value::Array(items) => Item::Array(items.iter().map(from_json).collect::<Result<_, _>>()?),
        Value::Object(object) => return object_from_json(object),
    })
}

fn object_from_json(object: &Map<String, Value>) -> Result<Item, String> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    if let Some(digits) = text("$bytes") {
        return unhex(digits).map(Item::Bytes);
    }
    if let Some(float) = text("$float") {
        return float.parse().map(Item::Float).map_err(|_| format!("`{float}` is no float"));
    }
    if object.contains_key("$unset") {
        return Ok(Item::Undefined);
    }
    if let Some(Value::Array(pairs)) = object.get("$map") {
        let pair = |pair: &Value| Ok((from_json(&pair[0])?, from_json(&pair[1])?));
        return pairs.iter().map(pair).collect::<Result<_, String>>().map(Item::Map);
    }
    let mut pairs: Vec<(Item, Item)> =
        object.iter().map(|(key, value)| Ok((Item::Text(key.clone()), from_json(value)?))).collect::<Result<_, String>>()?;
    pairs.sort_by_key(|(key, _)| crate::cbor::encode(key));
    Ok(Item::Map(pairs))
}
