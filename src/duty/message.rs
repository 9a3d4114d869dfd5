//! From a request's `type` and payload to what is signed: the object's root, its domain and its claim.
//!
//! One function a kind. The payload is read once: the slot or epoch that picks the fork version and the numbers of
//! the claim come from the very values that are hashed.

use super::domain::{Domain, DomainType, ForkInfo};
use super::json::At;
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
}

/// Reads the payload of a kind from a request.
pub(super) fn read(kind: Kind, request: &At<'_>, network: &Network) -> Result<Message, Refusal> {
    let reader = Reader { request, network };
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
        // A raw root has no `type`, so no request gets here with it.
        Kind::RawRoot => Err(Refusal::Missing { field: "type".to_owned() }),
    }
}

struct Reader<'r> {
    request: &'r At<'r>,
    network: &'r Network,
}

impl Reader<'_> {
    fn attestation(&self) -> Result<Message, Refusal> {
        let data = self.request.member("attestation")?;
        let source = data.member("source")?.member("epoch")?.epoch()?;
        let target = data.member("target")?.member("epoch")?.epoch()?;
        let message =
            self.on_chain(&containers::ATTESTATION_DATA, &data, DomainType::BEACON_ATTESTER, target)?;
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
        let whole_block = match version.text()? {
            "PHASE0" => Some(&containers::PHASE0_BEACON_BLOCK),
            "ALTAIR" => Some(&containers::ALTAIR_BEACON_BLOCK),
            // Nothing else is known of Heze here, but a header is what it always was.
            "BELLATRIX" | "CAPELLA" | "DENEB" | "ELECTRA" | "FULU" | "GLOAS" | "HEZE" => None,
            _ => return Err(version.must_be(&format!("one of {}, HEZE", fork_names()))),
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
        let message = self.on_chain(schema, block, DomainType::BEACON_PROPOSER, epoch)?;
        Ok(Message { claim: Claim::Block { slot }, ..message })
    }

    fn randao_reveal(&self) -> Result<Message, Refusal> {
        let reveal = self.request.member("randao_reveal")?;
        let epoch = reveal.member("epoch")?.epoch()?;
        self.on_chain(&containers::RANDAO_REVEAL, &reveal, DomainType::RANDAO, epoch)
    }

    fn aggregation_slot(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("aggregation_slot")?;
        let epoch = self.epoch_of(&payload, "slot")?;
        self.on_chain(&containers::AGGREGATION_SLOT, &payload, DomainType::SELECTION_PROOF, epoch)
    }

    /// Both types take both forms, bare or with a version; the layout differs by fork.
    fn aggregate_and_proof(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("aggregate_and_proof")?;
        let (version, message) = unwrapped(&payload)?;
        let aggregate = message.member("aggregate")?;
        let slot = aggregate.member("data")?.member("slot")?.slot()?;
        let fork = match version {
            Some(version) => Fork::by_name(version.text()?)
                .ok_or_else(|| version.must_be(&format!("one of {}", fork_names())))?,
            None => self.aggregate_fork(&aggregate, slot)?,
        };
        let schema = match fork {
            Fork::Phase0 | Fork::Altair | Fork::Bellatrix | Fork::Capella | Fork::Deneb => {
                &containers::AGGREGATE_AND_PROOF
            }
            Fork::Electra | Fork::Fulu => &containers::ELECTRA_AGGREGATE_AND_PROOF,
            Fork::Gloas => &containers::GLOAS_AGGREGATE_AND_PROOF,
        };
        self.on_chain(schema, &message, DomainType::AGGREGATE_AND_PROOF, self.network.epoch_at(slot))
    }

    /// The fork of an aggregate that came without a version: the network's schedule says it.
    ///
    /// A fork that the network knows without a date (every fork of the built-in `minimal`, and the next one of all
    /// others) is not in the schedule. That one the message's fork version names.
    fn aggregate_fork(&self, aggregate: &At<'_>, slot: Slot) -> Result<Fork, Refusal> {
        let forks = self.network.forks();
        let version = ForkInfo::read(self.request)?.version_at(self.network.epoch_at(slot));
        let undated = forks.by_version(version).filter(|fork| forks.epoch(*fork).is_none());
        let fork = undated.unwrap_or_else(|| self.network.fork_at(slot));
        match aggregate.optional("committee_bits")? {
            Some(committee_bits) if fork < Fork::Electra => Err(committee_bits.invalid(format!(
                "belongs to ELECTRA and later, but the network {} has {fork} at slot {slot}: give the aggregate's \
                 version, or run the signer with the chain's own config.yaml",
                self.network.name()
            ))),
            Some(_) | None => Ok(fork),
        }
    }

    /// From the Deneb fork on, exits are signed under Capella's version for ever (EIP-7044).
    fn voluntary_exit(&self) -> Result<Message, Refusal> {
        let exit = self.request.member("voluntary_exit")?;
        let epoch = exit.member("epoch")?.epoch()?;
        let fork_info = ForkInfo::read(self.request)?;
        let forks = self.network.forks();
        let version = match (forks.epoch(Fork::Deneb), forks.version(Fork::Capella)) {
            (Some(deneb), Some(capella)) if deneb <= epoch => capella,
            (Some(_) | None, Some(_) | None) => fork_info.version_at(epoch),
        };
        let genesis_validators_root = fork_info.genesis_validators_root;
        Ok(Message {
            object_root: self.object_root(&containers::VOLUNTARY_EXIT, &exit)?,
            domain: Domain::new(DomainType::VOLUNTARY_EXIT, version, genesis_validators_root),
            claim: Claim::Unslashable,
            genesis_validators_root: Some(genesis_validators_root),
        })
    }

    /// Deposits are signed for every chain with the genesis fork version that the request names.
    fn deposit(&self) -> Result<Message, Refusal> {
        let deposit = self.request.member("deposit")?;
        let version = deposit.member("genesis_fork_version")?.fork_version()?;
        self.on_no_chain(&containers::DEPOSIT_MESSAGE, &deposit, DomainType::DEPOSIT, version)
    }

    fn sync_committee_message(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("sync_committee_message")?;
        let epoch = self.epoch_of(&payload, "slot")?;
        // What is signed is the bare block root; the slot only picks the fork version.
        let block_root = payload.member("beacon_block_root")?;
        self.on_chain(&Schema::Root, &block_root, DomainType::SYNC_COMMITTEE, epoch)
    }

    fn sync_committee_selection_proof(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("sync_aggregator_selection_data")?;
        let epoch = self.epoch_of(&payload, "slot")?;
        let domain = DomainType::SYNC_COMMITTEE_SELECTION_PROOF;
        self.on_chain(&containers::SYNC_AGGREGATOR_SELECTION_DATA, &payload, domain, epoch)
    }

    fn contribution_and_proof(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("contribution_and_proof")?;
        let epoch = self.epoch_of(&payload.member("contribution")?, "slot")?;
        self.on_chain(
            &containers::CONTRIBUTION_AND_PROOF,
            &payload,
            DomainType::CONTRIBUTION_AND_PROOF,
            epoch,
        )
    }

    /// Registrations hold on every chain with this network's genesis fork version.
    fn validator_registration(&self) -> Result<Message, Refusal> {
        let registration = self.request.member("validator_registration")?;
        let version = self.network.genesis_fork_version();
        let schema = &containers::VALIDATOR_REGISTRATION;
        self.on_no_chain(schema, &registration, DomainType::APPLICATION_BUILDER, version)
    }

    fn execution_payload_bid(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("execution_payload_bid")?;
        let bid = gloas_message(&payload)?;
        let epoch = self.epoch_of(&bid, "slot")?;
        self.on_chain(&containers::EXECUTION_PAYLOAD_BID, &bid, DomainType::BEACON_BUILDER, epoch)
    }

    fn execution_payload_envelope(&self) -> Result<Message, Refusal> {
        let payload = self.request.member("execution_payload_envelope")?;
        let envelope = gloas_message(&payload)?;
        let epoch = self.epoch_of(&envelope.member("payload")?, "slot_number")?;
        self.on_chain(&containers::EXECUTION_PAYLOAD_ENVELOPE, &envelope, DomainType::BEACON_BUILDER, epoch)
    }

    fn payload_attestation(&self) -> Result<Message, Refusal> {
        let payload = self.request.member_of(&PAYLOAD_ATTESTATION_NAMES)?;
        let data = gloas_message(&payload)?;
        let epoch = self.epoch_of(&data, "slot")?;
        self.on_chain(&containers::PAYLOAD_ATTESTATION_DATA, &data, DomainType::PTC_ATTESTER, epoch)
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
        self.on_chain(schema, &preferences, DomainType::PROPOSER_PREFERENCES, epoch)
    }

    /// Authentication towards a builder: without a chain, like registrations.
    fn builder_request_auth(&self) -> Result<Message, Refusal> {
        let payload = self.request.member_of(&REQUEST_AUTH_NAMES)?;
        // The message itself has a member `data`, too, but that one is a text.
        let wrapped = payload.optional("data")?.is_some_and(|data| data.is_object());
        let auth = if wrapped { gloas_message(&payload)? } else { payload };
        let data = auth.member("data")?;
        if data.byte_list()?.is_empty() {
            return Err(data.invalid("must not be empty".to_owned()));
        }
        let version = self.network.genesis_fork_version();
        let schema = &containers::BUILDER_REQUEST_AUTH;
        self.on_no_chain(schema, &auth, DomainType::BUILDER_REQUEST_AUTH, version)
    }

    /// A message that no chain slashes for, of the chain and fork that `fork_info` gives for an epoch.
    fn on_chain(
        &self,
        schema: &Schema,
        value: &At<'_>,
        domain: DomainType,
        epoch: Epoch,
    ) -> Result<Message, Refusal> {
        let fork_info = ForkInfo::read(self.request)?;
        Ok(Message {
            object_root: self.object_root(schema, value)?,
            domain: fork_info.domain(domain, epoch),
            claim: Claim::Unslashable,
            genesis_validators_root: Some(fork_info.genesis_validators_root),
        })
    }

    /// A message that no chain slashes for, under a domain without a chain.
    fn on_no_chain(
        &self,
        schema: &Schema,
        value: &At<'_>,
        domain: DomainType,
        genesis_version: ForkVersion,
    ) -> Result<Message, Refusal> {
        Ok(Message {
            object_root: self.object_root(schema, value)?,
            domain: Domain::of_no_chain(domain, genesis_version),
            claim: Claim::Unslashable,
            genesis_validators_root: None,
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

/// The message of a type that exists in Gloas only.
fn gloas_message<'s>(payload: &'s At<'s>) -> Result<At<'s>, Refusal> {
    let (version, message) = unwrapped(payload)?;
    match version {
        Some(version) if version.text()? != Fork::Gloas.name() => Err(version.must_be("GLOAS")),
        Some(_) | None => Ok(message),
    }
}

fn fork_names() -> String {
    Fork::ALL.map(Fork::name).join(", ")
}

/// The settled name first; before it, clients sent the others.
const PAYLOAD_ATTESTATION_NAMES: [&str; 3] =
    ["payload_attestation_message", "payload_attestation_data", "payload_attestation"];

const REQUEST_AUTH_NAMES: [&str; 2] = ["builder_request_auth", "request_auth"];
