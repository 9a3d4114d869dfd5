//! Notifications to systemd (sd_notify(3)): how we are, and the file descriptors that it keeps for us.
//!
//! Each message is one datagram to `NOTIFY_SOCKET`. Without that variable every call does nothing. No call waits for
//! the service manager: what it has no room for is sent by a thread, in order, once there is room. The assignments are
//! `sd_notify`'s; its own way of sending waits for room, so sending is ours.

mod outbox;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};
use sd_notify::NotifyState;

use self::outbox::{Line, Message, Subject};
use crate::config::Environment;
use crate::text::chain;

/// The line to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    line: Option<Arc<Line>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(crate) fn new(environment: &Environment) -> Result<Self, Error> {
        let Some(path) = environment.value("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let unusable = |source: nix::Error| Error { what: "open NOTIFY_SOCKET", source: source.into() };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => UnixAddr::new_abstract(name),
            None => UnixAddr::new(path),
        }
        .map_err(unusable)?;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(unusable)?;
        let line = Some(Arc::new(Line::new(socket, address)));
        Ok(Self { line, watchdog: watchdog(environment, std::process::id()) })
    }

    /// A start that takes long: how far it is, and how much longer it may take until the next word.
    pub(crate) fn starting(&self, status: &str, extend_by: Duration) -> Result<(), Error> {
        let microseconds = u32::try_from(extend_by.as_micros()).unwrap_or(u32::MAX);
        self.send(
            Subject::Status,
            "tell how far the start is",
            &[NotifyState::Status(&one_line(status)), NotifyState::ExtendTimeoutUsec(microseconds)],
        )
    }

    /// Whether somebody supervises the process and would start it again.
    pub(crate) fn is_supervised(&self) -> bool {
        self.line.is_some()
    }

    /// The longest that may pass between two calls of [`Notifier::watchdog`]; `None` if nobody watches.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The start or the reload is complete.
    pub(crate) fn ready(&self, status: &str) -> Result<(), Error> {
        let status = one_line(status);
        self.send(
            Subject::Phase,
            "say that we are ready",
            &[NotifyState::Ready, NotifyState::Status(&status)],
        )
    }

    /// One line for `systemctl status`.
    pub(crate) fn status(&self, status: &str) -> Result<(), Error> {
        self.send(Subject::Status, "tell the status", &[NotifyState::Status(&one_line(status))])
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub(crate) fn reloading(&self) -> Result<(), Error> {
        let what = "say that we reload";
        let now = NotifyState::monotonic_usec_now().map_err(|source| Error { what, source })?;
        self.send(Subject::Event, what, &[NotifyState::Reloading, now])
    }

    /// The end begins.
    pub(crate) fn stopping(&self, status: &str) -> Result<(), Error> {
        let status = one_line(status);
        self.send(Subject::Phase, "say that we stop", &[NotifyState::Stopping, NotifyState::Status(&status)])
    }

    /// Still alive. Only what signs and what records may say so, never a timer alone.
    pub(crate) fn watchdog(&self) -> Result<(), Error> {
        self.send(Subject::Watchdog, "feed the watchdog", &[NotifyState::Watchdog])
    }

    /// Leaves a file descriptor with the service manager, which hands it to the next process of this service. It is not
    /// polled: some kinds would be thrown away at once.
    ///
    /// The name is ASCII without control characters and colons, at most 255 bytes.
    pub(crate) fn store(&self, name: &str, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let state = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
        let what = "store a file descriptor";
        let fd = match &self.line {
            Some(_) => Some(fd.try_clone_to_owned().map_err(|source| Error { what, source })?),
            None => None,
        };
        self.send_with(Subject::Event, what, &state, fd)
    }

    /// Takes every file descriptor of that name out of the service manager's store.
    pub(crate) fn remove_stored(&self, name: &str) -> Result<(), Error> {
        let state = [NotifyState::FdStoreRemove, NotifyState::FdName(name)];
        self.send(Subject::Event, "remove a stored file descriptor", &state)
    }

    /// Gives what still waits for the service manager a moment to get out: for the end of the process.
    pub(crate) fn settle(&self) {
        if let Some(line) = &self.line {
            line.settle(LAST_MOMENT);
        }
    }

    fn send(&self, subject: Subject, what: &'static str, state: &[NotifyState<'_>]) -> Result<(), Error> {
        self.send_with(subject, what, state, None)
    }

    fn send_with(
        &self,
        subject: Subject,
        what: &'static str,
        state: &[NotifyState<'_>],
        fd: Option<OwnedFd>,
    ) -> Result<(), Error> {
        let Some(line) = &self.line else { return Ok(()) };
        let text = state.iter().map(NotifyState::to_string).collect::<Vec<_>>().join("\n");
        line.send(Message { subject, what, text, fd })
    }
}

/// A supervisor that cannot be told is no reason to stop signing: the log hears of it.
pub(crate) fn tell(told: Result<(), Error>) {
    if let Err(error) = told {
        tracing::warn!(error = chain(&error), "the service manager could not be told");
    }
}

