//! The opposite of the ledger in tests: everything that was ever signed, searched in full for a contradiction.
//!
//! Written from the consensus specification (`is_slashable_attestation_data`, proposer slashings) and EIP-3076's
//! conditions 1 and 3, and sharing no code with the ledger. Slow, complete and simple on purpose.

/// A message that can be slashed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Block { slot: u64, root: [u8; 32] },
    Attestation { source: u64, target: u64, root: [u8; 32] },
}

/// All messages signed so far, by the key that signed them.
#[derive(Debug, Default)]
pub struct History {
    signed: Vec<([u8; 48], Message)>,
}

impl History {
    pub fn sign(&mut self, key: [u8; 48], message: Message) {
        self.signed.push((key, message));
    }

    pub fn has_signed(&self, key: [u8; 48], message: Message) -> bool {
        self.signed.contains(&(key, message))
    }

    /// A message that was signed with this key and would be slashed together with the given one.
    pub fn contradiction(&self, key: [u8; 48], message: Message) -> Option<Message> {
        self.signed
            .iter()
            .filter(|(signer, _)| *signer == key)
            .map(|(_, earlier)| *earlier)
            .find(|earlier| slashable_together(*earlier, message))
    }
}

fn slashable_together(one: Message, other: Message) -> bool {
    match (one, other) {
        (Message::Block { slot: slot_1, root: root_1 }, Message::Block { slot: slot_2, root: root_2 }) => {
            slot_1 == slot_2 && root_1 != root_2
        }
        (
            Message::Attestation { source: source_1, target: target_1, root: root_1 },
            Message::Attestation { source: source_2, target: target_2, root: root_2 },
        ) => {
            let double_vote = root_1 != root_2 && target_1 == target_2;
            let first_surrounds = source_1 < source_2 && target_2 < target_1;
            let second_surrounds = source_2 < source_1 && target_1 < target_2;
            double_vote || first_surrounds || second_surrounds
        }
        (Message::Block { .. }, Message::Attestation { .. })
        | (Message::Attestation { .. }, Message::Block { .. }) => false,
    }
}
