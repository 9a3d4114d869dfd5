//! Texts as they are written, and what they say.

use std::ops::Deref;

use zeroize::Zeroizing;

use super::reader::{BLANKS, BREAKS, Reader, split_line};
use super::{Node, YamlError};

/// A text as it is written, without its quotes.
pub(crate) struct Scalar<'t> {
    pub(super) style: Style,
    pub(super) raw: &'t str,
}

/// How a text is written.
pub(super) enum Style {
    Plain,
    /// `'…'`.
    Single,
    /// `"…"`.
    Double,
    /// `|` and `>`.
    Block {
        folded: bool,
        chomping: Option<char>,
        depth: usize,
    },
}

/// What a text says.
pub(crate) enum Text<'t> {
    /// As it stands in the document.
    Borrowed(&'t str),
    /// Put together; wiped when it is dropped.
    Built(Zeroizing<String>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Built(text) => text,
        }
    }
}

impl<'t> From<Scalar<'t>> for Node<'t> {
    fn from(scalar: Scalar<'t>) -> Self {
        match (&scalar.style, scalar.raw) {
            (Style::Plain, "" | "~" | "null" | "Null" | "NULL") => Self::Null,
            _ => Self::Scalar(scalar),
        }
    }
}

impl<'t> Scalar<'t> {
    /// What the text says; `None` if it has an escape that YAML does not know.
    pub(super) fn text(&self) -> Option<Text<'t>> {
        let is_special = match self.style {
            Style::Plain => self.raw.contains(BREAKS),
            Style::Single => self.raw.contains(['\'', '\n', '\r']),
            Style::Double => self.raw.contains(['\\', '\n', '\r']),
            Style::Block { .. } => true,
        };
        if !is_special {
            return Some(Text::Borrowed(self.raw));
        }
        // Nothing gets longer than twice what it is written with, so the buffer never moves and leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(self.raw.len().saturating_mul(2)));
        match self.style {
            Style::Plain => fold(self.raw, &mut text, push_plain)?,
            Style::Single => fold(self.raw, &mut text, push_single)?,
            Style::Double => fold(self.raw, &mut text, push_double)?,
            Style::Block { folded, chomping, depth } => {
                push_block(self.raw, &mut text, folded, chomping, depth)
            }
        }
        Some(Text::Built(text))
    }
}

impl<'t> Reader<'t> {
    /// Reads a text in quotes, and stops after the closing one.
    pub(super) fn quoted(&mut self) -> Result<Scalar<'t>, YamlError> {
        let (style, stops): (_, &[char]) = match self.rest.starts_with('"') {
            true => (Style::Double, &['"', '\\']),
            false => (Style::Single, &['\'']),
        };
        let start = *self;
        self.skip_character();
        let inside = self.rest;
        loop {
            let Some((_, found)) = self.rest.find(stops).and_then(|at| self.rest.split_at_checked(at)) else {
                return Err(start.syntax("a quote is not closed"));
            };
            self.rest = found;
            let raw = self.since(inside);
            self.skip_character();
            if found.starts_with('\\') || (found.starts_with("''")) {
                self.skip_character();
                continue;
            }
            return Ok(Scalar { style, raw });
        }
    }
}

/// Joins the lines of a text: a single break is a space, each further one is a break.
fn fold(raw: &str, text: &mut String, mut push: impl FnMut(&str, &mut String) -> Option<bool>) -> Option<()> {
    let (mut rest, mut is_first, mut breaks, mut is_joined) = (raw, true, 0_usize, false);
    loop {
        let (line, after) = split_line(rest);
        let is_last = after.is_empty() && line.len() == rest.len();
        let mut line = line;
        if !is_first {
            line = line.trim_start_matches(BLANKS);
        }
        if !is_last {
            line = trim_end(line);
        }
        if !is_first && (!line.is_empty() || is_last) {
            match breaks {
                _ if is_joined => {}
                1 => text.push(' '),
                more => text.extend(std::iter::repeat_n('\n', more.saturating_sub(1))),
            }
            breaks = 0;
            is_joined = false;
        }
        is_joined |= push(line, text)?;
        if is_last {
            return Some(());
        }
        (rest, is_first, breaks) = (after, false, breaks.saturating_add(1));
    }
}

/// Without the blanks at the end, save one that is escaped.
fn trim_end(line: &str) -> &str {
    let trimmed = line.trim_end_matches(BLANKS);
    let backslashes = trimmed.len().saturating_sub(trimmed.trim_end_matches('\\').len());
    match line.get(trimmed.len()..).and_then(|blanks| blanks.chars().next()) {
        Some(blank) if backslashes % 2 == 1 => {
            line.get(..trimmed.len().saturating_add(blank.len_utf8())).unwrap_or(line)
        }
        Some(_) | None => trimmed,
    }
}

fn push_plain(line: &str, text: &mut String) -> Option<bool> {
    text.push_str(line);
    Some(false)
}

fn push_single(line: &str, text: &mut String) -> Option<bool> {
    let mut parts = line.split("''");
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        text.push('\'');
        text.push_str(part);
    }
    Some(false)
}

/// Whether the line's end is escaped, so that nothing stands for it.
fn push_double(line: &str, text: &mut String) -> Option<bool> {
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let mut characters = escape.chars();
        let digits = match characters.next() {
            None => return Some(true),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(letter) => {
                text.push(escaped(letter)?);
                0
            }
        };
        rest = characters.as_str();
        if digits > 0 {
            let (number, after) = rest.split_at_checked(digits)?;
            text.push(
                number
                    .bytes()
                    .all(|digit| digit.is_ascii_hexdigit())
                    .then_some(number)
                    .and_then(|number| u32::from_str_radix(number, 16).ok())
                    .and_then(char::from_u32)?,
            );
            rest = after;
        }
    }
    text.push_str(rest);
    Some(false)
}

fn escaped(letter: char) -> Option<char> {
    Some(match letter {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        ' ' | '"' | '/' | '\\' => letter,
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        _ => return None,
    })
}

/// The lines without their indentation; folded, a single break between two of them is a space.
fn push_block(raw: &str, text: &mut String, folded: bool, chomping: Option<char>, depth: usize) {
    let (mut rest, mut breaks, mut was_deeper, mut has_begun) = (raw, 0_usize, false, false);
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        let content = line.get(depth..).unwrap_or_default();
        if content.is_empty() {
            breaks = breaks.saturating_add(1);
            continue;
        }
        let is_deeper = content.starts_with(BLANKS);
        let joins = folded && has_begun && !is_deeper && !was_deeper;
        match breaks {
            1 if joins => text.push(' '),
            more if joins => text.extend(std::iter::repeat_n('\n', more.saturating_sub(1))),
            more => text.extend(std::iter::repeat_n('\n', more)),
        }
        text.push_str(content);
        (breaks, was_deeper, has_begun) = (1, is_deeper, true);
    }
    match chomping {
        Some('-') => {}
        Some(_) => text.extend(std::iter::repeat_n('\n', breaks)),
        None if has_begun => text.push('\n'),
        None => {}
    }
}
