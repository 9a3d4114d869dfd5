//! From a request's `type` and payload to what is signed: the object's root, its domain and its claim.
//!
//! One function a kind. The payload is read once: the slot or epoch that picks the fork version and the numbers of
//! the claim come from the very values that are hashed.

use super::domain::Domain;
use super::fork_info::{ChainDomain, ForkInfo};
use super::json::At;
use super::kind::DomainType;
use super::ssz::{Chunk, Schema, containers, hash_tree_root};
use super::{Claim, Kind, Refusal};
use crate::network::{Fork, Network};
use crate::primitives::{Epoch, ForkVersion, Root, Slot};

/// A message, understood.
pub(super) struct Message {
    pub(super) object_root: Chunk,
    pub(super) domain: Domain,
    pub(super) claim: Claim,
    pub(super) genesis_validators_root: Option<Root>,
    /// The fork that the message is signed under; none without `fork_info`.
    pub(super) fork: Option<Fork>,
    pub(super) newer_version: Option<ForkVersion>,
}

/// Reads the payload of a kind from a request.
pub(super) fn read(kind: Kind, request: &At<'_>, network: &Network) -> Result<Message, Refusal> {
    // A raw root has no `type` and a proof of validation another route, so no request gets here with them.
    let no_type = || Refusal::Missing { field: "type".to_owned() };
    let domain = kind.domain_type().ok_or_else(no_type)?;
    let reader = Reader { request, network, domain };
    match kind {
        Kind::AggregationSlot => reader.aggregation_slot(),
        Kind::AggregateAndProof | Kind::AggregateAndProofV2 => reader.aggregate_and_proof(),
        Kind::Attestation => reader.attestation(),
        Kind::Block => reader.block(),
        Kind::BlockV2 => reader.block_v2(),
        Kind::Deposit => reader.deposit(),
        Kind::RandaoReveal => reader.randao_reveal(),
        Kind::VoluntaryExit => reader.voluntary_exit(),
        Kind::SyncCommitteeMessage => reader.sync_committee_message(),
        Kind::SyncCommitteeSelectionProof => reader.sync_committee_selection_proof(),
        Kind::SyncCommitteeContributionAndProof => reader.contribution_and_proof(),
        Kind::ValidatorRegistration => reader.validator_registration(),
        Kind::ExecutionPayloadBid => reader.execution_payload_bid(),
        Kind::ExecutionPayloadEnvelope => reader.execution_payload_envelope(),
        Kind::PayloadAttestationMessage => reader.payload_attestation(),
        Kind::ProposerPreferences => reader.proposer_preferences(),
        Kind::BuilderRequestAuth => reader.builder_request_auth(),
        Kind::ProofOfValidation | Kind::RawRoot => Err(no_type()),
    }
}

struct Reader<'r> {
    request: &'r At<'r>,
    network: &'r Network,
    domain: DomainType,
}

