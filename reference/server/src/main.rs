//! The server's program: settings, log, signals.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use syncline_server::config::{Args, Config, DEFAULT_DATA, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "mutants")]
    std::env::var(syncline::fault::VARIABLE).into_iter().for_each(syncline::fault::select);
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syncline-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    if let Some(command) = args.command {
        let folder = args.data.unwrap_or_else(|| DEFAULT_DATA.into());
        let said = tokio::task::block_in_place(|| command.run(folder))?;
        println!("{said}");
        return Ok(());
    }
    let config = Config::load(args)?;
    start_log(config.log_format);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(syncline_server::run(config, shutdown).await?)
}

/// Logs to standard error what `RUST_LOG` asks for, by default what an operator should see.
fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
