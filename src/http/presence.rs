//! Presence of the client whose request is being answered, for work that is begun only while somebody waits for it.
//!
//! HTTP/1 does not tell a client that has gone from one that has said all and waits for its answer, but the socket
//! does: gone is who has closed both directions (poll(2), `POLLHUP`). Over TCP both look the same at first; the
//! kernel's keepalive probes then find out, as the host of a process that has gone refuses them after a minute.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

/// The socket of a connection under a descriptor of its own, apart from who reads and writes it.
#[derive(Default)]
pub(crate) struct ClientSocket(Option<Arc<OwnedFd>>);

impl ClientSocket {
    /// Where no descriptor is left, nobody is missed.
    pub(super) fn of(stream: &impl AsFd) -> Self {
        Self(stream.as_fd().try_clone_to_owned().ok().map(Arc::new))
    }

    /// For a request that comes on this connection: its client is present while the first is held, at most.
    pub(crate) fn expect_answer(&self) -> (ExpectedAnswer, Presence) {
        let answer = ExpectedAnswer(Arc::new(()));
        let presence =
            Presence { answer: Arc::downgrade(&answer.0), socket: self.0.as_ref().map(Arc::downgrade) };
        (answer, presence)
    }
}

/// Held by whoever makes an answer for a client; dropped with a request that its client has reset.
pub(crate) struct ExpectedAnswer(Arc<()>);

/// Whether a client still waits for its answer. Keeps no connection open.
pub(crate) struct Presence {
    answer: Weak<()>,
    socket: Option<Weak<OwnedFd>>,
}

impl Presence {
    /// As far as it can be told.
    pub(crate) fn is_there(&self) -> bool {
        if self.answer.strong_count() == 0 {
            return false;
        }
        match &self.socket {
            None => true,
            Some(socket) => socket.upgrade().is_some_and(|socket| !is_hung_up(&socket)),
        }
    }
}

fn is_hung_up(socket: &OwnedFd) -> bool {
    // What was not asked for is told all the same: an error and the end of both directions.
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let answered = poll(&mut polled, PollTimeout::ZERO);
    answered.is_ok_and(|sockets| sockets > 0)
}

/// Lets the kernel ask the other host of an idle TCP connection whether it still knows it.
pub(super) fn probe_when_idle(stream: &impl AsFd) -> nix::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &PROBE_INTERVAL_SECONDS)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &PROBE_INTERVAL_SECONDS)?;
    setsockopt(stream, sockopt::TcpKeepCount, &MAX_UNANSWERED_PROBES)
}

const PROBE_INTERVAL_SECONDS: u32 = 30;
const MAX_UNANSWERED_PROBES: u32 = 4;

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_that_has_said_all_is_there_and_one_that_has_closed_is_gone() {
        let (client, server) = UnixStream::pair().unwrap();
        let socket = ClientSocket::of(&server);
        let (_answer, presence) = socket.expect_answer();
        assert!(presence.is_there());
        client.shutdown(Shutdown::Write).unwrap();
        assert!(presence.is_there());
        drop(client);
        assert!(!presence.is_there());
    }

    #[test]
    fn a_tcp_client_that_breaks_off_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        probe_when_idle(&server).unwrap();
        let socket = ClientSocket::of(&server);
        let (_answer, presence) = socket.expect_answer();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(presence.is_there());
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&client, sockopt::Linger, &linger).unwrap();
        drop(client);
        while presence.is_there() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn nobody_waits_for_the_answer_to_a_request_that_was_reset_or_on_a_connection_that_has_ended() {
        let (_client, server) = UnixStream::pair().unwrap();
        let socket = ClientSocket::of(&server);
        let (answer, presence) = socket.expect_answer();
        let (_other_answer, other) = socket.expect_answer();
        drop(answer);
        assert!(!presence.is_there());
        assert!(other.is_there());
        drop(socket);
        assert!(!other.is_there());
    }

    #[test]
    fn a_client_that_cannot_be_watched_is_there_until_its_request_ends() {
        let (answer, presence) = ClientSocket::default().expect_answer();
        assert!(presence.is_there());
        drop(answer);
        assert!(!presence.is_there());
    }
}
