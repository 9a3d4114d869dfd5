//! Lane to the shared ledger: one connection, made again whenever it ends, and what is asked on it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::sleep;

use super::batch::{Batch, Kind, Unanswered};
use super::connection::Connection;
use super::error::Error;
use super::fence::Fence;
use super::orders;
use super::presence::Presence;
use super::servers::{Servers, in_time};
use crate::config::Durability;
use crate::ledger::fault::Cause;
use crate::ledger::second_counts::SecondCounts;
use crate::ledger::second_judge::{NoAnswer, OrderReply, Question};
use crate::ledger::shared_order::SharedOrder;
use crate::primitives::Root;

/// One connection's place.
pub(super) struct Lane {
    pub(super) number: usize,
    pub(super) servers: Servers,
    pub(super) durability: Durability,
    pub(super) chain: Option<Root>,
    pub(super) presence: Arc<Presence>,
    pub(super) counts: Arc<SecondCounts>,
}

/// Questions of one kind, which its lanes take in turn.
pub(super) struct Queue {
    taken: Mutex<mpsc::UnboundedReceiver<Question>>,
    /// Weak, so that it ends with whoever asks.
    again: mpsc::WeakUnboundedSender<Question>,
}

impl Queue {
    pub(super) fn new(
        again: mpsc::WeakUnboundedSender<Question>,
        taken: mpsc::UnboundedReceiver<Question>,
    ) -> Self {
        Self { taken: Mutex::new(taken), again }
    }

    /// Takes what comes. None: nobody can ask any more.
    async fn take(&self) -> Vec<Question> {
        let mut taken = Vec::new();
        self.taken.lock().await.recv_many(&mut taken, BATCH_QUESTIONS).await;
        taken
    }

    /// Takes what is there.
    fn take_now(&self) -> Vec<Question> {
        // Who has the lock waits for the next one: there is none.
        let Ok(mut queue) = self.taken.try_lock() else { return Vec::new() };
        std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH_QUESTIONS).collect()
    }

    /// Has questions asked again, by whichever lane comes first: whoever is granted the identical message twice has it
    /// on record once.
    fn put_back(&self, questions: impl IntoIterator<Item = Question>) {
        let Some(again) = self.again.upgrade() else { return };
        for question in questions.into_iter().filter(Question::is_awaited) {
            drop(again.send(question));
        }
    }
}

type Orders = mpsc::UnboundedReceiver<(SharedOrder, OrderReply)>;

/// What this host knows of the ledger that it has joined. Without that nothing can be asked.
pub(super) async fn fence(lane: &Lane, state: &Path) -> Fence {
    let mut backoff = Backoff::default();
    loop {
        match Fence::open(state) {
            Ok(fence) => return fence,
            Err(error) => {
                tracing::error!("{}", crate::text::chain(&error));
                lane.presence.down(lane.number, Arc::new(error));
                backoff.wait().await;
            }
        }
    }
}

