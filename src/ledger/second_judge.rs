//! Second judge: another authority that must agree before a protected message is signed, such as a database that
//! several hosts share.
//!
//! This ledger judges first, by its own records. What it allows is asked of the second judge at once, while the local
//! record is made and the signature computed; the signature leaves when both have the message on record. Orders go to
//! the second judge first. A backend implements [`SecondJudge`] in a folder of its own and comes in by
//! [`Settings`](super::Settings).

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::commit_queue::is_stalled;
use super::fault::{Cause, Fault};
use super::refusal::Refusal;
use super::second_counts::SecondCounts;
use super::shared_order::{SharedOrder, SharedRecords};
use super::watermarks::Request;
use crate::bls::PublicKey;
use crate::deadline::Deadline;
use crate::duty::Claim;
use crate::primitives::{Epoch, Root, SigningRoot, Slot};
use crate::raw_roots::RawRoots;

/// An authority beside this ledger. It protects the same chain, and decides between all who ask it.
pub(crate) trait SecondJudge: fmt::Debug + Send + Sync {
    /// Takes questions that may share one round trip, and returns at once.
    ///
    /// A grant means that the message is durably on record there. The identical message is granted again, against a
    /// record that is written again: only a record of its own shows that the authority is still one.
    fn ask(&self, questions: Vec<Question>);

    /// Takes an order and returns at once. `reply` is called when it is in force there, or cannot be; a reply that is
    /// dropped says that nobody knows.
    fn carry_out(&self, order: SharedOrder, reply: OrderReply);

    /// Since when it has owed an answer or been out of reach. `None`: it answers.
    fn silence(&self) -> watch::Receiver<Option<Silence>>;

    /// What is counted of it.
    fn counts(&self) -> &SecondCounts;
}

impl dyn SecondJudge {
    /// Its silence, once that is so long that nothing new is judged: it would be on record here without a signature.
    pub(super) fn long_silence(&self) -> Option<Silence> {
        self.silence().borrow().clone().filter(|silence| is_stalled(silence.since))
    }

    /// Resolves when it is not absent.
    pub(super) async fn until_present(&self) {
        let is_present = |silence: &Option<Silence>| !silence.as_ref().is_some_and(|it| is_stalled(it.since));
        // A second judge that has ended is for whoever asks next to find.
        drop(self.silence().wait_for(is_present).await);
    }

    /// Resolves when it is not absent, for an order that has been kept until then.
    ///
    /// # Errors
    /// Its silence has lasted for as long as `patience`.
    pub(super) async fn present_within(&self, patience: Duration) -> Result<(), NoAnswer> {
        let Some(silence) = self.long_silence() else { return Ok(()) };
        let present = Deadline::new(silence.since, patience).limit(self.until_present()).await;
        // By now more may be known of why.
        present.map_err(|_| NoAnswer::Away(self.long_silence().unwrap_or(silence)))
    }
}

/// A second judge's silence.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    /// When it began.
    pub(crate) since: Instant,
    /// Why, where that is known.
    pub(crate) cause: Option<Cause>,
}

/// A message that this ledger allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) public_key: PublicKey,
    pub(crate) signing_root: SigningRoot,
    pub(crate) message: Message,
    /// The genesis validators root of its chain.
    pub(crate) chain: Root,
}

/// What of a message can contradict another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Block { slot: Slot },
    Attestation { source: Epoch, target: Epoch },
}

/// An [`Ask`] with the way back. A question that is dropped counts as [`NoAnswer::Unknown`].
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) ask: Ask,
    answer: oneshot::Sender<Answer>,
}

impl Question {
    /// Whether somebody still waits for the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Answers. An answer that nobody waits for any more is dropped.
    pub(crate) fn answer(self, answer: Answer) {
        drop(self.answer.send(answer));
    }
}

