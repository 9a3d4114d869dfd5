//! Proxy in front of a PostgreSQL server that counts statements about attestations and round trips.

use std::io::{Read, Write};
use std::ops::Add;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked since the count began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Statements that judge attestations.
    pub batches: u64,
    /// So often something was sent while nothing was owed.
    pub round_trips: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { batches: self.batches + other.batches, round_trips: self.round_trips + other.round_trips }
    }
}

/// A socket in a directory that leads to a server's.
pub struct Proxy {
    counts: Arc<Mutex<Counts>>,
}

impl Proxy {
    /// `directory`: where its socket is made; `server`: where the server's is.
    pub fn start(directory: &Path, server: &Path) -> Self {
        let listener = UnixListener::bind(directory.join(SOCKET)).unwrap();
        let (counts, server) = (Arc::new(Mutex::new(Counts::default())), server.join(SOCKET));
        let counted = Arc::clone(&counts);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                serve(client, server, &counted);
            }
        });
        Self { counts }
    }

    /// What was asked while something is done.
    pub fn count(&self, meanwhile: impl FnOnce()) -> Counts {
        *self.counts.lock().unwrap() = Counts::default();
        meanwhile();
        *self.counts.lock().unwrap()
    }
}

fn serve(client: UnixStream, server: UnixStream, counts: &Arc<Mutex<Counts>>) {
    let owed = Arc::new(Mutex::new(0_u64));
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (counts, owes) = (Arc::clone(counts), Arc::clone(&owed));
    let mut is_greeted = false;
    thread::spawn(move || {
        forward(from_client, to_server, |received| {
            let (mut syncs, mut batches, mut at) = (0, 0, 0);
            // The first message has no kind.
            if !is_greeted && received.len() >= 4 {
                at = length(received);
                is_greeted = true;
            }
            while let Some(message) = message(&received[at.min(received.len())..]) {
                syncs += u64::from(message[0] == b'S');
                batches += u64::from(message[0] == b'B' && parameters(message) == VOTE_PARAMETERS);
                at += message.len();
            }
            let mut owed = owes.lock().unwrap();
            let mut counts = counts.lock().unwrap();
            counts.round_trips += u64::from(syncs > 0 && *owed == 0);
            counts.batches += batches;
            *owed += syncs;
            at
        });
    });
    thread::spawn(move || {
        forward(server, client, |received| {
            let mut at = 0;
            while let Some(message) = message(&received[at..]) {
                let mut owed = owed.lock().unwrap();
                *owed = owed.saturating_sub(u64::from(message[0] == b'Z'));
                at += message.len();
            }
            at
        });
    });
}

/// `look` sees what was not looked at yet, and says how much of it was whole messages.
fn forward(mut from: UnixStream, mut to: UnixStream, mut look: impl FnMut(&[u8]) -> usize) {
    let (mut piece, mut unseen) = (vec![0; 1 << 16], Vec::new());
    while let Ok(count @ 1..) = from.read(&mut piece) {
        unseen.extend_from_slice(&piece[..count]);
        let seen = look(&unseen).min(unseen.len());
        unseen.drain(..seen);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// The first whole message.
fn message(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(1..5).map(length)?;
    bytes.get(..length + 1)
}

fn length(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// How many parameters a Bind message has: behind two names and the formats.
fn parameters(message: &[u8]) -> usize {
    let mut rest = &message[5..];
    for _ in 0..2 {
        let end = rest.iter().position(|&byte| byte == 0).unwrap();
        rest = &rest[end + 1..];
    }
    let number = |bytes: &[u8]| usize::from(u16::from_be_bytes(bytes[..2].try_into().unwrap()));
    number(&rest[2 + 2 * number(rest)..])
}

const SOCKET: &str = ".s.PGSQL.5432";
/// Of `attest.sql`, and of no other statement of a daemon that signs.
const VOTE_PARAMETERS: usize = 6;