impl Reader<'_> {
    fn attestation(&self) -> Result<Message, Refusal> {
        let data = self.request.member("attestation")?;
        let source = data.member("source")?.member("epoch")?.epoch()?;
        let target = data.member("target")?.member("epoch")?.epoch()?;
        let message = self.on_chain(&containers::ATTESTATION_DATA, &data, target)?;
        Ok(Message { claim: Claim::Attestation { source, target }, ..message })
    }

    /// The deprecated form: always a whole phase0 block.
    fn block(&self) -> Result<Message, Refusal> {
        self.proposal(&containers::PHASE0_BEACON_BLOCK, &self.request.member("block")?)
    }

    /// A whole block for phase0 and Altair, else a header, which any version may use; given both, the block.
    fn block_v2(&self) -> Result<Message, Refusal> {
        let versioned = self.request.member("beacon_block")?;
        let version = versioned.member("version")?;
        let whole_block = match fork_of(&version)? {
            Fork::Phase0 => Some(&containers::PHASE0_BEACON_BLOCK),
            Fork::Altair => Some(&containers::ALTAIR_BEACON_BLOCK),
            Fork::Bellatrix
            | Fork::Capella
            | Fork::Deneb
            | Fork::Electra
            | Fork::Fulu
            | Fork::Gloas
            | Fork::Heze => None,
        };
        if let (Some(schema), Some(block)) = (whole_block, versioned.optional("block")?) {
            return self.proposal(schema, &block);
        }
        match versioned.optional("block_header")? {
            Some(header) => self.proposal(&containers::BEACON_BLOCK_HEADER, &header),
            None => Err(versioned.missing(if whole_block.is_some() { "block" } else { "block_header" })),
        }
    }

    fn proposal(&self, schema: &Schema, block: &At<'_>) -> Result<Message, Refusal> {
        let slot = block.member("slot")?.slot()?;
        let epoch = self.network.epoch_at(slot);
        let message = self.on_chain(schema, block, epoch)?;
        Ok(Message { claim: Claim::Block { slot }, ..message })
    }

    fn randao_reveal(&self) -> Result<Message, Refusal> {
        let reveal = self.request.member("randao_reveal")?;
        let epoch = reveal.member("epoch")?.epoch()?;
        self.on_chain(&containers::RANDAO_REVEAL, &reveal, epoch)
    }

    fn aggregation_slot(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("aggregation_slot")?;
        let epoch = self.epoch_of(&payload, "slot")?;
        self.on_chain(&containers::AGGREGATION_SLOT, &payload, epoch)
    }

    /// Both types take both forms, bare or with a version; the layout differs by fork.
    fn aggregate_and_proof(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("aggregate_and_proof")?;
        let (version, message) = unwrapped(&payload)?;
        let aggregate = message.member("aggregate")?;
        let slot = aggregate.member("data")?.member("slot")?.slot()?;
        let fork = match version {
            Some(version) => fork_of(&version)?,
            None => self.aggregate_fork(&aggregate, slot)?,
        };
        let schema = match fork {
            Fork::Phase0 | Fork::Altair | Fork::Bellatrix | Fork::Capella | Fork::Deneb => {
                &containers::AGGREGATE_AND_PROOF
            }
            Fork::Electra | Fork::Fulu => &containers::ELECTRA_AGGREGATE_AND_PROOF,
            Fork::Gloas | Fork::Heze => &containers::GLOAS_AGGREGATE_AND_PROOF,
        };
        self.on_chain(schema, &message, self.network.epoch_at(slot))
    }

    /// The fork of an aggregate that came without a version, as [`Reader::fork_at`] has it.
    fn aggregate_fork(&self, aggregate: &At<'_>, slot: Slot) -> Result<Fork, Refusal> {
        let fork = self.fork_at(slot)?;
        match aggregate.optional("committee_bits")? {
            Some(committee_bits) if fork < Fork::Electra => Err(committee_bits.invalid(format!(
                "belongs to ELECTRA and later, but the network {} has {fork} at slot {slot}: give the aggregate's \
                 version, or run the signer with the chain's own config.yaml",
                self.network.name()
            ))),
            Some(_) | None => Ok(fork),
        }
    }

    /// The fork of a message that came without a version: its fork version's, which the schedule has confirmed.
    fn fork_at(&self, slot: Slot) -> Result<Fork, Refusal> {
        Ok(self.fork_info()?.version_at(self.network.epoch_at(slot))?.fork)
    }

    fn voluntary_exit(&self) -> Result<Message, Refusal> {
        let exit = self.request.member("voluntary_exit")?;
        let fork_info = self.fork_info()?;
        let version = fork_info.version_of_exit(exit.member("epoch")?.epoch()?)?;
        self.under(&containers::VOLUNTARY_EXIT, &exit, fork_info.domain(DomainType::VOLUNTARY_EXIT, version))
    }

    /// Deposits are signed for every chain with the genesis fork version that the request names.
    fn deposit(&self) -> Result<Message, Refusal> {
        let deposit = self.request.member("deposit")?;
        let version = deposit.member("genesis_fork_version")?.fork_version()?;
        self.on_no_chain(&containers::DEPOSIT_MESSAGE, &deposit, version)
    }

    fn sync_committee_message(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("sync_committee_message")?;
        let epoch = self.epoch_of(&payload, "slot")?;
        // What is signed is the bare block root; the slot only picks the fork version.
        let block_root = payload.member("beacon_block_root")?;
        self.on_chain(&Schema::Root, &block_root, epoch)
    }

    fn sync_committee_selection_proof(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("sync_aggregator_selection_data")?;
        let epoch = self.epoch_of(&payload, "slot")?;
        self.on_chain(&containers::SYNC_AGGREGATOR_SELECTION_DATA, &payload, epoch)
    }

    fn contribution_and_proof(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("contribution_and_proof")?;
        let epoch = self.epoch_of(&payload.member("contribution")?, "slot")?;
        self.on_chain(&containers::CONTRIBUTION_AND_PROOF, &payload, epoch)
    }

    /// Registrations hold on every chain with this network's genesis fork version.
    fn validator_registration(&self) -> Result<Message, Refusal> {
        let registration = self.request.member("validator_registration")?;
        let version = self.network.genesis_fork_version();
        let schema = &containers::VALIDATOR_REGISTRATION;
        self.on_no_chain(schema, &registration, version)
    }

    fn execution_payload_bid(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("execution_payload_bid")?;
        let (version, bid) = unwrapped(&payload)?;
        let slot = bid.member("slot")?.slot()?;
        let fork = match version {
            Some(version) => fork_from_gloas(&version)?,
            None => self.fork_at(slot)?,
        };
        // Heze's bid has a field more, so its root is another one than that of these twelve.
        if let Some(bits) = bid.optional("inclusion_list_bits")? {
            return Err(bits.invalid("belongs to HEZE, whose bids are not signed yet".to_owned()));
        }
        if fork >= Fork::Heze {
            return Err(bid.invalid("is of HEZE, whose bids are not signed yet".to_owned()));
        }
        let epoch = self.network.epoch_at(slot);
        self.on_chain(&containers::EXECUTION_PAYLOAD_BID, &bid, epoch)
    }

    fn execution_payload_envelope(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("execution_payload_envelope")?;
        let envelope = gloas_message(&payload)?;
        let epoch = self.epoch_of(&envelope.member("payload")?, "slot_number")?;
        self.on_chain(&containers::EXECUTION_PAYLOAD_ENVELOPE, &envelope, epoch)
    }

    fn payload_attestation(&self) -> Result<Message, Refusal> {
        let payload = self.request.member_of(&PAYLOAD_ATTESTATION_NAMES)?;
        let data = gloas_message(&payload)?;
        let epoch = self.epoch_of(&data, "slot")?;
        self.on_chain(&containers::PAYLOAD_ATTESTATION_DATA, &data, epoch)
    }

    fn proposer_preferences(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("proposer_preferences")?;
        let preferences = gloas_message(&payload)?;
        let epoch = self.epoch_of(&preferences, "proposal_slot")?;
        let drafted = preferences.optional("target_gas_limit")?.is_none()
            && preferences.optional("gas_limit")?.is_some();
        let schema = match drafted {
            true => &containers::DRAFT_PROPOSER_PREFERENCES,
            false => &containers::PROPOSER_PREFERENCES,
        };
        self.on_chain(schema, &preferences, epoch)
    }

    /// Authentication towards a builder: without a chain, like registrations.
    fn builder_request_auth(&self) -> Result<Message, Refusal> {
        let payload = self.request.member_of(&REQUEST_AUTH_NAMES)?;
        // The message itself has a member `data`, too, but that one is a text.
        let wrapped = payload.optional("data")?.is_some_and(|data| data.is_object());
        let auth = if wrapped { gloas_message(&payload)? } else { payload };
        let version = self.network.genesis_fork_version();
        let schema = &containers::BUILDER_REQUEST_AUTH;
        self.on_no_chain(schema, &auth, version)
    }

    /// A message that no chain slashes for, of the chain and fork that `fork_info` gives for an epoch.
    fn on_chain(&self, schema: &Schema, value: &At<'_>, epoch: Epoch) -> Result<Message, Refusal> {
        let fork_info = self.fork_info()?;
        self.under(schema, value, fork_info.domain(self.domain, fork_info.version_at(epoch)?))
    }

    /// A message that no chain slashes for, under a domain of the request's chain.
    fn under(&self, schema: &Schema, value: &At<'_>, domain: ChainDomain) -> Result<Message, Refusal> {
        Ok(Message {
            object_root: self.object_root(schema, value)?,
            domain: domain.domain,
            claim: Claim::Unslashable,
            genesis_validators_root: Some(domain.genesis_validators_root),
            fork: Some(domain.fork),
            newer_version: domain.newer_version,
        })
    }

    fn fork_info(&self) -> Result<ForkInfo<'_>, Refusal> {
        ForkInfo::read(self.request, self.network)
    }

    /// A message that no chain slashes for, under a domain without a chain.
    fn on_no_chain(
        &self,
        schema: &Schema,
        value: &At<'_>,
        genesis_version: ForkVersion,
    ) -> Result<Message, Refusal> {
        Ok(Message {
            object_root: self.object_root(schema, value)?,
            domain: Domain::of_no_chain(self.domain, genesis_version),
            claim: Claim::Unslashable,
            genesis_validators_root: None,
            fork: None,
            newer_version: None,
        })
    }

    fn object_root(&self, schema: &Schema, value: &At<'_>) -> Result<Chunk, Refusal> {
        hash_tree_root(schema, value, self.network.preset())
    }

    fn epoch_of(&self, value: &At<'_>, slot: &str) -> Result<Epoch, Refusal> {
        Ok(self.network.epoch_at(value.member(slot)?.slot()?))
    }
}

