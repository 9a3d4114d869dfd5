//! Slashing protection: no signature leaves the process unless the record that forbids its contradiction is durable,
//! whatever is killed, unplugged, filled up or misused.
//!
//! Where to look: the decision is in `rules` (pure, one key) and `book` (all keys in memory); the order of events in
//! `writer` (one thread: judge, commit, clear); the bytes in `store` (SQLite). What callers see is here and in
//! `clearance`.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

mod book;
mod clearance;
mod interchange;
mod orders;
mod rules;
mod store;
mod writer;

#[cfg(test)]
#[allow(unreachable_pub)] // Shared with the black-box tests.
#[path = "../../tests/support/full_history.rs"]
mod full_history;

pub(crate) use self::book::{HighWatermark, RawRoots};
pub(crate) use self::clearance::{Cleared, Fault, Judged, Verdict};
pub(crate) use self::interchange::{Interchange, InterchangeError};
pub(crate) use self::orders::{
    Arrival, Arrived, Departed, Departure, Farewell, ImportRefusal, KeyStatus, ResealRefusal, Selection,
    Status,
};
pub(crate) use self::rules::Refusal;
pub(crate) use self::store::{Missing, OpenError, SealedKeystore, StoreError};
pub(crate) use self::writer::GenesisClock;

use self::book::Request;
use self::clearance::Commit;
use self::store::Store;
use self::writer::{Task, Writer};
use crate::duty::Claim;
use crate::permit::Permitted;
use crate::primitives::Root;

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
    /// The configured network's clock, where its genesis is known: then messages for slots more than two years ahead are
    /// refused, because signing one by mistake would lock the key until then.
    pub(crate) clock: Option<GenesisClock>,
    /// So many tasks may wait; more are turned away.
    pub(crate) queue: usize,
    /// A request that has waited longer before its judgement is turned away and not recorded.
    pub(crate) longest_wait: Duration,
    /// The write-ahead log is moved into the database when it is longer than this (in bytes) and nobody asks for a
    /// while; when it is four times as long, at once.
    pub(crate) log_limit: u64,
}

impl Settings {
    /// The defaults: the ledger must exist, 8192 requests may wait, 4 seconds at most.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            missing: Missing::Refuse,
            raw_roots: RawRoots::UnprotectedKeys,
            genesis_validators_root: None,
            clock: None,
            queue: 8_192,
            longest_wait: Duration::from_secs(4),
            log_limit: 1 << 20,
        }
    }
}

/// The slashing protection ledger, shared by all who sign. Dropping it waits for the last commit and closes the file.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// None: slashing protection is off.
    desk: Option<Desk>,
}

