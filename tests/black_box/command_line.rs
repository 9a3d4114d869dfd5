//! The subcommands that look at a daemon or its configuration from outside.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use crate::support::{Daemon, Key, Setup, binary, command, json_of, on, run, said, socket, text};

#[test]
fn the_token_is_sent_from_its_file() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let token = setup.file("token", "0123456789abcdef\n");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = setup.args(&["--auth-token-file", token.to_str().unwrap()]).start();
    let without = on(&daemon, &["keys", "list"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(said(&without).contains("401"), "{without:?}");
    assert!(on(&daemon, &["keys", "list", "--auth-token-file", "token"]).status.success());
}

#[test]
fn status_shows_the_checks_and_a_missing_daemon_is_an_error() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let status = on(&daemon, &["status"]);
    assert!(status.status.success(), "{status:?}");
    assert!(text(&status).contains("slashing-protection") && text(&status).contains("UP"), "{status:?}");
    assert_eq!(json_of(&on(&daemon, &["status", "--json"]))["status"], "UP");
    let missing = run(daemon.directory(), &["status", "--connect", "unix:/nonexistent/s.sock"]);
    assert_eq!(missing.status.code(), Some(69));
    assert!(said(&missing).contains("/nonexistent/s.sock"), "{missing:?}");
}

#[test]
fn the_fetcher_is_run_from_beside_the_program_and_what_is_missing_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let [program, fetcher] = ["bls-signer", "bls-signer-fetch"].map(|name| directory.path().join(name));
    fs::copy(binary(), &program).unwrap();
    let fetch = |arguments: &[&str]| {
        Command::new(&program).arg("fetch").args(arguments).env_clear().output().unwrap()
    };
    let missing = fetch(&["check"]);
    assert_eq!(missing.status.code(), Some(78), "{missing:?}");
    assert!(said(&missing).contains("bls-signer-fetch; the Debian package brings it"), "{missing:?}");

    fs::write(&fetcher, "#!/bin/sh\necho \"$*\"\nexit 5\n").unwrap();
    fs::set_permissions(&fetcher, fs::Permissions::from_mode(0o755)).unwrap();
    let run = fetch(&["check", "--json", "--help"]);
    assert_eq!((run.status.code(), &*text(&run)), (Some(5), "check --json --help\n"), "{run:?}");
}

#[test]
fn check_tells_what_a_start_would_do_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    fs::write(&config, "network = 'minimal'\nlisten = ['signing=127.0.0.1:1']\n").unwrap();
    let check = ["check", "--config", "config.toml", "--state-dir", "state"];
    let fine = run(directory.path(), &[&check[..], &["--require-ledger=off"]].concat());
    assert_eq!(fine.status.code(), Some(0), "{fine:?}");
    assert!(text(&fine).contains("signing on 127.0.0.1:1"), "{fine:?}");
    assert!(!directory.path().join("state").exists());

    let required = run(directory.path(), &check);
    assert_eq!(required.status.code(), Some(78), "{required:?}");
    assert!(text(&required).contains("WRONG"), "{required:?}");

    fs::write(&config, "netwerk = 'minimal'\n").unwrap();
    let unknown = run(directory.path(), &check);
    assert_eq!(unknown.status.code(), Some(78));
    assert!(said(&unknown).contains("line 1"), "{unknown:?}");
}

#[test]
fn a_running_daemon_s_configuration_can_be_checked() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let check = run(
        daemon.directory(),
        &["check", "--network", "minimal", "--require-ledger", "--state-dir", "state"],
    );
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(text(&check).contains("in use by a daemon"), "{check:?}");
    assert_eq!(on(&daemon, &["status"]).status.code(), Some(0));
}

#[test]
fn a_second_daemon_on_a_state_directory_ends_with_its_own_status() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let state = daemon.directory().join("state");
    let second = run(
        daemon.directory(),
        &["serve", "--network=minimal", "--listen=all=127.0.0.1:0", "--state-dir", state.to_str().unwrap()],
    );
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    assert!(said(&second).contains("in use"), "{second:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_except_for_history() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    daemon.import(&[&Key::number(1)]);
    for arguments in [&["keys", "list"][..], &["status"], &["slashing-protection", "status"]] {
        let output = for_nobody(&daemon, arguments);
        assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()), "{arguments:?}");
    }
    let history = for_nobody(&daemon, &["slashing-protection", "export"]);
    assert_eq!(history.status.code(), Some(1));
    assert!(said(&history).contains("cannot write the output"), "{history:?}");
}

#[test]
fn arguments_that_cannot_be_read_have_their_own_status() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--no-such-flag"][..], &["frobnicate"], &["--port", "x"], &["keys"]] {
        assert_eq!(run(directory.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "keys", "import"], &["completions", "zsh"]] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_lists_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let help = text(&run(directory.path(), &["--help"]));
    let listed: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let commands = [
        "serve",
        "check",
        "slashing-protection",
        "backup",
        "restore",
        "ledger",
        "keys",
        "token",
        "status",
        "explain",
        "fetch",
        "client-config",
        "completions",
        "web3signer",
        "migrate",
        "demo",
        "help",
    ];
    assert_eq!(listed, commands, "{help}");
}

/// The same, with nobody at the other end of the output.
fn for_nobody(daemon: &Daemon, arguments: &[&str]) -> Output {
    let (writer, _) = UnixStream::pair().unwrap();
    command(daemon.directory(), &[arguments, &["--connect", &socket(daemon)]].concat())
        .stdout(OwnedFd::from(writer))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

#[test]
fn long_help_goes_to_a_pager_on_a_terminal_and_to_a_pipe_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let piped = run(directory.path(), &["serve", "--help"]);
    assert!(text(&piped).contains("--signing-timeout"), "{piped:?}");

    // `script` gives it a terminal.
    let on_terminal = |variables: &str, arguments: &str| {
        let line = format!("{variables} '{}' {arguments}", binary());
        let mut script = Command::new("script");
        let output = script
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output)
    };
    let pager = "TERM=linux PAGER='sed -n s/--signing-timeout/paged/p'";
    for arguments in ["serve --help", "help serve"] {
        let paged = on_terminal(pager, arguments);
        assert!(paged.contains("paged") && !paged.contains("Usage"), "{arguments}: {paged}");
    }
    let paged = on_terminal("TERM=linux PAGER='sed -n s/--data-path/paged/p'", "web3signer --help");
    assert!(paged.contains("paged") && !paged.contains("Usage"), "{paged}");
    // No terminal that could page, no pager that is there.
    for variables in ["TERM=dumb PAGER=false", "TERM=linux PAGER= PATH=/nonexistent"] {
        assert!(on_terminal(variables, "serve --help").contains("--signing-timeout"), "{variables}");
    }
    assert!(on_terminal(pager, "--version").contains("bls-signer"));
}
