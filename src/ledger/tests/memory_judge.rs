//! Second judge in memory, and all that can go wrong on the way to one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::watch;

use super::*;
use crate::ledger::order::Selection;
use crate::ledger::refusal::Recorded;
use crate::ledger::rules::{Ruling, Watermark, judge_attestation, judge_block};
use crate::ledger::second_counts::SecondCounts;
use crate::ledger::second_judge::{Answer, Ask, Message, NoAnswer, OrderReply, Question};
use crate::ledger::shared_order::{SharedOrder, SharedRecord, SharedRecords};
use crate::ledger::watermarks::Metadata;
use crate::ledger::{HighWatermark, SecondJudge, Silence};

/// Several ledgers may ask it. It keeps the rules; between it and them is what [`Way`] says.
pub(super) struct MemoryJudge {
    inner: Mutex<Inner>,
    silence: watch::Sender<Option<Silence>>,
    counts: SecondCounts,
}

/// What becomes of what is asked, from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// It is answered at once.
    #[default]
    Open,
    /// It arrives when the way is open again.
    Delayed,
    /// It never arrives, and no answer comes.
    LosesQuestions,
    /// It arrives, and no answer comes.
    LosesAnswers,
    /// It arrives, and then the connection breaks.
    Breaks,
    /// There is no connection.
    Away,
}

#[derive(Default)]
struct Inner {
    way: Way,
    head: Metadata,
    keys: BTreeMap<PublicKey, Record>,
    delayed: Vec<Asked>,
    /// Kept so that nobody is told.
    lost: Vec<Asked>,
    refused: Vec<PublicKey>,
    batches: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    watermark: Watermark,
    deleted: bool,
}

enum Asked {
    Question(Question),
    Order(SharedOrder, OrderReply),
}

