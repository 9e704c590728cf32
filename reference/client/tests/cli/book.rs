//! What the book says to type does what it shows.

use std::path::Path;
use std::process::Command;

use crate::harness::{Replica, Running, Server, ran, server_binary};

/// What starts a server: the test has one of its own, at a free port.
const STARTS_A_SERVER: &str = "syncline-server &";

/// The commands of a page, each with what is shown after it.
fn commands(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("\n$ "));
    let parts = blocks.flat_map(|block| block.split("\n$ "));
    parts.map(|part| part.split_once('\n').unwrap_or((part, ""))).collect()
}

/// A page of the book.
fn page(name: &str) -> String {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/src");
    std::fs::read_to_string(pages.join(name)).expect("the page is in the tree")
}

/// A command of a page, in a folder, with both programs at hand.
fn shell(command: &str, folder: &Replica) -> Command {
    let programs = server_binary().parent().expect("it lies in a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("the system has programs"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder.path("")).env("PATH", &path);
    for name in ["SYNCLINE_SERVER", "SYNCLINE_SPACE", "SYNCLINE_TOKEN", "SYNCLINE_STORE"] {
        shell.env_remove(name);
    }
    shell
}

#[test]
fn the_page_for_applications_shows_what_is() {
    let folder = Replica::new();
    let server = Server::start(&folder.path("server"), &[]);
    let mut count = 0;
    for (command, shown) in commands(&page("using.md")).into_iter().filter(|(command, _)| *command != STARTS_A_SERVER) {
        let mut shell = shell(command, &folder);
        shell.env("SYNCLINE_SERVER", &server.url);
        let ran = ran(shell);
        assert_eq!((ran.status, ran.out.trim_end()), (0, shown.trim_end()), "{command}: {}", ran.err);
        count += 1;
    }
    assert_eq!(count, 5, "commands of the page");
}

#[test]
fn the_page_for_operators_shows_what_is() {
    let folder = Replica::new();
    let tokens = "tokens = [{token = 'root', subject = 'operator', admin = true}]";
    std::fs::write(folder.path("syncline.toml"), tokens).expect("the folder is ours");
    let text = page("operate.md");
    let mut commands = commands(&text).into_iter();
    // Where the page names a folder of the system or a port, the test has its own.
    let here = |text: &str| text.replace("/var/lib/", "./").replace("/etc/", "./");
    let (start, _) = commands.next().expect("the page begins with what starts a server");
    let server = Running::start(shell(&format!("exec {}=127.0.0.1:0 --listen 127.0.0.1:0", here(start)), &folder));
    let said = |what: &str| loop {
        let line = server.line();
        if let Some(address) = line.strip_prefix(what) {
            break address.to_owned();
        }
    };
    let (clients, _) = (said("listening on ws://"), said("operator on http://"));
    let mut count = 0;
    for (command, shown) in commands {
        let mut shell = shell(&here(command).replace("127.0.0.1:7747", &clients), &folder);
        shell.env("SYNCLINE_TOKEN", "root");
        let ran = ran(shell);
        let begins = shown.trim_end().split(',').next().unwrap_or_default();
        assert!(ran.status == 0 && ran.out.starts_with(begins), "{command}: {ran:?}");
        count += 1;
    }
    assert_eq!(count, 7, "commands of the page behind the first");
}