impl Ledger {
    /// Opens the ledger for this process alone, reads it to the end and starts its thread.
    pub(crate) fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_on(settings, None)
    }

    /// No slashing protection: everything is allowed, nothing recorded.
    pub(crate) fn off() -> Self {
        Self { desk: None }
    }

    /// Asks whether a permitted duty may be signed. Duties that cannot be slashed never wait.
    ///
    /// The request joins the queue when this is called, not when the answer is awaited.
    pub(crate) fn submit(
        &self,
        permitted: &Permitted,
    ) -> impl Future<Output = Result<Verdict, Fault>> + Send + use<> {
        self.submit_request(Request::from(permitted))
    }

    /// Asks for several duties at once. They are judged in order and share one commit; the answers come in the same
    /// order.
    pub(crate) fn submit_all(
        &self,
        permitted: &[Permitted],
    ) -> impl Future<Output = Result<Vec<Verdict>, Fault>> + Send + use<> {
        self.submit_requests(permitted.iter().map(Request::from).collect())
    }

    /// Resolves when everything asked before is done: a sign of life of the ledger's thread, for the watchdog.
    pub(crate) fn ping(&self) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        let answer = match &self.desk {
            Some(desk) => desk.ask(|answer| Task::Ping { answer }),
            None => Answer::Now(Ok(())),
        };
        answer.wait()
    }

    /// Whether slashing protection works.
    pub(crate) fn health(&self) -> Health {
        match &self.desk {
            None => Health::Off,
            Some(desk) => match &*desk.broken.borrow() {
                None => Health::Working,
                Some(cause) => Health::Broken(Arc::clone(cause)),
            },
        }
    }

    /// Resolves with the cause when the ledger breaks, which is for good: time to end the process.
    pub(crate) fn broken(&self) -> impl Future<Output = Arc<StoreError>> + Send + use<> {
        let broken = self.desk.as_ref().map(|desk| desk.broken.clone());
        async move {
            if let Some(mut broken) = broken {
                if let Ok(Some(cause)) = broken.wait_for(Option::is_some).await.as_deref() {
                    return Arc::clone(cause);
                }
            }
            std::future::pending().await
        }
    }

    fn submit_request(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Verdict, Fault>> + Send + use<> {
        let answer = match &self.desk {
            Some(desk) if !needs_no_record(&request) => {
                desk.ask(|answer| Task::Judge { request, arrived: Instant::now(), answer })
            }
            Some(_) | None => Answer::Now(Ok(allowed(&request))),
        };
        answer.wait()
    }

    fn submit_requests(
        &self,
        requests: Vec<Request>,
    ) -> impl Future<Output = Result<Vec<Verdict>, Fault>> + Send + use<> {
        let answer = match &self.desk {
            Some(desk) if !requests.iter().all(needs_no_record) => {
                desk.ask(|answer| Task::JudgeAll { requests, arrived: Instant::now(), answer })
            }
            Some(_) | None => Answer::Now(Ok(requests.iter().map(allowed).collect())),
        };
        answer.wait()
    }

    fn open_on(settings: Settings, vfs: Option<&str>) -> Result<Self, OpenError> {
        let (store, mut book) = Store::open(&settings.directory, settings.missing, vfs)?;
        if let Some(configured) = settings.genesis_validators_root {
            match book.pin_chain(configured) {
                Ok(()) => {}
                Err(pinned) => {
                    return Err(OpenError::OtherChain { path: settings.directory, pinned, configured });
                }
            }
        }
        let (sender, queue) = mpsc::channel(settings.queue.max(1));
        let (broken_sender, broken) = watch::channel(None);
        let timer =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(OpenError::Thread)?;
        let writer = Writer {
            book,
            store,
            raw_roots: settings.raw_roots,
            longest_wait: settings.longest_wait,
            log_limit: settings.log_limit,
            timer,
            clock: settings.clock,
            broken: broken_sender,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::Thread)?;
        Ok(Self { desk: Some(Desk { sender: Some(sender), broken, thread: Some(thread) }) })
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

/// The near end of the writer's queue.
#[derive(Debug)]
struct Desk {
    /// Always there; taken when the ledger is dropped.
    sender: Option<mpsc::Sender<Task>>,
    broken: watch::Receiver<Option<Arc<StoreError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// One whose queue nobody serves.
    #[cfg(test)]
    fn unserved(queue: usize) -> (Self, mpsc::Receiver<Task>) {
        let (sender, receiver) = mpsc::channel(queue);
        (Self { sender: Some(sender), broken: watch::channel(None).1, thread: None }, receiver)
    }

    fn ask<T>(&self, task: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Task) -> Answer<T> {
        if let Some(cause) = &*self.broken.borrow() {
            return Answer::Now(Err(Fault::Broken(Arc::clone(cause))));
        }
        let Some(sender) = &self.sender else { return Answer::Now(Err(Fault::Stopped)) };
        let (answer, receiver) = oneshot::channel();
        match sender.try_send(task(answer)) {
            Ok(()) => Answer::Later(receiver, self.broken.clone()),
            Err(mpsc::error::TrySendError::Full(_)) => Answer::Now(Err(Fault::QueueFull)),
            Err(mpsc::error::TrySendError::Closed(_)) => Answer::Now(Err(Fault::Stopped)),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported by its hook; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

/// An answer that is here, or one to wait for.
enum Answer<T> {
    Now(Result<T, Fault>),
    /// With the ledger's state, which tells why an answer never came.
    Later(oneshot::Receiver<Result<T, Fault>>, watch::Receiver<Option<Arc<StoreError>>>),
}

impl<T> Answer<T> {
    async fn wait(self) -> Result<T, Fault> {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer, broken) => answer.await.unwrap_or_else(|_| {
                let cause = broken.borrow().clone();
                Err(cause.map_or(Fault::Stopped, Fault::Broken))
            }),
        }
    }
}

fn needs_no_record(request: &Request) -> bool {
    match request.claim {
        Claim::Unslashable => true,
        Claim::Block { .. } | Claim::Attestation { .. } | Claim::RawRoot => false,
    }
}

fn allowed(request: &Request) -> Verdict {
    Verdict::Allowed(Judged::new(request, Commit::Durable))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::large_enum_variant)]
mod tests;
