//! Why slashing protection does not let a message be signed, in words for whoever asked.

use std::fmt;

use crate::bls::PublicKey;
use crate::network::NamedRoot;
use crate::primitives::{Epoch, Root, Slot};

/// Why slashing protection does not let a message be signed: the caller's matter (412).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "slashing protection: another block at slot {slot} was already signed with this key; signing a second one \
         would be slashed. Check that only one validator client uses the key"
    )]
    OtherBlockAtSlot { slot: Slot },
    #[error(
        "slashing protection: block slot {slot} is not above slot {highest}, the highest on record for this key; \
         blocks can only be signed at higher slots"
    )]
    BlockNotAbove { slot: Slot, highest: Slot },
    #[error(
        "slashing protection: the attestation's source epoch {source_epoch} lies after its target epoch \
         {target_epoch}; no chain accepts it"
    )]
    SourceAfterTarget { source_epoch: Epoch, target_epoch: Epoch },
    #[error(
        "slashing protection: source epoch {source_epoch} is below source epoch {highest}, the highest on record for \
         this key; the attestation could surround an earlier one. Check the beacon node's view of the chain"
    )]
    SourceBelow { source_epoch: Epoch, highest: Epoch },
    #[error(
        "slashing protection: another attestation with target epoch {target_epoch} was already signed with this key; a \
         second one would be slashed as a double vote. Check that only one validator client uses the key"
    )]
    OtherVoteForTarget { target_epoch: Epoch },
    #[error(
        "slashing protection: target epoch {target_epoch} is not above target epoch {highest}, the highest on record \
         for this key; attestations can only be signed for higher targets"
    )]
    TargetNotAbove { target_epoch: Epoch, highest: Epoch },
    #[error(
        "slashing protection: slot {slot} is at or beyond slot {stop}, where this signer was told to stop signing \
         (high watermark); remove the high watermark to sign on"
    )]
    StoppedAtSlot { slot: Slot, stop: Slot },
    #[error(
        "slashing protection: epoch {epoch} is at or beyond epoch {stop}, where this signer was told to stop signing \
         (high watermark); remove the high watermark to sign on"
    )]
    StoppedAtEpoch { epoch: Epoch, stop: Epoch },
    #[error(
        "slashing protection: slot {slot} lies far ahead of slot {latest}, the latest that clock and records make \
         plausible; signing it would lock the key until then. Check the client's network and this host's clock"
    )]
    FarAhead { slot: Slot, latest: Slot },
    #[error(
        "slashing protection: the request is for the chain with genesis validators root {}, but this signer \
         protects the chain with {}: set its option `network` to the validators' network (without it, that is \
         mainnet), and use one signer and one state directory for each",
        NamedRoot(*.requested), NamedRoot(*.pinned)
    )]
    OtherChain { requested: Root, pinned: Root },
    #[error("slashing protection: the request does not say which chain it is for (genesis_validators_root)")]
    NoChain,
    #[error(
        "slashing protection: key {public_key} was deleted from this signer and may be in use elsewhere; import it \
         again, with its slashing protection history, to sign with it here"
    )]
    Deleted { public_key: PublicKey },
    #[error(
        "slashing protection: a raw root cannot be checked, and key {public_key} has slashing protection history; \
         send the message itself, or set raw_roots = \"allow\""
    )]
    RawRootOfProtectedKey { public_key: PublicKey },
    #[error(
        "slashing protection: a raw root cannot be checked, and what other hosts signed with key {public_key} is not \
         known here; send the message itself, or set raw_roots = \"allow\""
    )]
    RawRootOfSharedKey { public_key: PublicKey },
    #[error(
        "slashing protection: {record} is on record for this key by another signer, so this message is not signed; \
         only what lies above can be. Check that only one validator client uses the key"
    )]
    SignedElsewhere { record: Recorded },
    #[error(
        "slashing protection: {record} is on record for this key, {years} years ahead of this host's clock, and only \
         what lies above can be signed. If the clock is right, that record is garbage and locks the key for good; \
         what to do then says docs/slashing-protection.md, \"A record far ahead\""
    )]
    RecordFarAhead { record: Recorded, years: u64 },
    #[error(
        "slashing protection: this signer was told where to stop signing (high watermark), and a raw root cannot be \
         told to lie before that; remove the high watermark to sign on"
    )]
    StoppedRawRoots,
    #[error(
        "slashing protection: raw roots were signed with key {public_key}, and what they said is not known, so neither \
         blocks nor attestations are signed with it. When nothing asks for raw roots with it any more, lift its \
         watermarks to the present: `bls-signer slashing-protection raise --slot SLOT --epoch EPOCH --key \
         {public_key}` with the current slot and epoch, or later"
    )]
    RawRootSigned { public_key: PublicKey },
    #[error(
        "another voluntary exit was signed with key {public_key}, and this client may have one for each key \
         (exit = \"once\"): the identical one can be signed again"
    )]
    OtherExitSigned { public_key: PublicKey },
    #[error(
        "this client may have one voluntary exit signed for each key (exit = \"once\"), and slashing protection is \
         off, so there is no record of it"
    )]
    ExitUnrecorded,
}

/// What is on record, as a message calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Slot(Slot),
    Epoch(Epoch),
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
        }
    }
}

impl Refusal {
    /// The record that stands in the message's way, where one does.
    pub(super) fn record(&self) -> Option<Recorded> {
        match *self {
            Self::OtherBlockAtSlot { slot: record } | Self::BlockNotAbove { highest: record, .. } => {
                Some(Recorded::Slot(record))
            }
            Self::OtherVoteForTarget { target_epoch: record }
            | Self::SourceBelow { highest: record, .. }
            | Self::TargetNotAbove { highest: record, .. } => Some(Recorded::Epoch(record)),
            Self::SignedElsewhere { record } => Some(record),
            Self::SourceAfterTarget { .. }
            | Self::StoppedAtSlot { .. }
            | Self::StoppedAtEpoch { .. }
            | Self::FarAhead { .. }
            | Self::RecordFarAhead { .. }
            | Self::OtherChain { .. }
            | Self::NoChain
            | Self::Deleted { .. }
            | Self::RawRootOfProtectedKey { .. }
            | Self::RawRootOfSharedKey { .. }
            | Self::StoppedRawRoots
            | Self::RawRootSigned { .. }
            | Self::OtherExitSigned { .. }
            | Self::ExitUnrecorded => None,
        }
    }
}
