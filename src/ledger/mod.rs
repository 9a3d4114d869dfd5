//! Slashing protection: no signature leaves the process unless the record that forbids its contradiction is durable,
//! whatever is killed, unplugged, filled up or misused.
//!
//! Where to look: the decision is in `rules` (pure, one key) and `watermarks` (all keys in memory, a `row` each);
//! `judge` asks them for each request; one `writer` thread commits what the `commit_queue` brings; the bytes are in
//! `sqlite`. Of administration, `order` has the values, `admin` the methods that callers use, and `transaction` what
//! each order does to the watermarks (a history is merged there); `interchange` reads and writes the file of a history.
//! What callers see is here and in `clearance`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::RwLock;
use tokio::task::spawn_blocking;

mod admin;
mod anchor;
mod attention;
mod backup;
mod clearance;
mod commit_queue;
mod counter;
mod far_future;
mod fault;
mod interchange;
mod judge;
mod of_key;
mod opened;
mod order;
mod policy;
pub(crate) mod postgres;
mod protection;
mod refusal;
mod row;
mod row_table;
mod rule_name;
mod rules;
mod second_counts;
mod second_judge;
mod shared_order;
mod sqlite;
mod transaction;
mod unproven;
mod watermarks;
mod writer;

#[cfg(test)]
#[allow(unreachable_pub)] // Shared with the black-box tests.
#[path = "../../tests/support/full_history.rs"]
mod full_history;

pub(crate) use self::attention::{Attention, KeyNames};
pub(crate) use self::backup::{Backup, Restoration, RestoreRefusal};
pub(crate) use self::clearance::{Cleared, Judged, Verdict, Withheld};
pub(crate) use self::commit_queue::{CommitCounts, SyncWhen};
pub(crate) use self::counter::{CounterChange, Counting, ShownCounter};
pub(crate) use self::fault::Fault;
pub(crate) use self::interchange::{Interchange, InterchangeError};
pub(crate) use self::of_key::OfKey;
pub(crate) use self::opened::Opened;
pub(crate) use self::order::{
    Activated, Activation, ActivationOutcome, DeletionReport, DeletionStatus, Exported, Foresight,
    ImportRefusal, Imported, KeyStatus, OutOfUse, Past, Raised, ResealRefusal, Selection, Status,
};
pub(crate) use self::protection::{Protection, Unprotected};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::rule_name::Rule;
pub(crate) use self::second_counts::SecondCounts;
pub(crate) use self::second_judge::{SecondJudge, Silence};
#[cfg(feature = "fuzz-internals")]
pub(crate) use self::sqlite::log_damage;
pub(crate) use self::sqlite::{
    DirectoryId, FileSystems, KeptSource, Loss, Missing, OpenError, SealedKeystore, StoreError, is_held,
    is_in, is_older, mark_unproven,
};
pub(crate) use self::unproven::{Lifted, NoPresent, Unproven};
pub(crate) use self::watermarks::HighWatermark;

use self::commit_queue::{CommitQueue, Task};
use self::judge::LocalJudge;
use self::shared_order::SharedRecords;
use self::sqlite::{Contents, Identity, Store};
use self::watermarks::{Request, Watermarks};
use self::writer::Writer;
use crate::deadline::Deadline;
use crate::duty::Claim;
use crate::network::GenesisClock;
use crate::primitives::Root;
use crate::raw_roots::RawRoots;
use crate::signing_policy::Permitted;

/// How to open the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The state directory; the file in it is `ledger.sqlite`.
    pub(crate) directory: PathBuf,
    /// What to do when there is no ledger yet.
    pub(crate) missing: Missing,
    /// What to do about a ledger that lacks commits that it has had.
    pub(crate) loss: Loss,
    /// What to do about a ledger that nothing shows to be the newest.
    pub(crate) unproven: Unproven,
    /// The directories of the ledger's anchors, outside of the state directory: one in memory, one on a disk. Without
    /// any nothing notices that an older copy has taken the ledger's place.
    pub(crate) anchors: Vec<PathBuf>,
    /// What counts the ledger's sessions outside of all disks.
    pub(crate) counting: Counting,
    /// What the state directory may lie on.
    pub(crate) file_systems: FileSystems,
    /// When raw roots are signed.
    pub(crate) raw_roots: RawRoots,
    /// The configured network's genesis validators root. Without one, the first request or import pins it.
    pub(crate) genesis_validators_root: Option<Root>,
    /// The configured network's clock, where its genesis is known.
    pub(crate) clock: Option<GenesisClock>,
    /// Whether messages for slots more than two years ahead are refused, because signing one by mistake would lock the
    /// key until then. Nothing is where there is no clock.
    pub(crate) refuse_far_future: bool,
    /// Who has to agree to all that is signed and protected, beside this ledger.
    pub(crate) second_judge: Option<Arc<dyn SecondJudge>>,
    /// So many requests and orders may wait; more are turned away.
    pub(crate) queue: usize,
    /// How long an order waits for a second judge, and whoever looks for the ledger.
    pub(crate) order_timeout: Duration,
    /// The write-ahead log is moved into the database and emptied when it is longer than this (in bytes).
    pub(crate) wal_limit_bytes: u64,
    /// It is moved and written over from its beginning when it has so many commits and nobody asks for a while.
    pub(crate) wal_limit_commits: usize,
    /// How long that while is.
    pub(crate) quiet: Duration,
}

