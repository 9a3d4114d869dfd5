//! The whole matrix of who, which key and which duty, against the plainest model of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::Clients;
use super::client::{Client, ClientName, Identity, Keys, Requester, group_of};
use crate::bls::PublicKey;
use crate::caller::{Caller, ClientCertificate, Peer};
use crate::config::Role;
use crate::credentials::{Fingerprint, TokenDigest};
use crate::duty::{Duty, Kind};
use crate::duty_group::DutyGroup;
use crate::network::Network;
use crate::primitives::SigningRoot;
use crate::raw_roots::RawRoots;
use crate::signing_policy::{Refusal, SigningPolicy};

/// What a caller is: of each trait one of a few, or none.
#[derive(Clone, Debug)]
struct Traits {
    /// None over TCP.
    uid: Option<u8>,
    gid: u8,
    groups: Vec<u8>,
    certificate: Option<u8>,
    name: Option<u8>,
    token: Option<u8>,
}

/// What a client demands of a caller, in the same few values, and what it may do.
#[derive(Clone, Debug)]
struct Demands {
    users: Option<Vec<u8>>,
    groups: Option<Vec<u8>>,
    certificates: Option<Vec<u8>>,
    names: Option<Vec<u8>>,
    tokens: Option<Vec<u8>>,
    keys: Option<BTreeSet<u8>>,
    duties: Vec<DutyGroup>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_is_a_client_that_another_one_covers_is_that_other_one_too(
        one in demands(), other in demands(), traits in traits(),
    ) {
        let (one, other, caller) = (client(1, &one), client(2, &other), caller(&traits));
        let requester = Requester { caller: &caller, token: traits.token.map(token) };
        if one.identity.is_met_by_all_of(&other.identity) && other.identity.fits(&requester) {
            prop_assert!(one.identity.fits(&requester));
        }
    }

    #[test]
    fn who_may_have_what_signed_is_what_the_plainest_model_says(
        demands in prop::collection::vec(demands(), 1..4),
        traits in traits(),
        key in 0..4_u8,
        exists: bool,
    ) {
        let clients = demands.iter().enumerate().map(|(at, demands)| Arc::new(client(at, demands))).collect();
        let policy =
            SigningPolicy {
            raw_roots: RawRoots::Allow,
            proofs_of_validation: true,
            clients: Clients::named(clients, Vec::new()),
        };
        let caller = caller(&traits);
        let requester = Requester { caller: &caller, token: traits.token.map(token) };
        let model = demands.iter().position(|demands| meets(demands, &traits));

        let found = policy.client_of(&requester).map(|client| client.name().unwrap().to_string());
        prop_assert_eq!(found, model.map(|at| format!("c{at}")).ok_or(Refusal::Stranger));
        let Some(demands) = model.and_then(|at| demands.get(at)) else { return Ok(()) };

        let client = policy.client_of(&requester).unwrap();
        let public_key = PublicKey([key; 48]);
        let sees = demands.keys.as_ref().is_none_or(|keys| keys.contains(&key));
        for duty in duties() {
            let kind = duty.kind();
            let mut asked = false;
            let find = |key: &PublicKey| {
                asked = true;
                exists.then_some(*key)
            };
            let permitted = policy.permit(client, public_key, &duty, find).map(|permitted| *permitted.key());
            let may = demands.duties.contains(&group_of(kind));
            let expected = match (sees, exists, may) {
                (false, _, _) => Err(Refusal::ForeignKey { public_key }),
                (true, false, _) => Err(Refusal::UnknownKey { public_key }),
                (true, true, false) => Err(Refusal::Duty { kind, client: client.name().cloned() }),
                (true, true, true) => Ok(public_key),
            };
            prop_assert_eq!(permitted, expected, "{}", kind);
            prop_assert_eq!(asked, sees, "another client's key is not even looked up");
        }
    }
}

#[test]
fn every_group_has_a_kind_and_the_envelope_of_a_payload_is_a_proposer_s_too() {
    for group in DutyGroup::ALL.iter().copied() {
        assert!(Kind::ALL.iter().any(|kind| group_of(*kind) == group), "{group}");
        let client = Client { duties: vec![group], ..Client::everybody() };
        for kind in Kind::ALL {
            let own = kind == Kind::ExecutionPayloadEnvelope && group == DutyGroup::Propose;
            assert_eq!(client.may_have_signed(kind), own || group_of(kind) == group, "{group} {kind}");
        }
    }
}

#[test]
fn without_a_named_client_everybody_may_have_everything_signed() {
    let clients = Clients::default();
    let caller = Caller {
        role: Role::Signing,
        peer: Peer::Unix { uid: 1, gid: 1, pid: None },
        groups: Arc::default(),
        certificate: None,
    };
    let everybody = clients.client_of(&Requester { caller: &caller, token: None }).unwrap();
    assert!(everybody.sees(&PublicKey([1; 48])) && everybody.name().is_none() && !clients.are_named());
    assert!(Kind::ALL.iter().all(|kind| everybody.may_have_signed(*kind)));
}

