//! `syncline`: records on this device, in sync with a server.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
