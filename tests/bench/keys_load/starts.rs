//! From the start of the process to READY, by where the keys come from.

use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use crate::statistics::median;
use crate::status_mib;
use crate::support::{Daemon, Fetcher, Key, Setup};

pub fn measure(count: u64, starts: usize) {
    let keys: Vec<Key> = (0..count).map(Key::number).collect();
    println!("| {count} keys | ms | resident MiB | of it anonymous |\n| --- | ---: | ---: | ---: |");

    let derivation = derive_public_keys(&keys);
    let empty = quiet().start();
    row("no keys", None, Some(&empty));
    drop(empty);

    let daemon = sealed(quiet()).start();
    import(&daemon, &keys);
    row("sealed: after the import", None, Some(&daemon));
    restart("sealed: start to READY", starts, daemon, &keys, |setup| setup);

    let setup = sealed(quiet());
    let socket = setup.directory().join("fetch.sock");
    let daemon = setup.args(&["--fetch-socket", socket.to_str().unwrap()]).start();
    Fetcher::connect(&daemon).deliver("source", "always", &keys.iter().collect::<Vec<_>>());
    row("fetched and sealed: after the delivery", None, Some(&daemon));
    restart("fetched and sealed: start to READY", starts, daemon, &keys, |setup| setup);

    let mut daemon = quiet().start();
    import(&daemon, &keys);
    row("fd store: after the import", None, Some(&daemon));
    let kept = daemon.stored();
    let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    restart("fd store: start to READY", starts, daemon, &keys, |setup| {
        let fds: Vec<OwnedFd> = kept.iter().map(|(_, fd)| fd.try_clone().unwrap()).collect();
        setup.hand_over(&names.join(":"), fds)
    });

    let again = derive_public_keys(&keys);
    let cores = available_parallelism().unwrap();
    row(
        &format!("plain blst: deriving their public keys on {cores} threads"),
        Some(derivation.min(again)),
        None,
    );
}

/// Kills and starts the daemon again, so many times; `prepare` is not timed. It must have all its keys in the end.
fn restart(what: &str, starts: usize, mut daemon: Daemon, keys: &[Key], prepare: impl Fn(Setup) -> Setup) {
    let mut times = Vec::new();
    for _ in 0..starts {
        let setup = prepare(daemon.kill());
        let before = Instant::now();
        daemon = setup.start();
        times.push(before.elapsed());
    }
    assert_eq!(daemon.public_keys().len(), keys.len());
    row(what, Some(median(times)), Some(&daemon));
}

fn quiet() -> Setup {
    Setup::new().args(&["--network", "minimal", "--log-level", "warn"])
}

fn sealed(setup: Setup) -> Setup {
    let seal = setup.private_file("seal", "5e1f0c8a3b7d92e4465a1d0f9c2b8e7733d05a6c41f8b29e0d7c6a5b3f1e2d48");
    setup.args(&["--seal-file", seal.to_str().unwrap()])
}

fn import(daemon: &Daemon, keys: &[Key]) {
    for batch in keys.chunks(500) {
        daemon.import(&batch.iter().collect::<Vec<_>>());
    }
}

fn derive_public_keys(keys: &[Key]) -> Duration {
    let threads = available_parallelism().unwrap().get();
    let before = Instant::now();
    scope(|scope| {
        for share in keys.chunks(keys.len().div_ceil(threads)) {
            scope.spawn(move || {
                share.iter().for_each(|key| {
                    black_box(key.public_key().to_bytes());
                })
            });
        }
    });
    before.elapsed()
}

fn row(what: &str, time: Option<Duration>, daemon: Option<&Daemon>) {
    let time = time.map_or(String::new(), |time| format!("{:.0}", time.as_secs_f64() * 1e3));
    let memory =
        |name| daemon.map_or(String::new(), |daemon| format!("{:.1}", status_mib(daemon.pid(), name)));
    println!("| {what} | {time} | {} | {} |", memory("VmRSS:"), memory("RssAnon:"));
}