impl Lane {
    /// Asks what comes until nobody can ask any more.
    pub(super) async fn serve(
        self,
        kind: Kind,
        queue: &Queue,
        fence: &Fence,
        mut joined: watch::Receiver<bool>,
    ) {
        let mut backoff = Backoff::default();
        loop {
            let outcome = match self.open(fence).await {
                Ok(connection) => {
                    // It fails when the orders' lane has ended, and the thread with it.
                    drop(joined.wait_for(|joined| *joined).await);
                    self.ask(kind, &connection, queue, fence, &mut backoff).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return,
                Err(error) => self.presence.down(self.number, Arc::new(error)),
            }
            backoff.wait().await;
        }
    }

    /// Asks on one connection. `Ok`: nobody can ask any more.
    async fn ask(
        &self,
        kind: Kind,
        connection: &Connection,
        queue: &Queue,
        fence: &Fence,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        // What an earlier connection left open comes first: until it is answered, the silence goes on.
        let mut waiting = queue.take_now();
        loop {
            waiting.retain(Question::is_awaited);
            if waiting.is_empty() {
                self.presence.present(self.number);
                waiting = tokio::select! {
                    taken = queue.take() => taken,
                    why = connection.is_over(fence) => return Err(why),
                };
                if waiting.is_empty() {
                    return Ok(());
                }
            }
            if let Some(rewound) = fence.rewound() {
                queue.put_back(waiting);
                return Err(rewound);
            }
            let batch = Batch::take(&mut waiting, connection);
            if batch.is_empty() {
                continue;
            }
            self.presence.asking(self.number);
            let (keys, begun) = (batch.keys(), Instant::now());
            if let Err(Unanswered { error, questions }) =
                batch.judge(kind, connection, self.durability, fence, &self.counts).await
            {
                if error.is_of_replication() {
                    self.counts.unreplicated.increment();
                }
                queue.put_back(questions.into_iter().chain(waiting));
                return Err(error);
            }
            self.counts.answered(keys, begun.elapsed());
            self.presence.present(self.number);
            backoff.reset();
        }
    }

    /// Carries orders out as they come. The first, which joins, stays until it is done.
    pub(super) async fn serve_orders(self, mut orders: Orders, fence: &Fence, joined: &watch::Sender<bool>) {
        let Some((join, reply)) = orders.recv().await else { return };
        let mut backoff = Backoff::default();
        let mut first = Some((join, reply));
        loop {
            let opened = tokio::select! {
                opened = self.open(fence) => opened,
                // While it is away orders are not kept for long: whoever gave them is told.
                never = self.turn_orders_away(&mut orders), if backoff.has_begun() => match never {},
            };
            let outcome = match opened {
                Ok(mut connection) => {
                    let outcome = self.order(&mut connection, &mut first, &mut orders, fence, joined).await;
                    if first.is_none() {
                        backoff.reset();
                    }
                    outcome
                }
                Err(error) => Err(Arc::new(error)),
            };
            match outcome {
                Ok(()) => return,
                Err(error) => {
                    if !backoff.has_begun() {
                        tracing::warn!(cause = crate::text::chain(&*error), "the shared ledger is away");
                    }
                    self.presence.down(self.number, error);
                }
            }
            tokio::select! {
                () = backoff.wait() => {}
                never = self.turn_orders_away(&mut orders) => match never {},
            }
        }
    }

    async fn order(
        &self,
        connection: &mut Connection,
        first: &mut Option<(SharedOrder, OrderReply)>,
        orders: &mut Orders,
        fence: &Fence,
        joined: &watch::Sender<bool>,
    ) -> Result<(), Arc<Error>> {
        if let Some((join, _)) = first {
            let done = orders::carry_out(join, connection, self.durability, fence);
            let done = in_time(ORDER_TIMEOUT, done).await;
            let records = done.map_err(|error| Arc::new(connection.link.why(error)))?;
            if let Some((_, reply)) = first.take() {
                reply(Ok(records));
            }
            joined.send_replace(true);
        }
        self.presence.present(self.number);
        tracing::info!("the shared ledger answers");
        loop {
            let next = tokio::select! {
                next = orders.recv() => next,
                why = connection.is_over(fence) => return Err(Arc::new(why)),
            };
            let Some((order, reply)) = next else { return Ok(()) };
            let done = orders::carry_out(&order, connection, self.durability, fence);
            match in_time(ORDER_TIMEOUT, done).await {
                Ok(records) => reply(Ok(records)),
                Err(error) => {
                    let error = Arc::new(connection.link.why(error));
                    let cause: Cause = Arc::<Error>::clone(&error);
                    reply(Err(NoAnswer::Unknown(Some(cause))));
                    return Err(error);
                }
            }
        }
    }

    async fn open(&self, fence: &Fence) -> Result<Connection, Error> {
        let connection = Connection::open(&self.servers, self.durability, self.chain, fence).await?;
        self.counts.connected(connection.timeline);
        Ok(connection)
    }

    /// Answers what comes while there is no connection, once that has lasted for a while.
    async fn turn_orders_away(&self, orders: &mut Orders) -> Infallible {
        loop {
            sleep(ORDERS_KEPT.saturating_sub(self.presence.silence().since.elapsed())).await;
            match orders.recv().await {
                Some((_, reply)) => reply(Err(NoAnswer::Away(self.presence.silence()))),
                None => std::future::pending().await,
            }
        }
    }
}

/// Time between two tries: none before the first, then longer each time, and not the same on all hosts.
#[derive(Default)]
struct Backoff {
    tries: u32,
}

impl Backoff {
    fn has_begun(&self) -> bool {
        self.tries > 0
    }

    fn reset(&mut self) {
        self.tries = 0;
    }

    async fn wait(&mut self) {
        let before = self.tries;
        self.tries = before.saturating_add(1);
        let Some(doublings) = before.checked_sub(1) else { return };
        let doubled = FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_BACKOFF);
        // Without a random number it is the longest.
        let share = getrandom::u32().map_or(u8::MAX, |random| random.to_le_bytes()[0] | 0x80);
        sleep(doubled.saturating_mul(share.into()).checked_div(u8::MAX.into()).unwrap_or(doubled)).await;
    }
}

/// So many questions are taken at a time.
const BATCH_QUESTIONS: usize = 2048;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// An order waits so long for a silence to end. Whoever gave it waits a second longer, if nothing else is set.
const ORDERS_KEPT: Duration = Duration::from_secs(3);
/// For one order; the first brings in what this host has on record.
const ORDER_TIMEOUT: Duration = Duration::from_secs(30);
