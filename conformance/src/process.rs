//! Programs of the implementation: started in a process group of their own, read within bounds, and ended with all that they started.

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is kept of stderr: its end.
const STDERR_BYTES_MAX: usize = 4096;
const CHUNK_BYTES: usize = 65_536;
/// Chunks of stdout that wait to be read; a program that writes more has to wait itself.
const CHUNKS_MAX: usize = 4;
const ENDS_WITHIN: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(5);

/// The process groups that run.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A program that runs; ended with everything it started when it is dropped.
pub struct Process {
    child: Child,
    /// Leads to a thread, so that a program that does not read holds up nobody.
    stdin: Option<Sender<Vec<u8>>>,
    stdout: Receiver<Vec<u8>>,
    /// Read, and no whole line.
    rest: VecDeque<u8>,
    /// How much of `rest` is known to hold no end of a line.
    searched: usize,
    stderr: Arc<Mutex<Tail>>,
    stderr_ends: Receiver<()>,
}

/// Why there is no line.
#[derive(Debug, PartialEq, Eq)]
pub enum NoLine {
    /// None came in time.
    Late,
    /// It is longer than allowed; this is how it begins.
    TooLong(Vec<u8>),
    /// The program closed its stdout; what came after the last line.
    Ended(Vec<u8>),
}

/// The end of a stream.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// Bytes that came before those kept.
    before: u64,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// As the system says.
    pub fn start(mut command: Command) -> std::io::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        lead_a_group(&mut command);
        // Held while it starts, so that no program is missed by `end_all`.
        let mut running = running();
        let mut child = command.spawn()?;
        running.insert(child.id());
        drop(running);
        let (stdout, stderr) = (child.stdout.take().expect("it was piped"), child.stderr.take().expect("it was piped"));
        let (send, chunks) = sync_channel(CHUNKS_MAX);
        std::thread::spawn(move || pass_chunks(stdout, &send));
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (kept, (ends, stderr_ends)) = (Arc::clone(&tail), channel());
        std::thread::spawn(move || {
            keep_tail(stderr, &kept);
            drop(ends);
        });
        let stdin = child.stdin.take().map(writer);
        Ok(Self { child, stdin, stdout: chunks, rest: VecDeque::new(), searched: 0, stderr: tail, stderr_ends })
    }

    /// Has bytes written to its stdin, as soon as it reads them. A program that is gone is found by what it no longer says.
    pub fn write(&mut self, bytes: Vec<u8>) {
        if let Some(stdin) = &self.stdin {
            let _ = stdin.send(bytes);
        }
    }

    /// The next line of its stdout, without its end.
    ///
    /// # Errors
    /// None came until then, it is longer than allowed, or the program closed its stdout.
    pub fn line(&mut self, until: Instant, bytes_max: usize) -> Result<Vec<u8>, NoLine> {
        loop {
            if let Some(line) = self.whole_line() {
                return if line.len() > bytes_max { Err(NoLine::TooLong(line)) } else { Ok(line) };
            }
            if self.rest.len() > bytes_max {
                return Err(NoLine::TooLong(self.rest.iter().copied().collect()));
            }
            match self.stdout.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.rest.extend(chunk),
                Err(RecvTimeoutError::Timeout) => return Err(NoLine::Late),
                Err(RecvTimeoutError::Disconnected) => return Err(NoLine::Ended(self.rest.drain(..).collect())),
            }
        }
    }

    /// What it wrote and nobody took, as far as it has come.
    pub fn unread(&mut self) -> Vec<u8> {
        if let Ok(chunk) = self.stdout.try_recv() {
            self.rest.extend(chunk);
        }
        self.rest.iter().copied().collect()
    }

    /// Lets go of what it writes on stdout from here on.
    pub fn ignore_stdout(&mut self) {
        self.stdout = channel().1;
        self.rest.clear();
    }

    /// Ends it and all that it started, after a moment in which it may end itself; says how it ended.
    pub fn end(&mut self) -> String {
        self.stdin = None;
        let until = Instant::now() + ENDS_WITHIN;
        while !has_exited(&mut self.child) {
            if Instant::now() >= until {
                self.kill();
                return "it closed its stdout and ran on".to_owned();
            }
            std::thread::sleep(POLL);
        }
        let status = self.kill();
        let _ = self.stderr_ends.recv_timeout(ENDS_WITHIN);
        status.map_or("it ended".to_owned(), |status| format!("it ended with {status}"))
    }

    /// The end of what it wrote on stderr.
    pub fn stderr(&self) -> String {
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.bytes.iter().copied().collect();
        let cut = if tail.before > 0 { format!("({} bytes before)\n", tail.before) } else { String::new() };
        format!("{cut}{}", String::from_utf8_lossy(&bytes).trim())
    }

    fn whole_line(&mut self) -> Option<Vec<u8>> {
        let Some(end) = self.rest.iter().skip(self.searched).position(|byte| *byte == b'\n') else {
            self.searched = self.rest.len();
            return None;
        };
        let line = self.rest.drain(..=self.searched + end).take(self.searched + end).collect();
        self.searched = 0;
        Some(line)
    }

    fn kill(&mut self) -> Option<ExitStatus> {
        // The group first: once its leader is reaped, its number may become another's.
        kill_group(&mut self.child);
        running().remove(&self.child.id());
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is ours, and holds nothing that outlives it. One that has ended is reaped already.
        if running().contains(&self.child.id()) {
            self.kill();
        }
    }
}

/// Ends every program that runs, for a harness that is told to stop.
pub fn end_all() {
    running().iter().for_each(|group| kill_number(*group));
}

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn writer(mut stdin: ChildStdin) -> Sender<Vec<u8>> {
    let (send, receive) = channel::<Vec<u8>>();
    std::thread::spawn(move || receive.iter().try_for_each(|bytes| stdin.write_all(&bytes).and_then(|()| stdin.flush())));
    send
}

fn pass_chunks(mut stdout: impl Read, chunks: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Some(chunk) = read_some(&mut stdout, &mut buffer) {
        // Where nobody reads any more it is still taken, lest the program be held up or die of it.
        let _ = chunks.send(chunk.to_vec());
    }
}

fn keep_tail(mut stderr: impl Read, tail: &Mutex<Tail>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Some(chunk) = read_some(&mut stderr, &mut buffer) {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.bytes.extend(chunk);
        let surplus = tail.bytes.len().saturating_sub(STDERR_BYTES_MAX);
        tail.bytes.drain(..surplus);
        tail.before += surplus as u64;
    }
}

/// The next bytes of a stream; none at its end.
fn read_some<'a>(stream: &mut impl Read, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return None,
            Ok(count) => return Some(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(unix)]
mod system {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

    pub fn lead_a_group(command: &mut Command) {
        command.process_group(0);
    }

    /// Whether it has exited; it is not reaped, so that its number stays its own.
    pub fn has_exited(child: &mut Child) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(None))
    }

    pub fn kill_group(child: &mut Child) {
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }

    pub fn kill_number(group: u32) {
        if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::process::{Child, Command};

    pub fn lead_a_group(_: &mut Command) {}

    pub fn has_exited(child: &mut Child) -> bool {
        !matches!(child.try_wait(), Ok(None))
    }

    pub fn kill_group(child: &mut Child) {
        let _ = child.kill();
    }

    /// A program ends by the end of its stdin.
    pub fn kill_number(_: u32) {}
}

use system::{has_exited, kill_group, kill_number, lead_a_group};
