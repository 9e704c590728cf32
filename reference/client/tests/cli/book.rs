//! What the book says to type does what it shows.

use std::path::Path;
use std::process::Command;

use crate::harness::{Replica, Server, ran};

/// What starts a server: the test has one of its own, at a free port.
const STARTS_A_SERVER: &str = "syncline-server &";

/// The commands of a page, each with what is shown after it.
fn commands(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("\n$ "));
    let parts = blocks.flat_map(|block| block.split("\n$ "));
    parts.map(|part| part.split_once('\n').unwrap_or((part, ""))).collect()
}

#[test]
fn the_page_for_applications_shows_what_is() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/src/using.md");
    let page = std::fs::read_to_string(page).expect("the page is in the tree");
    let folder = Replica::new();
    let server = Server::start(&folder.path("server"), &[]);
    let programs = Path::new(env!("CARGO_BIN_EXE_syncline")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("the system has programs"));
    let mut count = 0;
    for (command, shown) in commands(&page).into_iter().filter(|(command, _)| *command != STARTS_A_SERVER) {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(folder.path("")).env("PATH", &path).env("SYNCLINE_SERVER", &server.url);
        for name in ["SYNCLINE_SPACE", "SYNCLINE_TOKEN", "SYNCLINE_STORE"] {
            shell.env_remove(name);
        }
        let ran = ran(shell);
        assert_eq!((ran.status, ran.out.trim_end()), (0, shown.trim_end()), "{command}: {}", ran.err);
        count += 1;
    }
    assert_eq!(count, 5, "commands of the page");
}
