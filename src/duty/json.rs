//! A request body as a tree: borrowed from the body, bounded, and without any member given twice.
//!
//! serde_json does the reading (its limit of 128 levels holds here). On top of it: at most [`MAX_VALUES`] values and
//! [`MAX_MEMBERS`] members of one object, so that a small body can neither grow in memory nor take quadratic time.
//! [`At`] is a value together with its path, so that every refusal names the field.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::refusal::Refusal;
use crate::primitives::{Epoch, ForkVersion, Root, Slot};

/// One JSON value.
#[derive(Debug)]
pub(super) enum Node<'b> {
    Null,
    Boolean(bool),
    Integer(u64),
    /// Negative, fractional or above 2^64 - 1: allowed in members that nobody reads.
    OtherNumber(f64),
    Text(Cow<'b, str>),
    List(Vec<Node<'b>>),
    Object(Vec<(Cow<'b, str>, Node<'b>)>),
}

/// Reads a body that is one JSON object.
pub(super) fn parse(body: &[u8]) -> Result<Node<'_>, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let reader = Reader { path: Path::TOP, values: &Cell::new(0) };
    let node = reader.deserialize(&mut deserializer)?;
    deserializer.end()?;
    match node {
        Node::Object(_) => Ok(node),
        other => Err(Refusal::Invalid {
            field: Path::TOP.to_string(),
            problem: format!("must be a JSON object, not {}", other.shown()),
        }),
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(super) struct At<'t> {
    node: &'t Node<'t>,
    path: Path<'t>,
}

impl<'t> At<'t> {
    /// The top of a body.
    pub(super) fn top(node: &'t Node<'t>) -> Self {
        Self { node, path: Path::TOP }
    }

    /// A member that must be there.
    pub(super) fn member<'s>(&'s self, name: &'s str) -> Result<At<'s>, Refusal> {
        self.optional(name)?.ok_or_else(|| self.missing(name))
    }

    /// A member that may be absent; null counts as absent.
    pub(super) fn optional<'s>(&'s self, name: &'s str) -> Result<Option<At<'s>>, Refusal> {
        let Node::Object(members) = self.node else { return Err(self.must_be("an object")) };
        let found = members.iter().find(|(member, _)| member == name).map(|(_, node)| node);
        Ok(found
            .filter(|node| !matches!(node, Node::Null))
            .map(|node| At { node, path: self.path.member(name) }))
    }

    /// A member that has several names, of which at most one may be used.
    pub(super) fn optional_of<'s>(&'s self, names: &[&'s str]) -> Result<Option<At<'s>>, Refusal> {
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
    pub(super) fn member_of<'s>(&'s self, names: &[&'s str]) -> Result<At<'s>, Refusal> {
        self.optional_of(names)?.ok_or_else(|| self.missing(names.first().unwrap_or(&"")))
    }

    /// Whether this is an object.
    pub(super) fn is_object(&self) -> bool {
        matches!(self.node, Node::Object(_))
    }

    /// The items of a list.
    pub(super) fn items<'s>(&'s self) -> Result<impl ExactSizeIterator<Item = At<'s>>, Refusal> {
        let Node::List(items) = self.node else { return Err(self.must_be("a list")) };
        Ok(items.iter().enumerate().map(|(index, node)| At { node, path: self.path.item(index) }))
    }

    /// A text.
    pub(super) fn text(&self) -> Result<&'t str, Refusal> {
        let Node::Text(text) = self.node else { return Err(self.must_be("a string")) };
        Ok(text)
    }

    /// A boolean.
    pub(super) fn boolean(&self) -> Result<bool, Refusal> {
        let Node::Boolean(value) = self.node else { return Err(self.must_be("true or false")) };
        Ok(*value)
    }

    /// A uint64: a JSON integer, or its decimal digits as a string.
    pub(super) fn uint64(&self) -> Result<u64, Refusal> {
        let wrong = || self.must_be("an integer from 0 to 18446744073709551615 in decimal digits");
        match self.node {
            Node::Integer(value) => Ok(*value),
            Node::Text(digits) if is_plain_decimal(digits) => digits.parse().map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    /// A uint256 in little-endian bytes: a JSON integer, or decimal digits as a string.
    pub(super) fn uint256(&self) -> Result<[u8; 32], Refusal> {
        let wrong = || self.must_be("an integer from 0 to 2^256 - 1 in decimal digits");
        match self.node {
            Node::Integer(value) => uint256_from_decimal(&value.to_string()).ok_or_else(wrong),
            Node::Text(digits) if is_plain_decimal(digits) => uint256_from_decimal(digits).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// A slot.
    pub(super) fn slot(&self) -> Result<Slot, Refusal> {
        self.uint64().map(Slot)
    }

    /// An epoch.
    pub(super) fn epoch(&self) -> Result<Epoch, Refusal> {
        self.uint64().map(Epoch)
    }

    /// A fork version.
    pub(super) fn fork_version(&self) -> Result<ForkVersion, Refusal> {
        self.bytes().map(ForkVersion)
    }

    /// 32 bytes. Fewer are padded with zeros on the left, as other signers do.
    pub(super) fn root(&self) -> Result<Root, Refusal> {
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
    pub(super) fn bytes<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.bytes_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Exactly as many bytes as `bytes` has.
    pub(super) fn bytes_into(&self, bytes: &mut [u8]) -> Result<(), Refusal> {
        let length = bytes.len();
        let wrong = || self.must_be(&format!("a hexadecimal string of {length} bytes"));
        let text = self.text().map_err(|_| wrong())?;
        decode_hex(text.strip_prefix("0x").unwrap_or(text), bytes).ok_or_else(wrong)
    }

    /// Any number of bytes.
    pub(super) fn byte_list(&self) -> Result<Vec<u8>, Refusal> {
        let wrong = || self.must_be("a hexadecimal string of whole bytes");
        let text = self.text().map_err(|_| wrong())?;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = vec![0; digits.len() / 2];
        decode_hex(digits, &mut bytes).ok_or_else(wrong)?;
        Ok(bytes)
    }

    /// A refusal for want of a member.
    pub(super) fn missing(&self, name: &str) -> Refusal {
        Refusal::Missing { field: self.path.member(name).to_string() }
    }

    /// A refusal of this value: `problem` continues a sentence that begins with the field.
    pub(super) fn invalid(&self, problem: String) -> Refusal {
        Refusal::Invalid { field: self.path.to_string(), problem }
    }

    /// A refusal that says what this value must be and what it is.
    pub(super) fn must_be(&self, expected: &str) -> Refusal {
        self.invalid(format!("must be {expected}, not {}", self.node.shown()))
    }
}

/// The way from the top of the body to a value. Written out only in a refusal.
#[derive(Clone, Copy)]
struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Top,
    Member(&'p str),
    Item(usize),
}

impl<'p> Path<'p> {
    const TOP: Path<'static> = Path { parent: None, step: Step::Top };

    fn member<'s>(&'s self, name: &'s str) -> Path<'s> {
        Path { parent: Some(self), step: Step::Member(name) }
    }

    fn item(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), step: Step::Item(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.parent.filter(|parent| !matches!(parent.step, Step::Top));
        if let Some(parent) = parent {
            fmt::Display::fmt(parent, f)?;
        }
        match self.step {
            Step::Top => f.write_str("the body"),
            Step::Member(name) => {
                f.write_str(if parent.is_some() { "." } else { "" })?;
                write!(f, "{}", Shortened(name))
            }
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

impl Node<'_> {
    /// The value for a message: never longer than a line.
    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::OtherNumber(value) => value.to_string(),
            Self::Text(text) => format!("\"{}\"", Shortened(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

/// A caller's text in a message: control characters escaped, the middle of a long one left out.
struct Shortened<'s>(&'s str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        let shown = characters.by_ref().take(MAX_SHOWN).flat_map(char::escape_debug).collect::<String>();
        f.write_str(&shown)?;
        match characters.count() {
            0 => Ok(()),
            more => write!(f, "… and {more} more characters"),
        }
    }
}

/// Makes one [`Node`] and everything below it.
struct Reader<'p> {
    path: Path<'p>,
    values: &'p Cell<usize>,
}

impl<'b> DeserializeSeed<'b> for Reader<'_> {
    type Value = Node<'b>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Node<'b>, D::Error> {
        let values = self.values.get().saturating_add(1);
        if values > MAX_VALUES {
            return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values")));
        }
        self.values.set(values);
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Reader<'_> {
    type Value = Node<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'b>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'b>, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'b>, E> {
        Ok(Node::Integer(value))
    }

    #[allow(clippy::cast_precision_loss)] // shown in a refusal, never used as a number
    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'b>, E> {
        Ok(u64::try_from(value).map_or(Node::OtherNumber(value as f64), Node::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node<'b>, E> {
        Ok(Node::OtherNumber(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'b str) -> Result<Node<'b>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node<'b>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<Node<'b>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) =
            items.next_element_seed(Reader { path: self.path.item(list.len()), values: self.values })?
        {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'b>>(self, mut members: A) -> Result<Node<'b>, A::Error> {
        let mut object: Vec<(Cow<'b, str>, Node<'b>)> = Vec::with_capacity(4);
        while let Some(Name(name)) = members.next_key_seed(NameReader)? {
            let path = self.path.member(&name);
            if object.iter().any(|(earlier, _)| *earlier == name) {
                return Err(A::Error::custom(format_args!("{path} is given twice")));
            }
            if object.len() == MAX_MEMBERS {
                return Err(A::Error::custom(format_args!(
                    "{} has more than {MAX_MEMBERS} members",
                    self.path
                )));
            }
            let node = members.next_value_seed(Reader { path, values: self.values })?;
            object.push((name, node));
        }
        Ok(Node::Object(object))
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'b>(Cow<'b, str>);

struct NameReader;

impl<'b> DeserializeSeed<'b> for NameReader {
    type Value = Name<'b>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Name<'b>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'b> Visitor<'b> for NameReader {
    type Value = Name<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'b str) -> Result<Name<'b>, E> {
        Ok(Name(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Name<'b>, E> {
        Ok(Name(Cow::Owned(value.to_owned())))
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

/// No message needs more: the largest is a phase0 block of 128 attestations and two slashings of 2,048 indices twice.
const MAX_VALUES: usize = 1 << 17;

/// No message has an object with more than 19 members.
const MAX_MEMBERS: usize = 64;

/// How many characters of a caller's value a message repeats.
const MAX_SHOWN: usize = 80;
