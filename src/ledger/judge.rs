//! Judge of the requests: on the thread that brings one, by what memory knows. It waits for nothing but, rarely, an
//! order or a disk that hangs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, RwLock, RwLockReadGuard, Semaphore, oneshot};

use super::Settings;
use super::attention::Attention;
use super::clearance::{Judged, Verdict};
use super::commit_queue::{CommitQueue, Task};
use super::far_future::Horizon;
use super::fault::Fault;
use super::order::{Foresight, KeyStatus};
use super::policy::Policy;
use super::refusal::Refusal;
use super::row_table::RowTable;
use super::second_judge::{Consultation, NoAnswer, SecondJudge, Silence};
use super::watermarks::{HighWatermark, Passed, Request, Watermarks};
use crate::bls::PublicKey;
use crate::deadline::Deadline;
use crate::duty::Claim;
use crate::mutex::Mutex;
use crate::network::GenesisClock;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};
use crate::raw_roots::RawRoots;

/// Judges by this ledger's own records, and keeps the writer's thread.
#[derive(Debug)]
pub(super) struct LocalJudge {
    /// Requests read it together, each with its key's own lock; an order has it alone.
    watermarks: Arc<RwLock<Watermarks>>,
    /// All keys' rows, for those who only look and must not wait for an order.
    rows: Arc<RowTable>,
    /// The chain that is pinned in the watermarks, likewise.
    chain: Arc<OnceLock<Root>>,
    queue: Arc<CommitQueue>,
    raw_roots: RawRoots,
    clock: Option<GenesisClock>,
    refuse_far_future: bool,
    order_timeout: Duration,
    /// Who has to agree, where there is somebody.
    second_judge: Option<Arc<dyn SecondJudge>>,
    /// Of the ledger's files.
    directory: PathBuf,
    /// Places for those who wait, orders included.
    places: Arc<Semaphore>,
    /// There until the ledger is dropped.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LocalJudge {
    pub(super) fn new(
        settings: &Settings,
        watermarks: Arc<RwLock<Watermarks>>,
        rows: Arc<RowTable>,
        chain: Arc<OnceLock<Root>>,
        queue: Arc<CommitQueue>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            watermarks,
            rows,
            chain,
            queue,
            raw_roots: settings.raw_roots,
            clock: settings.clock,
            refuse_far_future: settings.refuse_far_future,
            order_timeout: settings.order_timeout,
            second_judge: settings.second_judge.clone(),
            directory: settings.directory.clone(),
            places: Arc::new(Semaphore::new(settings.queue.min(Semaphore::MAX_PERMITS))),
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Lets a message pass that needs no record, unless it is of another chain than the pinned one.
    pub(super) fn unrecorded(&self, request: &Request) -> Verdict {
        match (request.chain, self.chain.get().copied()) {
            (Some(requested), Some(pinned)) if requested != pinned => {
                Verdict::Refused(Refusal::OtherChain { requested, pinned })
            }
            (Some(_) | None, Some(_) | None) => Verdict::Allowed(Judged::unrecorded(request)),
        }
    }

    /// Judges requests in their order.
    pub(super) async fn judge_all(
        &self,
        requests: &[Request],
        deadline: Deadline,
    ) -> Result<Vec<Verdict>, Fault> {
        let watermarks = self.watermarks(deadline).await?;
        let mut consultation = self.consultation();
        let verdict = |request| self.verdict(&watermarks, request, deadline, &mut consultation);
        let verdicts = requests.iter().map(verdict).collect();
        consultation.begin();
        Ok(verdicts)
    }

    /// Judges one request.
    pub(super) async fn judge(&self, request: &Request, deadline: Deadline) -> Result<Verdict, Fault> {
        let watermarks = self.watermarks(deadline).await?;
        let mut consultation = self.consultation();
        let verdict = self.verdict(&watermarks, request, deadline, &mut consultation);
        consultation.begin();
        Ok(verdict)
    }

    /// Hands an order or a ping to the writer, at once.
    pub(super) fn send<T>(&self, task: impl FnOnce(ReplySender<T>) -> Task) -> Result<Reply<T>, Fault> {
        let (answer, reply) = self.reply()?;
        self.queue.send(task(answer));
        Ok(reply)
    }

    /// A place to wait for the writer's answer, and whereby to give that.
    pub(super) fn reply<T>(&self) -> Result<(ReplySender<T>, Reply<T>), Fault> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Fault::QueueFull)?;
        let (answer, answered) = oneshot::channel();
        Ok((answer, Reply { first: None, answered, queue: Arc::clone(&self.queue), _place: place }))
    }

    /// Where signing stops. Known also while the disk hangs, and when the ledger is broken.
    pub(super) async fn high_watermark(&self) -> Result<HighWatermark, Fault> {
        let watermarks = self.order_deadline().limit(self.watermarks.read());
        Ok(watermarks.await?.head().high_watermark)
    }

    /// What is on record of a key, and what would be refused. Known also when the ledger is broken.
    pub(super) async fn foresee(
        &self,
        public_key: PublicKey,
        slot: Option<Slot>,
        epoch: Option<Epoch>,
    ) -> Result<Foresight, Fault> {
        let watermarks = self.order_deadline().limit(self.watermarks.read()).await?;
        let known = watermarks.entry(&public_key);
        let entry = known.unwrap_or_else(|| watermarks.first_entry(public_key));
        let vote = |target: Epoch| {
            let recorded = entry.watermark.attestation.map(|attestation| attestation.source);
            let source = recorded.unwrap_or(Epoch(target.0.saturating_sub(1)));
            Claim::Attestation { source: source.min(target), target }
        };
        let claims = slot.map(|slot| Claim::Block { slot }).into_iter().chain(epoch.map(vote));
        let refusal = |claim| {
            let chain = Some(watermarks.chain().unwrap_or_default());
            // Of no message: another than the one on record.
            let signing_root = SigningRoot([0; 32]);
            let request = Request { public_key, signing_root, claim, chain, only_once: false };
            self.by_policy(|policy| watermarks.foresee(&request, policy)).err()
        };
        Ok(Foresight {
            is_known: known.is_some(),
            status: KeyStatus::of(&entry, self.horizon()),
            high_watermark: watermarks.head().high_watermark,
            second_judge_not_asked: self.second_judge.is_some(),
            refusals: claims.map(|claim| (claim, refusal(claim))).collect(),
        })
    }

    /// Which keys need an operator.
    pub(super) fn attention(&self) -> Attention {
        Attention::of(&self.rows, self.horizon())
    }

    pub(super) fn clock(&self) -> Option<GenesisClock> {
        self.clock
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn second_judge(&self) -> Option<&Arc<dyn SecondJudge>> {
        self.second_judge.as_ref()
    }

    /// For orders and whoever only looks; a request to sign brings its own.
    pub(super) fn order_deadline(&self) -> Deadline {
        Deadline::after(self.order_timeout)
    }

    pub(super) fn order_timeout(&self) -> Duration {
        self.order_timeout
    }

    /// The second judge's silence, if it is long.
    pub(super) fn long_silence(&self) -> Option<Silence> {
        self.second_judge.as_ref().and_then(|second_judge| second_judge.long_silence())
    }

    pub(super) fn queue(&self) -> &Arc<CommitQueue> {
        &self.queue
    }

    /// The watermarks, open for reading. Hardly ever there is something to wait for, and never for longer than the
    /// deadline.
    async fn watermarks(&self, deadline: Deadline) -> Result<RwLockReadGuard<'_, Watermarks>, Fault> {
        if !self.queue.is_stalled() && self.long_silence().is_none() {
            if let Ok(watermarks) = self.watermarks.try_read() {
                return self.working(watermarks);
            }
        }
        let _place = self.places.try_acquire().map_err(|_| Fault::QueueFull)?;
        let watermarks = deadline.limit(async {
            self.queue.until_not_stalled().await;
            if let Some(second_judge) = &self.second_judge {
                second_judge.until_present().await;
            }
            self.watermarks.read().await
        });
        match (watermarks.await, self.long_silence()) {
            (Ok(watermarks), _) => self.working(watermarks),
            (Err(_), Some(silence)) => Err(NoAnswer::Away(silence).into()),
            (Err(late), None) => Err(late.into()),
        }
    }

    fn working<'a>(
        &self,
        watermarks: RwLockReadGuard<'a, Watermarks>,
    ) -> Result<RwLockReadGuard<'a, Watermarks>, Fault> {
        self.queue.cause().map_or(Ok(watermarks), |cause| Err(Fault::Broken(cause)))
    }

    fn outcome(&self, watermarks: &Watermarks, request: &Request) -> Result<Option<Passed>, Refusal> {
        self.by_policy(|policy| watermarks.judge(request, policy))
    }

    /// What clock and key make plausible is judged at once. Only a message that lies beyond is worth a look at all
    /// records.
    fn by_policy<T>(&self, judge: impl Fn(&Policy) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let horizon = self.horizon();
        let policy = Policy { raw_roots: self.raw_roots, horizon, refuse_far_future: self.refuse_far_future };
        match (judge(&policy), horizon) {
            (Err(Refusal::FarAhead { .. }), Some(horizon)) => {
                let records = self.rows.pick(|entry| Some(entry.watermark));
                let horizon = Some(horizon.with_records(records.into_iter()));
                judge(&Policy { horizon, ..policy })
            }
            (outcome, Some(_) | None) => outcome,
        }
    }

    fn horizon(&self) -> Option<Horizon> {
        self.clock.map(|clock| Horizon::at(clock, SystemTime::now()))
    }

    fn consultation(&self) -> Consultation<'_> {
        Consultation::new(self.second_judge.as_deref(), self.raw_roots)
    }

    fn verdict(
        &self,
        watermarks: &Watermarks,
        request: &Request,
        deadline: Deadline,
        consultation: &mut Consultation<'_>,
    ) -> Verdict {
        let ask = match consultation.ask_for(request) {
            Ok(ask) => ask,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        match self.outcome(watermarks, request) {
            Ok(None) => Verdict::Allowed(Judged::unrecorded(request)),
            Ok(Some(Passed { record, is_first_raw_root })) => {
                if is_first_raw_root {
                    tracing::warn!(
                        public_key = %request.public_key,
                        "a raw root is signed with this key for the first time: nothing protects what raw roots say, \
                         so from now on its blocks and attestations are refused, until its watermarks are lifted to \
                         the present (bls-signer slashing-protection raise)"
                    );
                }
                if !record.is_underway() {
                    self.queue.note_waiting();
                }
                let second_answer = ask.map(|ask| consultation.add(ask));
                Verdict::Allowed(Judged::recorded(
                    request,
                    record,
                    Arc::clone(&self.queue),
                    deadline,
                    second_answer,
                ))
            }
            Err(refusal) => Verdict::Refused(refusal),
        }
    }
}

