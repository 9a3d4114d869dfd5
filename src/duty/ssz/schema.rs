//! SSZ types as values, and the walk that hashes a JSON value by its type.

use super::merkle::{Chunk, merkleize, merkleize_progressive, mix_in_length, pack, padded, uint64_chunk};
use crate::duty::Refusal;
use crate::duty::json::At;
use crate::network::Preset;

/// An SSZ type. JSON forms as in the Beacon API: integers in decimal, bytes and bits in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub(in crate::duty) enum Schema {
    Uint64,
    Uint256,
    Boolean,
    /// 32 bytes, for which a shorter value is padded on the left.
    Root,
    /// `ByteVector[N]`.
    Bytes(usize),
    /// `ByteList[N]`.
    ByteList(usize),
    ProgressiveByteList,
    /// `Bitvector[N]`.
    Bitvector(Length),
    /// `Bitlist[N]`.
    Bitlist(Length),
    ProgressiveBitlist,
    /// `List[uint64, N]`.
    Uint64List(usize),
    /// `Vector[T, N]` of composite items.
    Vector(&'static Schema, usize),
    /// `List[T, N]` of composite items.
    List(&'static Schema, usize),
    /// `ProgressiveList[T]` of composite items.
    ProgressiveList(&'static Schema),
    Container(&'static [Field]),
    /// A progressive container whose fields are all active.
    ProgressiveContainer(&'static [Field]),
}

/// A container's field: its name in JSON, and its type.
type Field = (&'static str, Schema);

/// A length that is the same everywhere or depends on the preset.
#[derive(Clone, Copy, Debug)]
pub(in crate::duty) enum Length {
    Fixed(usize),
    Of(fn(Preset) -> usize),
}

impl Length {
    fn on(self, preset: Preset) -> usize {
        match self {
            Self::Fixed(length) => length,
            Self::Of(length) => length(preset),
        }
    }
}

/// The root of a value by its type, or which part of it is not of that type.
pub(in crate::duty) fn hash_tree_root(
    schema: &Schema,
    value: &At<'_>,
    preset: Preset,
) -> Result<Chunk, Refusal> {
    match *schema {
        Schema::Uint64 => Ok(uint64_chunk(value.uint64()?)),
        Schema::Uint256 => value.uint256(),
        Schema::Boolean => Ok(padded(&[u8::from(value.boolean()?)])),
        Schema::Root => Ok(value.root()?.0),
        Schema::Bytes(length) => bytes_root(value, length),
        Schema::ByteList(limit) => {
            let bytes = value.byte_list()?;
            within(value, bytes.len(), limit, "bytes")?;
            Ok(mix_in_length(&merkleize(pack(&bytes), limit.div_ceil(32)), bytes.len()))
        }
        Schema::ProgressiveByteList => {
            let bytes = value.byte_list()?;
            Ok(mix_in_length(&merkleize_progressive(&pack(&bytes)), bytes.len()))
        }
        Schema::Bitvector(length) => bitvector_root(value, length.on(preset)),
        Schema::Bitlist(limit) => {
            let limit = limit.on(preset);
            let (bits, length) = bitlist(value)?;
            within(value, length, limit, "bits")?;
            Ok(mix_in_length(&merkleize(pack(&bits), limit.div_ceil(256)), length))
        }
        Schema::ProgressiveBitlist => {
            let (bits, length) = bitlist(value)?;
            Ok(mix_in_length(&merkleize_progressive(&pack(&bits)), length))
        }
        Schema::Uint64List(limit) => {
            let items = value.items()?;
            let length = items.len();
            within(value, length, limit, "items")?;
            let mut bytes = Vec::with_capacity(length.saturating_mul(8));
            for item in items {
                bytes.extend(item.uint64()?.to_le_bytes());
            }
            Ok(mix_in_length(&merkleize(pack(&bytes), limit.div_ceil(4)), length))
        }
        Schema::Vector(item, length) => {
            let roots = item_roots(item, value, preset)?;
            if roots.len() != length {
                return Err(value.invalid(format!("must have {length} items, not {}", roots.len())));
            }
            Ok(merkleize(roots, length))
        }
        Schema::List(item, limit) => {
            // Before the items are hashed: a list that is too long must not cost more than its reading.
            within(value, value.items()?.len(), limit, "items")?;
            let roots = item_roots(item, value, preset)?;
            let length = roots.len();
            Ok(mix_in_length(&merkleize(roots, limit), length))
        }
        Schema::ProgressiveList(item) => {
            let roots = item_roots(item, value, preset)?;
            Ok(mix_in_length(&merkleize_progressive(&roots), roots.len()))
        }
        Schema::Container(fields) => Ok(merkleize(field_roots(fields, value, preset)?, fields.len())),
        Schema::ProgressiveContainer(fields) => {
            let root = merkleize_progressive(&field_roots(fields, value, preset)?);
            Ok(super::hash(&root, &all_active(fields.len())))
        }
    }
}

fn bytes_root(value: &At<'_>, length: usize) -> Result<Chunk, Refusal> {
    if length <= 32 {
        let mut chunk = [0; 32];
        let (bytes, _) = chunk.split_at_mut(length);
        value.bytes_into(bytes)?;
        return Ok(chunk);
    }
    let mut bytes = vec![0; length];
    value.bytes_into(&mut bytes)?;
    Ok(merkleize(pack(&bytes), length.div_ceil(32)))
}

fn bitvector_root(value: &At<'_>, length: usize) -> Result<Chunk, Refusal> {
    let mut bytes = vec![0; length.div_ceil(8)];
    value.bytes_into(&mut bytes)?;
    let unused = bytes.len().saturating_mul(8).saturating_sub(length);
    if bytes.last().is_some_and(|last| (last.leading_zeros() as usize) < unused) {
        return Err(value.invalid(format!("has a bit set after its {length} bits")));
    }
    Ok(merkleize(pack(&bytes), length.div_ceil(256)))
}

/// A bit list without the bit that ends it, and its length in bits.
fn bitlist(value: &At<'_>) -> Result<(Vec<u8>, usize), Refusal> {
    let mut bytes = value.byte_list()?;
    let whole = bytes.len().saturating_sub(1).saturating_mul(8);
    let Some((last, end)) = bytes.last_mut().and_then(|last| last.checked_ilog2().map(|end| (last, end)))
    else {
        return Err(value.invalid("must end in a byte with the bit that marks a bit list's end".to_owned()));
    };
    *last &= !(1_u8.wrapping_shl(end));
    let length = whole.saturating_add(end as usize);
    bytes.truncate(length.div_ceil(8));
    Ok((bytes, length))
}

fn item_roots(item: &Schema, value: &At<'_>, preset: Preset) -> Result<Vec<Chunk>, Refusal> {
    value.items()?.map(|at| hash_tree_root(item, &at, preset)).collect()
}

fn field_roots(fields: &[Field], value: &At<'_>, preset: Preset) -> Result<Vec<Chunk>, Refusal> {
    let root = |(name, schema): &Field| hash_tree_root(schema, &value.member(name)?, preset);
    fields.iter().map(root).collect()
}

fn within(value: &At<'_>, length: usize, limit: usize, unit: &str) -> Result<(), Refusal> {
    if length > limit {
        return Err(value.invalid(format!("has {length} {unit}, and at most {limit} are allowed")));
    }
    Ok(())
}

/// The bits of a progressive container whose fields are all active. No container comes near 64 fields.
fn all_active(fields: usize) -> Chunk {
    padded(&(0..fields).fold(0_u64, |bits, _| (bits << 1) | 1).to_le_bytes())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::duty::json;

    fn root_of(schema: Schema, value: &serde_json::Value, preset: Preset) -> Result<Chunk, Refusal> {
        let body = json!({ "value": value }).to_string();
        let tree = json::parse(body.as_bytes()).unwrap();
        let top = At::top(&tree);
        hash_tree_root(&schema, &top.member("value").unwrap(), preset)
    }

    /// Bits as JSON has them, with (for lists) or without the bit that ends them.
    fn hex_of(bits: &[bool]) -> String {
        let mut bytes = vec![0_u8; bits.len().div_ceil(8)];
        for (index, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            bytes[index / 8] |= 1 << (index % 8);
        }
        const_hex::encode_prefixed(bytes)
    }

    /// One chunk for each 256 bits, written out bit by bit.
    fn chunks_of(bits: &[bool]) -> Vec<Chunk> {
        let chunk = |bits: &[bool]| {
            let mut chunk = [0; 32];
            for (index, bit) in bits.iter().enumerate() {
                chunk[index / 8] += u8::from(*bit) * [1, 2, 4, 8, 16, 32, 64, 128][index % 8];
            }
            chunk
        };
        bits.chunks(256).map(chunk).collect()
    }

    proptest! {
        #[test]
        fn bit_lists_are_hashed_without_the_bit_that_ends_them(bits in vec(any::<bool>(), 0..700)) {
            let mut ended = bits.clone();
            ended.push(true);
            let value = json!(hex_of(&ended));
            let limit = 2048;
            let expected = mix_in_length(&merkleize(chunks_of(&bits), 8), bits.len());
            prop_assert_eq!(root_of(Schema::Bitlist(Length::Fixed(limit)), &value, Preset::Mainnet).unwrap(), expected);
            let expected = mix_in_length(&merkleize_progressive(&chunks_of(&bits)), bits.len());
            prop_assert_eq!(root_of(Schema::ProgressiveBitlist, &value, Preset::Mainnet).unwrap(), expected);
            let short = root_of(Schema::Bitlist(Length::Fixed(bits.len().saturating_sub(1))), &value, Preset::Mainnet);
            prop_assert_eq!(short.is_err(), !bits.is_empty());
        }

        #[test]
        fn bit_vectors_have_exactly_their_bits(bits in vec(any::<bool>(), 1..600)) {
            let schema = Schema::Bitvector(Length::Fixed(bits.len()));
            let value = json!(hex_of(&bits));
            let expected = merkleize(chunks_of(&bits), bits.len().div_ceil(256));
            prop_assert_eq!(root_of(schema, &value, Preset::Mainnet).unwrap(), expected);
            let mut more = bits.clone();
            more.push(true);
            prop_assert!(root_of(schema, &json!(hex_of(&more)), Preset::Mainnet).is_err());
        }

        #[test]
        fn lists_of_numbers_are_packed_four_to_a_chunk(numbers in vec(any::<u64>(), 0..40)) {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let expected = mix_in_length(&merkleize(pack(&bytes), 16), numbers.len());
            prop_assert_eq!(root_of(Schema::Uint64List(64), &json!(numbers), Preset::Minimal).unwrap(), expected);
        }

        #[test]
        fn byte_lists_carry_their_length(bytes in vec(any::<u8>(), 0..100)) {
            let value = json!(const_hex::encode_prefixed(&bytes));
            let expected = mix_in_length(&merkleize(pack(&bytes), 4), bytes.len());
            prop_assert_eq!(root_of(Schema::ByteList(100), &value, Preset::Minimal).unwrap(), expected);
            let expected = mix_in_length(&merkleize_progressive(&pack(&bytes)), bytes.len());
            prop_assert_eq!(root_of(Schema::ProgressiveByteList, &value, Preset::Minimal).unwrap(), expected);
        }
    }

    #[test]
    fn uint256_reaches_to_its_end() {
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        for (text, bytes) in [("0", [0; 32]), ("256", padded(&[0, 1])), (most, [0xff; 32])] {
            assert_eq!(root_of(Schema::Uint256, &json!(text), Preset::Mainnet).unwrap(), bytes);
        }
        assert_eq!(root_of(Schema::Uint256, &json!(7), Preset::Mainnet).unwrap(), padded(&[7]));
        let too_much = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert!(root_of(Schema::Uint256, &json!(too_much), Preset::Mainnet).is_err());
    }

    #[test]
    fn a_vector_needs_all_its_items() {
        let root = json!(format!("0x{}", "11".repeat(32)));
        let schema = Schema::Vector(&Schema::Root, 3);
        assert!(root_of(schema, &json!([root, root, root]), Preset::Mainnet).is_ok());
        for items in [json!([root, root]), json!([root, root, root, root]), json!([])] {
            assert!(root_of(schema, &items, Preset::Mainnet).is_err());
        }
    }

    #[test]
    fn a_container_of_one_field_has_that_fields_root() {
        let schema = Schema::Container(&[("only", Schema::Uint64)]);
        assert_eq!(root_of(schema, &json!({"only": "5"}), Preset::Mainnet).unwrap(), padded(&[5]));
    }

    #[test]
    fn active_fields_are_ones_from_the_left() {
        assert_eq!(all_active(4), padded(&[0b1111]));
        assert_eq!(all_active(12), padded(&[0xff, 0b1111]));
        assert_eq!(all_active(19), padded(&[0xff, 0xff, 0b111]));
    }
}
