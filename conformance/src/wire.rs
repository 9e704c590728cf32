//! Steps about connections and messages, for the roles server and client.

use serde_json::json;
use tungstenite::Message;

use crate::cbor::Item;
use crate::checks::{code, code_of};
use crate::edn::{Expr, print, print_expr};
use crate::freedom;
use crate::pattern::{Difference, matches, value};
use crate::scenario::Role;
use crate::step::{Options, Payload};
use crate::trouble::Trouble;
use crate::world::{Never, Sut, World};

/// For how long a message may be outstanding: a mark's interval and some more.
pub const PATIENCE_MS: u64 = 6000;
const QUIET_MS: u64 = 1000;

impl World<'_> {
    /// The next message on a channel; time passes until one comes.
    pub(crate) fn next(&mut self, who: &str, channel: u64, expected: &str) -> Result<Item, Trouble> {
        if !self.links.contains_key(who) {
            return Err(Trouble::Script(format!("{who} is not connected")));
        }
        let waiting = |world: &World, who: &str| {
            let link = &world.links[who];
            link.closed || link.queues.get(&channel).is_some_and(|queue| !queue.is_empty())
        };
        self.pass_until(PATIENCE_MS, |world| waiting(world, who))?;
        let link = self.links.get_mut(who).expect("checked above");
        let Some(message) = link.queues.entry(channel).or_default().pop_front() else {
            let elsewhere: Vec<String> =
                link.queues.iter().flat_map(|(channel, queue)| queue.iter().map(move |m| format!("{channel}, {}", print(m)))).collect();
            let got =
                if link.closed { "the connection ended".to_owned() } else { format!("nothing on channel {channel} in {PATIENCE_MS} ms") };
            let others = if elsewhere.is_empty() { String::new() } else { format!(" (waiting elsewhere: {})", elsewhere.join("; ")) };
            return Err(Trouble::fault(expected, got + &others));
        };
        if self.role == Role::Client {
            link.fold.client(&message);
        } else {
            link.fold.server(&message).map_err(|why| Trouble::fault(expected, format!("{} ({why})", print(&message))))?;
        }
        Ok(message)
    }

    /// As [`World::next`], after pings and marks.
    pub(crate) fn next_of(&mut self, who: &str, channel: u64, wanted: u64, expected: &str) -> Result<Item, Trouble> {
        loop {
            let message = self.next(who, channel, expected)?;
            match code_of(&message) {
                Some(code) if code == wanted => return Ok(message),
                Some(code::PING | code::MARK) => {}
                _ => return Err(Trouble::fault(expected, print(&message))),
            }
        }
    }

    pub(crate) fn channel_of(&self, items: &[Expr]) -> Result<u64, Trouble> {
        let first = items.first().ok_or("a frame begins with a channel".to_owned())?;
        Ok(value(first, &self.names)?.as_u64().ok_or(format!("{} is no channel", print_expr(first)))?)
    }

    /// As [`World::channel_of`]; a name that is not bound takes the channel on which something waits besides 0.
    fn channel_of_next(&mut self, who: &str, items: &[Expr]) -> Result<u64, Trouble> {
        let Some(Expr::Name(name)) = items.first().filter(|first| matches!(first, Expr::Name(name) if !self.names.contains_key(name)))
        else {
            return self.channel_of(items);
        };
        let expected = items.get(1).map(print_expr).unwrap_or_default();
        let channel = self.any_channel(who, &expected)?;
        self.names.insert(name.clone(), Item::Int(i128::from(channel)));
        Ok(channel)
    }

    /// The channel, besides 0, on which something waits; time passes until something does.
    fn any_channel(&mut self, who: &str, expected: &str) -> Result<u64, Trouble> {
        let waiting = |world: &World| {
            let mut queues = world.links.get(who).into_iter().flat_map(|link| &link.queues);
            queues.find(|(channel, queue)| **channel > 0 && !queue.is_empty()).map(|(channel, _)| *channel)
        };
        self.pass_until(PATIENCE_MS, |world| waiting(world).is_some() || world.links.get(who).is_none_or(|link| link.closed))?;
        waiting(self).ok_or(Trouble::fault(expected, "nothing on any channel"))
    }

    pub(crate) fn expect(&mut self, who: &str, items: &[Expr]) -> Result<(), Trouble> {
        let channel = self.channel_of_next(who, items)?;
        let mut patterns = Vec::new();
        for pattern in &items[1..] {
            match pattern {
                Expr::Array(parts) if self.role == Role::Client && is_push(parts) => {
                    patterns.extend(parts[1..].iter().map(|part| Expr::Array(vec![parts[0].clone(), part.clone()])));
                }
                _ => patterns.push(pattern.clone()),
            }
        }
        for pattern in patterns {
            self.expect_one(who, channel, &pattern)?;
        }
        Ok(())
    }

    fn expect_one(&mut self, who: &str, channel: u64, pattern: &Expr) -> Result<(), Trouble> {
        let (expected, mut parts) = (self.shown(pattern), Vec::new());
        loop {
            let message = self.next(who, channel, &expected)?;
            let Err(why) = self.matches_message(pattern, &message) else { return Ok(()) };
            if self.skippable(pattern, &message) {
                continue;
            }
            let last = freedom::part(&message).filter(|_| freedom::wants_last_part(pattern));
            parts.push(message);
            match last {
                Some(false) => continue,
                Some(true) if parts.len() > 1 => {
                    let joined = freedom::joined(&parts).expect("what ends a catch-up has the form of a part");
                    return self.matches_message(pattern, &joined).map_err(|why| Trouble::differs(expected, &joined, why));
                }
                _ => return Err(Trouble::differs(expected, parts.last().expect("one was added above"), why)),
            }
        }
    }

    /// A pattern with the names in it that are bound replaced by their values, where it has no others.
    fn shown(&self, pattern: &Expr) -> String {
        match (value(pattern, &self.names), pattern) {
            (Ok(item), _) => print(&item),
            (Err(_), Expr::Array(parts)) => format!("[{}]", parts.iter().map(|part| self.shown(part)).collect::<Vec<_>>().join(", ")),
            _ => print_expr(pattern),
        }
    }

    /// Whether a message matches, aside from what the spec leaves free in it.
    fn matches_message(&mut self, pattern: &Expr, message: &Item) -> Result<(), Difference> {
        let found = matches(pattern, message, &mut self.names);
        let choices = match pattern {
            Expr::Call(name, choices) if name == "any" => choices,
            one => std::slice::from_ref(one),
        };
        let like = |choice| matches(choice, &freedom::alike(choice, message, &self.names), &mut self.names.clone()).is_ok();
        match choices.iter().find(|choice| found.is_err() && like(choice)) {
            Some(choice) => matches(choice, &freedom::alike(choice, message, &self.names), &mut self.names),
            None => found,
        }
    }

    /// Whether what the spec leaves free explains a message that does not match.
    fn skippable(&self, pattern: &Expr, message: &Item) -> bool {
        let field = |index: usize| match pattern {
            Expr::Array(parts) => parts.get(index).and_then(|part| value(part, &self.names).ok()).and_then(|item| item.as_u64()),
            _ => None,
        };
        let wanted = field(0);
        match code_of(message) {
            Some(code @ (code::PING | code::MARK | code::CREDIT)) => wanted != Some(code),
            Some(code::ACK) => {
                let seq = message.items().get(1).and_then(Item::as_u64);
                wanted == Some(code::ACK) && matches!((seq, field(1)), (Some(got), Some(wanted)) if got < wanted)
            }
            _ => false,
        }
    }

    pub(crate) fn send_payload(&mut self, who: &str, payload: &Payload) -> Result<(), Trouble> {
        match payload {
            Payload::Items(items) => {
                let channel = value(items.first().ok_or("nothing to send".to_owned())?, &self.names)?;
                let messages: Vec<Item> = items[1..].iter().map(|item| value(item, &self.names)).collect::<Result<_, _>>()?;
                let Some(channel) = channel.as_u64() else {
                    let all = std::iter::once(channel).chain(messages).collect::<Vec<_>>();
                    return self.send_bytes(who, crate::cbor::encode_sequence(&all));
                };
                self.send(who, channel, messages)
            }
            Payload::Bytes(expr) => {
                let bytes = value(expr, &self.names)?.as_bytes().unwrap_or_default().to_vec();
                self.send_bytes(who, bytes)
            }
            Payload::Zeros(count) => self.send_bytes(who, vec![0; *count]),
            Payload::Text(text) => {
                let conn = self.links.get(who).ok_or(format!("{who} is not connected"))?.conn.clone();
                let Sut::Sockets(sockets) = &mut self.sut else {
                    return Err(Trouble::Unobservable("text messages need a WebSocket".to_owned()));
                };
                sockets.send(&conn, Message::text(text.clone()));
                Ok(())
            }
        }
    }

    pub(crate) fn never(&mut self, who: &str, patterns: &[Expr]) -> Result<(), Trouble> {
        self.nevers.push((who.to_owned(), Never::Message(patterns.to_vec())));
        let Some(link) = self.links.get(who) else { return Ok(()) };
        link.queues
            .iter()
            .flat_map(|(channel, queue)| queue.iter().map(move |message| (*channel, message)))
            .try_for_each(|(channel, message)| self.check_never(who, channel, message))
    }

    pub(crate) fn quiet(&mut self, who: &str) -> Result<(), Trouble> {
        self.pass_until(QUIET_MS, |_| false)?;
        let link = self.links.get(who).ok_or(format!("{who} is not connected"))?;
        let loud = link.queues.values().flatten().find(|message| !matches!(code_of(message), Some(code::PING | code::MARK)));
        loud.map_or(Ok(()), |message| Err(Trouble::fault("nothing", print(message))))
    }

    pub(crate) fn closed(&mut self, who: &str) -> Result<(), Trouble> {
        if !self.links.contains_key(who) {
            return Err(Trouble::Script(format!("{who} is not connected")));
        }
        if self.pass_until(PATIENCE_MS, |world| world.links[who].closed)? {
            return Ok(());
        }
        Err(Trouble::fault("the end of the connection", format!("it still stands after {PATIENCE_MS} ms")))
    }

    pub(crate) fn reaches(&mut self, who: &str, position: u64) -> Result<(), Trouble> {
        loop {
            let link = self.links.get(who).ok_or(format!("{who} is not connected"))?;
            if link.fold.complete && link.fold.position >= position {
                return Ok(());
            }
            let (channel, expected) = (link.channel, format!("messages that lead to position {position}, from {}", link.fold.position));
            let message = self.next(who, channel, &expected)?;
            if !matches!(
                code_of(&message),
                Some(code::ACK | code::REJECT | code::CHANGE | code::VOID | code::STATES | code::MARK | code::PRESENCE | code::CREDIT)
            ) {
                return Err(Trouble::fault(expected, print(&message)));
            }
        }
    }

    pub(crate) fn holds(&mut self, who: &str, name: &(String, String), fields: Option<&Expr>) -> Result<(), Trouble> {
        let link = self.links.get(who).ok_or(format!("{who} is not connected"))?;
        let found = link.fold.state.record(name).map(|(fields, columns)| match columns.is_empty() {
            true => Item::Map(fields),
            false => Item::Array(vec![Item::Map(fields), Item::Map(columns)]),
        });
        self.compare_record(name, fields, found)
    }

    pub(crate) fn compare_record(
        &mut self,
        (collection, id): &(String, String),
        fields: Option<&Expr>,
        found: Option<Item>,
    ) -> Result<(), Trouble> {
        match (fields, found) {
            (None, None) => Ok(()),
            (None, Some(found)) => Err(Trouble::fault(format!("no {collection}/{id}"), print(&found))),
            (Some(fields), None) => Err(Trouble::fault(format!("{collection}/{id} {}", self.shown(fields)), "it is absent")),
            (Some(fields), Some(found)) => {
                matches(fields, &found, &mut self.names).map_err(|difference| Trouble::differs(self.shown(fields), &found, difference))
            }
        }
    }

    pub(crate) fn bind(&mut self, who: &str, name: &str, item: Item) {
        self.names.insert(format!("{who}.{name}"), item);
    }

    pub(crate) fn option(&self, options: &Options, name: &str) -> Result<Option<Item>, Trouble> {
        let found = options.iter().find(|(option, _)| option == name);
        Ok(found.map(|(_, expr)| value(expr, &self.names)).transpose()?)
    }

    /// What the harness names in `hello` and `welcome`: the option, else what the header of the story says.
    pub(crate) fn profiles(&self, options: &Options) -> Result<Item, Trouble> {
        let usual = || Item::Array(self.profiles.iter().map(|code| Item::Int(i128::from(*code))).collect());
        Ok(self.option(options, "profiles")?.unwrap_or_else(usual))
    }

    /// Connects, and exchanges `hello` and `welcome`.
    pub(crate) fn hello(&mut self, who: &str, options: &Options) -> Result<(), Trouble> {
        self.connect(who)?;
        let token = self.option(options, "token")?.unwrap_or(Item::Null);
        let int = Item::Int;
        self.send(
            who,
            0,
            vec![Item::Array(vec![int(0), Item::Array(vec![int(1)]), self.profiles(options)?, Item::Map(Vec::new()), token])],
        )?;
        let welcome = self.next_of(who, 0, code::WELCOME, "welcome")?;
        self.bind(who, "time", welcome.items().get(4).cloned().unwrap_or(Item::Null));
        Ok(())
    }

    /// Connects, opens the space, and takes the catch-up.
    pub(crate) fn open(&mut self, who: &str, options: &Options) -> Result<(), Trouble> {
        self.hello(who, options)?;
        let space = self.option(options, "space")?.unwrap_or(self.names["space"].clone());
        let replica = self.option(options, "replica")?.ok_or("open needs a replica".to_owned())?;
        let settled = self.option(options, "settled")?.unwrap_or(Item::Int(0));
        let cursor = self.option(options, "cursor")?.unwrap_or(Item::Null);
        let channel = self.option(options, "channel")?.and_then(|item| item.as_u64()).unwrap_or(1);
        self.links.get_mut(who).expect("it connected").channel = channel;
        let mut open = vec![Item::Int(2), space, replica, settled, cursor];
        let mut extensions = Vec::new();
        for (key, name) in [(0, "collections"), (1, "known")] {
            extensions.extend(self.option(options, name)?.map(|names| (Item::Int(key), names)));
        }
        if !extensions.is_empty() {
            open.push(Item::Map(extensions));
        }
        self.send(who, channel, vec![Item::Array(open)])?;
        let opened = self.next_of(who, channel, code::OPENED, "opened")?;
        for (name, item) in ["position", "history", "seq", "link", "base", "reset"].iter().zip(&opened.items()[1..]) {
            self.bind(who, name, item.clone());
        }
        if self.option(options, "nocatchup")?.is_some() {
            return Ok(());
        }
        self.reaches(who, opened.items()[1].as_u64().unwrap_or(0))
    }

    /// HTTP answers a handshake with this status.
    pub(crate) fn handshake(&mut self, options: &Options) -> Result<(), Trouble> {
        let text = |item: Option<Item>| item.and_then(|item| item.as_text().map(str::to_owned));
        let status = self.option(options, "status")?.and_then(|item| item.as_u64()).ok_or("handshake needs a status".to_owned())?;
        let named = self.option(options, "subprotocol")?;
        let subprotocol = if named.is_none() { Some("syncline.1".to_owned()) } else { text(named) };
        let (origin, host) = (text(self.option(options, "origin")?), text(self.option(options, "host")?));
        let Sut::Sockets(sockets) = &self.sut else { return Err(Trouble::Unobservable("a handshake needs a WebSocket".to_owned())) };
        let got = sockets.handshake(&[
            ("sec-websocket-protocol", subprotocol.as_deref()),
            ("origin", origin.as_deref()),
            ("host", host.as_deref()),
        ])?;
        if u64::from(got) == status { Ok(()) } else { Err(Trouble::fault(format!("HTTP status {status}"), format!("{got}"))) }
    }

    /// Waits for the client to connect.
    pub(crate) fn wanted(&mut self, who: &str, within_ms: u64) -> Result<(), Trouble> {
        if self.pass_until(within_ms, |world| world.wants(who))? {
            self.wants.remove(who);
            return Ok(());
        }
        Err(Trouble::fault("an attempt to connect", format!("none in {within_ms} ms")))
    }

    pub(crate) fn refuse(&mut self, who: &str) -> Result<(), Trouble> {
        self.wanted(who, 120_000)?;
        self.conns += 1;
        let conn = format!("{who}{}", self.conns);
        self.call("hangup", json!({"peer": who, "conn": conn})).map(drop)
    }

    /// Plays a server up to the end of the catch-up.
    pub(crate) fn serve(&mut self, who: &str, options: &Options) -> Result<(), Trouble> {
        self.wanted(who, 120_000)?;
        self.connect(who)?;
        self.next_of(who, 0, code::HELLO, "hello")?;
        let (int, now) = (Item::Int, Item::Int(i128::from(self.now())));
        let none = || Item::Map(Vec::new());
        self.send(who, 0, vec![Item::Array(vec![int(1), int(1), self.profiles(options)?, none(), now.clone()])])?;
        let channel = self.any_channel(who, "open")?;
        self.links.get_mut(who).expect("it connected").channel = channel;
        let open = self.next_of(who, channel, code::OPEN, "open")?;
        for (name, item) in [("replica", 2), ("settled", 3), ("cursor", 4)] {
            self.bind(who, name, open.items()[item].clone());
        }
        for (key, name) in [(0, "collections"), (1, "known")] {
            self.bind(who, name, crate::checks::extension(&open, key).cloned().unwrap_or(Item::Null));
        }
        self.bind(who, "channel", Item::Int(i128::from(channel)));
        let opened = self.opened(who, options, &open.items()[4])?;
        self.send(who, channel, vec![opened.clone()])?;
        if self.option(options, "nocatchup")?.is_some() { Ok(()) } else { self.catch_up(who, channel, opened.items(), &open.items()[4]) }
    }

    fn opened(&mut self, who: &str, options: &Options, cursor: &Item) -> Result<Item, Trouble> {
        let fold = &self.links[who].fold;
        let space = self.names["space"].as_text().unwrap_or_default().to_owned();
        let reset = if *cursor == Item::Null { 1 } else { 0 };
        let defaults = [
            ("position", Item::Int(i128::from(fold.position))),
            ("history", cursor.items().get(1).cloned().unwrap_or(Item::Bytes(vec![1, 2, 3, 4, 5, 6, 7, 8]))),
            ("seq", Item::Int(i128::from(fold.settled))),
            ("link", Item::Bytes(fold.link(&space)?)),
            ("base", Item::Int(i128::from(self.now()))),
            ("reset", Item::Int(reset)),
        ];
        let mut opened = vec![Item::Int(3)];
        for (name, default) in defaults {
            let item = self.option(options, name)?.unwrap_or(default);
            self.bind(who, name, item.clone());
            opened.push(item);
        }
        Ok(Item::Array(opened))
    }

    /// After a reset all that was shown before, as one part; then a mark.
    fn catch_up(&mut self, who: &str, channel: u64, opened: &[Item], cursor: &Item) -> Result<(), Trouble> {
        let (position, history) = (opened[1].clone(), opened[2].clone());
        if opened[6] != Item::Int(0) {
            let part = vec![Item::Int(9), Item::Bool(true), position.clone(), history.clone()];
            self.send(who, channel, vec![Item::Array(part)])?;
        } else if cursor.items().first() != Some(&position) {
            return Ok(());
        }
        let fingerprint = Item::Bytes(self.links[who].fold.state.fingerprint());
        self.send(who, channel, vec![Item::Array(vec![Item::Int(10), position, history, fingerprint])])
    }
}

fn is_push(parts: &[Expr]) -> bool {
    parts.first() == Some(&Expr::Item(Item::Int(5))) && parts.len() > 2 && !matches!(parts[1], Expr::Elision)
}
