//! Sign requests on the `minimal` network, without a signing root.

use serde_json::{Value, json};

/// `root` stands for a different block.
pub fn attestation(slot: u64, source: u64, target: u64, root: u8) -> Value {
    json!({
        "type": "ATTESTATION",
        "fork_info": fork_info(),
        "attestation": {
            "slot": slot.to_string(),
            "index": "0",
            "beacon_block_root": root_of(root),
            "source": {"epoch": source.to_string(), "root": root_of(1)},
            "target": {"epoch": target.to_string(), "root": root_of(2)},
        },
    })
}

/// The same on Hoodi under Fulu, whose present every clock knows, with the source right before the target.
pub fn attestation_on_hoodi(target: u64, root: u8) -> Value {
    let mut attestation = attestation(target * 32, target - 1, target, root);
    attestation["fork_info"] = json!({
        "fork": {"previous_version": "0x70000910", "current_version": "0x70000910", "epoch": "50688"},
        "genesis_validators_root": "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f",
    });
    attestation
}

/// `root` stands for a different block.
pub fn block_header(slot: u64, root: u8) -> Value {
    json!({
        "type": "BLOCK_V2",
        "fork_info": fork_info(),
        "beacon_block": {
            "version": "CAPELLA",
            "block_header": {
                "slot": slot.to_string(),
                "proposer_index": "3",
                "parent_root": root_of(1),
                "state_root": root_of(root),
                "body_root": root_of(2),
            },
        },
    })
}

pub fn randao_reveal(epoch: u64) -> Value {
    json!({
        "type": "RANDAO_REVEAL",
        "fork_info": fork_info(),
        "randao_reveal": {"epoch": epoch.to_string()},
    })
}

/// An aggregator's selection proof.
pub fn aggregation_slot(slot: u64) -> Value {
    json!({
        "type": "AGGREGATION_SLOT",
        "fork_info": fork_info(),
        "aggregation_slot": {"slot": slot.to_string()},
    })
}

/// `root` stands for a different block.
pub fn sync_committee_message(slot: u64, root: u8) -> Value {
    json!({
        "type": "SYNC_COMMITTEE_MESSAGE",
        "fork_info": fork_info(),
        "sync_committee_message": {"beacon_block_root": root_of(root), "slot": slot.to_string()},
    })
}

fn fork_info() -> Value {
    json!({
        "fork": {"previous_version": "0x02000001", "current_version": "0x03000001", "epoch": "0"},
        "genesis_validators_root": root_of(0x47),
    })
}

fn root_of(byte: u8) -> String {
    const_hex::encode_prefixed([byte; 32])
}
