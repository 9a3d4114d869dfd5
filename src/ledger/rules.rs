//! The decision: may this message be signed, given what this key has signed before?
//!
//! Pure functions over one key's [`Watermark`], the highest of what was signed, as EIP-3076 allows a signer to keep in
//! place of the whole history ("minimal" data). What they promise, whatever order messages come in: no two messages
//! pass that would be slashed together, and the message that was signed last passes again.

use super::refusal::Refusal;
use crate::primitives::{Epoch, SigningRoot, Slot};

/// The highest of everything that one key has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) block: Option<SignedBlock>,
    pub(crate) attestation: Option<SignedAttestation>,
}

impl Watermark {
    /// Whether anything was ever signed or imported under this key.
    pub(crate) fn is_empty(&self) -> bool {
        self.block.is_none() && self.attestation.is_none()
    }

    /// What lets only messages pass that lie above a slot and an epoch.
    pub(super) fn floor(slot: Option<Slot>, epoch: Option<Epoch>) -> Self {
        Self {
            block: slot.map(|slot| SignedBlock { slot, signing_root: None }),
            attestation: epoch.map(|epoch| SignedAttestation {
                source: epoch,
                target: epoch,
                signing_root: None,
            }),
        }
    }

    /// The higher of both in every respect. Nothing that either forbids is allowed by the result, excepting the
    /// identical message: a root survives only where the result still is that very message of `self`.
    pub(crate) fn merged(self, other: Self) -> Self {
        Self {
            block: match (self.block, other.block) {
                (Some(ours), Some(theirs)) => Some(ours.merged(theirs)),
                (one, None) | (None, one) => one,
            },
            attestation: match (self.attestation, other.attestation) {
                (Some(ours), Some(theirs)) => Some(ours.merged(theirs)),
                (one, None) | (None, one) => one,
            },
        }
    }
}

/// The highest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedBlock {
    pub(crate) slot: Slot,
    /// Its signing root, if it was signed here; then the identical block may be signed again.
    pub(crate) signing_root: Option<SigningRoot>,
}

impl SignedBlock {
    fn merged(self, other: Self) -> Self {
        if other.slot > self.slot { other } else { self }
    }
}

/// The highest source and the highest target of all attestations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedAttestation {
    pub(crate) source: Epoch,
    pub(crate) target: Epoch,
    /// The signing root, if one attestation signed here has exactly this source and target.
    pub(crate) signing_root: Option<SigningRoot>,
}

impl SignedAttestation {
    fn merged(self, other: Self) -> Self {
        let merged = Self {
            source: self.source.max(other.source),
            target: self.target.max(other.target),
            signing_root: None,
        };
        let same_as = |one: Self| (one.source, one.target) == (merged.source, merged.target);
        if same_as(self) {
            self
        } else if same_as(other) {
            other
        } else {
            merged
        }
    }
}

/// What the rules allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// It may be signed once this watermark is on record.
    Record(Watermark),
    /// It is the very message on record: signing it again says nothing new.
    Repeat,
}

/// EIP-3076, conditions 1 and 2: a block passes with a slot above all before, or as the identical block.
pub(crate) fn judge_block(before: &Watermark, slot: Slot, root: SigningRoot) -> Result<Ruling, Refusal> {
    let record = Ruling::Record(Watermark {
        block: Some(SignedBlock { slot, signing_root: Some(root) }),
        attestation: before.attestation,
    });
    let Some(last) = before.block else { return Ok(record) };
    if slot > last.slot {
        return Ok(record);
    }
    match last.signing_root {
        Some(signed) if slot == last.slot && signed == root => Ok(Ruling::Repeat),
        Some(_) if slot == last.slot => Err(Refusal::OtherBlockAtSlot { slot }),
        Some(_) | None => Err(Refusal::BlockNotAbove { slot, highest: last.slot }),
    }
}

