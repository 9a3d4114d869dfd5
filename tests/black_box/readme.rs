//! The commands of the README that start a daemon by hand, as they stand there.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::binary;

#[test]
fn the_readme_s_commands_start_a_daemon_by_hand() {
    let home = tempfile::tempdir().unwrap();
    symlink(fs::canonicalize(binary()).unwrap(), home.path().join("bls-signer")).unwrap();
    let commands = commands_after("## Run it");
    let [init, on_tcp, on_unix] = &commands[..] else { panic!("other commands: {commands:?}") };
    // The port that it names may be in use here.
    let on_tcp = on_tcp.replace("--port 9000", "--port 0");

    assert!(shell(home.path(), init).status().unwrap().success(), "{init}");
    for command in [&on_tcp, on_unix] {
        let log = home.path().join("log");
        let mut daemon = shell(home.path(), &format!("exec {command}"));
        let mut daemon = daemon.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let said = || fs::read_to_string(&log).unwrap();
        while !said().contains("ready: 0 keys on hoodi, slashing protection on") {
            assert!(
                daemon.try_wait().unwrap().is_none() && Instant::now() < deadline,
                "{command}: {}",
                said()
            );
            sleep(Duration::from_millis(10));
        }
        kill(Pid::from_raw(daemon.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert!(daemon.wait().unwrap().success(), "{}", said());
    }
}

/// The lines of the first block of commands after a heading.
fn commands_after(heading: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once(heading).unwrap();
    let (_, block) = after.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.lines().map(str::to_owned).collect()
}

fn shell(home: &Path, command: &str) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(home).stdin(Stdio::null()).stdout(Stdio::null());
    let path = format!("{}:/usr/bin:/bin", home.display());
    shell
        .env_clear()
        .envs([("HOME", home.as_os_str()), ("XDG_RUNTIME_DIR", home.as_os_str())])
        .env("PATH", path);
    shell
}
