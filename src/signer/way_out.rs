//! Way out of a refusal: what an operator does, and from when the key signs again.

use crate::ledger::Refusal;
use crate::network::GenesisClock;
use crate::primitives::{Epoch, Slot};

/// In a sentence or two; `clock` is the network's, where it is known.
pub(crate) fn way_out(refusal: &Refusal, clock: Option<GenesisClock>) -> String {
    match *refusal {
        Refusal::OtherBlockAtSlot { slot: highest } | Refusal::BlockNotAbove { highest, .. } => format!(
            "wait: blocks are signed again from {} on. If it repeats, two clients use the key: stop one",
            slot(Slot(highest.0.saturating_add(1)), clock)
        ),
        Refusal::OtherVoteForTarget { target_epoch: highest } | Refusal::TargetNotAbove { highest, .. } => {
            format!(
                "wait: attestations are signed again for targets from {} on. If it repeats, two clients use the key: \
                 stop one",
                epoch(Epoch(highest.0.saturating_add(1)), clock)
            )
        }
        Refusal::SourceBelow { highest, .. } => format!(
            "a vote with source {} or later passes: the beacon node lags behind or follows another fork, let it sync",
            epoch(highest, clock)
        ),
        Refusal::SourceAfterTarget { .. } => "the beacon node gives nonsense: look at it".to_owned(),
        Refusal::StoppedAtSlot { .. } | Refusal::StoppedAtEpoch { .. } | Refusal::StoppedRawRoots => {
            "if the hand-over is called off, and nobody else signs with the keys: 'bls-signer slashing-protection \
             high-watermark --remove'"
                .to_owned()
        }
        Refusal::FarAhead { .. } => {
            "set this host's clock, and compare the option network with the client's".to_owned()
        }
        Refusal::RecordFarAhead { .. } => {
            "set this host's clock if it is wrong; else docs/slashing-protection.md, \"A record far ahead\"".to_owned()
        }
        Refusal::OtherChain { .. } | Refusal::NoChain => {
            "set the option network to the validators' network; one state directory serves one network".to_owned()
        }
        Refusal::Deleted { public_key } => format!(
            "make sure that no other signer has it, then import it with its history: 'bls-signer keys import \
             --slashing-protection HISTORY KEYSTORE' for {public_key}"
        ),
        Refusal::RawRootSigned { .. } => {
            "when nothing asks for raw roots any more, lift the watermarks to the present: 'bls-signer \
             slashing-protection raise --slot SLOT --epoch EPOCH --key KEY'"
                .to_owned()
        }
        Refusal::RawRootOfProtectedKey { .. } | Refusal::RawRootOfSharedKey { .. } => {
            "send the message itself".to_owned()
        }
        Refusal::OtherExitSigned { .. } | Refusal::ExitUnrecorded => {
            "see `exit` of the client in bls-signer.toml(5)".to_owned()
        }
        Refusal::SignedElsewhere { .. } => "find the other signer that uses the key, and stop one".to_owned(),
    }
}

fn slot(slot: Slot, clock: Option<GenesisClock>) -> String {
    match clock.and_then(|clock| clock.begin_of(slot)) {
        Some(begin) => format!("slot {slot}, {begin}"),
        None => format!("slot {slot}"),
    }
}

fn epoch(epoch: Epoch, clock: Option<GenesisClock>) -> String {
    match clock.and_then(|clock| clock.begin_of_epoch(epoch)) {
        Some(begin) => format!("epoch {epoch}, {begin}"),
        None => format!("epoch {epoch}"),
    }
}
