//! The body of a request to sign: which form it has, and whether the caller's root is ours.

use super::json::{self, At};
use super::{Duty, Kind, Refusal, message, raw_root};
use crate::network::Network;

pub(super) fn parse(body: &[u8], network: &Network) -> Result<Duty, Refusal> {
    let tree = json::parse(body)?;
    let request = At::top(&tree);
    let Some(type_name) = request.optional("type")? else {
        return raw_root::parse(&request);
    };
    let kind = Kind::by_type(type_name.text()?)
        .ok_or_else(|| type_name.must_be(&format!("one of {}", Kind::type_names())))?;
    let message = message::read(kind, &request, network)?;

    let computed = message.domain.signing_root(&message.object_root);
    if let Some(given) = request.optional_of(&raw_root::ROOT_NAMES)? {
        let given = given.root()?;
        if given.0 != computed.0 {
            return Err(Refusal::RootMismatch { computed, given });
        }
    }
    Ok(Duty {
        kind,
        signing_root: computed,
        claim: message.claim,
        genesis_validators_root: message.genesis_validators_root,
        fork: message.fork,
        newer_version: message.newer_version,
    })
}
