//! A document that is written line by line: names at one indentation, and below each what it stands for.

use super::reader::{BLANKS, Reader, indentation, is_item, says_nothing};
use super::scalar::{Scalar, Style, Text};
use super::{Mapping, Node, YamlError, flow};

/// Reads a whole document; `None` if there is nothing in it.
pub(super) fn read(mut reader: Reader<'_>) -> Result<Option<Mapping<'_>>, YamlError> {
    if reader.marked {
        reader.skip_blanks();
        reader.skip_properties();
        if !says_nothing(reader.line()) && !reader.rest.starts_with('{') {
            return Err(YamlError::NoMapping { line: reader.number() });
        }
    }
    reader.skip_what_says_nothing();
    if reader.rest.is_empty() {
        return Ok(None);
    }
    let indent = indentation(reader.line());
    if reader.line().trim_start_matches(BLANKS).starts_with('{') {
        reader.skip_blanks();
        return flow::document(reader).map(Some);
    }
    let mut mapping = Mapping::new();
    let mut is_first = true;
    while !reader.rest.is_empty() {
        if indentation(reader.line()) != indent {
            return Err(reader.syntax("its indentation is not that of the names above it"));
        }
        let name = name(&mut reader, is_first)?;
        let node = value(&mut reader, indent)?;
        mapping.add(name, node)?;
        is_first = false;
        reader.skip_what_says_nothing();
    }
    Ok(Some(mapping))
}

/// Reads `name:` and stops right after the colon.
fn name<'t>(reader: &mut Reader<'t>, is_first: bool) -> Result<Text<'t>, YamlError> {
    let no_name = |reader: &Reader<'_>| match is_first {
        true => YamlError::NoMapping { line: reader.number() },
        false => reader.syntax("it has no name and colon"),
    };
    reader.skip_blanks();
    reader.skip_properties();
    if is_item(reader.line()) || reader.rest.starts_with('[') {
        return Err(no_name(reader));
    }
    if reader.rest.starts_with(['"', '\'']) {
        let start = *reader;
        let name = reader.quoted()?;
        reader.skip_blanks();
        if !begins_value(reader.rest) {
            return Err(no_name(&start));
        }
        reader.skip_character();
        return name.text().ok_or_else(|| start.syntax("its name has an escape that YAML does not know"));
    }
    if reader.rest.starts_with(NO_PLAIN) || is_complex(reader.rest) {
        return Err(reader.syntax("it begins with a character that no name begins with"));
    }
    let length = plain_name(reader.line()).ok_or_else(|| no_name(reader))?;
    let (name, rest) = reader.rest.split_at_checked(length).unwrap_or((reader.rest, ""));
    let name = name.trim_end_matches(BLANKS);
    if name == "<<" {
        return Err(reader.syntax("it is a merge key (<<), which is not followed"));
    }
    reader.rest = rest;
    reader.skip_character();
    Ok(Text::Borrowed(name))
}

/// Reads what a name stands for, and stops at a line's begin.
fn value<'t>(reader: &mut Reader<'t>, indent: usize) -> Result<Node<'t>, YamlError> {
    let mut own_line = false;
    loop {
        reader.skip_blanks();
        reader.skip_properties();
        if !says_nothing(reader.line()) {
            break;
        }
        reader.skip_line();
        reader.skip_what_says_nothing();
        own_line = true;
        let line = reader.line();
        let depth = indentation(line);
        if depth == indent && is_item(line.trim_start_matches(BLANKS)) {
            let start = reader.rest;
            skip_below(reader, indent, true);
            return Ok(Node::List(reader.since(start)));
        }
        if depth <= indent {
            return Ok(Node::Null);
        }
    }
    let below = |reader: &mut Reader<'t>, node| {
        skip_below(reader, indent, false);
        Ok(node)
    };
    let start = *reader;
    match reader.rest.chars().next() {
        Some('-') if is_item(reader.line()) => match own_line {
            true => {
                skip_below(reader, indent, false);
                Ok(Node::List(reader.since(start.rest)))
            }
            false => Err(reader.syntax("a list begins on the line of its name")),
        },
        Some('|' | '>') => block_scalar(reader, indent).map(Node::Scalar),
        Some('"' | '\'') => {
            let scalar = reader.quoted()?;
            if own_line && begins_value(reader.rest.trim_start_matches(BLANKS)) {
                *reader = start;
                return below(reader, Node::Mapping);
            }
            if reader
                .since(start.rest)
                .lines()
                .skip(1)
                .any(|line| indentation(line) <= indent && !line.is_empty())
            {
                return Err(start.syntax("its text goes on in a line that is not indented"));
            }
            end_line(reader)?;
            Ok(Node::Scalar(scalar))
        }
        Some('[' | '{') => {
            let node = flow::skip(reader)?;
            end_line(reader)?;
            Ok(node)
        }
        Some('*') => {
            reader.rest = reader.rest.trim_start_matches(|character: char| !character.is_whitespace());
            end_line(reader)?;
            Ok(Node::Alias)
        }
        Some(_) if own_line && (is_complex(reader.rest) || plain_name(reader.line()).is_some()) => {
            below(reader, Node::Mapping)
        }
        Some(character) if NO_PLAIN.contains(&character) || is_complex(reader.rest) => {
            Err(reader.syntax("its value begins with a character that no text begins with: put it in quotes"))
        }
        Some(_) => plain(reader, indent),
        None => Ok(Node::Null),
    }
}

