//! Nothing secret leaves the process: not in a file, a log or an answer, and not in memory that others could read.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;
use serde_json::json;

use crate::support::{Daemon, Key, Request, Setup, attestation, randao_reveal};

const TOKEN: &str = "70c3e28b1f5d964a0e7b2c8d5f3a1906e4b7d0c29a8f5e613b7c4d2e0f9a8b17";
const SEAL: &str = "5e1f0c8a3b7d92e4465a1d0f9c2b8e7733d05a6c41f8b29e0d7c6a5b3f1e2d48";
const RIGHT: &str = "correct-horse-battery-staple";
const WRONG: &str = "incorrect-zebra-battery-staple";

#[test]
fn no_file_log_or_answer_holds_a_secret() {
    let (daemon, keys, said) = used(Setup::new(), &["--log-level", "trace"]);
    let log = daemon.log();
    assert!(log.contains(&keys[0].name()), "the log is there");
    assert_free_of_secrets("the log", log.as_bytes(), &keys);
    assert_free_of_secrets("an answer", said.as_bytes(), &keys);

    let files = files_below(&daemon.directory().join("state"));
    assert!(!files.is_empty(), "the ledger is there");
    for file in files {
        assert_free_of_secrets(&file, &fs::read(&file).unwrap(), &keys);
    }
}