/// A second judge's answer to a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The message is durably on record there, and contradicts nothing that is.
    Granted,
    /// It must not be signed: the caller's matter.
    Refused(Refusal),
    Failed(NoAnswer),
}

/// Why a second judge did not say.
#[derive(Clone, Debug)]
pub(crate) enum NoAnswer {
    /// It could not be asked: nothing is on record there.
    Away(Silence),
    /// It was asked and did not answer: it may be on record there. The identical message may be asked for again.
    Unknown(Option<Cause>),
}

impl From<NoAnswer> for Fault {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Away(Silence { since, cause }) => {
                Self::SecondJudgeAway { silent: since.elapsed(), cause }
            }
            NoAnswer::Unknown(cause) => Self::SecondJudgeUnknown { cause },
        }
    }
}

/// What the second judge is asked about the requests that are judged together; nothing where there is none.
pub(super) struct Consultation<'a> {
    second_judge: Option<&'a dyn SecondJudge>,
    raw_roots: RawRoots,
    questions: Vec<Question>,
}

impl<'a> Consultation<'a> {
    pub(super) fn new(second_judge: Option<&'a dyn SecondJudge>, raw_roots: RawRoots) -> Self {
        Self { second_judge, raw_roots, questions: Vec::new() }
    }

    /// What to ask if this ledger allows the request. This is the one place that says of what only this ledger's memory
    /// knows whether the second judge is asked, or a rule decides.
    ///
    /// # Errors
    /// The rule refuses.
    pub(super) fn ask_for(&self, request: &Request) -> Result<Option<Ask>, Refusal> {
        if self.second_judge.is_none() {
            return Ok(None);
        }
        let Request { public_key, signing_root, claim, chain, only_once: _ } = *request;
        let message = match claim {
            // Contradicts nothing, whoever signs it. Of its chain, the one that is pinned here is known.
            Claim::Unslashable => return Ok(None),
            // That a key has no history here says nothing of other hosts, and they do not know of its mark.
            Claim::RawRoot => {
                return match self.raw_roots {
                    RawRoots::Allow => Ok(None),
                    RawRoots::UnprotectedKeys | RawRoots::Refuse => {
                        Err(Refusal::RawRootOfSharedKey { public_key })
                    }
                };
            }
            // Whether the key is deleted, where signing stops and which chain is pinned is asked with it.
            Claim::Block { slot } => Message::Block { slot },
            Claim::Attestation { source, target } => Message::Attestation { source, target },
        };
        let chain = chain.ok_or(Refusal::NoChain)?;
        Ok(Some(Ask { public_key, signing_root, message, chain }))
    }

    /// Adds a question. It is asked by [`Consultation::begin`].
    pub(super) fn add(&mut self, ask: Ask) -> PendingAnswer {
        let (answer, answered) = oneshot::channel();
        self.questions.push(Question { ask, answer });
        PendingAnswer { answered, silence: self.second_judge.map(SecondJudge::silence) }
    }

    /// Asks.
    pub(super) fn begin(self) {
        if let (Some(second_judge), false) = (self.second_judge, self.questions.is_empty()) {
            second_judge.ask(self.questions);
        }
    }
}

/// A second judge's answer, on its way.
#[derive(Debug)]
pub(super) struct PendingAnswer {
    answered: oneshot::Receiver<Answer>,
    /// Says why none came.
    silence: Option<watch::Receiver<Option<Silence>>>,
}

impl PendingAnswer {
    /// The answer. Without one in time, nobody knows what became of the question.
    pub(super) async fn answer(self, deadline: Deadline) -> Answer {
        match deadline.limit(self.answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                let silence = self.silence.and_then(|silence| silence.borrow().clone());
                Answer::Failed(NoAnswer::Unknown(silence.and_then(|silence| silence.cause)))
            }
        }
    }
}

/// What to call with the outcome of an order.
pub(crate) type OrderReply = Box<dyn FnOnce(Result<SharedRecords, NoAnswer>) + Send>;
