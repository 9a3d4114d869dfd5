//! Slashing protection: no signature leaves the process unless the record that forbids its contradiction is durable,
//! whatever is killed, unplugged, filled up or misused.
//!
//! Where to look: the decision is in `rules` (pure, one key) and `book` (all keys in memory, a `page` each); requests are
//! judged at the `desk`; one `writer` thread commits, and the `line` leads to it; the bytes are in `store` (SQLite). What
//! callers see is here and in `clearance`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::RwLock;
use tokio::task::spawn_blocking;

mod attention;
mod book;
mod clearance;
mod desk;
mod horizon;
mod interchange;
mod line;
mod office;
mod opened;
mod orders;
mod page;
mod pages;
mod policy;
mod refusal;
mod rules;
mod store;
mod writer;

#[cfg(test)]
#[allow(unreachable_pub)] // Shared with the black-box tests.
#[path = "../../tests/support/full_history.rs"]
mod full_history;

pub(crate) use self::attention::{Attention, KeyNames};
pub(crate) use self::book::HighWatermark;
pub(crate) use self::clearance::{Cleared, Fault, Judged, Verdict};
pub(crate) use self::horizon::GenesisClock;
pub(crate) use self::interchange::{Interchange, InterchangeError};
pub(crate) use self::line::Haste;
pub(crate) use self::opened::Opened;
pub(crate) use self::orders::{
    Activation, ActivationOutcome, Deletion, DeletionReport, DeletionStatus, Exported, ImportRefusal,
    Imported, KeyStatus, Raised, ResealRefusal, Selection, Status,
};
pub(crate) use self::policy::RawRoots;
pub(crate) use self::refusal::Refusal;
pub(crate) use self::store::{
    DirectoryId, Missing, OpenError, SealedKeystore, StoreError, is_held, is_in, is_older,
};

use self::book::{Book, Request};
use self::desk::Desk;
use self::line::{Line, Task};
use self::store::{Contents, Store};
use self::writer::Writer;
use crate::duty::Claim;
use crate::primitives::Root;
use crate::signing_policy::Permitted;

/// How to open the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The state directory; the file in it is `ledger.sqlite`.
    pub(crate) directory: PathBuf,
    /// What to do when there is no ledger yet.
    pub(crate) missing: Missing,
    /// When raw roots are signed.
    pub(crate) raw_roots: RawRoots,
    /// The configured network's genesis validators root. Without one, the first request or import pins it.
    pub(crate) genesis_validators_root: Option<Root>,
    /// The configured network's clock, where its genesis is known.
    pub(crate) clock: Option<GenesisClock>,
    /// Whether messages for slots more than two years ahead are refused, because signing one by mistake would lock the
    /// key until then. Nothing is where there is no clock.
    pub(crate) refuse_far_future: bool,
    /// So many requests and orders may wait; more are turned away.
    pub(crate) queue: usize,
    /// A request that has waited longer is a fault. While a commit takes unduly long nothing is judged, so that what
    /// waits for it is not recorded.
    pub(crate) longest_wait: Duration,
    /// The write-ahead log is moved into the database and emptied when it is longer than this (in bytes).
    pub(crate) log_limit: u64,
    /// It is moved and written over from its beginning when it has so many commits and nobody asks for a while.
    pub(crate) log_commits: usize,
    /// How long that while is.
    pub(crate) quiet: Duration,
}

impl Settings {
    /// The defaults: the ledger must exist, 8192 requests may wait, [`LONGEST_WAIT`] at most.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            missing: Missing::Refuse,
            raw_roots: RawRoots::UnprotectedKeys,
            genesis_validators_root: None,
            clock: None,
            refuse_far_future: true,
            queue: 8_192,
            longest_wait: LONGEST_WAIT,
            log_limit: 2 << 20,
            log_commits: 50,
            quiet: Duration::from_millis(200),
        }
    }
}

/// The slashing protection ledger, shared by all who sign. Dropping it waits for the last commit and closes the file.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// None: slashing protection is off.
    desk: Option<Desk>,
    opened: Option<Opened>,
}

