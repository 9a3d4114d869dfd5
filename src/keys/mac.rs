//! HMAC-SHA-256 (RFC 2104) under a key in locked memory. The usual implementation leaves a copy of its key on the
//! stack.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::sys::locked_memory::SecretCell;

/// The code of these parts, one after the other.
pub(super) fn mac(key: &SecretCell, parts: &[&[u8]]) -> [u8; 32] {
    let inner = hash(&padded(key, 0x36), parts);
    hash(&padded(key, 0x5C), &[&inner])
}

/// The key's block, which is never the key itself.
fn padded(key: &SecretCell, byte: u8) -> Zeroizing<[u8; BLOCK_BYTES]> {
    let mut block = Zeroizing::new([byte; BLOCK_BYTES]);
    for (padded, key) in block.iter_mut().zip(key.expose()) {
        *padded ^= key;
    }
    block
}

fn hash(block: &[u8; BLOCK_BYTES], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(block);
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finalize_reset().into();
    // The parts may be secret: writes over what the hash keeps of its last block, where it lies.
    hash.update([0; BLOCK_BYTES - 1]);
    digest
}

/// Bytes that SHA-256 takes at a time.
const BLOCK_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use pbkdf2::hmac::{Hmac, Mac};

    use super::*;
    use crate::sys::locked_memory::LockedMemory;

    #[test]
    fn agrees_with_another_implementation_whatever_the_parts() {
        let memory = LockedMemory::new().unwrap();
        for length in [0, 1, 22, 23, 31, 32, 63, 64, 65, 200] {
            let (key, message) = ([0xA7; 32], vec![0x5A; length]);
            let expected = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(&message).finalize();
            let cell = memory.store(&key).unwrap();
            for cut in [0, length / 2, length] {
                let (start, end) = message.split_at(cut);
                assert_eq!(
                    mac(&cell, &[start, end])[..],
                    expected.clone().into_bytes()[..],
                    "{length}, {cut}"
                );
            }
        }
    }
}