/// EIP-3076, conditions 3 to 5: an attestation passes with a source not below and a target above all before, or as
/// the identical attestation. Its source must not lie after its target.
pub(crate) fn judge_attestation(
    before: &Watermark,
    source: Epoch,
    target: Epoch,
    root: SigningRoot,
) -> Result<Ruling, Refusal> {
    if source > target {
        return Err(Refusal::SourceAfterTarget { source_epoch: source, target_epoch: target });
    }
    let record = Ruling::Record(Watermark {
        block: before.block,
        attestation: Some(SignedAttestation { source, target, signing_root: Some(root) }),
    });
    let Some(last) = before.attestation else { return Ok(record) };
    if (source, target, Some(root)) == (last.source, last.target, last.signing_root) {
        return Ok(Ruling::Repeat);
    }
    if source < last.source {
        return Err(Refusal::SourceBelow { source_epoch: source, highest: last.source });
    }
    if target > last.target {
        return Ok(record);
    }
    match last.signing_root {
        Some(_) if target == last.target => Err(Refusal::OtherVoteForTarget { target_epoch: target }),
        Some(_) | None => Err(Refusal::TargetNotAbove { target_epoch: target, highest: last.target }),
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use crate::ledger::full_history::{History, Message};

    #[test]
    fn refuses_a_second_block_at_the_same_slot() {
        let signed = pass(judge_block(&Watermark::default(), Slot(10), root(1)));
        assert_eq!(judge_block(&signed, Slot(10), root(1)), Ok(Ruling::Repeat));
        assert_eq!(
            judge_block(&signed, Slot(10), root(2)),
            Err(Refusal::OtherBlockAtSlot { slot: Slot(10) })
        );
        assert_eq!(
            judge_block(&signed, Slot(9), root(1)),
            Err(Refusal::BlockNotAbove { slot: Slot(9), highest: Slot(10) })
        );
    }

    #[test]
    fn a_block_signed_here_is_signed_again_whatever_was_imported_below_or_at_its_slot() {
        let signed = pass(judge_block(&Watermark::default(), Slot(10), root(1)));
        let imported = |slot| Watermark {
            block: Some(SignedBlock { slot: Slot(slot), signing_root: None }),
            attestation: None,
        };
        for slot in [9, 10] {
            assert_eq!(signed.merged(imported(slot)), signed);
        }
        assert_eq!(signed.merged(imported(11)), imported(11));
    }

    #[test]
    fn refuses_a_block_at_an_imported_slot_whatever_its_root() {
        let imported =
            Watermark { block: Some(SignedBlock { slot: Slot(10), signing_root: None }), attestation: None };
        assert_eq!(
            judge_block(&imported, Slot(10), root(1)),
            Err(Refusal::BlockNotAbove { slot: Slot(10), highest: Slot(10) })
        );
    }

    #[test]
    fn allows_the_genesis_attestation_once_and_names_each_rule_that_refuses() {
        let attest = |before: &Watermark, source, target, r| {
            judge_attestation(before, Epoch(source), Epoch(target), root(r))
        };
        let signed = pass(attest(&Watermark::default(), 0, 0, 1));
        assert_eq!(attest(&signed, 0, 0, 1), Ok(Ruling::Repeat));
        assert_eq!(attest(&signed, 0, 0, 2), Err(Refusal::OtherVoteForTarget { target_epoch: Epoch(0) }));
        let signed = pass(attest(&signed, 3, 5, 3));
        assert_eq!(
            attest(&signed, 2, 6, 4),
            Err(Refusal::SourceBelow { source_epoch: Epoch(2), highest: Epoch(3) })
        );
        assert_eq!(
            attest(&signed, 4, 4, 4),
            Err(Refusal::TargetNotAbove { target_epoch: Epoch(4), highest: Epoch(5) })
        );
        assert_eq!(
            attest(&signed, 7, 6, 4),
            Err(Refusal::SourceAfterTarget { source_epoch: Epoch(7), target_epoch: Epoch(6) })
        );
        assert!(matches!(attest(&signed, 3, 6, 4), Ok(Ruling::Record(_))));
    }

    #[test]
    fn a_refusal_names_the_rule_and_its_numbers() {
        let text = Refusal::SourceBelow { source_epoch: Epoch(2), highest: Epoch(3) }.to_string();
        assert!(text.contains("source epoch 2 is below source epoch 3"), "{text}");
    }

    #[test]
    fn merging_keeps_a_root_only_of_the_very_message() {
        let vote = |source, target, signing_root| SignedAttestation {
            source: Epoch(source),
            target: Epoch(target),
            signing_root,
        };
        let ours = vote(3, 5, Some(root(1)));
        assert_eq!(ours.merged(vote(3, 5, None)), ours);
        assert_eq!(ours.merged(vote(2, 4, None)), ours);
        assert_eq!(ours.merged(vote(4, 4, None)), vote(4, 5, None));
        assert_eq!(ours.merged(vote(2, 6, None)), vote(3, 6, None));
        assert_eq!(ours.merged(vote(4, 6, None)), vote(4, 6, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn never_allows_what_the_full_history_calls_slashable(events in prop::collection::vec(event(), 1..40)) {
            let mut watermark = Watermark::default();
            let mut history = History::default();
            for event in events {
                match event {
                    Event::Sign(message) => match judge(&watermark, message) {
                        Ok(Ruling::Record(next)) => {
                            prop_assert_eq!(history.contradiction(KEY, message), None);
                            prop_assert_eq!(next, watermark.merged(next), "a watermark went down");
                            history.sign(KEY, message);
                            watermark = next;
                            prop_assert_eq!(judge(&watermark, message), Ok(Ruling::Repeat));
                        }
                        Ok(Ruling::Repeat) => prop_assert!(history.has_signed(KEY, message)),
                        Err(_) => {}
                    },
                    Event::Import(message) => {
                        watermark = watermark.merged(imported(message));
                        history.sign(KEY, message);
                    }
                }
            }
        }

        /// The other direction: a message above all before, as every honest client sends them, is never refused.
        #[test]
        fn never_refuses_what_lies_above_all_before(steps in prop::collection::vec((0u64..3, 1u64..4), 1..40)) {
            let mut watermark = Watermark::default();
            let (mut source, mut target) = (0, 0);
            for (source_step, target_step) in steps {
                target += target_step;
                source = target.min(source + source_step);
                watermark = pass(judge_attestation(&watermark, Epoch(source), Epoch(target), root(1)));
                watermark = pass(judge_block(&watermark, Slot(target), root(1)));
            }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Sign(Message),
        Import(Message),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![9 => message().prop_map(Event::Sign), 1 => message().prop_map(Event::Import)]
    }

    /// Small numbers and few roots, so that contradictions are common.
    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            (0u64..12, 0u8..3).prop_map(|(slot, r)| Message::Block { slot, root: [r; 32] }),
            // The root of an attestation covers its epochs: other epochs, other root.
            (0u8..12, 0u8..12, 0u8..3).prop_map(|(source, target, r)| {
                let mut root = [r; 32];
                root[0] = source;
                root[1] = target;
                Message::Attestation { source: source.into(), target: target.into(), root }
            }),
        ]
    }

    fn judge(before: &Watermark, message: Message) -> Result<Ruling, Refusal> {
        match message {
            Message::Block { slot, root } => judge_block(before, Slot(slot), SigningRoot(root)),
            Message::Attestation { source, target, root } => {
                judge_attestation(before, Epoch(source), Epoch(target), SigningRoot(root))
            }
        }
    }

    fn imported(message: Message) -> Watermark {
        match message {
            Message::Block { slot, .. } => Watermark {
                block: Some(SignedBlock { slot: Slot(slot), signing_root: None }),
                attestation: None,
            },
            Message::Attestation { source, target, .. } => Watermark {
                block: None,
                attestation: Some(SignedAttestation {
                    source: Epoch(source),
                    target: Epoch(target),
                    signing_root: None,
                }),
            },
        }
    }

    fn pass(ruling: Result<Ruling, Refusal>) -> Watermark {
        match ruling {
            Ok(Ruling::Record(watermark)) => watermark,
            other => panic!("expected a message to record, got {other:?}"),
        }
    }

    fn root(byte: u8) -> SigningRoot {
        SigningRoot([byte; 32])
    }

    const KEY: [u8; 48] = [7; 48];
}
