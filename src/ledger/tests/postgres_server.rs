//! PostgreSQL of the tests' own, for the whole process, and hosts that share ledgers in its databases.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use super::*;
use crate::config::{Durability, SharedLedgerSettings};
use crate::ledger::Health;
use crate::ledger::postgres::{self, Servers, SharedLedger};

/// A host beside the database, and where its own file is.
pub(super) struct Host {
    pub(super) ledger: Ledger,
    directory: tempfile::TempDir,
}

impl Host {
    pub(super) fn sign(&self, request: Request) {
        sign(&self.ledger, request);
    }

    pub(super) fn refuse(&self, request: Request) -> Refusal {
        refuse(&self.ledger, request)
    }

    pub(super) fn sign_in_the_end(&self, request: Request) {
        let end = Instant::now() + PATIENCE;
        while ask(&self.ledger, request).map(Result::unwrap).is_err() {
            assert!(Instant::now() < end, "it never passes");
        }
    }

    /// Why it is away.
    pub(super) fn until_away(&self) -> String {
        self.until_away_because("")
    }

    pub(super) fn until_away_because(&self, reason: &str) -> String {
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

    pub(super) fn stop(self) -> tempfile::TempDir {
        drop(self.ledger);
        self.directory
    }
}

pub(super) fn fail_in_time(ledger: &Ledger, request: Request) -> bool {
    matches!(ask(ledger, request), Err(Fault::SecondJudgeAway { .. }))
}

/// A database with a shared ledger in it, on the one server of this process.
pub(super) struct Database {
    name: String,
}

impl Database {
    pub(super) fn new() -> Self {
        Self::of(CHAIN)
    }

    pub(super) fn of(chain: Root) -> Self {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ledger{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let server = Self { name: "postgres".to_owned() };
        server.owner(&format!("CREATE DATABASE {name}"));
        let database = Self { name };
        // Roles are the server's: two that make them at once are in each other's way.
        static INITIALIZING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = INITIALIZING.lock().unwrap();
        for _ in 0..2 {
            database.runtime().block_on(postgres::initialize(&database.owners(), chain)).unwrap();
        }
        database
    }

    pub(super) fn host(&self) -> Host {
        self.host_in(tempfile::tempdir().unwrap())
    }

    pub(super) fn host_in(&self, directory: tempfile::TempDir) -> Host {
        self.host_with(Durability::Engine, directory)
    }

    pub(super) fn host_with(&self, durability: Durability, directory: tempfile::TempDir) -> Host {
        let settings = settings(directory.path());
        let shared = self.settings(durability, "bls_signer");
        fs::create_dir_all(&settings.directory).unwrap();
        let shared = SharedLedger::start(&shared, Some(CHAIN), &settings.directory).unwrap();
        let ledger = Ledger::open(Settings { second_judge: Some(shared), ..settings }).unwrap();
        Host { ledger, directory }
    }

    pub(super) fn settings(&self, durability: Durability, role: &str) -> SharedLedgerSettings {
        let address = format!("postgres://{role}@/{}?host={}", self.name, server().display());
        SharedLedgerSettings::new(address.parse().unwrap(), durability, None, None).unwrap()
    }

    pub(super) fn owners(&self) -> Servers {
        Servers::of(&self.settings(Durability::Engine, "postgres")).unwrap()
    }

    pub(super) fn end_connections(&self) {
        self.owner(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'bls_signer' AND datname = current_database()",
        );
    }

    pub(super) fn owner(&self, statement: &str) {
        self.as_owner(async |client| client.batch_execute(statement).await.unwrap());
    }

    pub(super) fn count(&self, query: &str) -> i64 {
        self.as_owner(async |client| client.query_one(query, &[]).await.unwrap().get(0))
    }

    pub(super) fn as_owner<T>(&self, run: impl AsyncFnOnce(tokio_postgres::Client) -> T) -> T {
        self.runtime().block_on(async {
            let settings = self.settings(Durability::Engine, "postgres");
            let (client, connection) = settings.address.hosts()[0].connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            run(client).await
        })
    }

    pub(super) fn runtime(&self) -> tokio::runtime::Runtime {
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
