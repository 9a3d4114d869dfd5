//! The daemon as a process of its own, on sockets in a directory of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Address, Answer, Request};
use super::keys::Key;

/// How a daemon is to be started. Without more, it listens with every role on one Unix socket.
pub struct Setup {
    directory: TempDir,
    command: &'static str,
    listens: bool,
    state: State,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    starter: Vec<String>,
    handed: Vec<OwnedFd>,
}

impl Setup {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            command: "serve",
            listens: false,
            state: State::Made,
            args: Vec::new(),
            environment: Vec::new(),
            starter: Vec::new(),
            handed: Vec::new(),
        }
    }

    /// A directory of the daemon's own, to put files into; gone with the daemon.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The same for a secret, which nobody but the owner may read.
    pub fn private_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Starts it by Web3Signer's command line, which says everything itself, with the directory as the user's home.
    pub fn web3signer(self, args: &[&str]) -> Self {
        let home = self.directory().display().to_string();
        let this = Self { command: "web3signer", listens: true, state: State::Unnamed, ..self };
        this.args(args).env("HOME", &home)
    }

    /// Takes an option and its value away again.
    pub fn without(mut self, option: &str) -> Self {
        if let Some(place) = self.args.iter().position(|arg| arg == option) {
            self.args.drain(place..place + 2);
        }
        self
    }

    /// What is known of its ledger; without more there is one, where a daemon would not start without.
    pub fn with_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// The same directory, with nothing said about the start but its socket and what is known of the ledger.
    pub fn afresh(self) -> Self {
        Self { listens: false, args: Vec::new(), environment: Vec::new(), starter: Vec::new(), ..self }
    }

    /// Listens there instead of on the one Unix socket; `unix:NAME` is a socket in the daemon's directory.
    pub fn listen(mut self, role: &str, address: &str) -> Self {
        let address = match address.strip_prefix("unix:") {
            Some(name) => format!("unix:{}", self.directory().join(name).display()),
            None => address.to_owned(),
        };
        self.listens = true;
        self.args(&["--listen", &format!("{role}={address}")])
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a place for the ledger's anchor in memory, as systemd gives one.
    pub fn with_runtime_directory(self) -> Self {
        let directory = self.directory().join("run").display().to_string();
        self.env("RUNTIME_DIRECTORY", &directory)
    }

    /// Lets this program, by its path, start it: the daemon's own command line comes after these arguments.
    pub fn under(mut self, starter: &[&str]) -> Self {
        self.starter = starter.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Hands it these file descriptors (two at most) under these names, as the service manager does.
    pub fn hand_over(mut self, names: &str, fds: Vec<OwnedFd>) -> Self {
        assert!(fds.len() <= 2);
        self.handed = fds;
        let count = self.handed.len().to_string();
        // From standard input and output to where the service manager puts them.
        let script = r#"LISTEN_PID=$$; export LISTEN_PID; exec 3<&0 4<&1 </dev/null >/dev/null; exec "$@""#;
        self.env("LISTEN_FDS", &count).env("LISTEN_FDNAMES", names).under(&["/bin/sh", "-c", script, "sh"])
    }

    /// Whether there may be keys from before: then a daemon creates no ledger by itself.
    fn has_key_sources(&self) -> bool {
        let sources = ["--keystores-path", "--key-config-path", "--seal-file", "--fetch-socket"];
        self.args.iter().any(|arg| sources.contains(&arg.as_str()))
            || self
                .environment
                .iter()
                .any(|(name, value)| name == "LISTEN_FDNAMES" && value.contains("keys-"))
    }

    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_until_ready();
        daemon
    }

    /// Starts it and waits until it has given up; answers its exit status and what it said.
    #[track_caller]
    pub fn fails(self) -> (ExitStatus, String) {
        let mut daemon = self.spawn();
        let status = daemon.wait();
        (status, daemon.log())
    }

    /// Starts it and does not wait.
    #[track_caller]
    pub fn spawn(self) -> Daemon {
        let mut this = if self.listens { self } else { self.listen("all", "unix:signer.sock") };
        let notify_path = this.directory().join("notify.sock");
        let _ = fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        // The daemon may be another user's.
        fs::set_permissions(&notify_path, PermissionsExt::from_mode(0o666)).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let binary = binary();
        let state = this.directory().join("state");
        let names_state: &[&OsStr] = match this.state {
            State::Made | State::Missing => &["--state-dir".as_ref(), state.as_os_str()],
            State::Unnamed => &[],
        };
        let creates_ledger = this.state != State::Missing && !this.has_key_sources();
        if this.state == State::Made && !creates_ledger && !state.exists() {
            init(&state);
        }
        // What a busy machine signs late is for the tests of deadlines alone.
        let timeout = (this.command == "serve").then_some(("BLS_SIGNER_SIGNING_TIMEOUT", "120"));
        let mut words = this.starter.iter().map(String::as_str).chain([binary.as_str(), this.command]);
        let mut handed = std::mem::take(&mut this.handed).into_iter().map(Stdio::from);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(names_state)
            .args(&this.args)
            .env_clear()
            .env("NOTIFY_SOCKET", &notify_path)
            .envs(timeout)
            .envs(creates_ledger.then_some(("BLS_SIGNER_REQUIRE_LEDGER", "off")))
            .envs(this.environment.iter().map(|(name, value)| (name, value)))
            .stdin(handed.next().unwrap_or_else(Stdio::null))
            .stdout(handed.next().unwrap_or_else(Stdio::null))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(handed);
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        Daemon {
            child,
            setup: Some(this),
            notify,
            notified: String::new(),
            stored: Vec::new(),
            log,
            reader: Some(reader),
        }
    }
}