/// The message inside `{version, data}`, or the value itself when it is not wrapped; and the version, if any.
fn unwrapped<'s>(payload: &'s At<'s>) -> Result<(Option<At<'s>>, At<'s>), Refusal> {
    Ok((payload.optional("version")?, payload.optional("data")?.unwrap_or(*payload)))
}

/// The message of a type that came with Gloas and is the same in Heze.
fn gloas_message<'s>(payload: &'s At<'s>) -> Result<At<'s>, Refusal> {
    let (version, message) = unwrapped(payload)?;
    if let Some(version) = version {
        fork_from_gloas(&version)?;
    }
    Ok(message)
}

/// The fork that a wrapper names.
fn fork_of(version: &At<'_>) -> Result<Fork, Refusal> {
    Fork::by_name(version.text()?).ok_or_else(|| version.must_be(&format!("one of {}", fork_names())))
}

/// The fork that a wrapper names whose message came with Gloas.
fn fork_from_gloas(version: &At<'_>) -> Result<Fork, Refusal> {
    let fork = Fork::by_name(version.text()?).filter(|fork| *fork >= Fork::Gloas);
    fork.ok_or_else(|| version.must_be("GLOAS or HEZE"))
}

fn fork_names() -> String {
    Fork::ALL.map(Fork::name).join(", ")
}

/// The settled name first; before it, clients sent the others.
const PAYLOAD_ATTESTATION_NAMES: [&str; 3] =
    ["payload_attestation_message", "payload_attestation_data", "payload_attestation"];

const REQUEST_AUTH_NAMES: [&str; 2] = ["builder_request_auth", "request_auth"];
