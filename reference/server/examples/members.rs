//! Two servers that share a log, behind one address that gives each connection to the other one: what the conformance suite takes
//! for one server (`.ci/cluster conform`). It is killed whole, and started again on the same folder.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;

/// How long the members may take until they serve.
const START: Duration = Duration::from_secs(18);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Args {
    /// Where connections come in; port 0 takes a free one
    #[arg(long)]
    listen: SocketAddr,
    /// The folder of the members' caches; its name is the shard's
    #[arg(long)]
    data: PathBuf,
    /// The addresses of the NATS servers
    #[arg(long)]
    log: String,
    /// The program of a member
    #[arg(long)]
    server: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let until = Instant::now() + START;
    let mut members = Vec::new();
    // Both at once: neither waits for the other.
    for name in ["member-0", "member-1"] {
        members.push((name, start(&args, name)?));
    }
    let mut addresses = Vec::new();
    let mut running = Vec::new();
    for (name, mut child) in members {
        // One that was killed a moment ago may still hold the folder.
        let address = loop {
            match listens_on(&mut child) {
                Ok(address) => break address,
                Err(error) if until <= Instant::now() => return Err(error.into()),
                Err(_) => std::thread::sleep(PAUSE),
            }
            child = start(&args, name)?;
        };
        while !serves(address) {
            if until <= Instant::now() {
                return Err(format!("{name} does not serve").into());
            }
            std::thread::sleep(PAUSE);
        }
        addresses.push(address);
        running.push(child);
    }
    balance(args.listen, &addresses).await
}

/// Starts a member that does not outlive this program, however it ends.
fn start(args: &Args, name: &str) -> Result<Child, Error> {
    let shard = args.data.file_name().unwrap_or_default().to_string_lossy();
    let shard: String = shard.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(&args.server);
    command.args(["--listen", "127.0.0.1:0", "--shard", &shard, "--log", &args.log, "--data"]).arg(Path::join(&args.data, name));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

fn listens_on(child: &mut Child) -> Result<SocketAddr, String> {
    let mut line = String::new();
    if let Some(stdout) = &mut child.stdout {
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    }
    let address = line.trim().strip_prefix("listening on ws://").and_then(|address| address.parse().ok());
    address.ok_or_else(|| format!("a member did not start: {line:?}"))
}

/// Whether a member answers, itself or by the one that leads.
fn serves(address: SocketAddr) -> bool {
    let answered = || -> Result<String, Error> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START))?;
        stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answered().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Gives each connection to the member after the one that got the last.
async fn balance(listen: SocketAddr, members: &[SocketAddr]) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    for member in members.iter().copied().cycle() {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut onward = tokio::net::TcpStream::connect(member).await?;
            // What a side writes, the other is to see at once.
            stream.set_nodelay(true)?;
            onward.set_nodelay(true)?;
            copy_bidirectional(&mut stream, &mut onward).await
        });
    }
    Ok(())
}
