//! The program, started as an operator would.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_syncline-server");

/// A running server; killed when dropped.
pub struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it has logged, as far as it was read.
    log: String,
    pub address: SocketAddr,
}

/// The program on a folder and a free port.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder);
    command
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it listens");
        let address = line.strip_prefix("listening on ws://").and_then(|address| address.trim_end().parse().ok());
        let Some(address) = address else {
            let (status, log) = finish(&mut child);
            panic!("it printed {line:?} and ended with {status}: {log}");
        };
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stderr, log: String::new(), address }
    }

    /// Waits until it has logged this.
    pub fn logged(&mut self, words: &str) {
        while !self.log.contains(words) {
            let read = self.stderr.read_line(&mut self.log).expect("its log is text");
            assert!(read > 0, "it ended without {words:?}: {}", self.log);
        }
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop; gives its status and its log.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.stderr.read_to_string(&mut self.log).expect("its log is text");
        (self.child.wait().expect("it ends"), std::mem::take(&mut self.log))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It fails only if the program has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end; gives its status and its log.
pub fn run(mut command: Command) -> (ExitStatus, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    finish(&mut child)
}

fn finish(child: &mut Child) -> (ExitStatus, String) {
    let mut log = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut log).expect("its log is text");
    (child.wait().expect("it ends"), log)
}

#[cfg(not(feature = "mutants"))]
#[test]
fn the_program_holds_no_faulty_variants() {
    let program = std::fs::read(PROGRAM).expect("cargo built it");
    let marker = b"SYNCLINE_MUTANT";
    assert!(!program.windows(marker.len()).any(|window| window == marker), "only builds for the conformance suite read that variable");
}
