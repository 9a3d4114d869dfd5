//! PostgreSQL as a shared ledger wants it: a primary and a synchronous standby of this run's own, on Unix sockets.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

/// Two servers, of which the second is the first one's standby. They change places when the first fails.
pub struct Pair {
    pub primary: Server,
    standby: Server,
    _directory: TempDir,
}

impl Pair {
    /// Starts both in a new directory there, with a shared ledger for a chain in the primary's database [`LEDGER`].
    pub fn start(place: &Path, chain: &str) -> Self {
        let directory = tempfile::tempdir_in(place).unwrap();
        give(directory.path(), 0o755);
        let [mut primary, standby] = ["db1", "db2"].map(|name| Server::new(directory.path(), name));
        primary.initialize();
        primary.start();
        primary.ask("postgres", &format!("CREATE DATABASE {LEDGER}"));
        primary.ask(LEDGER, include_str!("../../../src/ledger/postgres/schema.sql"));
        let head = "INSERT INTO bls_signer.head (schema_version, genesis_validators_root) VALUES";
        primary.ask(LEDGER, &format!(r"{head} (1, '\x{}')", chain.trim_start_matches("0x")));
        let mut pair = Self { primary, standby, _directory: directory };
        pair.attach();
        pair
    }

    /// An address for a daemon that knows both.
    pub fn address(&self) -> String {
        address(&[&self.primary.socket, &self.standby.socket])
    }

    /// The primary dies, its standby takes its place and gets a standby of its own. Returns when that began to confirm.
    pub fn fail_over(&mut self) -> Instant {
        self.primary.kill();
        self.standby.ask("postgres", "SELECT pg_promote(true, 60)");
        std::mem::swap(&mut self.primary, &mut self.standby);
        self.attach()
    }

    fn attach(&mut self) -> Instant {
        self.standby.copy_of(&self.primary);
        self.standby.start();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = Instant::now();
            let synchronous =
                "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";
            if self.primary.ask("postgres", synchronous) == "1" {
                return asked;
            }
            assert!(asked < deadline, "no synchronous standby: see {}", self.standby.log.display());
            sleep(MOMENT);
        }
    }
}

/// The address of the shared ledger at sockets in these directories.
pub fn address(directories: &[&Path]) -> String {
    let hosts: Vec<_> = directories.iter().map(|directory| format!("host={}", directory.display())).collect();
    format!("postgres://bls_signer@/{LEDGER}?{}", hosts.join("&"))
}

/// One server, killed when dropped.
pub struct Server {
    name: &'static str,
    data: PathBuf,
    /// The directory of its socket.
    pub socket: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Server {
    fn new(directory: &Path, name: &'static str) -> Self {
        let socket = directory.join(format!("{name}-socket"));
        fs::create_dir(&socket).unwrap();
        give(&socket, 0o755);
        let (data, log) = (directory.join(name), directory.join(format!("{name}.log")));
        Self { name, data, socket, log, process: None }
    }

    fn initialize(&self) {
        let mut command = program("initdb");
        command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
        done(command.arg("--pgdata").arg(&self.data));
        let settings = "listen_addresses = ''\nmax_connections = 60\nwal_keep_size = 256MB\n\
                        synchronous_standby_names = 'ANY 1 (db1, db2)'\n";
        let path = self.data.join("postgresql.conf");
        let defaults = fs::read_to_string(&path).unwrap();
        fs::write(&path, defaults + settings).unwrap();
    }

    fn copy_of(&self, other: &Self) {
        let _ = fs::remove_dir_all(&self.data);
        let source = format!("host={} user=postgres application_name={}", other.socket.display(), self.name);
        let mut command = program("pg_basebackup");
        command.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--dbname"]);
        done(command.arg(source).arg("--pgdata").arg(&self.data));
    }

    fn start(&mut self) {
        let log = || fs::File::options().append(true).create(true).open(&self.log).unwrap();
        let mut command = program("postgres");
        command.arg("-D").arg(&self.data);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.socket.display()));
        command.stdin(Stdio::null()).stdout(log()).stderr(log()).process_group(0);
        self.process = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while self.psql("postgres", "SELECT 1").is_none() {
            assert!(Instant::now() < deadline, "it does not start: {}", self.log.display());
            sleep(MOMENT);
        }
    }

    /// Statements of the superuser's, whose commits wait for no standby; the last one's rows.
    pub fn ask(&self, database: &str, statements: &str) -> String {
        self.psql(database, statements).unwrap_or_else(|| panic!("{statements}: {}", self.log.display()))
    }

    fn psql(&self, database: &str, statements: &str) -> Option<String> {
        let mut command = program("psql");
        command.args(["-X", "-U", "postgres", "-d", database, "-Atq", "-v", "ON_ERROR_STOP=1"]);
        command.arg("-h").arg(&self.socket).args(["-c", statements]);
        let output = command.env("PGOPTIONS", "-c synchronous_commit=local").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then_some(text)
    }

    /// No process of it does anything while this runs; sockets stay open.
    pub fn frozen<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.signal_all(Signal::SIGSTOP);
        let outcome = meanwhile();
        self.signal_all(Signal::SIGCONT);
        outcome
    }

    fn kill(&mut self) {
        self.signal_all(Signal::SIGSTOP);
        self.signal_all(Signal::SIGKILL);
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
        let _ = fs::remove_file(self.data.join("postmaster.pid"));
    }

    /// The first process first, so that it starts no more.
    fn signal_all(&self, signal: Signal) {
        let Some(process) = &self.process else { return };
        let id = process.id();
        let send = |id: u32| kill(Pid::from_raw(id.try_into().unwrap()), signal);
        let children = || fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        // Those of a killed process are nobody's any more.
        let before = children();
        send(id).unwrap();
        for child in before.split_whitespace().map(|child| child.parse().unwrap()) {
            let _ = send(child);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of PostgreSQL's newest version here, as its user: it does not run as root.
fn program(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql");
    let newest = versions.map(|version| version.unwrap().path()).max_by_key(|path| {
        path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or_default()
    });
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    // What is left of it ends with us.
    command.args(["--pdeathsig=QUIT"]).arg(newest.unwrap().join("bin").join(name)).current_dir("/");
    command
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    if geteuid().is_root() {
        let user = User::from_name("postgres").unwrap().expect("PostgreSQL's user");
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// The database's name.
pub const LEDGER: &str = "ledger";
const MOMENT: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);