/// What a start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A ledger in a directory that is named, as its operator made it before the first start.
    Made,
    /// A directory is named, and nothing was put there.
    Missing,
    /// No directory is named.
    Unnamed,
}

/// Makes a ledger, as an operator does for keys that have never signed.
#[track_caller]
pub fn init(state: &Path) {
    let mut command = Command::new(binary());
    let made = command.args(["slashing-protection", "init", "--state-dir"]).arg(state).env_clear().output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// The program under test: what cargo built, or another build of it that `BLS_SIGNER` names.
pub fn binary() -> String {
    std::env::var("BLS_SIGNER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bls-signer").to_owned())
}

/// A running daemon; killed by its pid when dropped.
pub struct Daemon {
    child: Child,
    /// There until it is used for a restart.
    setup: Option<Setup>,
    notify: UnixDatagram,
    notified: String,
    /// What it has in the service manager's file descriptor store, by name.
    stored: Vec<(String, OwnedFd)>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// With every role on one Unix socket.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Setup::new().args(args).start()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A number of its `/proc/PID/status`, such as `VmHWM:`, the most memory it ever had, in KiB.
    pub fn status_number(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn directory(&self) -> &Path {
        self.setup.as_ref().expect("the daemon is running").directory()
    }

    /// The Unix socket that it listens on when nothing else was asked for.
    pub fn socket(&self) -> Address {
        self.unix("signer.sock")
    }

    /// The Unix socket of that name in its directory.
    pub fn unix(&self, name: &str) -> Address {
        Address::Unix(self.directory().join(name))
    }

    /// The TCP address that it says it listens on with this role.
    #[track_caller]
    pub fn tcp(&self, role: &str) -> Address {
        // What it said before it was ready may still be on its way through the pipe.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let lines = log.lines().filter(|line| line.contains("listening") && line.contains(role));
            let mut words = lines.flat_map(|line| line.split([' ', '=', '"', ',']));
            if let Some(address) = words.find_map(|word| word.parse::<SocketAddr>().ok()) {
                return Address::Tcp(address);
            }
            assert!(Instant::now() < deadline, "no TCP address of role {role} in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        self.socket().send(request)
    }

    /// Asks for a signature on a connection of its own.
    #[track_caller]
    pub fn sign(&self, key: &Key, request: &Value) -> Answer {
        self.send(&Request::post(&format!("/api/v1/eth2/sign/{}", key.name()), request.to_string()))
    }

    #[track_caller]
    pub fn import(&self, keys: &[&Key]) {
        self.import_at(&self.socket(), keys);
    }

    /// Imports over the Keymanager API and demands that each key is taken.
    #[track_caller]
    pub fn import_at(&self, keymanager: &Address, keys: &[&Key]) {
        let keystores: Vec<_> = keys.iter().map(|key| key.keystore(PASSWORD)).collect();
        let passwords = vec![PASSWORD; keys.len()];
        let body = json!({"keystores": keystores, "passwords": passwords}).to_string();
        let answer = keymanager.send(&Request::post("/eth/v1/keystores", body));
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.json()["data"].as_array().cloned().unwrap_or_default();
        let imported = results.iter().filter(|result| result["status"] == "imported").count();
        assert_eq!((imported, results.len()), (keys.len(), keys.len()), "{answer:?}");
    }

    /// The public keys that it holds, as it lists them.
    pub fn public_keys(&self) -> Vec<String> {
        let answer = self.send(&Request::get("/api/v1/eth2/publicKeys"));
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// All that it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until what is asked of it is so.
    #[track_caller]
    pub fn wait_until(&self, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "it does not come to that; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first line of its log that is wanted; the log is read beside the test and may lag a moment behind.
    #[track_caller]
    pub fn wait_for_log(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| is_wanted(line)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "not in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that it told its supervisor so far, one assignment a line.
    pub fn notified(&mut self) -> String {
        self.hear();
        self.notified.clone()
    }

    /// Waits until the last status that it told its supervisor is a wanted one.
    #[track_caller]
    pub fn wait_for_status(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.notified();
            let last = told.lines().rev().find_map(|line| line.strip_prefix("STATUS="));
            if last.is_some_and(&is_wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "the last status is {last:?}; its log:\n{}", self.log());
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Has it read clients, tokens and certificates again, and waits until they hold.
    #[track_caller]
    pub fn reload_access(&self) {
        const DONE: &str = "clients, tokens and certificates read";
        let before = self.log().matches(DONE).count();
        self.signal(Signal::SIGHUP);
        self.wait_until(|daemon| daemon.log().matches(DONE).count() > before);
    }

    /// Kills it without a word and starts it again: same arguments, same sockets, same state.
    #[track_caller]
    pub fn kill_and_restart(self) -> Self {
        self.kill().start()
    }

    /// Kills it without a word, if it has not ended; answers what it was started with, its state included.
    #[track_caller]
    pub fn kill(mut self) -> Setup {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::SIGKILL);
            self.wait();
        }
        self.setup.take().expect("the daemon was started")
    }

    /// What it has in the service manager's file descriptor store, by name in the order in which it came.
    pub fn stored(&mut self) -> Vec<(String, OwnedFd)> {
        self.hear();
        self.stored.iter().map(|(name, fd)| (name.clone(), fd.try_clone().unwrap())).collect()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the daemon does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.notified().lines().any(|line| line == "READY=1") {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the daemon did not become ready ({ended:?}); its log:\n{}",
                self.log()
            );
        }
    }

    /// Takes what has come over the notify socket; returns after a moment when nothing comes.
    fn hear(&mut self) {
        let was_ready = self.notified.contains("READY=1");
        loop {
            match receive(&self.notify) {
                Ok((text, fds)) => {
                    self.keep(&text, fds);
                    self.notified.push_str(&text);
                    self.notified.push('\n');
                    if !was_ready && self.notified.contains("READY=1") {
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(error) => panic!("the notify socket: {error}"),
            }
        }
    }

    /// Does with file descriptors what the service manager does (sd_notify(3)).
    fn keep(&mut self, message: &str, fds: Vec<OwnedFd>) {
        let value = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let name = value("FDNAME").unwrap_or("stored");
        if value("FDSTOREREMOVE") == Some("1") {
            self.stored.retain(|(stored, _)| stored != name);
        }
        if value("FDSTORE") == Some("1") {
            self.stored.extend(fds.into_iter().map(|fd| (name.to_owned(), fd)));
        }
    }
}

/// One message and the file descriptors that came with it.
fn receive(socket: &UnixDatagram) -> nix::Result<(String, Vec<OwnedFd>)> {
    let mut text = [0; 4096];
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let mut pieces = [IoSliceMut::new(&mut text)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let length = message.bytes;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        let ControlMessageOwned::ScmRights(raw) = control else { continue };
        #[allow(unsafe_code, reason = "the kernel made these descriptors for this message alone")]
        // SAFETY: they came with the message just now and nobody else knows them.
        fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    Ok((String::from_utf8_lossy(&text[..length]).into_owned(), fds))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}--- end of the log ---", self.log());
        }
    }
}

const PASSWORD: &str = "black box";

/// Longer than a start takes on a slow machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