impl MemoryJudge {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            silence: watch::Sender::new(None),
            counts: SecondCounts::default(),
        })
    }

    /// Changes the way. What was delayed arrives if it is open now; then silence ends.
    pub(super) fn set(&self, way: Way) {
        let mut inner = self.inner();
        inner.way = way;
        match way {
            Way::Open => {
                for asked in std::mem::take(&mut inner.delayed) {
                    inner.arrive(asked);
                }
                self.silence.send_replace(None);
            }
            Way::Away => self.fall_silent(),
            Way::Delayed | Way::LosesQuestions | Way::LosesAnswers | Way::Breaks => {}
        }
    }

    /// Refuses this key from now on.
    pub(super) fn refuse(&self, public_key: PublicKey) {
        self.inner().refused.push(public_key);
    }

    /// How many questions came together, each time.
    pub(super) fn batches(&self) -> Vec<usize> {
        self.inner().batches.clone()
    }

    fn take(&self, asked: Asked) {
        let mut inner = self.inner();
        match inner.way {
            Way::Open => inner.arrive(asked),
            Way::Delayed => inner.delayed.push(asked),
            Way::LosesQuestions => inner.lost.push(asked),
            Way::LosesAnswers => {
                inner.record(&asked);
                inner.lost.push(asked);
            }
            Way::Breaks => {
                inner.record(&asked);
                match asked {
                    // One says so, the other does not come to it.
                    Asked::Question(question) => drop(question),
                    Asked::Order(_, reply) => reply(Err(NoAnswer::Unknown(None))),
                }
            }
            Way::Away => match asked {
                Asked::Question(question) => question.answer(Answer::Failed(self.away())),
                Asked::Order(_, reply) => reply(Err(self.away())),
            },
        }
        match inner.way {
            Way::Delayed | Way::LosesQuestions | Way::LosesAnswers => self.fall_silent(),
            Way::Open | Way::Breaks | Way::Away => {}
        }
    }

    fn fall_silent(&self) {
        let silence = Silence { since: Instant::now(), cause: None };
        self.silence.send_if_modified(|present| {
            present.get_or_insert(silence);
            true
        });
    }

    fn away(&self) -> NoAnswer {
        NoAnswer::Away(self.silence.borrow().clone().unwrap())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl SecondJudge for MemoryJudge {
    fn ask(&self, questions: Vec<Question>) {
        self.inner().batches.push(questions.len());
        questions.into_iter().for_each(|question| self.take(Asked::Question(question)));
    }

    fn carry_out(&self, order: SharedOrder, reply: OrderReply) {
        self.take(Asked::Order(order, reply));
    }

    fn silence(&self) -> watch::Receiver<Option<Silence>> {
        self.silence.subscribe()
    }

    fn counts(&self) -> &SecondCounts {
        &self.counts
    }
}

impl Inner {
    fn arrive(&mut self, asked: Asked) {
        match asked {
            Asked::Question(question) => {
                let answer = self.judge(question.ask).map_or_else(Answer::Refused, |()| Answer::Granted);
                question.answer(answer);
            }
            Asked::Order(order, reply) => reply(Ok(self.carry_out(&order))),
        }
    }

    fn record(&mut self, asked: &Asked) {
        match asked {
            Asked::Question(question) => drop(self.judge(question.ask)),
            Asked::Order(order, _) => drop(self.carry_out(order)),
        }
    }

    fn judge(&mut self, ask: Ask) -> Result<(), Refusal> {
        let Ask { public_key, signing_root, message, chain } = ask;
        let pinned = *self.head.chain.get_or_insert(chain);
        if pinned != chain {
            return Err(Refusal::OtherChain { requested: chain, pinned });
        }
        let record = self.keys.entry(public_key).or_default();
        if record.deleted {
            return Err(Refusal::Deleted { public_key });
        }
        if self.refused.contains(&public_key) {
            return Err(Refusal::SignedElsewhere { record: Recorded::Slot(Slot(u64::MAX)) });
        }
        let HighWatermark { slot: stop_slot, epoch: stop_epoch } = self.head.high_watermark;
        let ruling = match message {
            Message::Block { slot } => match stop_slot {
                Some(stop) if slot >= stop => return Err(Refusal::StoppedAtSlot { slot, stop }),
                _ => judge_block(&record.watermark, slot, signing_root),
            },
            Message::Attestation { source, target } => match stop_epoch {
                Some(stop) if target >= stop => return Err(Refusal::StoppedAtEpoch { epoch: target, stop }),
                _ => judge_attestation(&record.watermark, source, target, signing_root),
            },
        };
        match ruling {
            Ok(Ruling::Repeat) => {}
            Ok(Ruling::Record(watermark)) => record.watermark = watermark,
            Err(refusal) => {
                let record = refusal.record().expect("the rules refuse by what is on record");
                return Err(Refusal::SignedElsewhere { record });
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, order: &SharedOrder) -> SharedRecords {
        let mut keys = Vec::new();
        match order {
            SharedOrder::Join(SharedRecords { head: Metadata { chain, high_watermark }, keys: theirs }) => {
                self.head.chain = self.head.chain.or(*chain);
                let HighWatermark { slot, epoch } = &mut self.head.high_watermark;
                *slot = slot.iter().copied().chain(high_watermark.slot).min();
                *epoch = epoch.iter().copied().chain(high_watermark.epoch).min();
                keys.extend(theirs.iter().map(|SharedRecord { public_key, watermark, .. }| {
                    self.merge(*public_key, *watermark, |_| {})
                }));
            }
            SharedOrder::Import { chain, histories } => {
                if self.is_of(*chain, histories) {
                    keys.extend(histories.iter().map(|(key, theirs)| self.merge(*key, *theirs, |_| {})));
                }
            }
            SharedOrder::Activate { chain, keys: activated } => {
                if chain.is_none_or(|chain| self.is_of(chain, activated)) {
                    let activate = |record: &mut Record| record.deleted = false;
                    keys.extend(activated.iter().map(|(key, theirs)| self.merge(*key, *theirs, activate)));
                }
            }
            SharedOrder::Delete { keys: deletions } => {
                keys.extend(deletions.iter().map(|Deletion { public_key, active }| {
                    self.merge(*public_key, Watermark::default(), |record| record.deleted |= *active)
                }));
            }
            SharedOrder::Raise { floor, keys: selected } => {
                let selected: Vec<_> = match selected {
                    Selection::All => self.keys.keys().copied().collect(),
                    Selection::Only(keys) => keys.iter().copied().collect(),
                };
                keys.extend(selected.into_iter().map(|key| self.merge(key, *floor, |_| {})));
            }
            SharedOrder::SetHighWatermark(high_watermark) => self.head.high_watermark = *high_watermark,
            SharedOrder::Read { keys: selected } => {
                let known = |(key, record): (&PublicKey, &Record)| {
                    let Record { watermark, deleted } = *record;
                    selected.contains(key).then_some(SharedRecord { public_key: *key, watermark, deleted })
                };
                keys.extend(self.keys.iter().filter_map(known));
            }
        }
        SharedRecords { head: self.head, keys }
    }

    /// Whether histories are of the pinned chain, which the first one pins.
    fn is_of(&mut self, chain: Root, histories: &[(PublicKey, Watermark)]) -> bool {
        let pinned = self.head.chain.unwrap_or(chain);
        if histories.iter().any(|(_, history)| !history.is_empty()) {
            self.head.chain = Some(pinned);
        }
        pinned == chain
    }

    fn merge(
        &mut self,
        public_key: PublicKey,
        theirs: Watermark,
        change: impl Fn(&mut Record),
    ) -> SharedRecord {
        let record = self.keys.entry(public_key).or_default();
        let Record { watermark, deleted } = *record;
        record.watermark = watermark.merged(theirs);
        change(record);
        SharedRecord { public_key, watermark, deleted }
    }
}

impl fmt::Debug for MemoryJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { way, head, keys, .. } = &*self.inner();
        f.debug_struct("MemoryJudge").field("way", way).field("head", head).field("keys", keys).finish()
    }
}
