//! Shared ledger on PostgreSQL: the [`SecondJudge`] of several hosts that sign with the same keys.
//!
//! One thread with a runtime of its own. A `lane` each has a `connection`: two for attestations, so that one batch is
//! on its way while the next gathers, one for blocks, which never wait behind attestations, and one for `orders`. A
//! `batch` is one `statement`. `servers` are the database's hosts, `tls` is how they
//! are known, `fence` notices a database that lost commits,
//! `presence` says when nothing is answered. `administration` is what `bls-signer ledger` does. There is no session
//! state: no lock, no setting, no cancelling.

mod administration;
mod batch;
mod connection;
mod error;
mod fence;
mod lane;
mod orders;
mod presence;
mod rows;
mod servers;
mod statement;
mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

pub(crate) use self::administration::{Report, accept_loss, initialize, report, statements};
pub(crate) use self::error::Error;
pub(crate) use self::servers::Servers;

use self::batch::Kind;
use self::lane::{Lane, Queue};
use self::presence::Presence;
use super::second_counts::SecondCounts;
use super::second_judge::{Message, NoAnswer, OrderReply, Question, SecondJudge, Silence};
use super::shared_order::SharedOrder;
use crate::config::SharedLedgerSettings;
use crate::primitives::Root;

/// A shared ledger, which is connected to by a thread of its own until this is dropped.
pub(crate) struct SharedLedger {
    questions: [mpsc::UnboundedSender<Question>; 2],
    orders: mpsc::UnboundedSender<(SharedOrder, OrderReply)>,
    presence: Arc<Presence>,
    counts: Arc<SecondCounts>,
    address: String,
    /// The thread ends when this goes.
    _open: watch::Sender<()>,
}

impl SharedLedger {
    /// Starts the thread. `chain`: the genesis validators root of the configured network, where it is known; `state`:
    /// the directory of this host's own ledger, where the database that it has joined is noted.
    pub(crate) fn start(
        settings: &SharedLedgerSettings,
        chain: Option<Root>,
        state: &Path,
    ) -> Result<Arc<Self>, Error> {
        let servers = Servers::of(settings)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let (votes, votes_taken) = mpsc::unbounded_channel();
        let (blocks, blocks_taken) = mpsc::unbounded_channel();
        let (orders, orders_taken) = mpsc::unbounded_channel();
        let (votes_again, blocks_again) = (votes.downgrade(), blocks.downgrade());
        let presence = Arc::new(Presence::new(GROUPS));
        let counts = Arc::<SecondCounts>::default();
        let (open, mut closed) = watch::channel(());
        let lane = |number| Lane {
            number,
            servers: servers.clone(),
            durability: settings.durability,
            chain,
            presence: Arc::clone(&presence),
            counts: Arc::clone(&counts),
        };
        let [first, second, third, fourth] = [lane(0), lane(1), lane(2), lane(ORDERS)];
        let state: PathBuf = state.to_owned();
        let serve = move || {
            runtime.block_on(async {
                let fence = &lane::fence(&first, &state).await;
                let (joined, join) = watch::channel(false);
                let votes = Queue::new(votes_again, votes_taken);
                let blocks = Queue::new(blocks_again, blocks_taken);
                let lanes = async {
                    tokio::join!(
                        first.serve(Kind::Votes, &votes, fence, join.clone()),
                        second.serve(Kind::Votes, &votes, fence, join.clone()),
                        third.serve(Kind::Blocks, &blocks, fence, join),
                        fourth.serve_orders(orders_taken, fence, &joined),
                    )
                };
                tokio::select! {
                    _ = lanes => {}
                    _ = closed.changed() => {}
                }
            });
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("shared-ledger".to_owned()).spawn(serve).map_err(Error::Thread)?;
        let address = settings.address.to_string();
        Ok(Arc::new(Self { questions: [votes, blocks], orders, presence, counts, address, _open: open }))
    }
}

impl SecondJudge for SharedLedger {
    fn ask(&self, questions: Vec<Question>) {
        let [votes, blocks] = &self.questions;
        for question in questions {
            let lane = match question.ask.message {
                Message::Block { .. } => blocks,
                Message::Attestation { .. } => votes,
            };
            // If the thread has ended, the question is dropped, which says that nobody knows.
            drop(lane.send(question));
        }
    }

    fn carry_out(&self, order: SharedOrder, reply: OrderReply) {
        if let SharedOrder::Join(_) = order {
            // Nothing is answered before.
            self.presence.asking(ORDERS);
        }
        if let Err(mpsc::error::SendError((_, reply))) = self.orders.send((order, reply)) {
            reply(Err(NoAnswer::Away(self.presence.silence())));
        }
    }

    fn silence(&self) -> watch::Receiver<Option<Silence>> {
        self.presence.subscribe()
    }

    fn counts(&self) -> &SecondCounts {
        &self.counts
    }
}

impl fmt::Debug for SharedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLedger").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The lanes by what they are for: two for attestations, one for blocks, one for orders.
const GROUPS: [usize; 4] = [0, 0, 1, 2];
/// The number of the lane for orders, the last.
const ORDERS: usize = 3;
