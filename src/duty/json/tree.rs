//! Reading the body: serde_json does it, and its limit of 128 levels holds here.
//!
//! On top of that at most [`MAX_VALUES`] values, and [`MAX_MEMBERS`] members of one object, so that a small body can
//! neither grow in memory nor take quadratic time.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::path::{Path, Shortened};
use crate::duty::Refusal;
use crate::text;

/// Reads a body that is one JSON object.
pub(in crate::duty) fn parse(body: &[u8]) -> Result<Node<'_>, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(text::unmarked_bytes(body));
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

/// One JSON value.
#[derive(Debug)]
pub(in crate::duty) enum Node<'b> {
    Null,
    Boolean(bool),
    Integer(u64),
    /// Negative, fractional or above 2^64 - 1: allowed in members that nobody reads.
    OtherNumber(f64),
    Text(Cow<'b, str>),
    List(Vec<Node<'b>>),
    Object(Vec<(Cow<'b, str>, Node<'b>)>),
}

impl Node<'_> {
    /// The value for a message: never longer than a line.
    pub(super) fn shown(&self) -> String {
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

/// No message needs more: the largest is a phase0 block of 128 attestations and two slashings of 2,048 indices twice.
const MAX_VALUES: usize = 1 << 17;

/// No message has an object with more than 19 members.
const MAX_MEMBERS: usize = 64;
