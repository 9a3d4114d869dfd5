//! Batch of questions: one statement for all of them, and each one's answer out of what it gives back.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::error::Error;
use super::fence::Fence;
use super::rows::{self, Head};
use super::servers::in_time;
use super::statement::Parameter;
use crate::bls::PublicKey;
use crate::config::Durability;
use crate::ledger::refusal::{Recorded, Refusal};
use crate::ledger::rules::{
    Ruling, SignedAttestation, SignedBlock, Watermark, judge_attestation, judge_block,
};
use crate::ledger::second_counts::SecondCounts;
use crate::ledger::second_judge::{Answer, Ask, Message, Question};
use crate::primitives::{Epoch, Slot};

/// What is asked on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Votes,
    Blocks,
}

/// Questions about one message a key.
pub(super) struct Batch {
    questions: BTreeMap<PublicKey, Vec<Question>>,
}

impl Batch {
    /// Takes of `waiting` what can be asked together. A second message for a key stays for the next batch.
    pub(super) fn take(waiting: &mut Vec<Question>, connection: &Connection) -> Self {
        let mut questions = BTreeMap::<PublicKey, Vec<Question>>::new();
        for question in std::mem::take(waiting) {
            if !question.is_awaited() {
                continue;
            }
            if let Err(refusal) = check(&question.ask, connection) {
                question.answer(Answer::Refused(refusal));
                continue;
            }
            let of_key = questions.entry(question.ask.public_key).or_default();
            match of_key.first() {
                Some(first) if !is_same(&first.ask, &question.ask) => waiting.push(question),
                Some(_) | None => of_key.push(question),
            }
        }
        Self { questions }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// How many keys it is about.
    pub(super) fn keys(&self) -> usize {
        self.questions.len()
    }

    /// Asks, and answers.
    ///
    /// # Errors
    /// The connection is of no use any more. What was not answered may be on record, and can be asked again.
    pub(super) async fn judge(
        self,
        kind: Kind,
        connection: &Connection,
        durability: Durability,
        fence: &Fence,
        counts: &SecondCounts,
    ) -> Result<(), Unanswered> {
        let asks: Vec<Ask> = self
            .questions
            .values()
            .filter_map(|questions| questions.first())
            .map(|first| first.ask)
            .collect();
        let judged = tokio::select! {
            judged = in_time(ANSWER_TIMEOUT, granted(&asks, kind, connection, durability)) => judged,
            why = connection.is_over(fence) => Err(why),
        };
        let granted = match judged {
            Ok(granted) => granted,
            Err(error) => {
                let questions = self.questions.into_values().flatten().collect();
                return Err(Unanswered { error: connection.link.why(error), questions });
            }
        };
        for ask in asks.iter().filter(|ask| granted.contains(&ask.public_key)) {
            fence.confirm(ask.public_key, watermark(ask));
        }
        let mut refused = Vec::new();
        for (key, questions) in self.questions {
            match granted.contains(&key) {
                true => questions.into_iter().for_each(|question| question.answer(Answer::Granted)),
                false => refused.extend(questions),
            }
        }
        if refused.is_empty() { Ok(()) } else { refuse(refused, connection, counts).await }
    }
}

/// Questions that a connection left open.
pub(super) struct Unanswered {
    pub(super) error: Error,
    pub(super) questions: Vec<Question>,
}

/// The keys whose messages are on record now.
async fn granted(
    asks: &[Ask],
    kind: Kind,
    connection: &Connection,
    durability: Durability,
) -> Result<HashSet<PublicKey>, Error> {
    for _ in 0..ATTEMPTS {
        // Both are on their way at once; they are carried out one after the other.
        let (granted, replicated) =
            tokio::join!(statement(asks, kind, connection, durability), connection.replicates(durability));
        match granted {
            Err(Error::Statement(error)) if is_worth_repeating(error.code()) => {}
            outcome => {
                let granted = outcome?;
                replicated?;
                return Ok(granted);
            }
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

async fn statement(
    asks: &[Ask],
    kind: Kind,
    connection: &Connection,
    durability: Durability,
) -> Result<HashSet<PublicKey>, Error> {
    let is_replicated = durability == Durability::Replicated;
    let chain = connection.chain.0.as_slice();
    let keys: Vec<&[u8]> = asks.iter().map(|ask| ask.public_key.0.as_slice()).collect();
    let roots: Vec<&[u8]> = asks.iter().map(|ask| ask.signing_root.0.as_slice()).collect();
    let (mut lower, mut upper) = (Vec::new(), Vec::new());
    for ask in asks {
        match ask.message {
            Message::Block { slot } => upper.push(rows::saturated(slot.0)),
            Message::Attestation { source, target } => {
                lower.push(rows::saturated(source.0));
                upper.push(rows::saturated(target.0));
            }
        }
    }
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&chain, Type::BYTEA),
        (&is_replicated, Type::BOOL),
        (&keys, Type::BYTEA_ARRAY),
        (&roots, Type::BYTEA_ARRAY),
    ];
    let statement = match kind {
        Kind::Blocks => &connection.block,
        Kind::Votes => {
            parameters.push((&lower, Type::INT8_ARRAY));
            &connection.attest
        }
    };
    parameters.push((&upper, Type::INT8_ARRAY));
    let rows = statement.query(&connection.link.client, &parameters).await?;
    rows.iter().map(rows::public_key).collect()
}

/// Says why, by what is on record there.
async fn refuse(
    questions: Vec<Question>,
    connection: &Connection,
    counts: &SecondCounts,
) -> Result<(), Unanswered> {
    let client = &connection.link.client;
    let keys: Vec<_> = questions.iter().map(|question| question.ask.public_key).collect();
    let read = async { tokio::try_join!(Head::read(client, ""), rows::records(client, Some(&keys), false)) };
    let (head, records) = match in_time(ANSWER_TIMEOUT, read).await {
        Ok(read) => read,
        Err(error) => return Err(Unanswered { error: connection.link.why(error), questions }),
    };
    let mut unexplained = Vec::new();
    for question in questions {
        let ask = question.ask;
        let record = records.get(&ask.public_key);
        let deleted = record.is_some_and(|record| record.deleted);
        let before = record.map(|record| record.watermark).unwrap_or_default().merged(head.floor);
        match refusal(&ask, &head, deleted, &before) {
            Some(refusal) => {
                counts.refused.increment();
                question.answer(Answer::Refused(refusal));
            }
            // It was refused for something that has passed, such as a stop that was removed, or for the settings that
            // durability hangs on, or a newer schema: the next connection is asked for these first.
            None => unexplained.push(question),
        }
    }
    match unexplained.is_empty() {
        true => Ok(()),
        false => Err(Unanswered { error: Error::Unexplained, questions: unexplained }),
    }
}

fn refusal(ask: &Ask, head: &Head, deleted: bool, before: &Watermark) -> Option<Refusal> {
    if deleted {
        return Some(Refusal::Deleted { public_key: ask.public_key });
    }
    let ruling = match ask.message {
        Message::Block { slot } => match head.high_watermark.slot {
            Some(stop) if slot >= stop => return Some(Refusal::StoppedAtSlot { slot, stop }),
            Some(_) | None => judge_block(before, slot, ask.signing_root),
        },
        Message::Attestation { source, target } => match head.high_watermark.epoch {
            Some(stop) if target >= stop => return Some(Refusal::StoppedAtEpoch { epoch: target, stop }),
            Some(_) | None => judge_attestation(before, source, target, ask.signing_root),
        },
    };
    match ruling {
        Ok(Ruling::Record(_) | Ruling::Repeat) => None,
        Err(refusal) => Some(refusal.record().map_or(refusal, |record| Refusal::SignedElsewhere { record })),
    }
}

/// What no statement is needed for.
fn check(ask: &Ask, connection: &Connection) -> Result<(), Refusal> {
    if ask.chain != connection.chain {
        return Err(Refusal::OtherChain { requested: ask.chain, pinned: connection.chain });
    }
    let (highest, record) = match ask.message {
        Message::Block { slot } => (slot.0, Recorded::Slot(Slot(MAX_NUMBER))),
        Message::Attestation { source, target } => {
            (source.0.max(target.0), Recorded::Epoch(Epoch(MAX_NUMBER)))
        }
    };
    // No row can have it: to whoever asks it is as if the last number that one can have were on record.
    if highest > MAX_NUMBER { Err(Refusal::SignedElsewhere { record }) } else { Ok(()) }
}

fn is_same(one: &Ask, other: &Ask) -> bool {
    (one.signing_root, one.message) == (other.signing_root, other.message)
}

fn watermark(ask: &Ask) -> Watermark {
    let signing_root = Some(ask.signing_root);
    match ask.message {
        Message::Block { slot } => {
            Watermark { block: Some(SignedBlock { slot, signing_root }), attestation: None }
        }
        Message::Attestation { source, target } => {
            Watermark { block: None, attestation: Some(SignedAttestation { source, target, signing_root }) }
        }
    }
}

/// Others were in the way: the same statement may pass now. It changes nothing twice.
fn is_worth_repeating(code: Option<&SqlState>) -> bool {
    code.is_some_and(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE]
            .contains(code)
    })
}

/// The highest number that a row can have.
const MAX_NUMBER: u64 = i64::MAX.unsigned_abs();

const ATTEMPTS: usize = 3;
/// No answer is of use later: the connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
