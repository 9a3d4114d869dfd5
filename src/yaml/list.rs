//! Lists of texts: in brackets, or an item a line.

use super::Text;
use super::block::{comment, end_line};
use super::flow;
use super::reader::{BLANKS, Reader, is_item};
use super::scalar::{Scalar, Style};

/// The texts of a list as it is written; `None` if it has an item that is no text, or one that goes on in a further
/// line.
pub(super) fn texts(written: &str) -> Option<Vec<Text<'_>>> {
    let mut reader = Reader::new(written, 1, false);
    match written.starts_with('[') {
        true => in_brackets(&mut reader),
        false => in_lines(&mut reader),
    }
}

fn in_brackets<'t>(reader: &mut Reader<'t>) -> Option<Vec<Text<'t>>> {
    let mut texts = Vec::new();
    reader.skip_character();
    loop {
        flow::skip_space(reader);
        if reader.rest.starts_with(']') {
            return Some(texts);
        }
        let scalar = match reader.rest.chars().next()? {
            '"' | '\'' => reader.quoted().ok()?,
            first if NO_TEXT.contains(&first) => return None,
            _ => flow::plain(reader),
        };
        texts.push(scalar.text()?);
        flow::skip_space(reader);
        if reader.rest.starts_with(',') {
            reader.skip_character();
        } else if !reader.rest.starts_with(']') {
            return None;
        }
    }
}

fn in_lines<'t>(reader: &mut Reader<'t>) -> Option<Vec<Text<'t>>> {
    let mut texts = Vec::new();
    loop {
        reader.skip_what_says_nothing();
        if reader.rest.is_empty() {
            return Some(texts);
        }
        reader.skip_blanks();
        if !is_item(reader.line()) {
            return None;
        }
        reader.skip_character();
        reader.skip_blanks();
        let scalar = match reader.rest.chars().next()? {
            '"' | '\'' => {
                let scalar = reader.quoted().ok()?;
                end_line(reader).ok()?;
                scalar
            }
            first if NO_TEXT.contains(&first) || is_item(reader.line()) => return None,
            _ => {
                let line = reader.line();
                let raw =
                    comment(line).and_then(|at| line.get(..at)).unwrap_or(line).trim_end_matches(BLANKS);
                if raw.is_empty() || raw.contains(": ") || raw.ends_with(':') {
                    return None;
                }
                reader.skip_line();
                Scalar { style: Style::Plain, raw }
            }
        };
        texts.push(scalar.text()?);
    }
}

/// What begins no text: lists, mappings, aliases, anchors, tags, texts of several lines.
const NO_TEXT: [char; 13] = [',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '%', '@'];

#[cfg(test)]
mod tests {
    use crate::yaml::{YamlError, documents};

    fn read(document: &str) -> Result<Vec<String>, YamlError> {
        let mapping = documents(document).next().unwrap()?;
        assert_eq!(mapping.text("after")?.as_deref(), Some("b"));
        Ok(mapping.texts("list")?.iter().map(|text| (**text).to_owned()).collect())
    }

    #[test]
    fn a_list_is_read_in_each_way_to_write_it() {
        for (written, texts) in [
            ("list: [\"*\"]\nafter: b", &["*"][..]),
            ("list: [a.example, 'b, c',\n  d]\nafter: b", &["a.example", "b, c", "d"]),
            ("list: []\nafter: b", &[]),
            ("list:\n  - \"*\"\nafter: b", &["*"]),
            ("list:\n- http://a:8000 # one\n\n- 'b'\nafter: b", &["http://a:8000", "b"]),
            ("list:\n    - a\n    - 9\nafter: b", &["a", "9"]),
            ("list: a\nafter: b", &["a"]),
            ("list:\nafter: b", &[]),
            ("after: b", &[]),
        ] {
            assert_eq!(read(written).ok().unwrap(), texts, "{written}");
        }
    }

    #[test]
    fn an_item_that_is_no_text_is_refused() {
        for written in
            ["[[a]]", "[*]", "[{a: b}]", "\n  - - a", "\n  - a: b", "\n  - a\n    b", "\n  - *c", "\n  -"]
        {
            let error = read(&format!("list: {written}\nafter: b")).err();
            assert!(matches!(error, Some(YamlError::NoItem { .. })), "{written}: {error:?}");
        }
    }
}
