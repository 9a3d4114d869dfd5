//! One client: whom its identity fits, which keys are its own and what it may have signed. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::bls::PublicKey;
use crate::caller::{Caller, Peer, Share};
use crate::config::Exits;
use crate::credentials::{Fingerprint, TokenDigest};
use crate::duty::Kind;
use crate::duty_group::DutyGroup;

/// Who may have what signed with which keys.
#[derive(Debug)]
pub(crate) struct Client {
    /// None for the implicit client, which is everybody.
    pub(super) name: Option<ClientName>,
    pub(super) identity: Identity,
    pub(super) keys: Keys,
    pub(super) duties: Vec<DutyGroup>,
    pub(super) exits: Exits,
}

/// A client's name in the configuration, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientName(pub(super) Arc<str>);

impl ClientName {
    pub(crate) fn share(&self) -> Share {
        Share::Client(Arc::clone(&self.0))
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a caller must be or show to be the client: of each demand that is made, one of the alternatives.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// User ids of the process at the other end of a Unix socket.
    pub(super) users: Option<Vec<u32>>,
    /// Group ids, one of which that process has.
    pub(super) groups: Option<Vec<u32>>,
    pub(super) certificates: Option<Vec<Fingerprint>>,
    /// Alternative names in a certificate that an authority vouches for, such as `DNS:vc1.example`.
    pub(super) certificate_names: Option<Vec<String>>,
    pub(super) tokens: Option<Vec<TokenDigest>>,
}

/// The keys that a client knows of.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    All,
    Listed(BTreeSet<PublicKey>),
}

/// Who asks in one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requester<'a> {
    pub(crate) caller: &'a Caller,
    /// Of the bearer token, where the guard has found it to be one of ours.
    pub(crate) token: Option<TokenDigest>,
}

impl Client {
    /// Everybody whom the listener lets in: the only client where none is named.
    pub(super) fn everybody() -> Self {
        Self {
            name: None,
            identity: Identity::default(),
            keys: Keys::All,
            duties: DutyGroup::ALL.to_vec(),
            exits: Exits::Any,
        }
    }

    pub(crate) fn name(&self) -> Option<&ClientName> {
        self.name.as_ref()
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn may(&self, group: DutyGroup) -> bool {
        self.duties.contains(&group)
    }

    /// Whether it knows of this key. Other keys do not exist for it.
    pub(crate) fn sees(&self, public_key: &PublicKey) -> bool {
        match &self.keys {
            Keys::All => true,
            Keys::Listed(keys) => keys.contains(public_key),
        }
    }

    /// Whether of duties of this kind it may have one signed with each key, and no other.
    pub(crate) fn has_one_of(&self, kind: Kind) -> bool {
        kind == Kind::VoluntaryExit && self.exits == Exits::Once
    }

    /// Whether it may have a duty of this kind signed.
    pub(crate) fn may_have_signed(&self, kind: Kind) -> bool {
        // A proposer that builds its payload itself signs its envelope with its own key.
        let builds_itself = kind == Kind::ExecutionPayloadEnvelope && self.may(DutyGroup::Propose);
        self.may(group_of(kind)) || builds_itself
    }
}

impl Identity {
    /// Whether the requester meets every demand. A TCP connection has no user and no group, so it never meets theirs.
    pub(super) fn fits(&self, requester: &Requester<'_>) -> bool {
        let Self { users, groups, certificates, certificate_names, tokens } = self;
        let Requester { caller, token } = requester;
        let (uid, gid) = match caller.peer {
            Peer::Unix { uid, gid, .. } => (Some(uid), Some(gid)),
            Peer::Tcp(_) => (None, None),
        };
        let certificate = caller.certificate.as_deref();
        let has_user = |users: &Vec<u32>| uid.is_some_and(|uid| users.contains(&uid));
        let has_group = |groups: &Vec<u32>| gid.iter().chain(&*caller.groups).any(|gid| groups.contains(gid));
        let has_certificate = |fingerprints: &Vec<Fingerprint>| {
            certificate.is_some_and(|certificate| fingerprints.contains(&certificate.fingerprint))
        };
        let has_name = |names: &Vec<String>| {
            certificate.is_some_and(|certificate| names.iter().any(|name| certificate.names.contains(name)))
        };
        let has_token = |tokens: &Vec<TokenDigest>| token.is_some_and(|token| token.is_one_of(tokens));
        users.as_ref().is_none_or(has_user)
            && groups.as_ref().is_none_or(has_group)
            && certificates.as_ref().is_none_or(has_certificate)
            && certificate_names.as_ref().is_none_or(has_name)
            && tokens.as_ref().is_none_or(has_token)
    }

    /// Whether whoever meets all that `other` demands meets this as well.
    pub(crate) fn is_met_by_all_of(&self, other: &Self) -> bool {
        fn is_met<T>(mine: Option<&Vec<T>>, others: Option<&Vec<T>>, is: impl Fn(&T, &T) -> bool) -> bool {
            let Some(mine) = mine else { return true };
            others.is_some_and(|others| others.iter().all(|other| mine.iter().any(|one| is(one, other))))
        }
        let Self { users, groups, certificates, certificate_names, tokens } = self;
        is_met(users.as_ref(), other.users.as_ref(), PartialEq::eq)
            && is_met(groups.as_ref(), other.groups.as_ref(), PartialEq::eq)
            && is_met(certificates.as_ref(), other.certificates.as_ref(), PartialEq::eq)
            && is_met(certificate_names.as_ref(), other.certificate_names.as_ref(), PartialEq::eq)
            && is_met(tokens.as_ref(), other.tokens.as_ref(), TokenDigest::is)
    }

    pub(crate) fn demands_certificate(&self) -> bool {
        self.certificates.is_some() || self.certificate_names.is_some()
    }

    /// Whether it is about the process at the other end.
    pub(crate) fn demands_process(&self) -> bool {
        self.users.is_some() || self.groups.is_some()
    }

    pub(super) fn token_digests(&self) -> &[TokenDigest] {
        self.tokens.as_deref().unwrap_or_default()
    }
}

/// The group that a kind of duty is of: clients may have it signed that are granted the group.
pub(crate) fn group_of(kind: Kind) -> DutyGroup {
    match kind {
        Kind::Attestation | Kind::PayloadAttestationMessage => DutyGroup::Attest,
        Kind::Block | Kind::BlockV2 => DutyGroup::Propose,
        Kind::AggregationSlot | Kind::AggregateAndProof | Kind::AggregateAndProofV2 => DutyGroup::Aggregate,
        Kind::SyncCommitteeMessage
        | Kind::SyncCommitteeSelectionProof
        | Kind::SyncCommitteeContributionAndProof => DutyGroup::Sync,
        Kind::RandaoReveal => DutyGroup::Randao,
        Kind::ValidatorRegistration | Kind::ProposerPreferences | Kind::BuilderRequestAuth => {
            DutyGroup::Registration
        }
        Kind::ExecutionPayloadBid | Kind::ExecutionPayloadEnvelope => DutyGroup::Builder,
        Kind::VoluntaryExit => DutyGroup::Exit,
        Kind::Deposit => DutyGroup::Deposit,
        Kind::ProofOfValidation => DutyGroup::Proof,
        Kind::RawRoot => DutyGroup::Raw,
    }
}
