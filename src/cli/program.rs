//! Another program, run with a time limit: a command that looks must not hang.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Which of its streams is read; the other one goes nowhere.
#[derive(Clone, Copy)]
pub(super) enum Heard {
    Stdout,
    Stderr,
}

/// A program that has ended.
pub(super) struct Ran {
    /// Whether with status 0.
    pub(super) well: bool,
    /// What it said.
    pub(super) text: String,
}

/// Runs it to its end. `None` if there is no such program, or it did not end in time.
pub(super) fn run(mut command: Command, heard: Heard) -> Option<Ran> {
    let (stdout, stderr) = match heard {
        Heard::Stdout => (Stdio::piped(), Stdio::null()),
        Heard::Stderr => (Stdio::null(), Stdio::piped()),
    };
    let mut child =
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().ok()?;
    let stream: Box<dyn Read + Send> = match heard {
        Heard::Stdout => Box::new(child.stdout.take()?),
        Heard::Stderr => Box::new(child.stderr.take()?),
    };
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = stream.take(MOST_OUTPUT).read_to_end(&mut text);
        let _ = send.send(read.map(|_| String::from_utf8_lossy(&text).into_owned()));
    });
    let text = receive.recv_timeout(PATIENCE);
    if text.is_err() {
        let _ = child.kill();
    }
    let ended = child.wait().ok()?;
    Some(Ran { well: ended.success(), text: text.ok()?.ok()? })
}

/// systemd's programs answer within milliseconds, with a TPM within a second, or are stuck.
const PATIENCE: Duration = Duration::from_secs(3);
/// In bytes.
const MOST_OUTPUT: u64 = 64 * 1024;
