//! Messages on their way to the service manager.
//!
//! One that finds room in the service manager's socket is gone at once. The socket of one that is busy, as during a
//! long `daemon-reload`, takes some ten messages; from then on they wait here, and a thread sends them until none
//! waits.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::{Error, tell};

/// One datagram.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) subject: Subject,
    /// For errors: what the service manager could not be told.
    pub(super) what: &'static str,
    pub(super) text: String,
    pub(super) fd: Option<OwnedFd>,
}

/// What a message is about, and so which one that still waits it makes pointless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The status as it is now: the newest is enough.
    Status,
    /// Still alive: once is enough.
    Watchdog,
    /// A new phase of the process, which brings a status of its own.
    Phase,
    /// What must arrive as it is.
    Event,
}

impl Subject {
    fn makes_pointless(self, waiting: Self) -> bool {
        match self {
            Self::Status | Self::Phase => waiting == Self::Status,
            Self::Watchdog => waiting == Self::Watchdog,
            Self::Event => false,
        }
    }
}

/// The socket to the service manager and what waits for it.
#[derive(Debug)]
pub(super) struct Line {
    socket: OwnedFd,
    address: UnixAddr,
    outbox: Mutex<Outbox>,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Outbox {
    waiting: VecDeque<Message>,
    /// A thread sends what waits; it has one message in hand.
    sending: bool,
}

impl Line {
    pub(super) fn new(socket: OwnedFd, address: UnixAddr) -> Self {
        Self { socket, address, outbox: Mutex::default(), emptied: Condvar::new() }
    }

    /// Sends at once if there is room, else as soon as there is. Never waits.
    pub(super) fn send(self: &Arc<Self>, message: Message) -> Result<(), Error> {
        let mut outbox = self.lock();
        if !outbox.sending {
            match self.transmit(&message, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(Error { what: message.what, source: errno.into() }),
                Ok(()) => return Ok(()),
            }
        }
        outbox.waiting.retain(|waiting| !message.subject.makes_pointless(waiting.subject));
        if outbox.waiting.len() >= MOST_WAITING {
            let source = io::Error::new(io::ErrorKind::WouldBlock, "it has not listened for long");
            return Err(Error { what: message.what, source });
        }
        let what = message.what;
        outbox.waiting.push_back(message);
        if !outbox.sending {
            let line = Arc::clone(self);
            let sender = thread::Builder::new().name("notify".to_owned());
            sender.spawn(move || line.send_waiting()).map_err(|source| Error { what, source })?;
            outbox.sending = true;
        }
        Ok(())
    }

    /// Waits until nothing waits, and no longer than `patience`.
    pub(super) fn settle(&self, patience: Duration) {
        let waited = self.emptied.wait_timeout_while(self.lock(), patience, |outbox| outbox.sending);
        drop(waited);
    }

    fn send_waiting(&self) {
        while let Some(message) = self.next() {
            let sent = self.transmit(&message, MsgFlags::empty());
            tell(sent.map_err(|errno| Error { what: message.what, source: errno.into() }));
        }
    }

    fn next(&self) -> Option<Message> {
        let mut outbox = self.lock();
        let next = outbox.waiting.pop_front();
        if next.is_none() {
            outbox.sending = false;
            self.emptied.notify_all();
        }
        next
    }

    fn transmit(&self, message: &Message, flags: MsgFlags) -> nix::Result<()> {
        let fds = message.fd.as_ref().map(|fd| [fd.as_raw_fd()]);
        let rights = fds.as_ref().map(|fds| ControlMessage::ScmRights(fds));
        let text = [IoSlice::new(message.text.as_bytes())];
        let flags = flags | MsgFlags::MSG_NOSIGNAL;
        sendmsg(self.socket.as_raw_fd(), &text, rights.as_slice(), flags, Some(&self.address)).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // Only whole messages are ever in it.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than a start, some reloads and a stop have to say.
const MOST_WAITING: usize = 32;
