//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use syncline::change::RecordName;

/// Records on this device, in sync with a server.
///
/// Every command but `sync` and `watch` works without a network; what it reports as saved is durable.
///
/// A value is JSON where it parses, else text: `n=1 done=true name=Ann code='"007"'`. A number that cannot be held exactly is
/// refused. Bytes are {"$bytes":"hex"}; a map with only that key, or with more dollars, gets one more dollar.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "syncline", version)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// The file that holds the replica [default: .syncline/SPACE.db]. One process at a time uses it
    #[arg(long, global = true, env = "SYNCLINE_STORE", value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// The space
    #[arg(long, global = true, env = "SYNCLINE_SPACE", value_name = "NAME", default_value = "default")]
    pub space: String,
    /// The server, ws://… or wss://…; remembered in the store
    #[arg(long, global = true, env = "SYNCLINE_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Who you are, where the server asks; never stored
    #[arg(long, global = true, env = "SYNCLINE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file with the token, which `watch` reads again when it changes; never stored
    #[arg(long, global = true, env = "SYNCLINE_TOKEN_FILE", value_name = "PATH", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Send the token even where others can read it
    #[arg(long, global = true)]
    pub insecure_token: bool,
    /// Write JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Use no network
    #[arg(long, global = true)]
    pub offline: bool,
}

/// Which side of a peer link.
#[derive(Debug, Subcommand)]
pub enum PeerSide {
    /// Let others dial this address
    Listen {
        /// Such as 127.0.0.1:4100; port 0 takes any
        address: std::net::SocketAddr,
    },
    /// Dial a replica that listens
    Connect {
        /// Where it listens
        address: std::net::SocketAddr,
    },
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set fields of a record, making it where it is not there
    Put {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        #[arg(value_name = "FIELD=VALUE", value_parser = assignment)]
        fields: Vec<(String, String)>,
        /// Have the server reject it unless the record and these fields are still as they show now
        #[arg(long)]
        if_unchanged: bool,
    },
    /// Take fields away from a record
    Unset {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        #[arg(required = true, value_name = "FIELD")]
        fields: Vec<String>,
    },
    /// Add an amount to a counter, which everybody's amounts sum up in
    Add {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        field: String,
        #[arg(allow_negative_numbers = true)]
        amount: i64,
    },
    /// Offer a value, of which the greatest of everybody's stays
    Offer {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        field: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// Let the least stay
        #[arg(long)]
        least: bool,
    },
    /// Put elements into a set, or take them out
    Set {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        field: String,
        #[arg(required = true, value_name = "ELEMENT", allow_negative_numbers = true)]
        elements: Vec<String>,
        /// Take them out
        #[arg(long)]
        remove: bool,
    },
    /// Set entries of a map
    Map {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        field: String,
        #[arg(value_name = "KEY=VALUE", value_parser = assignment)]
        entries: Vec<(String, String)>,
        /// Take the entry of this key away
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Put values in the place of all those that show side by side in a field
    Multi {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
        field: String,
        #[arg(value_name = "VALUE", allow_negative_numbers = true)]
        values: Vec<String>,
    },
    /// Delete records, all of them or none
    Delete {
        #[arg(required = true, value_name = "COLLECTION/ID", value_parser = record)]
        records: Vec<RecordName>,
    },
    /// Show a record
    Get {
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
    },
    /// Show the records of a collection, or all
    List { collection: Option<String> },
    /// Sync these collections only, from the next `sync` or `watch` on, or show which are synced
    ///
    /// The records of a collection that is no longer synced are gone from here at once; they are not deleted, and changes to
    /// them that wait for the server are still sent.
    Subscribe {
        collections: Vec<String>,
        /// Sync all collections of the space again
        #[arg(long, conflicts_with = "collections")]
        all: bool,
    },
    /// Stay in sync and show each change until Ctrl-C
    Watch {
        collection: Option<String>,
        /// Tell the others that you are there, with this text, and show who else is
        #[arg(long, value_name = "TEXT")]
        presence: Option<String>,
    },
    /// Sync with another replica directly, without a server, until Ctrl-C
    Peer {
        #[command(subcommand)]
        side: PeerSide,
        /// What the other side has to show, and is shown
        #[arg(long, global = true, value_name = "TEXT")]
        link_token: Option<String>,
        /// How long to stay: 30s, 500ms, 2m
        #[arg(long = "for", global = true, value_name = "TIME", value_parser = duration)]
        time: Option<Duration>,
    },
    /// Connect and return when everything is equal here and there
    Sync {
        /// How long to try: 30s, 500ms, 2m
        #[arg(long, default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Show how this replica stands; asks the server for up to 2 s unless --offline
    Status,
    /// Read records from JSON lines
    ///
    /// Either flat objects, with --collection and --id, or the lines that `export` writes. Fields that already hold their value
    /// are left alone, so an import that stopped can be run again. It stops at the first line it cannot take.
    Import {
        /// The file; - or none is standard input
        file: Option<PathBuf>,
        /// The collection for flat objects
        #[arg(long, requires = "id", value_name = "COLLECTION")]
        collection: Option<String>,
        /// The field of flat objects that names the record: text or an integer. It stays a field as well
        #[arg(long, requires = "collection", value_name = "FIELD")]
        id: Option<String>,
    },
    /// Write the records as JSON lines, the same bytes on every replica that is in sync
    ///
    /// One line a record, {"collection":…,"id":…,"fields":{…}}, ascending by collection and id; the keys of all objects below
    /// `fields` ascending; names compared by their UTF-8 bytes.
    Export { collection: Option<String> },
    /// Forget all that this device holds of the space, once nothing is unsent
    Logout {
        /// Also where changes would be lost that the server does not have
        #[arg(long)]
        force: bool,
    },
    /// Show changes that the server rejected
    Rejected {
        /// Forget the rejection of this number
        #[arg(long, value_name = "NUMBER")]
        dismiss: Option<u64>,
    },
    /// Write what has this shell complete commands, to its standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    Man {
        /// The folder; it is there
        folder: PathBuf,
    },
}

fn record(text: &str) -> Result<RecordName, String> {
    match text.split_once('/') {
        Some((collection, id)) if !collection.is_empty() && !id.is_empty() => {
            Ok(RecordName { collection: collection.into(), id: id.into() })
        }
        _ => Err("a record is named COLLECTION/ID, as in todos/t1".into()),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() => Ok((field.into(), value.into())),
        _ => Err("a field is set by FIELD=VALUE, as in title=Milk".into()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        _ => return Err("the units are ms, s and m, as in 30s".into()),
    };
    let count: u32 = digits.parse().map_err(|_| "a time is a whole number and a unit, as in 30s")?;
    Ok(Duration::from_millis(u64::from(count) * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
        let _: Cli = Cli::parse_from(["syncline", "status"]);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert!(duration("").is_err());
        assert!(duration("2h").is_err());
        assert!(duration("-2s").is_err());
    }
}