/// The interval to keep, if the watchdog is meant for this process (sd_watchdog_enabled(3)).
fn watchdog(environment: &Environment, own_pid: u32) -> Option<Duration> {
    let microseconds =
        environment.text("WATCHDOG_USEC")?.parse().ok().filter(|microseconds| *microseconds > 0)?;
    let ours = environment.text("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(own_pid));
    ours.then(|| Duration::from_micros(microseconds))
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// The service manager could not be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} to systemd")]
pub(crate) struct Error {
    what: &'static str,
    source: io::Error,
}

/// For the service manager, when the process ends.
const LAST_MOMENT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read, Seek, Write};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixDatagram;

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use nix::time::{ClockId, clock_gettime};

    use super::*;

    fn received(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn manager() -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(&[("NOTIFY_SOCKET", &path)].into_iter().collect()).unwrap();
        (directory, manager, notifier)
    }

    #[test]
    fn states_reach_the_service_manager() {
        let (_directory, manager, notifier) = manager();
        notifier.ready("3 keys\nREADY=0").unwrap();
        assert_eq!(received(&manager), "READY=1\nSTATUS=3 keys READY=0");
        notifier.status("signing").unwrap();
        assert_eq!(received(&manager), "STATUS=signing");
        notifier.watchdog().unwrap();
        assert_eq!(received(&manager), "WATCHDOG=1");
        notifier.stopping("draining").unwrap();
        assert_eq!(received(&manager), "STOPPING=1\nSTATUS=draining");
    }

    #[test]
    fn a_long_start_asks_for_more_time() {
        let (_directory, manager, notifier) = manager();
        notifier.starting("3 of 9 keys\nREADY=1", Duration::from_secs(30)).unwrap();
        assert_eq!(received(&manager), "STATUS=3 of 9 keys READY=1\nEXTEND_TIMEOUT_USEC=30000000");
    }

    #[test]
    fn a_reload_carries_the_monotonic_time() {
        let (_directory, manager, notifier) = manager();
        let micros = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros();
        let before = micros();
        notifier.reloading().unwrap();
        let message = received(&manager);
        let told: u128 = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=micros()).contains(&told), "{message}");
    }

    #[test]
    fn a_stored_file_descriptor_is_the_same_file_at_the_other_end() {
        let (_directory, manager, notifier) = manager();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kept").unwrap();
        notifier.store("keys-memory", file.as_fd()).unwrap();

        let mut text = [0; 4096];
        let mut control = nix::cmsg_space!([i32; 1]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let message =
            recvmsg::<UnixAddr>(manager.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())
                .unwrap();
        let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
            panic!("no fd")
        };
        assert_eq!(fds.len(), 1);
        let length = message.bytes;
        let mut other_end = std::fs::File::open(format!("/proc/self/fd/{}", fds[0])).unwrap();
        nix::unistd::close(fds[0]).unwrap();
        assert_eq!(&text[..length], b"FDSTORE=1\nFDNAME=keys-memory\nFDPOLL=0");
        let mut kept = String::new();
        other_end.rewind().unwrap();
        other_end.read_to_string(&mut kept).unwrap();
        assert_eq!(kept, "kept");
    }

    #[test]
    fn an_abstract_socket_is_reached() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("bls-signer-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let environment: Environment = [("NOTIFY_SOCKET", format!("@{name}"))].into_iter().collect();
        Notifier::new(&environment).unwrap().status("x").unwrap();
        assert_eq!(received(&manager), "STATUS=x");
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        let notifier = Notifier::new(&Environment::default()).unwrap();
        notifier.ready("x").unwrap();
        notifier.reloading().unwrap();
        assert_eq!(notifier.watchdog_interval(), None);
    }

    #[test]
    fn a_service_manager_that_is_gone_is_an_error() {
        let (_directory, manager, notifier) = manager();
        drop(manager);
        assert_eq!(notifier.watchdog().unwrap_err().to_string(), "cannot feed the watchdog to systemd");
    }

    #[test]
    fn a_service_manager_that_does_not_listen_holds_nobody_and_hears_it_in_order_later() {
        let (directory, manager, notifier) = manager();
        let full = fill(&directory.path().join("notify"));
        let file = tempfile::tempfile().unwrap();
        notifier.store("keys-memory", file.as_fd()).unwrap();
        for keys in 0..100 {
            notifier.status(&format!("{keys} keys")).unwrap();
            notifier.watchdog().unwrap();
        }
        notifier.reloading().unwrap();
        notifier.ready("all keys").unwrap();
        notifier.settle();
        for _ in 0..full {
            assert_eq!(received(&manager), "X=1");
        }
        // What the sending thread had in hand already when the rest came is sent as it was.
        let told: Vec<_> = std::iter::repeat_with(|| received(&manager)).take(4).collect();
        assert!(told[0].starts_with("FDSTORE=1"), "{told:?}");
        assert_eq!(told[1], "WATCHDOG=1", "once: {told:?}");
        assert!(told[2].starts_with("RELOADING=1"), "{told:?}");
        assert_eq!(told[3], "READY=1\nSTATUS=all keys", "no status from before: {told:?}");
        notifier.stopping("soon").unwrap();
        assert_eq!(received(&manager), "STOPPING=1\nSTATUS=soon");
    }

    /// Fills the queue of the socket; says with how many messages.
    fn fill(path: &std::path::Path) -> usize {
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        std::iter::repeat_with(|| filler.send_to(b"X=1", path)).take_while(Result::is_ok).count()
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_is_meant_for() {
        let interval = |variables: &[(&str, &str)]| watchdog(&variables.iter().copied().collect(), 42);
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "42")]), second);
        assert_eq!(interval(&[("WATCHDOG_USEC", "1000000")]), second);
        assert_eq!(interval(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "43")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(interval(&[]), None);
    }
}
