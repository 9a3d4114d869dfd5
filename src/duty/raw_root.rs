//! Requests of the first design: a bare 32-byte signing root and the name of its domain, without a message.
//!
//! The name only says what the caller claims to sign; nothing about it can be checked. So it has to be a known one,
//! and the duty is a [`Claim::RawRoot`] whatever it says.

use super::json::At;
use super::{Claim, Duty, Kind, Refusal};
use crate::primitives::SigningRoot;

pub(super) fn parse(request: &At<'_>) -> Result<Duty, Refusal> {
    let label = request.optional_of(&NAME_MEMBERS)?;
    let domain = request.optional("domain")?;
    match (label, domain) {
        (Some(label), None) => check_name(&label)?,
        (None, Some(domain)) => {
            domain.bytes::<4>()?;
        }
        (Some(label), Some(_)) => {
            return Err(label.invalid("and domain say the same thing: give one of them".to_owned()));
        }
        // Hardly anyone means a raw root by a body without any of the three.
        (None, None) => return Err(Refusal::Missing { field: "type".to_owned() }),
    }
    // Exactly 32 bytes: padding a root that is signed as it stands would be a guess.
    let root = request.member_of(&ROOT_NAMES)?.bytes::<32>()?;
    Ok(Duty {
        kind: Kind::RawRoot,
        signing_root: SigningRoot(root),
        claim: Claim::RawRoot,
        genesis_validators_root: None,
        fork: None,
        newer_version: None,
    })
}

fn check_name(label: &At<'_>) -> Result<(), Refusal> {
    if NAMES.contains(&label.text()?) {
        return Ok(());
    }
    Err(label.must_be(&format!("one of {}", NAMES.join(", "))))
}

/// The specification's name of the client's root, and the one that Web3Signer writes.
pub(super) const ROOT_NAMES: [&str; 2] = ["signingRoot", "signing_root"];

const NAME_MEMBERS: [&str; 2] = ["domain_name", "domainName"];

const NAMES: [&str; 10] = [
    "beacon_proposer",
    "beacon_attester",
    "randao",
    "deposit",
    "voluntary_exit",
    "selection_proof",
    "aggregate_and_proof",
    "sync_committee",
    "sync_committee_selection_proof",
    "contribution_and_proof",
];
