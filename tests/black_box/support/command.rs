//! Subcommands, run as a user runs them.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Daemon, binary};

/// Runs a subcommand against this daemon, in its directory.
pub fn on(daemon: &Daemon, arguments: &[&str]) -> Output {
    run(daemon.directory(), &[arguments, &["--connect", &socket(daemon)]].concat())
}

/// What `--connect` takes for it.
pub fn socket(daemon: &Daemon) -> String {
    format!("unix:{}", daemon.directory().join("signer.sock").display())
}

/// Runs one for a user whose home and working directory this is.
pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

/// What a command said that has to end by itself, as a daemon does that does not start.
#[track_caller]
pub fn ended(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(directory).env_clear().env("HOME", directory).stdin(Stdio::null());
    command
}

/// What it wrote to standard output.
pub fn text(output: &Output) -> String {
    text_of(&output.stdout)
}

/// What it wrote to standard error.
pub fn said(output: &Output) -> String {
    text_of(&output.stderr)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Only a test that fails waits so long; what a command says meanwhile fits into a pipe.
const PATIENCE: Duration = Duration::from_secs(30);
