//! Merkle trees over 32-byte chunks.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A leaf or a node.
pub(in crate::duty) type Chunk = [u8; 32];

/// A node over two others.
pub(in crate::duty) fn hash(left: &Chunk, right: &Chunk) -> Chunk {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

/// The root of a tree with room for `limit` chunks; what is not there counts as zero. `chunks` must not exceed it.
pub(super) fn merkleize(mut chunks: Vec<Chunk>, limit: usize) -> Chunk {
    let depth = limit.next_power_of_two().trailing_zeros();
    for (zeros, _) in ZERO_TREES.iter().zip(0..depth) {
        let parents = chunks.len().div_ceil(2);
        for parent in 0..parents {
            let left = parent.saturating_mul(2);
            let node = match chunks.get(left..) {
                Some([left, right, ..]) => hash(left, right),
                Some([left]) => hash(left, zeros),
                Some([]) | None => *zeros,
            };
            if let Some(place) = chunks.get_mut(parent) {
                *place = node;
            }
        }
        chunks.truncate(parents);
    }
    let empty = || ZERO_TREES.get(depth as usize).copied().unwrap_or_default();
    chunks.first().copied().unwrap_or_else(empty)
}

/// The root of a progressive tree (EIP-7916): subtrees of 1, 4, 16, ... chunks, each beside the rest.
pub(super) fn merkleize_progressive(chunks: &[Chunk]) -> Chunk {
    let mut subtrees = Vec::new();
    let (mut rest, mut size) = (chunks, 1_usize);
    while !rest.is_empty() {
        let (subtree, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        subtrees.push(merkleize(subtree.to_vec(), size));
        (rest, size) = (after, size.saturating_mul(4));
    }
    subtrees.iter().rev().fold([0; 32], |rest, subtree| hash(subtree, &rest))
}

/// The root of something that carries its length beside its content.
pub(super) fn mix_in_length(root: &Chunk, length: usize) -> Chunk {
    hash(root, &uint64_chunk(length as u64))
}

/// A uint64 as a chunk.
pub(super) fn uint64_chunk(value: u64) -> Chunk {
    padded(&value.to_le_bytes())
}

/// Bytes as chunks, the last one padded with zeros.
pub(super) fn pack(bytes: &[u8]) -> Vec<Chunk> {
    bytes.chunks(32).map(padded).collect()
}

/// At most 32 bytes as one chunk.
pub(super) fn padded(bytes: &[u8]) -> Chunk {
    let mut chunk = [0; 32];
    chunk.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    chunk
}

/// The roots of trees of zeros by depth, enough for any `usize` limit.
static ZERO_TREES: LazyLock<[Chunk; 65]> = LazyLock::new(|| {
    let mut tree = [0; 32];
    std::array::from_fn(|_| {
        let this = tree;
        tree = hash(&this, &this);
        this
    })
});

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Every leaf and every node written out.
    fn written_out(chunks: &[Chunk], limit: usize) -> Chunk {
        let mut level = chunks.to_vec();
        level.resize(limit.next_power_of_two(), [0; 32]);
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| hash(&pair[0], &pair[1])).collect();
        }
        level[0]
    }

    /// As EIP-7916 says it.
    fn progressive_by_recursion(chunks: &[Chunk], size: usize) -> Chunk {
        if chunks.is_empty() {
            return [0; 32];
        }
        let (subtree, rest) = chunks.split_at(size.min(chunks.len()));
        hash(&written_out(subtree, size), &progressive_by_recursion(rest, size * 4))
    }

    proptest! {
        #[test]
        fn a_tree_is_the_one_written_out(chunks in vec(any::<Chunk>(), 0..70), room in 0_usize..200) {
            let limit = chunks.len() + room;
            prop_assert_eq!(merkleize(chunks.clone(), limit), written_out(&chunks, limit));
        }

        #[test]
        fn a_progressive_tree_is_the_one_of_the_standard(chunks in vec(any::<Chunk>(), 0..100)) {
            prop_assert_eq!(merkleize_progressive(&chunks), progressive_by_recursion(&chunks, 1));
        }

        #[test]
        fn packed_bytes_are_the_bytes_and_zeros(bytes in vec(any::<u8>(), 0..100)) {
            let mut padded = bytes.clone();
            padded.resize(bytes.len().div_ceil(32) * 32, 0);
            prop_assert_eq!(pack(&bytes).concat(), padded);
        }
    }

    #[test]
    fn a_node_is_the_sha256_of_its_children() {
        // SHA-256 of 64 zero bytes.
        let known = "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b";
        assert_eq!(const_hex::encode(hash(&[0; 32], &[0; 32])), known);
    }

    #[test]
    fn an_empty_tree_of_the_largest_limit_has_a_root() {
        assert_eq!(merkleize(Vec::new(), 0), [0; 32]);
        assert_eq!(merkleize(Vec::new(), 1 << 20), written_out(&[], 1 << 20));
        assert_ne!(merkleize(Vec::new(), 1 << 62), [0; 32]);
    }
}
