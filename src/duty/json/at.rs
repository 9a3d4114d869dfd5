//! A value, its place, and every way in which a message reads it.

use super::path::Path;
use super::tree::Node;
use crate::duty::Refusal;
use crate::primitives::{Epoch, ForkVersion, Root, Slot};

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(in crate::duty) struct At<'t> {
    node: &'t Node<'t>,
    path: Path<'t>,
}

impl<'t> At<'t> {
    /// The top of a body.
    pub(in crate::duty) fn top(node: &'t Node<'t>) -> Self {
        Self { node, path: Path::TOP }
    }

    /// A member that must be there.
    pub(in crate::duty) fn member<'s>(&'s self, name: &'s str) -> Result<At<'s>, Refusal> {
        self.optional(name)?.ok_or_else(|| self.missing(name))
    }

    /// A member that may be absent; null counts as absent.
    pub(in crate::duty) fn optional<'s>(&'s self, name: &'s str) -> Result<Option<At<'s>>, Refusal> {
        let Node::Object(members) = self.node else { return Err(self.must_be("an object")) };
        let found = members.iter().find(|(member, _)| member == name).map(|(_, node)| node);
        Ok(found
            .filter(|node| !matches!(node, Node::Null))
            .map(|node| At { node, path: self.path.member(name) }))
    }

    /// A member that has several names, of which at most one may be used.
    pub(in crate::duty) fn optional_of<'s>(&'s self, names: &[&'s str]) -> Result<Option<At<'s>>, Refusal> {
        let mut found: Option<At<'s>> = None;
        for name in names {
            let Some(value) = self.optional(name)? else { continue };
            if let Some(first) = found {
                let problem = format!("and {} are two names of one field: give one of them", value.path);
                return Err(first.invalid(problem));
            }
            found = Some(value);
        }
        Ok(found)
    }

    /// A member with several names that must be there; a refusal names the first of them.
    pub(in crate::duty) fn member_of<'s>(&'s self, names: &[&'s str]) -> Result<At<'s>, Refusal> {
        self.optional_of(names)?.ok_or_else(|| self.missing(names.first().unwrap_or(&"")))
    }

    /// Whether this is an object.
    pub(in crate::duty) fn is_object(&self) -> bool {
        matches!(self.node, Node::Object(_))
    }

    /// The items of a list.
    pub(in crate::duty) fn items<'s>(&'s self) -> Result<impl ExactSizeIterator<Item = At<'s>>, Refusal> {
        let Node::List(items) = self.node else { return Err(self.must_be("a list")) };
        Ok(items.iter().enumerate().map(|(index, node)| At { node, path: self.path.item(index) }))
    }

    /// A text.
    pub(in crate::duty) fn text(&self) -> Result<&'t str, Refusal> {
        let Node::Text(text) = self.node else { return Err(self.must_be("a string")) };
        Ok(text)
    }

    /// A boolean.
    pub(in crate::duty) fn boolean(&self) -> Result<bool, Refusal> {
        let Node::Boolean(value) = self.node else { return Err(self.must_be("true or false")) };
        Ok(*value)
    }

    /// A uint64: a JSON integer, or its decimal digits as a string.
    pub(in crate::duty) fn uint64(&self) -> Result<u64, Refusal> {
        let wrong = || self.must_be("an integer from 0 to 18446744073709551615 in decimal digits");
        match self.node {
            Node::Integer(value) => Ok(*value),
            Node::Text(digits) if is_plain_decimal(digits) => digits.parse().map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    /// A uint256 in little-endian bytes: a JSON integer, or decimal digits as a string.
    pub(in crate::duty) fn uint256(&self) -> Result<[u8; 32], Refusal> {
        let wrong = || self.must_be("an integer from 0 to 2^256 - 1 in decimal digits");
        match self.node {
            Node::Integer(value) => uint256_from_decimal(&value.to_string()).ok_or_else(wrong),
            Node::Text(digits) if is_plain_decimal(digits) => uint256_from_decimal(digits).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// A slot.
    pub(in crate::duty) fn slot(&self) -> Result<Slot, Refusal> {
        self.uint64().map(Slot)
    }

    /// An epoch.
    pub(in crate::duty) fn epoch(&self) -> Result<Epoch, Refusal> {
        self.uint64().map(Epoch)
    }

    /// A fork version.
    pub(in crate::duty) fn fork_version(&self) -> Result<ForkVersion, Refusal> {
        self.bytes().map(ForkVersion)
    }

    /// 32 bytes. Fewer are padded with zeros on the left, as other signers do.
    pub(in crate::duty) fn root(&self) -> Result<Root, Refusal> {
        let wrong = || self.must_be("a hexadecimal string of 32 bytes");
        let text = self.text().map_err(|_| wrong())?;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let missing =
            32_usize.checked_sub(digits.len() / 2).filter(|missing| *missing < 32).ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        let (_, given) = bytes.split_at_mut(missing);
        decode_hex(digits, given).ok_or_else(wrong)?;
        Ok(Root(bytes))
    }

    /// Exactly `N` bytes.
    pub(in crate::duty) fn bytes<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.bytes_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Exactly as many bytes as `bytes` has.
    pub(in crate::duty) fn bytes_into(&self, bytes: &mut [u8]) -> Result<(), Refusal> {
        let length = bytes.len();
        let wrong = || self.must_be(&format!("a hexadecimal string of {length} bytes"));
        let text = self.text().map_err(|_| wrong())?;
        decode_hex(text.strip_prefix("0x").unwrap_or(text), bytes).ok_or_else(wrong)
    }

    /// Any number of bytes.
    pub(in crate::duty) fn byte_list(&self) -> Result<Vec<u8>, Refusal> {
        let wrong = || self.must_be("a hexadecimal string of whole bytes");
        let text = self.text().map_err(|_| wrong())?;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = vec![0; digits.len() / 2];
        decode_hex(digits, &mut bytes).ok_or_else(wrong)?;
        Ok(bytes)
    }

    /// A refusal for want of a member.
    pub(in crate::duty) fn missing(&self, name: &str) -> Refusal {
        Refusal::Missing { field: self.path.member(name).to_string() }
    }

    /// A refusal of this value: `problem` continues a sentence that begins with the field.
    pub(in crate::duty) fn invalid(&self, problem: String) -> Refusal {
        Refusal::Invalid { field: self.path.to_string(), problem }
    }

    /// A refusal that says what this value must be and what it is.
    pub(in crate::duty) fn must_be(&self, expected: &str) -> Refusal {
        self.invalid(format!("must be {expected}, not {}", self.node.shown()))
    }
}

/// Decimal digits without sign or leading zeros.
fn is_plain_decimal(text: &str) -> bool {
    text == "0"
        || (!text.starts_with('0') && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Decimal digits as a little-endian number; `None` above 2^256 - 1.
fn uint256_from_decimal(digits: &str) -> Option<[u8; 32]> {
    let mut number = [0_u8; 32];
    for digit in digits.bytes() {
        let mut carry = u16::from(digit.checked_sub(b'0')?);
        for byte in &mut number {
            // At most 255 * 10 + 255, far from overflow.
            let sum = u16::from(*byte).wrapping_mul(10).wrapping_add(carry);
            let [low, high] = sum.to_le_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

/// Hexadecimal digits without a prefix, of exactly the length of `bytes`.
fn decode_hex(digits: &str, bytes: &mut [u8]) -> Option<()> {
    // const-hex takes a second 0x for a prefix, too.
    if digits.starts_with("0x") {
        return None;
    }
    const_hex::decode_to_slice(digits, bytes).ok()
}