#[test]
fn the_memory_is_closed_to_other_processes_of_the_same_user() {
    if !geteuid().is_root() {
        // Then the daemon is of this user, and the same must hold.
        let (daemon, _, _) = used(Setup::new(), &[]);
        assert!(fs::File::open(format!("/proc/{}/mem", daemon.pid())).is_err());
        return;
    }
    let setup = Setup::new();
    chown(setup.directory(), Some(NOBODY), Some(NOBODY)).unwrap();
    let setup = setup.under(&["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    let (daemon, _, _) = used(setup, &[]);
    for file in ["mem", "environ", "maps", "auxv"] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1"])
            .arg(format!("/proc/{}/{file}", daemon.pid()))
            .output()
            .unwrap();
        assert!(!output.status.success(), "{file} can be read");
    }
}

#[test]
fn no_core_is_dumped() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn keys_are_in_memory_only_where_it_is_locked() {
    if !geteuid().is_root() {
        eprintln!("NOT TESTED: only root can look into the daemon's memory");
        assert!(std::env::var_os("CI").is_none(), "in CI this has to be tested");
        return;
    }
    let (daemon, keys, _) = used(Setup::new(), &[]);
    let forms: Vec<_> = keys.iter().flat_map(forms_of_key).collect();
    let mut memory = fs::File::open(format!("/proc/{}/mem", daemon.pid())).unwrap();
    let mut seen = 0;
    for (start, end) in ordinary_memory(daemon.pid()) {
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        memory.seek(SeekFrom::Start(start)).unwrap();
        if memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        seen += bytes.len();
        for part in used_parts(&bytes) {
            let found = forms.iter().position(|form| find(part, form).is_some());
            assert_eq!(found, None, "a secret key lies in ordinary memory, in the mapping at {start:#x}");
        }
    }
    assert!(seen > 1 << 20, "only {seen} bytes could be read");
}

/// A daemon that has had everything: keys imported and deleted, wrong passwords, wrong tokens, signatures; and all that
/// it answered.
fn used(setup: Setup, args: &[&str]) -> (Daemon, Vec<Key>, String) {
    let token = private(&setup, "token", TOKEN);
    let seal = private(&setup, "seal", SEAL);
    let daemon = setup
        .args(&["--network", "minimal", "--auth-token-file", &token, "--seal-file", &seal])
        .args(args)
        .start();
    let keys: Vec<_> = (1..=8).map(Key::number).collect();
    let keystores: Vec<_> = keys.iter().map(|key| key.keystore(RIGHT)).collect();
    let mut said = String::new();
    let mut send = |request: Request| {
        let answer = daemon.send(&request.header("Authorization", &format!("Bearer {TOKEN}")));
        said.push_str(&format!("{answer:?}\n"));
        answer.status
    };
    for password in [WRONG, RIGHT, RIGHT] {
        let body = json!({"keystores": keystores, "passwords": vec![password; keys.len()]}).to_string();
        assert_eq!(send(Request::post("/eth/v1/keystores", body)), 200);
    }
    for key in &keys {
        let path = format!("/api/v1/eth2/sign/{}", key.name());
        for duty in [randao_reveal(1), attestation(8, 0, 1, 7)] {
            assert_eq!(send(Request::post(&path, duty.to_string())), 200);
        }
    }
    let delete = Request::new("DELETE", "/eth/v1/keystores").header("Content-Type", "application/json");
    assert_eq!(send(delete.body(json!({"pubkeys": [keys[7].name()]}).to_string())), 200);
    assert_eq!(send(Request::post("/eth/v1/keystores", format!("{{\"passwords\": [\"{RIGHT}\""))), 400);
    let wrong =
        daemon.send(&Request::get("/eth/v1/keystores").header("Authorization", &format!("Bearer {TOKEN}x")));
    said.push_str(&format!("{wrong:?}"));
    (daemon, keys, said)
}

#[track_caller]
fn assert_free_of_secrets(what: &str, bytes: &[u8], keys: &[Key]) {
    for secret in [TOKEN, SEAL, RIGHT, WRONG] {
        assert!(find(bytes, secret.as_bytes()).is_none(), "{what} holds {secret}");
    }
    for key in keys {
        for form in forms_of_key(key) {
            assert!(find(bytes, &form).is_none(), "{what} holds the secret of {}", key.name());
        }
    }
}

/// As bytes in either order, and as digits in either case.
fn forms_of_key(key: &Key) -> Vec<Vec<u8>> {
    let digits = key.secret_hex()[2..].to_owned();
    let bytes = const_hex::decode(&digits).unwrap();
    let reversed = bytes.iter().rev().copied().collect();
    vec![bytes, reversed, digits.to_uppercase().into_bytes(), digits.into_bytes()]
}

/// The mappings that can be written to and are not locked memory kept out of dumps.
fn ordinary_memory(pid: u32) -> Vec<(u64, u64)> {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut mappings = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some((range, rest)) = line.split_once(' ').filter(|(range, _)| range.contains('-')) {
            let (start, end) = range.split_once('-').unwrap();
            let bounds = [start, end].map(|bound| u64::from_str_radix(bound, 16).unwrap());
            current = rest.starts_with("rw").then_some((bounds[0], bounds[1]));
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let flags: Vec<_> = flags.split_whitespace().collect();
            let locked = flags.contains(&"lo") && flags.contains(&"dd");
            mappings.extend(current.take().filter(|_| !locked));
        }
    }
    mappings
}

/// The pages that are not all zero, which most are, each with the start of the next.
fn used_parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pages = (0..bytes.len()).step_by(PAGE);
    pages.filter_map(|start| {
        let page = &bytes[start..bytes.len().min(start + PAGE)];
        page.iter().any(|&byte| byte != 0).then(|| &bytes[start..bytes.len().min(start + PAGE + 64)])
    })
}

fn files_below(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = directories.iter().flat_map(|directory| files_below(directory)).collect::<Vec<_>>();
    files.iter().map(|path| path.display().to_string()).chain(below).collect()
}

fn private(setup: &Setup, name: &str, content: &str) -> String {
    let path = setup.file(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(setup.directory()).unwrap();
    chown(&path, Some(std::os::unix::fs::MetadataExt::uid(&owner)), None).unwrap();
    path.display().to_string()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let starts = haystack.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts.map(|(start, _)| start).find(|&start| haystack[start..].starts_with(needle))
}

const PAGE: usize = 4096;

/// The user without rights of its own.
const NOBODY: u32 = 65534;