impl Ledger {
    /// Opens the ledger for this process alone, reads it to the end and starts its thread.
    pub(crate) fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_on(settings, None)
    }

    /// No slashing protection: everything is allowed, nothing recorded.
    pub(crate) fn off() -> Self {
        Self { desk: None, opened: None }
    }

    /// Which ledger was opened: its path, its number, its age. None if slashing protection is off.
    pub(crate) fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// Asks whether a permitted duty may be signed. Duties that cannot be slashed never wait.
    pub(crate) async fn submit(&self, permitted: &Permitted) -> Result<Verdict, Fault> {
        self.judge(&Request::from(permitted)).await
    }

    /// Asks for several duties at once. They are judged in order and share one commit; the answers come in the same
    /// order.
    pub(crate) async fn submit_all(&self, permitted: &[Permitted]) -> Result<Vec<Verdict>, Fault> {
        self.judge_all(&permitted.iter().map(Request::from).collect::<Vec<_>>()).await
    }

    /// Resolves when everything judged before is durable: a sign of life of the ledger's thread, for the watchdog.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        match &self.desk {
            Some(desk) => desk.send(Task::Ping)?.wait().await,
            None => Ok(()),
        }
    }

    /// Where this signer was told to stop.
    pub(crate) async fn high_watermark(&self) -> Result<HighWatermark, Fault> {
        match &self.desk {
            Some(desk) => desk.high_watermark().await,
            None => Err(Fault::Off),
        }
    }

    /// What to call when the cores have nothing to do: records that were wanted soon are made at once then.
    pub(crate) fn hurry(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let line = self.desk.as_ref().map(|desk| Arc::clone(desk.line()));
        move || line.iter().for_each(|line| line.hurry())
    }

    /// Whether a new process could open the ledger, as far as its disk goes.
    ///
    /// # Errors
    /// The disk takes no writes, or has no room for what a start writes.
    pub(crate) async fn can_be_opened_again(&self) -> io::Result<()> {
        let Some(desk) = &self.desk else { return Ok(()) };
        let directory = desk.directory().to_owned();
        spawn_blocking(move || store::try_room(&directory)).await.unwrap_or_else(|error| Err(error.into()))
    }

    /// Whether slashing protection works.
    pub(crate) fn health(&self) -> Health {
        match &self.desk {
            None => Health::Off,
            Some(desk) => desk.line().cause().map_or(Health::Working, Health::Broken),
        }
    }

    /// Which keys need an operator. Known also while an order runs or the disk hangs, and when the ledger is broken.
    pub(crate) fn attention(&self) -> Attention {
        self.desk.as_ref().map(Desk::attention).unwrap_or_default()
    }

    /// Resolves with the cause when the ledger breaks, which is for good: time to end the process.
    pub(crate) fn broken(&self) -> impl Future<Output = Arc<StoreError>> + Send + use<> {
        let broken = self.desk.as_ref().map(|desk| desk.line().broken());
        async move {
            if let Some(broken) = broken {
                if let Some(cause) = broken.await {
                    return cause;
                }
            }
            std::future::pending().await
        }
    }

    async fn judge(&self, request: &Request) -> Result<Verdict, Fault> {
        match &self.desk {
            Some(desk) if needs_no_record(request) => Ok(desk.unrecorded(request)),
            Some(desk) => desk.judge(request).await,
            None => Ok(allowed(request)),
        }
    }

    async fn judge_all(&self, requests: &[Request]) -> Result<Vec<Verdict>, Fault> {
        match &self.desk {
            Some(desk) if requests.iter().all(needs_no_record) => {
                Ok(requests.iter().map(|request| desk.unrecorded(request)).collect())
            }
            Some(desk) => desk.judge_all(requests).await,
            None => Ok(requests.iter().map(allowed).collect()),
        }
    }

    fn open_on(settings: Settings, vfs: Option<&str>) -> Result<Self, OpenError> {
        let (store, contents) = Store::open(&settings.directory, settings.missing, vfs)?;
        let Contents { head, entries, identity, is_new, directory, path } = contents;
        let opened = Opened::new(path, directory, identity, is_new, entries.len(), SystemTime::now());
        let (book, changes) = Book::saved(head, entries, settings.genesis_validators_root).map_err(
            |book::OtherChain { pinned, configured }| {
                let path = settings.directory.clone();
                OpenError::OtherChain { path, pinned, configured }
            },
        )?;
        let (pages, chain) = (Arc::clone(book.pages()), Arc::clone(book.pinned_chain()));
        let book = Arc::new(RwLock::new(book));
        let (line, far_end) = Line::new();
        let writer = Writer {
            book: Arc::clone(&book),
            changes,
            store,
            line: Arc::clone(&line),
            far_end,
            log_limit: settings.log_limit,
            log_commits: settings.log_commits,
            quiet: settings.quiet,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        Ok(Self { desk: Some(Desk::new(&settings, book, pages, chain, line, thread)), opened: Some(opened) })
    }
}

/// Whether slashing protection works, for the health route.
#[derive(Clone, Debug)]
pub(crate) enum Health {
    /// It does.
    Working,
    /// Switched off by configuration.
    Off,
    /// It broke; blocks and attestations are not signed until a restart.
    Broken(Arc<StoreError>),
}

/// A vote is due a third of a slot into it, four seconds before the aggregates: later it is of little use.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(4);

fn needs_no_record(request: &Request) -> bool {
    match request.claim {
        Claim::Unslashable => true,
        Claim::Block { .. } | Claim::Attestation { .. } | Claim::RawRoot => false,
    }
}

fn allowed(request: &Request) -> Verdict {
    Verdict::Allowed(Judged::unrecorded(request))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::large_enum_variant)]
mod tests;
