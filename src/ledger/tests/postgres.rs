//! The ledger beside one on PostgreSQL: its suite, and what two hosts and a database do to each other.
//!
//! Ignored unless asked for, since they start a PostgreSQL of their own: `cargo test --lib ledger::tests::postgres --
//! --ignored`, as the layer `shared-ledger` of `tests/run` does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use super::*;
use crate::config::{Durability, SharedLedgerSettings};
use crate::ledger::full_history::{History, Message};
use crate::ledger::postgres::{self, Servers, SharedLedger};
use crate::ledger::refusal::Recorded;
use crate::ledger::{Activation, Health, HighWatermark, Selection};

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn what_one_host_has_signed_another_is_refused_by_its_numbers_and_the_identical_message_passes_on_both() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(block(1, 10, 1));
    two.sign(block(1, 10, 1));
    let refused = |host: &Host, request| host.refuse(request);
    assert_eq!(refused(&two, block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    one.sign(block(2, 10, 1));
    let elsewhere = Refusal::SignedElsewhere { record: Recorded::Slot(Slot(10)) };
    assert_eq!(refused(&two, block(2, 10, 2)), elsewhere);
    two.sign(attestation(1, 2, 3, 1));
    assert_eq!(
        refused(&one, attestation(1, 1, 4, 1)),
        Refusal::SignedElsewhere { record: Recorded::Epoch(Epoch(2)) }
    );
    // Its own ledger has the one that was refused on record.
    one.sign(attestation(1, 2, 5, 1));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_late_refusal_in_a_batch_is_that_keys_alone_and_a_second_message_of_a_key_waits_for_the_next_batch() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(attestation(2, 0, 5, 9));
    let votes =
        [attestation(1, 0, 1, 1), attestation(2, 0, 5, 1), attestation(3, 0, 1, 1), attestation(3, 1, 2, 1)];
    let outcomes = wait(async {
        let mut outcomes = Vec::new();
        for verdict in two.ledger.judge_all(&votes).await.unwrap() {
            outcomes.push(match verdict {
                Verdict::Allowed(judged) => cleared_or_refused(judged.cleared().await).unwrap().is_ok(),
                Verdict::Refused(refusal) => panic!("{refusal}"),
            });
        }
        outcomes
    });
    assert_eq!(outcomes, [true, false, true, true]);
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_ledger_with_history_brings_it_in_and_a_new_one_takes_it_over() {
    let database = Database::new();
    let old = tempfile::tempdir().unwrap();
    sign(&open(old.path()), block(1, 10, 1));
    let (one, two) = (database.host_in(old), database.host());
    assert_eq!(wait(two.ledger.status(Selection::All)).unwrap().keys.len(), 1);
    assert_eq!(two.refuse(block(1, 10, 2)), Refusal::OtherBlockAtSlot { slot: Slot(10) });
    one.sign(block(1, 10, 1));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn an_order_on_one_host_is_in_force_on_the_other_and_a_restart_does_not_bring_back_what_was_undone() {
    let database = Database::new();
    let [one, two] = [database.host(), database.host()];
    one.sign(block(1, 10, 1));
    two.sign(block(1, 20, 1));
    let deletion = Deletion { public_key: public_key(1), active: true };
    let report = wait(one.ledger.delete(&[deletion])).unwrap();
    assert!(report.interchange.contains("\"20\""), "what the other host signed: {}", report.interchange);
    assert_eq!(two.refuse(block(1, 21, 1)), Refusal::Deleted { public_key: public_key(1) });
    wait(two.ledger.activate(vec![Activation::of(public_key(1), None)], None)).unwrap().unwrap();
    two.sign(block(1, 22, 1));

    let stop = HighWatermark { slot: Some(Slot(30)), epoch: None };
    wait(one.ledger.set_high_watermark(stop)).unwrap();
    assert_eq!(two.refuse(block(1, 30, 1)), Refusal::StoppedAtSlot { slot: Slot(30), stop: Slot(30) });
    assert_eq!(wait(two.ledger.status(Selection::All)).unwrap().high_watermark, stop);
    let directory = one.stop();
    wait(two.ledger.set_high_watermark(HighWatermark::default())).unwrap();
    // It still has the deletion and the stop in its own file.
    let _one = database.host_in(directory);
    two.sign(block(1, 31, 1));
    wait(two.ledger.raise(Some(Slot(50)), None, Selection::All)).unwrap();
    assert!(matches!(two.refuse(block(1, 50, 1)), Refusal::BlockNotAbove { .. }));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn without_synchronous_replication_nothing_is_granted_and_health_says_why() {
    let database = Database::new();
    let host = database.host_with(Durability::Replicated, tempfile::tempdir().unwrap());
    let cause = host.until_away();
    assert!(cause.contains("synchronous_standby_names"), "{cause}");
    assert!(matches!(fail(&host.ledger, block(1, 10, 1)), Fault::SecondJudgeAway { .. }));
    sign(&host.ledger, request(1, 1, Claim::Unslashable));
    assert_eq!(database.count("SELECT count(*) FROM bls_signer.keys WHERE block_slot IS NOT NULL"), 0);
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn connections_that_are_ended_are_made_again_and_the_same_message_passes() {
    let database = Database::new();
    let host = database.host();
    host.sign(block(1, 10, 1));
    for slot in 11..15 {
        database.end_connections();
        // The first may have met the end of its connection.
        host.sign_in_the_end(block(1, slot, 1));
        host.refuse(block(1, slot, 2));
    }
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_database_that_lost_a_grant_stops_the_host_until_the_loss_is_accepted() {
    let database = Database::new();
    let host = database.host();
    host.sign(block(1, 10, 1));
    host.sign(attestation(1, 2, 3, 1));
    database.owner("DELETE FROM bls_signer.keys");
    database.end_connections();
    let cause = host.until_away_because("LOST");
    assert!(cause.contains("accept-loss"), "{cause}");
    assert!(fail_in_time(&host.ledger, block(1, 11, 1)));
    // Over a restart too, which knows of no grant any more.
    let host = database.host_in(host.stop());
    host.until_away_because("LOST");
    database.runtime().block_on(postgres::accept_loss(&database.owners(), Slot(20), Epoch(5))).unwrap();
    host.sign_in_the_end(block(2, 21, 1));
    assert!(matches!(host.refuse(block(3, 20, 1)), Refusal::SignedElsewhere { .. }));
    assert!(matches!(host.refuse(attestation(3, 4, 6, 1)), Refusal::SignedElsewhere { .. }));
    // Its own ledger has the one that was refused on record.
    host.sign(attestation(3, 5, 7, 1));
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn a_ledger_of_another_chain_or_another_schema_or_in_another_database_is_said_and_nothing_granted() {
    let database = Database::new();
    let host = database.host();
    host.sign(block(1, 10, 1));
    let directory = host.stop();
    let other = Database::new();
    let host = other.host_in(directory);
    assert!(host.until_away().contains("has joined"), "{}", host.until_away());

    database.owner("UPDATE bls_signer.head SET schema_version = 2");
    let host = database.host();
    assert!(host.until_away().contains("schema version 2"));
    database.owner(
        "UPDATE bls_signer.head
         SET schema_version = 1, genesis_validators_root = decode(repeat('01', 32), 'hex')",
    );
    host.until_away_because("genesis validators root");
}

#[test]
#[ignore = "starts PostgreSQL: the layer shared-ledger of tests/run asks for it"]
fn three_hosts_that_ask_for_contradictions_at_once_sign_none() {
    let database = Database::new();
    let hosts = [database.host(), database.host(), database.host()];
    let history = std::sync::Mutex::new(History::default());
    let signed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (host, root) in hosts.iter().zip(1..) {
            let (history, signed) = (&history, &signed);
            scope.spawn(move || {
                for height in 1..60 {
                    for key in 1..6 {
                        let vote = attestation(key, height / 2, height + u64::from(root) % 2, root);
                        for request in [block(key, height, root), vote] {
                            if let Ok(Ok(_)) = ask(&host.ledger, request) {
                                signed.fetch_add(1, Ordering::Relaxed);
                                let (key, root) = (request.public_key.0, request.signing_root.0);
                                let message = match request.claim {
                                    Claim::Block { slot } => Message::Block { slot: slot.0, root },
                                    Claim::Attestation { source, target } => {
                                        Message::Attestation { source: source.0, target: target.0, root }
                                    }
                                    Claim::RawRoot | Claim::Unslashable => panic!("nobody asks for it"),
                                };
                                let mut history = history.lock().unwrap();
                                assert_eq!(history.contradiction(key, message), None);
                                history.sign(key, message);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(signed.into_inner() > 100);
}

/// A host beside the database, and where its own file is.
struct Host {
    ledger: Ledger,
    directory: tempfile::TempDir,
}

impl Host {
    fn sign(&self, request: Request) {
        sign(&self.ledger, request);
    }

    fn refuse(&self, request: Request) -> Refusal {
        refuse(&self.ledger, request)
    }

    fn sign_in_the_end(&self, request: Request) {
        let end = Instant::now() + PATIENCE;
        while ask(&self.ledger, request).map(Result::unwrap).is_err() {
            assert!(Instant::now() < end, "it never passes");
        }
    }

    /// Why it is away.
    fn until_away(&self) -> String {
        self.until_away_because("")
    }

    fn until_away_because(&self, reason: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Health::SecondJudgeAway(silence) = self.ledger.health() {
                let cause = silence.cause.map(|cause| crate::text::chain(&*cause)).unwrap_or_default();
                if !cause.is_empty() && !cause.contains("closed") && cause.contains(reason) {
                    return cause;
                }
            }
            assert!(Instant::now() < end, "it is never away because of {reason}: {:?}", self.ledger.health());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) -> tempfile::TempDir {
        drop(self.ledger);
        self.directory
    }
}

fn fail_in_time(ledger: &Ledger, request: Request) -> bool {
    matches!(ask(ledger, request), Err(Fault::SecondJudgeAway { .. }))
}

/// A database with a shared ledger in it, on the one server of this process.
struct Database {
    name: String,
}

impl Database {
    fn new() -> Self {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ledger{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let server = Self { name: "postgres".to_owned() };
        server.owner(&format!("CREATE DATABASE {name}"));
        let database = Self { name };
        // Roles are the server's: two that make them at once are in each other's way.
        static INITIALIZING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = INITIALIZING.lock().unwrap();
        for _ in 0..2 {
            database.runtime().block_on(postgres::initialize(&database.owners(), CHAIN)).unwrap();
        }
        database
    }

    fn host(&self) -> Host {
        self.host_in(tempfile::tempdir().unwrap())
    }

    fn host_in(&self, directory: tempfile::TempDir) -> Host {
        self.host_with(Durability::Engine, directory)
    }

    fn host_with(&self, durability: Durability, directory: tempfile::TempDir) -> Host {
        let settings = settings(directory.path());
        let shared = self.settings(durability, "bls_signer");
        fs::create_dir_all(&settings.directory).unwrap();
        let shared = SharedLedger::start(&shared, Some(CHAIN), &settings.directory).unwrap();
        let ledger = Ledger::open(Settings { second_judge: Some(shared), ..settings }).unwrap();
        Host { ledger, directory }
    }

    fn settings(&self, durability: Durability, role: &str) -> SharedLedgerSettings {
        let address = format!("postgres://{role}@/{}?host={}", self.name, server().display());
        SharedLedgerSettings::new(address.parse().unwrap(), durability, None, None).unwrap()
    }

    fn owners(&self) -> Servers {
        Servers::of(&self.settings(Durability::Engine, "postgres")).unwrap()
    }

    fn end_connections(&self) {
        self.owner(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'bls_signer' AND datname = current_database()",
        );
    }

    fn owner(&self, statement: &str) {
        self.as_owner(async |client| client.batch_execute(statement).await.unwrap());
    }

    fn count(&self, query: &str) -> i64 {
        self.as_owner(async |client| client.query_one(query, &[]).await.unwrap().get(0))
    }

    fn as_owner<T>(&self, run: impl AsyncFnOnce(tokio_postgres::Client) -> T) -> T {
        self.runtime().block_on(async {
            let settings = self.settings(Durability::Engine, "postgres");
            let (client, connection) = settings.address.hosts()[0].connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            run(client).await
        })
    }

    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }
}

/// The directory of the server's socket. The server ends with this process.
fn server() -> &'static PathBuf {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        let programs = fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql");
        let programs = programs.map(|version| version.unwrap().path().join("bin")).max().unwrap();
        let directory = std::env::temp_dir().join(format!("bls-signer-postgres-{}", std::process::id()));
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let rights: &[&str] = match nix::unistd::geteuid().is_root() {
            true => &["--reuid=postgres", "--regid=postgres", "--clear-groups"],
            false => &[],
        };
        let (started, ready) = std::sync::mpsc::channel();
        let place = directory.clone();
        // The signal comes when the thread ends that started the server, so this one does not.
        std::thread::spawn(move || {
            let mut server = Command::new("setpriv")
                .args(rights)
                .args(["--pdeathsig=TERM", "sh", "-c", SERVER_SCRIPT, "sh"])
                .arg(&place)
                .env("PATH", path)
                .spawn()
                .unwrap();
            started.send(()).unwrap();
            panic!("the server ended: {}", server.wait().unwrap());
        });
        ready.recv().unwrap();
        let end = Instant::now() + PATIENCE;
        while !directory.join("ready").exists() {
            assert!(
                Instant::now() < end,
                "PostgreSQL does not start, see {}",
                directory.join("log").display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        directory
    })
}

/// Makes and runs a cluster in a directory, and removes both when it is told to end.
const SERVER_SCRIPT: &str = r#"
set -e
mkdir "$1"
initdb -D "$1/data" -U postgres -A trust -N -E UTF8 --locale C > "$1/log" 2>&1
postgres -D "$1/data" -c listen_addresses= -c unix_socket_directories="$1" -c shared_buffers=16MB \
    -c max_connections=200 -c fsync=off >> "$1/log" 2>&1 &
server=$!
trap 'kill -QUIT $server; wait $server || true; rm -rf "$1"' TERM
until psql -h "$1" -U postgres -qc 'SELECT 1' > /dev/null 2>&1; do sleep 0.05; done
touch "$1/ready"
wait $server
"#;

const PATIENCE: Duration = Duration::from_secs(60);