fn meets(demands: &Demands, traits: &Traits) -> bool {
    let Demands { users, groups, certificates, names, tokens, .. } = demands;
    let one_of = |wanted: &Option<Vec<u8>>, is: Option<u8>| match (wanted, is) {
        (None, _) => true,
        (Some(wanted), Some(is)) => wanted.contains(&is),
        (Some(_), None) => false,
    };
    let member = match groups {
        None => true,
        Some(groups) if traits.uid.is_some() => {
            groups.contains(&traits.gid) || groups.iter().any(|group| traits.groups.contains(group))
        }
        Some(_) => false,
    };
    one_of(users, traits.uid)
        && member
        && one_of(certificates, traits.certificate)
        && one_of(names, traits.certificate.and(traits.name))
        && one_of(tokens, traits.token)
}

fn client(at: usize, demands: &Demands) -> Client {
    let Demands { users, groups, certificates, names, tokens, keys, duties } = demands.clone();
    let ids = |ids: Option<Vec<u8>>| ids.map(|ids| ids.into_iter().map(u32::from).collect());
    Client {
        exits: crate::config::Exits::Any,
        name: Some(ClientName(format!("c{at}").into())),
        identity: Identity {
            users: ids(users),
            groups: ids(groups),
            certificates: certificates.map(|all| all.into_iter().map(fingerprint).collect()),
            certificate_names: names.map(|all| all.into_iter().map(name).collect()),
            tokens: tokens.map(|all| all.into_iter().map(token).collect()),
        },
        keys: keys.map_or(Keys::All, |keys| {
            Keys::Listed(keys.into_iter().map(|key| PublicKey([key; 48])).collect())
        }),
        duties,
    }
}

fn caller(traits: &Traits) -> Caller {
    let peer = match traits.uid {
        Some(uid) => Peer::Unix { uid: uid.into(), gid: traits.gid.into(), pid: Some(1) },
        None => Peer::Tcp("127.0.0.1:1".parse().unwrap()),
    };
    let groups = traits.groups.iter().copied().map(u32::from).filter(|_| traits.uid.is_some()).collect();
    let certificate = traits.certificate.map(|number| {
        let names = traits.name.map(name).into_iter().collect();
        Arc::new(ClientCertificate { fingerprint: fingerprint(number), names })
    });
    Caller { role: Role::Signing, peer, groups, certificate }
}

fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint::of(&[number])
}

fn name(number: u8) -> String {
    format!("DNS:vc{number}")
}

fn token(number: u8) -> TokenDigest {
    TokenDigest::of(&number.to_string())
}

fn demands() -> impl Strategy<Value = Demands> {
    let some = || prop::option::weighted(0.4, prop::collection::vec(0..3_u8, 1..3));
    let keys = prop::option::of(prop::collection::btree_set(0..4_u8, 0..3));
    let duties = prop::sample::subsequence(DutyGroup::ALL.to_vec(), 1..DutyGroup::ALL.len());
    (some(), some(), some(), some(), some(), keys, duties).prop_map(
        |(users, groups, certificates, names, tokens, keys, duties)| Demands {
            users,
            groups,
            certificates,
            names,
            tokens,
            keys,
            duties,
        },
    )
}

fn traits() -> impl Strategy<Value = Traits> {
    let one = || prop::option::of(0..3_u8);
    (one(), 0..3_u8, prop::collection::vec(0..3_u8, 0..2), one(), one(), one()).prop_map(
        |(uid, gid, groups, certificate, name, token)| Traits { uid, gid, groups, certificate, name, token },
    )
}

/// A duty of each of a few groups, one of them without its message.
fn duties() -> Vec<Duty> {
    let network = Network::load("minimal").unwrap();
    let root = SigningRoot([1; 32]);
    let fork = format!(
        r#""fork_info": {{"fork": {{"previous_version": "0x00000001", "current_version": "0x00000001", "epoch": "0"}},
            "genesis_validators_root": "{root}"}}"#
    );
    let bodies = [
        format!(r#"{{"type": "RANDAO_REVEAL", "randao_reveal": {{"epoch": "1"}}, {fork}}}"#),
        format!(r#"{{"type": "AGGREGATION_SLOT", "aggregation_slot": {{"slot": "1"}}, {fork}}}"#),
        format!(
            r#"{{"type": "VOLUNTARY_EXIT", "voluntary_exit": {{"epoch": "1", "validator_index": "1"}}, {fork}}}"#
        ),
        format!(r#"{{"signingRoot": "{root}", "domain_name": "randao"}}"#),
    ];
    bodies.iter().map(|body| Duty::parse(body.as_bytes(), &network).unwrap()).collect()
}
