//! Nothing secret leaves the process: not in a file, a log or an answer, and not in memory that others could read.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;
use serde_json::json;

use crate::support::{Daemon, Fetcher, Key, Request, Setup, attestation, randao_reveal};

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
    if !may_look_into_memory() {
        return;
    }
    let (daemon, keys, _) = used(Setup::new(), &[]);
    assert_memory_free_of(&daemon, &forms_of_keys(&keys));
    let daemon = daemon.kill_and_restart();
    let sealed: Vec<_> = keys[..7].iter().map(Key::name).collect();
    let listed = Request::get("/api/v1/eth2/publicKeys").header("Authorization", &format!("Bearer {TOKEN}"));
    let answer = daemon.send(&listed);
    assert!(sealed.iter().all(|name| answer.text().contains(name)), "{answer:?}");
    assert_memory_free_of(&daemon, &forms_of_keys(&keys));
    // In digits it is the password of the sealed keys, and as bytes what their salts are made with.
    let seal = const_hex::decode(SEAL).unwrap();
    assert_memory_free_of(&daemon, &[("the seal", SEAL.as_bytes().to_vec()), ("the seal", seal)]);
}

#[test]
fn keys_and_passwords_of_files_are_in_no_ordinary_memory_after_reloads_and_when_they_are_gone() {
    if !may_look_into_memory() {
        return;
    }
    let setup = Setup::new();
    let root = setup.directory().to_owned();
    for name in ["keystores", "passwords", "config"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    let mut passwords = Vec::new();
    let in_keystores: Vec<_> = (1..=8).map(Key::number).collect();
    for (number, key) in in_keystores.iter().enumerate() {
        let password = format!("{number}-battery-staple-of-a-file");
        fs::write(root.join(format!("keystores/{number}.json")), key.keystore(&password)).unwrap();
        fs::write(root.join(format!("passwords/{number}.txt")), format!("{password}\n")).unwrap();
        passwords.push(password);
    }
    // One that is shorter than what a reader may look ahead.
    fs::write(root.join("keystores/short.json"), Key::number(9).keystore("~Zebra#9")).unwrap();
    fs::write(root.join("passwords/short.txt"), "~Zebra#9").unwrap();
    passwords.push("~Zebra#9".to_owned());
    let raw: Vec<_> = (100..200).map(Key::number).collect();
    let mut several = String::new();
    for (number, key) in raw.iter().enumerate() {
        let digits = key.secret_hex();
        let written = match number % 5 {
            0 => digits,
            1 => format!("'{}'", digits[2..].to_uppercase()),
            2 => format!("\"{digits}\""),
            3 => format!("\"\\x30x{}\"", &digits[2..]),
            _ => format!(">-\n  {digits}"),
        };
        let document = format!("type: file-raw\nkeyType: BLS\nprivateKey: {written}\n");
        several.push_str(&format!("---\n{document}"));
        if number < 50 {
            fs::write(root.join(format!("config/{number}.yaml")), document).unwrap();
        }
    }
    fs::write(root.join("config/several.yaml"), several).unwrap();
    let paths = ["keystores", "passwords", "config"].map(|name| root.join(name).display().to_string());
    let sources = [
        "--keystores-path",
        &paths[0],
        "--keystores-passwords-path",
        &paths[1],
        "--key-config-path",
        &paths[2],
    ];
    let daemon = setup.args(&["--network", "minimal"]).args(&sources).start();

    let keys = || in_keystores.iter().chain(&raw);
    let mut forms = forms_of_keys(keys());
    forms.extend(passwords.iter().map(|password| ("a password", password.clone().into_bytes())));
    assert_eq!(daemon.public_keys().len(), 109);
    assert_memory_free_of(&daemon, &forms);
    for round in 0..3 {
        // All are read anew, and some are opened anew.
        fs::write(
            root.join(format!("keystores/{round}.json")),
            format!("{}\n", in_keystores[round].keystore(&passwords[round])),
        )
        .unwrap();
        reload(&daemon);
        assert_eq!(daemon.public_keys().len(), 109);
        for key in keys() {
            assert_eq!(daemon.sign(key, &randao_reveal(round as u64)).status, 200);
        }
        assert_memory_free_of(&daemon, &forms);
    }
    for name in ["keystores", "config"] {
        fs::remove_dir_all(root.join(name)).unwrap();
        fs::create_dir(root.join(name)).unwrap();
    }
    reload(&daemon);
    assert_eq!(daemon.public_keys(), Vec::<String>::new());
    assert_memory_free_of(&daemon, &forms);
}

#[test]
fn keys_that_a_process_takes_over_are_in_no_ordinary_memory() {
    if !may_look_into_memory() {
        return;
    }
    let mut daemon = Daemon::start(&["--network", "minimal", "--fd-store", "on"]);
    let keys: Vec<_> = (1..=8).map(Key::number).collect();
    daemon.import(&keys.iter().collect::<Vec<_>>());
    let stored = daemon.stored();
    if stored.is_empty() {
        eprintln!("NOT TESTED: this kernel has no memory that can be handed over");
        return;
    }
    let names: Vec<_> = stored.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let names = names.join(":");
    let fds = stored.into_iter().map(|(_, fd)| fd).collect();
    let daemon = daemon.kill().hand_over(&names, fds).start();
    assert_eq!(daemon.public_keys().len(), keys.len());
    for key in &keys {
        assert_eq!(daemon.sign(key, &randao_reveal(1)).status, 200);
    }
    assert_memory_free_of(&daemon, &forms_of_keys(&keys));
}

#[test]
fn fetched_keys_are_in_no_ordinary_memory() {
    if !may_look_into_memory() {
        return;
    }
    let setup = Setup::new();
    let socket = setup.directory().join("fetch.sock").display().to_string();
    let seal = setup.private_file("seal", SEAL).display().to_string();
    let args =
        ["--network", "minimal", "--fetch-socket", &socket, "--seal-file", &seal, "--log-level", "trace"];
    let daemon = setup.args(&args).start();
    let keys: Vec<_> = (1..=600).map(Key::number).collect();
    let mut fetcher = Fetcher::connect(&daemon);
    for _ in 0..2 {
        fetcher.deliver("vault", "always", &keys.iter().collect::<Vec<_>>());
        assert_memory_free_of(&daemon, &forms_of_keys(&keys));
    }
    assert_free_of_secrets("the log", daemon.log().as_bytes(), &keys);
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.public_keys().len(), keys.len());
    assert_memory_free_of(&daemon, &forms_of_keys(&keys));
}

