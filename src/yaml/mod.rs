//! YAML documents that are mappings, and the texts of their members: a network's `config.yaml`, key configurations.
//!
//! Such files come from everywhere, so any bytes must be bearable: nothing here panics, recurses or copies. A document
//! is read down to its members; what a member holds matters only to whoever asks for it. Values stay the text they
//! are, whatever width a number has, and borrow from the text that was given, so that the caller can wipe it: where a
//! value has to be put together (escapes, several lines), it is in a buffer that is wiped, too.
//!
//! All of YAML's ways to write a text are understood, and anchors and tags passed over. Refused are the few forms that
//! no such file needs and that would make its meaning depend on more than it shows: aliases where a text is wanted,
//! merge keys, and names that are no plain or quoted text.
//!
//! Source: YAML 1.2.2. A byte order mark may begin a file and a document there (5.2).

mod block;
mod flow;
mod list;
mod reader;
mod scalar;

use std::fmt;

use self::reader::Reader;
use self::scalar::Scalar;
pub(crate) use self::scalar::Text;

/// Why a document cannot be read. Shows no text of the document.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// Not YAML, or a form of it that is not read here.
    #[error("it is not valid YAML at line {line}: {problem}")]
    Syntax {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A list, or a text without a name before it.
    #[error("it is no mapping of names to values (line {line})")]
    NoMapping {
        /// Line of the file, from 1.
        line: usize,
    },
    /// More members than any such file has.
    #[error("it has more than {MAX_MEMBERS} members")]
    TooManyMembers,
    /// A member stands there twice.
    #[error("{name} is given twice")]
    Twice {
        /// The member.
        name: String,
    },
    /// A member is no text.
    #[error("{name} is {found}: write its value as a text")]
    NoText {
        /// The member.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A member is a list of more than texts.
    #[error(
        "{name} is a list with something in it that is no text: write each item as a text on a line of its own"
    )]
    NoItem {
        /// The member.
        name: String,
    },
    /// A backslash in a quoted text is not followed by what YAML knows.
    #[error("{name} has an escape that YAML does not know")]
    Escape {
        /// The member.
        name: String,
    },
}

impl YamlError {
    /// Whether nothing can be said about what comes after this in the file.
    pub(crate) fn ends_the_file(&self) -> bool {
        match self {
            Self::Syntax { .. } | Self::TooManyMembers => true,
            Self::NoMapping { .. }
            | Self::Twice { .. }
            | Self::NoText { .. }
            | Self::NoItem { .. }
            | Self::Escape { .. } => false,
        }
    }
}

/// The documents of a text, one after the other; those without content are passed over.
pub(crate) fn documents(text: &str) -> Documents<'_> {
    Documents { rest: text, lines_before: 0 }
}

/// See [`documents`].
pub(crate) struct Documents<'t> {
    rest: &'t str,
    lines_before: usize,
}

impl<'t> Iterator for Documents<'t> {
    type Item = Result<Mapping<'t>, YamlError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            if let Some(read) = block::read(self.cut()).transpose() {
                return Some(read);
            }
        }
        None
    }
}

impl<'t> Documents<'t> {
    /// Takes the next document off the text. Its end is certain whatever it holds: no value reaches beyond a marker.
    fn cut(&mut self) -> Reader<'t> {
        let mut marked = false;
        while !self.rest.is_empty() && !marked {
            self.rest = self.rest.trim_start_matches(BYTE_ORDER_MARK);
            let line = reader::line_of(self.rest);
            if let Some(after) = reader::after_marker(self.rest, "---") {
                self.rest = after;
                marked = true;
            } else if reader::says_nothing(line) || line.starts_with('%') || reader::is_marker(line, "...") {
                self.skip_line();
            } else {
                break;
            }
        }
        let (document, lines_before) = (self.rest, self.lines_before);
        self.skip_line();
        while !self.rest.is_empty() {
            let line = reader::line_of(self.rest);
            if reader::is_marker(line, "---") || reader::is_marker(line, "...") {
                break;
            }
            self.skip_line();
        }
        let length = document.len().saturating_sub(self.rest.len());
        let document = document.get(..length).unwrap_or(document);
        Reader::new(document, lines_before.saturating_add(1), marked)
    }

    fn skip_line(&mut self) {
        let (_, rest) = reader::split_line(self.rest);
        self.rest = rest;
        self.lines_before = self.lines_before.saturating_add(1);
    }
}

/// One document: names and what they stand for, in the order of the file.
pub(crate) struct Mapping<'t> {
    members: Vec<(Text<'t>, Node<'t>)>,
}

/// What a name stands for.
pub(crate) enum Node<'t> {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar<'t>),
    /// As it is written.
    List(&'t str),
    Mapping,
    Alias,
}

impl<'t> Mapping<'t> {
    fn new() -> Self {
        Self { members: Vec::new() }
    }

    fn add(&mut self, name: Text<'t>, node: Node<'t>) -> Result<(), YamlError> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(YamlError::TooManyMembers);
        }
        self.members.push((name, node));
        Ok(())
    }

    /// The members' names, in the order of the file.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    /// A member's text; `None` if it is absent or null. A name that is not asked for may be there twice.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Text<'t>>, YamlError> {
        let no_text = |found| Err(YamlError::NoText { name: name.to_owned(), found });
        match self.node(name)? {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Scalar(scalar)) => match scalar.text() {
                Some(text) => Ok(Some(text)),
                None => Err(YamlError::Escape { name: name.to_owned() }),
            },
            Some(Node::List(_)) => no_text("a list"),
            Some(Node::Mapping) => no_text("a mapping"),
            Some(Node::Alias) => no_text("an alias (*), which is not followed"),
        }
    }

    /// The texts of a member that is a list of them, or one text; none if it is absent or null.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Text<'t>>, YamlError> {
        match self.node(name)? {
            Some(Node::List(written)) => {
                list::texts(written).ok_or_else(|| YamlError::NoItem { name: name.to_owned() })
            }
            None | Some(Node::Null | Node::Scalar(_) | Node::Mapping | Node::Alias) => {
                Ok(self.text(name)?.into_iter().collect())
            }
        }
    }

    fn node(&self, name: &str) -> Result<Option<&Node<'t>>, YamlError> {
        let mut found = self.members.iter().filter(|(member, _)| **member == *name).map(|(_, node)| node);
        let node = found.next();
        match found.next() {
            None => Ok(node),
            Some(_) => Err(YamlError::Twice { name: name.to_owned() }),
        }
    }
}

/// A value in a message: in quotes, control characters escaped, the rest of a long one left out.
pub(crate) struct Shown<'s>(pub(crate) &'s str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(LONGEST_SHOWN).collect();
        let more = if shown.len() < self.0.len() { "…" } else { "" };
        write!(f, "{shown:?}{more}")
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The most members of a document.
const MAX_MEMBERS: usize = 10_000;

/// The most characters of a value in a message.
const LONGEST_SHOWN: usize = 32;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;