impl LocalJudge {
    /// Waits for the last commit and closes the file. Whoever comes later is told of a fault.
    pub(super) fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        self.queue.send(Task::Close);
        let closing = Instant::now();
        while !thread.is_finished() {
            if closing.elapsed() > CLOSE_TIMEOUT {
                tracing::error!("the slashing protection ledger's disk hangs: it is left as it is");
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // A panic in the thread has been reported by its hook; there is nobody left to tell.
        drop(thread.join());
    }
}

impl Drop for LocalJudge {
    fn drop(&mut self) {
        self.close();
    }
}

/// The way back for the writer's answer.
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, Fault>>;

/// The writer's answer, on its way.
pub(super) struct Reply<T> {
    /// What has to be answered before, and until when.
    first: Option<(oneshot::Receiver<Result<(), Fault>>, Deadline)>,
    answered: oneshot::Receiver<Result<T, Fault>>,
    /// Tells why an answer never came.
    queue: Arc<CommitQueue>,
    _place: OwnedSemaphorePermit,
}

impl<T> Reply<T> {
    /// The second judge's answer comes first.
    pub(super) fn after(self, first: oneshot::Receiver<Result<(), Fault>>, deadline: Deadline) -> Self {
        Self { first: Some((first, deadline)), ..self }
    }

    pub(super) async fn wait(self) -> Result<T, Fault> {
        if let Some((first, deadline)) = self.first {
            match deadline.limit(first).await {
                Ok(Ok(answer)) => answer?,
                // It may come yet, and the order be carried out here as well.
                Ok(Err(_)) | Err(_) => return Err(NoAnswer::Unknown(None).into()),
            }
        }
        self.answered.await.unwrap_or_else(|_| Err(self.queue.fault()))
    }
}

/// How long the last commit may take. Nothing waits for it any more, and the next start reads what has become of it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);