impl Settings {
    /// The defaults: the ledger must exist, 8192 requests may wait.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            missing: Missing::Refuse,
            loss: Loss::Refuse,
            unproven: Unproven::Lift,
            anchors: Vec::new(),
            counting: Counting::Off,
            file_systems: FileSystems::Any,
            raw_roots: RawRoots::UnprotectedKeys,
            genesis_validators_root: None,
            clock: None,
            refuse_far_future: true,
            second_judge: None,
            queue: 8_192,
            order_timeout: Duration::from_secs(4),
            wal_limit_bytes: 2 << 20,
            wal_limit_commits: 50,
            quiet: Duration::from_millis(200),
        }
    }
}

/// The slashing protection ledger, shared by all who sign. Dropping it waits for the last commit and closes the file.
#[derive(Debug)]
pub(crate) struct Ledger {
    judge: LocalJudge,
    opened: Opened,
}

impl Ledger {
    /// Opens the ledger for this process alone, reads it to the end and starts its thread.
    pub(crate) fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_on(settings, None)
    }

    /// Which ledger was opened: its path, its number, its age.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Asks whether a permitted duty may be signed. Duties that cannot be slashed never wait. While a commit takes
    /// unduly long nothing is judged, so that what waits for it until its deadline is not recorded.
    pub(crate) async fn submit<K: OfKey>(
        &self,
        permitted: Permitted<'_, K>,
        deadline: Deadline,
    ) -> Result<Verdict<K>, Fault> {
        let verdict = self.judge_until(&Request::from(&permitted), deadline).await?;
        Ok(verdict.for_key(permitted.into_key()))
    }

    /// Asks for several duties at once. They are judged in order and share one commit; the answers come in the same
    /// order.
    pub(crate) async fn submit_all<K: OfKey>(
        &self,
        permitted: Vec<Permitted<'_, K>>,
        deadline: Deadline,
    ) -> Result<Vec<Verdict<K>>, Fault> {
        let requests: Vec<_> = permitted.iter().map(Request::from).collect();
        let verdicts = self.judge_all_until(&requests, deadline).await?.into_iter().zip(permitted);
        Ok(verdicts.map(|(verdict, permitted)| verdict.for_key(permitted.into_key())).collect())
    }

    /// Resolves when everything judged before is durable: a sign of life of the ledger's thread, for the watchdog.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        self.judge.send(Task::Ping)?.wait().await
    }

    /// Has the session counted before there is anything to put on record, so that no signature waits for that.
    pub(crate) async fn count(&self) -> Result<(), Fault> {
        self.judge.send(Task::Count)?.wait().await
    }

    /// Waits for the last commit and closes the file, as a drop does where nobody else holds the ledger any more.
    pub(crate) fn close(&self) {
        self.judge.close();
    }

    /// Where this signer was told to stop.
    pub(crate) async fn high_watermark(&self) -> Result<HighWatermark, Fault> {
        if self.judge.second_judge().is_some() {
            // Another host may have set it.
            let status = self.status(Selection::Only(HashSet::new()));
            if let Ok(status) = self.judge.order_deadline().limit(status).await {
                return Ok(status?.high_watermark);
            }
            // The disk here hangs, so what is known in memory has to do.
        }
        self.judge.high_watermark().await
    }

    /// What to call when the cores have nothing to do: records that were wanted soon are made at once then.
    pub(crate) fn hurry(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let queue = Arc::clone(self.judge.queue());
        move || queue.hurry()
    }

    /// What is counted of commits since the start.
    pub(crate) fn commits(&self) -> &CommitCounts {
        &self.judge.queue().counts
    }

    /// What is counted of a second judge; none where there is none.
    pub(crate) fn shared_counts(&self) -> Option<&SecondCounts> {
        self.judge.second_judge().map(|second_judge| second_judge.counts())
    }

    /// How many records wait for the next commit.
    pub(crate) fn waiting_records(&self) -> usize {
        self.judge.queue().waiting_records()
    }

    /// Whether a new process could open the ledger, as far as its disk goes.
    ///
    /// # Errors
    /// The disk takes no writes, or has no room for what a start writes.
    pub(crate) async fn can_be_opened_again(&self) -> io::Result<()> {
        let directory = self.judge.directory().to_owned();
        spawn_blocking(move || sqlite::check_free_space(&directory))
            .await
            .unwrap_or_else(|error| Err(error.into()))
    }

    /// Whether slashing protection works.
    pub(crate) fn health(&self) -> Health {
        match (self.judge.queue().cause(), self.judge.long_silence()) {
            (Some(cause), _) => Health::Broken(cause),
            (None, Some(silence)) => Health::SecondJudgeAway(silence),
            (None, None) => Health::Working,
        }
    }

    /// Which keys need an operator. Known also while an order runs or the disk hangs, and when the ledger is broken.
    pub(crate) fn attention(&self) -> Attention {
        self.judge.attention()
    }

    /// Resolves with the cause when the ledger breaks, which is for good: time to end the process.
    pub(crate) fn broken(&self) -> impl Future<Output = Arc<StoreError>> + Send + use<> {
        let broken = self.judge.queue().broken();
        async move {
            match broken.await {
                Some(cause) => cause,
                None => std::future::pending().await,
            }
        }
    }

    async fn judge_until(&self, request: &Request, deadline: Deadline) -> Result<Verdict, Fault> {
        if needs_no_record(request) {
            return Ok(self.judge.unrecorded(request));
        }
        self.judge.judge(request, deadline).await
    }

    async fn judge_all_until(&self, requests: &[Request], deadline: Deadline) -> Result<Vec<Verdict>, Fault> {
        if requests.iter().all(needs_no_record) {
            return Ok(requests.iter().map(|request| self.judge.unrecorded(request)).collect());
        }
        self.judge.judge_all(requests, deadline).await
    }

    /// For tests, which wait as long as an order does.
    #[cfg(test)]
    async fn judge(&self, request: &Request) -> Result<Verdict, Fault> {
        self.judge_until(request, self.judge.order_deadline()).await
    }

    #[cfg(test)]
    async fn judge_all(&self, requests: &[Request]) -> Result<Vec<Verdict>, Fault> {
        self.judge_all_until(requests, self.judge.order_deadline()).await
    }

    fn open_on(settings: Settings, vfs: Option<&str>) -> Result<Self, OpenError> {
        let (store, contents) = Store::open(&settings, vfs)?;
        let Contents { head, entries, identity, is_new, directory, path, floor, doubt, lifted, counter } =
            contents;
        let known = settings.second_judge.as_ref().map(|_| SharedRecords::all(head, &entries));
        let Identity { id, created } = identity;
        let (keys, now) = (entries.len(), SystemTime::now());
        let opened = Opened { path, directory, id, created, is_new, keys, doubt, lifted, counter, now };
        let (watermarks, changes) = Watermarks::saved(head, entries, floor, settings.genesis_validators_root)
            .map_err(|watermarks::OtherChain { pinned, configured }| {
                let path = settings.directory.clone();
                OpenError::OtherChain { path, pinned, configured }
            })?;
        let (rows, chain) = (Arc::clone(watermarks.rows()), Arc::clone(watermarks.pinned_chain()));
        let watermarks = Arc::new(RwLock::new(watermarks));
        let (queue, writer_end) = CommitQueue::new();
        let writer = Writer {
            watermarks: Arc::clone(&watermarks),
            changes,
            store,
            queue: Arc::clone(&queue),
            writer_end,
            wal_limit_bytes: settings.wal_limit_bytes,
            wal_limit_commits: settings.wal_limit_commits,
            quiet: settings.quiet,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let ledger =
            Self { judge: LocalJudge::new(&settings, watermarks, rows, chain, queue, thread), opened };
        if let Some(known) = known {
            ledger.join(known);
        }
        Ok(ledger)
    }
}

/// Whether the ledger works, for the health route.
#[derive(Clone, Debug)]
pub(crate) enum Health {
    /// It does.
    Working,
    /// The second judge does not answer: blocks and attestations are not signed until it does.
    SecondJudgeAway(Silence),
    /// It broke; blocks and attestations are not signed until a restart.
    Broken(Arc<StoreError>),
}

fn needs_no_record(request: &Request) -> bool {
    match request.claim {
        Claim::Unslashable => !request.only_once,
        Claim::Block { .. } | Claim::Attestation { .. } | Claim::RawRoot => false,
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::large_enum_variant)]
mod tests;
