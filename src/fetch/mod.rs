//! Listener for the fetcher: a process of another user, with a network, that brings keys from where operators keep
//! them.
//!
//! It is told apart by its user, as the kernel has it, and by nothing that it says. It can bring keys and take its own
//! away again, and can ask for nothing: no key, no history and no signature goes to it. What it says is in `protocol`.

mod connection;
mod lines;
mod protocol;

use std::convert::Infallible;
use std::io;
use std::os::unix::net;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};

use crate::signer::Signer;
use crate::sys::hardening::lower_priority;
use crate::text::chain;

/// The user that may bring keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchUser(u32);

impl FetchUser {
    /// The user of this name or number; without one the package's, where there is such a user, else our own.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn of(given: Option<&str>) -> Result<Self, NoFetchUser> {
        let uid = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid);
        let uid = match given {
            None => uid(PACKAGED_USER).unwrap_or_else(geteuid),
            Some(given) => match given.parse() {
                Ok(number) => Uid::from_raw(number),
                Err(_) => uid(given).ok_or_else(|| NoFetchUser(given.to_owned()))?,
            },
        };
        Ok(Self(uid.as_raw()))
    }
}

/// A name that no user has.
#[derive(Debug, thiserror::Error)]
#[error("fetch_user: there is no user '{}' here: name the one that bls-signer-fetch runs as", crate::text::Bounded(.0))]
pub(crate) struct NoFetchUser(String);

/// A thread that serves fetchers until this is dropped. The time that a delivery of thousands of keys takes is not
/// that of the threads on which those are answered who want signatures.
pub(crate) struct Listener {
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Takes connections from now on.
    ///
    /// # Errors
    /// The thread, or what it waits with, cannot be made.
    pub(crate) fn start(socket: net::UnixListener, user: FetchUser, signer: Arc<Signer>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = {
            let _within = runtime.enter();
            UnixListener::from_std(socket)?
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            lower_priority(NICE);
            runtime.block_on(async {
                tokio::select! {
                    never = listen(socket, user, signer) => match never {},
                    // Nothing is ever sent: the other end has gone.
                    _ = stopped => {}
                }
            });
            // Keys that are being opened are not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("fetch".into()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.take();
        // It ends with the step that it is at.
        self.thread.take().map(JoinHandle::join);
    }
}

async fn listen(socket: UnixListener, user: FetchUser, signer: Arc<Signer>) -> Infallible {
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut has_told = false;
    loop {
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Descriptors may have run out; then an accept that is tried at once fails as well.
                tracing::error!(error = chain(&error), "no connection of a fetcher can be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(stranger) = admit(&stream, user) {
            if !std::mem::replace(&mut has_told, true) {
                tracing::warn!("{stranger}; the next ones are not logged");
            }
            continue;
        }
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            tracing::warn!("{MOST_CONNECTIONS} connections of fetchers are open: one more is closed");
            continue;
        };
        let signer = Arc::clone(&signer);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection::serve(stream, &signer).await {
                tracing::error!(error = chain(&error), "a fetcher was sent away");
            }
        });
    }
}

fn admit(stream: &UnixStream, user: FetchUser) -> Result<(), Stranger> {
    let uid = stream.peer_cred().map_err(Stranger::Unknown)?.uid();
    if uid == user.0 { Ok(()) } else { Err(Stranger::Other { uid, wanted: user.0 }) }
}

/// A caller that may not bring keys.
#[derive(Debug, thiserror::Error)]
enum Stranger {
    #[error("the user of a caller at the fetch socket cannot be told")]
    Unknown(#[source] io::Error),
    #[error("user {uid} may not bring keys, only user {wanted} may (fetch_user): it is sent away")]
    Other { uid: u32, wanted: u32 },
}

const PACKAGED_USER: &str = "bls-signer-fetch";
/// A fetcher has one for each source.
const MOST_CONNECTIONS: usize = 64;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// As for the derivation of keys: behind signing, and not so far that a busy host never gets to it.
const NICE: i32 = 10;