/// A text without quotes, which goes on in deeper lines until a comment.
fn plain<'t>(reader: &mut Reader<'t>, indent: usize) -> Result<Node<'t>, YamlError> {
    let start = *reader;
    let mut text = "";
    loop {
        let line = reader.line();
        let (content, is_commented) = match comment(line) {
            Some(at) => (line.get(..at).unwrap_or(line), true),
            None => (line, false),
        };
        let content = content.trim_end_matches(BLANKS);
        if plain_name(content).is_some() {
            return Err(reader.syntax("there is a second colon in it: put the value in quotes"));
        }
        let before = start.rest.len().saturating_sub(reader.rest.len());
        text = start.rest.get(..before.saturating_add(content.len())).unwrap_or(text);
        reader.skip_line();
        while !reader.rest.is_empty() && reader.line().trim_start_matches(BLANKS).is_empty() {
            reader.skip_line();
        }
        if is_commented || says_nothing(reader.line()) || indentation(reader.line()) <= indent {
            return Ok(Scalar { style: Style::Plain, raw: text }.into());
        }
    }
}

/// A text of whole lines, `|` or `>`.
fn block_scalar<'t>(reader: &mut Reader<'t>, indent: usize) -> Result<Scalar<'t>, YamlError> {
    let folded = reader.rest.starts_with('>');
    reader.skip_character();
    let (mut chomping, mut depth) = (None, None);
    loop {
        match reader.rest.chars().next() {
            Some(sign @ ('+' | '-')) if chomping.is_none() => chomping = Some(sign),
            Some(digit @ '1'..='9') if depth.is_none() => depth = digit.to_digit(10),
            Some(_) | None => break,
        }
        reader.skip_character();
    }
    end_line(reader)?;
    let mut depth = depth.map(|digit| indent.saturating_add(digit as usize));
    let start = reader.rest;
    while !reader.rest.is_empty() {
        let line = reader.line();
        let spaces = line.len().saturating_sub(line.trim_start_matches(' ').len());
        if spaces < line.len() {
            let depth = *depth.get_or_insert(spaces);
            if spaces <= indent || spaces < depth {
                break;
            }
        }
        reader.skip_line();
    }
    let style = Style::Block { folded, chomping, depth: depth.unwrap_or_default() };
    Ok(Scalar { style, raw: reader.since(start) })
}

/// Passes over the current line and everything that belongs to it.
fn skip_below(reader: &mut Reader<'_>, indent: usize, items_beside: bool) {
    loop {
        reader.skip_line();
        let line = reader.line();
        let is_below = says_nothing(line)
            || indentation(line) > indent
            || (items_beside && indentation(line) == indent && is_item(line.trim_start_matches(BLANKS)));
        if reader.rest.is_empty() || !is_below {
            return;
        }
    }
}

/// Passes over the rest of a line on which nothing more may come.
pub(super) fn end_line(reader: &mut Reader<'_>) -> Result<(), YamlError> {
    let line = reader.line();
    if !says_nothing(line) || line.starts_with('#') {
        return Err(reader.syntax("there is something after its value"));
    }
    reader.skip_line();
    Ok(())
}

/// The length of a plain name at the begin of a line, without its colon.
fn plain_name(line: &str) -> Option<usize> {
    let limit = comment(line).unwrap_or(line.len());
    line.match_indices(':')
        .map(|(at, _)| at)
        .take_while(|at| *at < limit)
        .find(|at| line.get(*at..).is_some_and(begins_value))
}

/// Where a comment begins.
pub(super) fn comment(line: &str) -> Option<usize> {
    line.match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line.get(..*at).is_some_and(|text| text.ends_with(BLANKS)))
}

fn begins_value(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace))
}

/// `? ` and `: `: a name or value of its own kind.
fn is_complex(text: &str) -> bool {
    text.strip_prefix(['?', ':'])
        .is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace))
}

/// What no plain text begins with.
const NO_PLAIN: [char; 14] = [',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '%', '@', '`'];
