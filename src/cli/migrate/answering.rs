//! Whether the old signer still answers: two that hold the same keys are how validators get slashed.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// What became of a look at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    /// Nobody answers there.
    Nobody { address: String },
    /// Somebody does; whether it says `OK` to `/upcheck` is told for whoever looks for it.
    Somebody { address: String, is_up: bool },
}

/// Looks whether anybody takes a connection there. TLS or not: whoever listens where the old signer did may be it.
pub(super) fn look(address: &str) -> Answering {
    let nobody = || Answering::Nobody { address: address.to_owned() };
    let Ok(addresses) = address.to_socket_addrs() else { return nobody() };
    for resolved in addresses.map(reachable) {
        let Ok(mut stream) = TcpStream::connect_timeout(&resolved, PATIENCE) else { continue };
        let is_up = asked(&mut stream, address).is_ok_and(|answer| is_up(&answer));
        return Answering::Somebody { address: address.to_owned(), is_up };
    }
    nobody()
}

/// What listens on every address is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

fn asked(stream: &mut TcpStream, host: &str) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /upcheck HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}

fn is_up(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"OK")
}

impl fmt::Display for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody { address } => write!(f, "nobody answers at {address}"),
            Self::Somebody { address, is_up: true } => write!(f, "a signer answers at {address}"),
            Self::Somebody { address, is_up: false } => write!(f, "somebody answers at {address}"),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_ANSWER_BYTES: u64 = 4_096;
