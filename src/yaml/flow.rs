//! What is written in brackets: passed over, or read as a document of its own.

use super::block::end_line;
use super::reader::{BREAKS, INDICATORS, Reader};
use super::scalar::{Scalar, Style, Text};
use super::{Mapping, Node, YamlError};

/// Reads a document that is one mapping in braces, such as JSON.
pub(super) fn document(mut reader: Reader<'_>) -> Result<Mapping<'_>, YamlError> {
    let mut mapping = Mapping::new();
    reader.skip_character();
    loop {
        skip_space(&mut reader);
        if reader.rest.starts_with('}') {
            break;
        }
        let name = name(&mut reader)?;
        skip_space(&mut reader);
        let mut node = Node::Null;
        if reader.rest.starts_with(':') {
            reader.skip_character();
            node = value(&mut reader)?;
            skip_space(&mut reader);
        }
        mapping.add(name, node)?;
        if reader.rest.starts_with(',') {
            reader.skip_character();
        } else if !reader.rest.starts_with('}') {
            return Err(reader.syntax("a comma or a brace is missing"));
        }
    }
    reader.skip_character();
    end_line(&mut reader)?;
    reader.skip_what_says_nothing();
    if !reader.rest.is_empty() {
        return Err(reader.syntax("there is something after the closing brace"));
    }
    Ok(mapping)
}

/// Passes over brackets with everything in them.
pub(super) fn skip<'t>(reader: &mut Reader<'t>) -> Result<Node<'t>, YamlError> {
    let start = *reader;
    let mut open = Vec::new();
    loop {
        skip_space(reader);
        match reader.rest.chars().next() {
            None => return Err(start.syntax("a bracket is not closed")),
            Some(bracket @ ('[' | '{')) => {
                if open.len() >= DEEPEST {
                    return Err(reader.syntax("it is nested too deeply"));
                }
                open.push(if bracket == '[' { ']' } else { '}' });
                reader.skip_character();
            }
            Some(bracket @ (']' | '}')) => {
                if open.pop() != Some(bracket) {
                    return Err(reader.syntax("a bracket closes what another kind has opened"));
                }
                reader.skip_character();
                if open.is_empty() {
                    return Ok(match start.rest.starts_with('[') {
                        true => Node::List(reader.since(start.rest)),
                        false => Node::Mapping,
                    });
                }
            }
            Some('"' | '\'') => {
                reader.quoted()?;
            }
            Some(',' | ':') => reader.skip_character(),
            Some(_) => {
                plain(reader);
            }
        }
    }
}

fn name<'t>(reader: &mut Reader<'t>) -> Result<Text<'t>, YamlError> {
    reader.skip_properties();
    skip_space(reader);
    let start = *reader;
    let scalar = match reader.rest.chars().next() {
        None => return Err(start.syntax("a brace is not closed")),
        Some('"' | '\'') => reader.quoted()?,
        Some('[' | '{' | ']' | ',' | '*' | '?' | ':') => {
            return Err(start.syntax("it begins with a character that no name begins with"));
        }
        Some(_) => plain(reader),
    };
    if scalar.raw == "<<" {
        return Err(start.syntax("it is a merge key (<<), which is not followed"));
    }
    scalar.text().ok_or_else(|| start.syntax("its name has an escape that YAML does not know"))
}

fn value<'t>(reader: &mut Reader<'t>) -> Result<Node<'t>, YamlError> {
    skip_space(reader);
    reader.skip_properties();
    skip_space(reader);
    match reader.rest.chars().next() {
        None => Err(reader.syntax("a brace is not closed")),
        Some('[' | '{') => skip(reader),
        Some('"' | '\'') => reader.quoted().map(Node::Scalar),
        Some('*') => {
            plain(reader);
            Ok(Node::Alias)
        }
        Some(',' | '}') => Ok(Node::Null),
        Some('|' | '>' | '%' | '@' | '`' | ']' | ':') => {
            Err(reader.syntax("its value begins with a character that no text begins with: put it in quotes"))
        }
        Some(_) => Ok(plain(reader).into()),
    }
}

/// A text without quotes: at least one character, up to what ends it.
pub(super) fn plain<'t>(reader: &mut Reader<'t>) -> Scalar<'t> {
    let start = reader.rest;
    let mut before = ' ';
    let end = start.char_indices().find(|&(at, character)| {
        let after = start.get(at..).and_then(|rest| rest.chars().nth(1));
        let ends = INDICATORS.contains(&character)
            || (character == '#' && before.is_whitespace())
            || (character == ':'
                && after.is_none_or(|after| after.is_whitespace() || INDICATORS.contains(&after)));
        before = character;
        ends && at > 0
    });
    let (text, rest) = end.and_then(|(at, _)| start.split_at_checked(at)).unwrap_or((start, ""));
    reader.rest = rest;
    Scalar { style: Style::Plain, raw: text.trim_end() }
}

/// Passes over blanks, ends of lines and comments.
pub(super) fn skip_space(reader: &mut Reader<'_>) {
    let mut at_begin = false;
    loop {
        let before = reader.rest.len();
        reader.skip_blanks();
        at_begin |= reader.rest.len() != before;
        if reader.rest.starts_with(BREAKS) || (at_begin && reader.rest.starts_with('#')) {
            reader.skip_line();
            at_begin = true;
        } else {
            return;
        }
    }
}

/// How deep brackets may be nested in brackets.
const DEEPEST: usize = 1_000;
