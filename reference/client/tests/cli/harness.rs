//! Processes to test with: replicas by the command line, and servers.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A store in a folder of its own.
pub struct Replica {
    folder: TempDir,
}

/// What a process left.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Replica {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("the system has a folder for temporary files") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        for name in ["SYNCLINE_SERVER", "SYNCLINE_SPACE", "SYNCLINE_TOKEN"] {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).env("SYNCLINE_STORE", self.path("replica.db")).args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args))
    }

    /// Runs with text on standard input.
    pub fn feed(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cargo built the command");
        // A command that fails early closes its input.
        let _ = child.stdin.take().expect("it is piped above").write_all(input.as_bytes());
        left(child.wait_with_output().expect("the process was started above"))
    }

    /// Runs what must succeed, and returns its output.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{args:?}: {ran:?}");
        ran.out
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// Runs what must fail with `status`, and returns its complaint.
    #[track_caller]
    pub fn fails(&self, status: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
        assert_eq!(ran.out, "", "{args:?}");
        ran.err
    }

    /// Syncs with `server` until everything is equal.
    #[track_caller]
    pub fn sync(&self, server: &Server) -> Value {
        self.json(&["sync", "--server", &server.url, "--timeout", "60s"])
    }
}

pub fn ran(mut command: Command) -> Ran {
    left(command.output().expect("cargo built the command"))
}

fn left(output: std::process::Output) -> Ran {
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("the command writes UTF-8"),
        err: String::from_utf8(output.stderr).expect("the command writes UTF-8"),
    }
}

/// Passes on the lines that are read, until nobody listens.
fn tell_lines(from: impl Read + Send + 'static, told: Sender<String>) {
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
}

/// A process whose lines can be waited for.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts a process and listens to its standard output.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("cargo built the command");
        let out = child.stdout.take().expect("it is piped above");
        let (told, lines) = channel();
        tell_lines(out, told);
        Self { child, lines }
    }

    /// The same, with the notes on its standard error among the lines.
    pub fn start_with_notes(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cargo built the command");
        let (told, lines) = channel();
        tell_lines(child.stdout.take().expect("it is piped above"), told.clone());
        tell_lines(child.stderr.take().expect("it is piped above"), told);
        Self { child, lines }
    }

    /// The next line.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("a line within a minute")
    }

    /// Kills the process once `moment` has passed, unless it ended before, and returns the lines it wrote until then.
    pub fn kill_after(mut self, moment: Duration) -> Vec<String> {
        let until = Instant::now() + moment;
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            lines.push(line);
        }
        self.end();
        lines.extend(self.lines.iter());
        lines
    }

    fn end(&mut self) {
        // SIGKILL; the process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server process over a folder.
pub struct Server {
    pub url: String,
    process: Running,
}

impl Server {
    /// Starts a server on a free port over what `folder` holds.
    pub fn start(folder: &Path, extra: &[&str]) -> Self {
        let mut command = Command::new(server_binary());
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder).args(extra);
        let process = Running::start(command);
        let url = loop {
            let line = process.line();
            if let Some(at) = line.find("ws://") {
                break line[at..].trim_end_matches(['"', '}']).to_owned();
            }
        };
        Self { url, process }
    }

    /// Kills the server at a moment of its life.
    pub fn kill_after(self, moment: Duration) {
        self.process.kill_after(moment);
    }
}

/// The server beside the command under test, built when it is first asked for.
pub fn server_binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_syncline")).parent().expect("a binary lies in a folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "syncline-server", "--bin", "syncline-server", "--target-dir"]);
        build.arg(folder.parent().expect("a profile's folder lies in the target folder"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let ran = ran(build);
        assert_eq!(ran.status, 0, "cargo could not build the server: {}", ran.err);
        folder.join("syncline-server")
    })
}
