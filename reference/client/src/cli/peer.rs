//! `syncline peer`: this replica and another, without a server.

use std::time::Duration;

use syncline_client::link::Links;
use syncline_client::text::plain;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::args::{Global, PeerSide};
use super::live::{runtime, told};
use super::{Failure, open};

/// Links the replica until Ctrl-C, until the time is over, or, where it dialled, until the link ends.
pub fn peer(global: &Global, side: PeerSide, token: Option<String>, time: Option<Duration>) -> Result<(), Failure> {
    let address = match &side {
        PeerSide::Listen { address } | PeerSide::Connect { address } => *address,
    };
    // BIND-6
    if token.is_some() && !address.ip().is_loopback() && !global.insecure_token {
        return Err(Failure::Usage(format!(
            "the token would travel unencrypted to {address}; allowed are loopback addresses, or --insecure-token"
        )));
    }
    let local = open(global)?;
    runtime()?.block_on(async {
        let mut links = Links::new(local, token);
        let until = time.map(|time| Instant::now() + time);
        tokio::select! {
            ended = run(&mut links, &side) => ended,
            () = over(until) => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::from),
        }
    })
}

async fn over(until: Option<Instant>) {
    match until {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn run(links: &mut Links, side: &PeerSide) -> Result<(), Failure> {
    match side {
        PeerSide::Connect { address } => {
            add(links, TcpStream::connect(address).await?, true)?;
            while links.count() > 0 {
                show(links.step().await?);
            }
            Ok(())
        }
        PeerSide::Listen { address } => {
            let listener = TcpListener::bind(address).await?;
            eprintln!("listening on {}", listener.local_addr()?);
            loop {
                tokio::select! {
                    accepted = listener.accept() => add(links, accepted?.0, false)?,
                    events = links.step() => show(events?),
                }
            }
        }
    }
}

fn add(links: &mut Links, stream: TcpStream, dials: bool) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok(links.add(reader, writer, dials)?)
}

fn show(events: Vec<syncline::client::Event>) {
    for event in events {
        eprintln!("note: {}", plain(&told(&event)));
    }
}
