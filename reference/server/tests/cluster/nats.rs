//! Three servers of a stream on this machine.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Ports that were free a moment ago; each process that is killed comes back on its own.
pub fn ports<const N: usize>() -> [u16; N] {
    let taken: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    std::array::from_fn(|i| taken[i].local_addr().expect("it is bound").port())
}

/// A process that is killed when dropped, and can be started again.
pub struct Node {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// One that is not started yet.
    pub fn new(name: &str, program: &Path, arguments: Vec<String>, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        Self { name: name.to_owned(), program: program.to_owned(), arguments, log, child: None }
    }

    pub fn start(name: &str, program: &Path, arguments: Vec<String>, folder: &Path) -> Self {
        let mut node = Self::new(name, program, arguments, folder);
        node.restart();
        node
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success() && child.wait().expect("it ends").success(), "{} stops: {}", self.name, self.log());
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn restart(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("the log is opened");
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the program starts"));
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Stops its clock, or lets it go on: to the others it is slow, or behind a split.
    pub fn pause(&self, paused: bool) {
        let Some(child) = &self.child else { return };
        let signal = if paused { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success() || !paused, "{} is paused", self.name);
    }

    /// Whether it ended by itself; with its log.
    pub fn fault(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().expect("its status can be had")?;
        Some(format!("{} ended with {status}: {}", self.name, self.log()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the three; gives them and their addresses.
pub fn stream_servers(program: &Path, folder: &Path) -> (Vec<Node>, Vec<SocketAddr>) {
    let (client, route) = (ports::<3>(), ports::<3>());
    let routes: Vec<String> = route.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let start = |i: usize| {
        let name = format!("nats-{i}");
        let config = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{}\"\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always }}\n\
             cluster {{ name: test, no_advertise: true, listen: \"127.0.0.1:{}\", routes: [{}] }}\n",
            client[i],
            folder.join(&name).display(),
            route[i],
            routes.join(", "),
        );
        let file = folder.join(format!("{name}.conf"));
        fs::write(&file, config).expect("its configuration is written");
        Node::start(&name, program, vec!["-c".to_owned(), file.display().to_string()], folder)
    };
    ((0..3).map(start).collect(), client.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect())
}