/// Only root may; in CI it has to be.
fn may_look_into_memory() -> bool {
    if geteuid().is_root() {
        return true;
    }
    eprintln!("NOT TESTED: only root can look into the daemon's memory");
    assert!(std::env::var_os("CI").is_none(), "in CI this has to be tested");
    false
}

/// Demands that none of these lies in memory that could be swapped or dumped.
#[track_caller]
fn assert_memory_free_of(daemon: &Daemon, forms: &[(&'static str, Vec<u8>)]) {
    let starts: Vec<_> = (0..=u8::MAX)
        .map(|byte| forms.iter().filter(|(_, form)| form[0] == byte).collect::<Vec<_>>())
        .collect();
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
            for (place, byte) in part.iter().enumerate() {
                let found =
                    starts[usize::from(*byte)].iter().find(|(_, form)| part[place..].starts_with(form));
                let found = found.map(|(what, form)| format!("{what} as {} bytes", form.len()));
                assert_eq!(found, None, "it lies in ordinary memory, in the mapping at {start:#x}");
            }
        }
    }
    assert!(seen > 1 << 20, "only {seen} bytes could be read");
}

fn reload(daemon: &Daemon) {
    assert_eq!(daemon.send(&Request::post("/reload", "")).status, 202);
    daemon.wait_until(|daemon| daemon.send(&Request::get("/reload")).json()["status"] != "running");
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

fn forms_of_keys<'k>(keys: impl IntoIterator<Item = &'k Key>) -> Vec<(&'static str, Vec<u8>)> {
    let forms = keys.into_iter().flat_map(forms_of_key);
    forms.map(|form| ("a secret key", form)).collect()
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
