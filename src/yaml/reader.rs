//! A position in a document, and what a line is.

use super::YamlError;

/// What is left of a document.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t> {
    document: &'t str,
    pub(super) rest: &'t str,
    first_line: usize,
    /// Whether the first line is what stands after `---`.
    pub(super) marked: bool,
}

impl<'t> Reader<'t> {
    pub(super) fn new(document: &'t str, first_line: usize, marked: bool) -> Self {
        Self { document, rest: document, first_line, marked }
    }

    /// What is left of the current line.
    pub(super) fn line(&self) -> &'t str {
        line_of(self.rest)
    }

    pub(super) fn skip_line(&mut self) {
        let (_, rest) = split_line(self.rest);
        self.rest = rest;
    }

    /// Passes over blank lines and comments.
    pub(super) fn skip_what_says_nothing(&mut self) {
        while !self.rest.is_empty() && says_nothing(self.line()) {
            self.skip_line();
        }
    }

    /// Passes over blanks within the line.
    pub(super) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    /// Passes over one character, if there is one.
    pub(super) fn skip_character(&mut self) {
        let mut characters = self.rest.chars();
        characters.next();
        self.rest = characters.as_str();
    }

    /// Passes over tags and anchors, which change nothing about a text.
    pub(super) fn skip_properties(&mut self) {
        while self.rest.starts_with(['!', '&']) {
            self.rest = self.rest.trim_start_matches(|character: char| !ends_a_word(character));
            self.skip_blanks();
        }
    }

    /// What has been passed over since an earlier position.
    pub(super) fn since(&self, start: &'t str) -> &'t str {
        start.get(..start.len().saturating_sub(self.rest.len())).unwrap_or(start)
    }

    /// A fault at the current line.
    pub(super) fn syntax(&self, problem: &'static str) -> YamlError {
        YamlError::Syntax { line: self.number(), problem }
    }

    /// The number of the current line in the file.
    pub(super) fn number(&self) -> usize {
        let before = self.since(self.document);
        let breaks = before.matches('\n').count();
        // A carriage return alone ends a line, too.
        let old_breaks = before.matches('\r').count().saturating_sub(before.matches("\r\n").count());
        self.first_line.saturating_add(breaks).saturating_add(old_breaks)
    }
}

/// The first line of a text, without its end.
pub(super) fn line_of(text: &str) -> &str {
    split_line(text).0
}

/// The first line of a text, and what comes after it.
pub(super) fn split_line(text: &str) -> (&str, &str) {
    let Some((line, rest)) = text.find(BREAKS).and_then(|at| text.split_at_checked(at)) else {
        return (text, "");
    };
    let after = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(BREAKS));
    (line, after.unwrap_or_default())
}

/// Whether a line is `---` or `...`, alone or with something after it.
pub(super) fn is_marker(line: &str, marker: &str) -> bool {
    after_marker(line, marker).is_some()
}

/// What comes after a marker.
pub(super) fn after_marker<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    let after = text.strip_prefix(marker)?;
    (after.is_empty() || after.starts_with(BLANKS) || after.starts_with(BREAKS)).then_some(after)
}

/// Whether a line, or the rest of one, is blank or a comment.
pub(super) fn says_nothing(line: &str) -> bool {
    let text = line.trim_start_matches(BLANKS);
    text.is_empty() || text.starts_with('#')
}

/// How far a line is indented. A tab counts as belonging to what is above: nothing starts after one.
pub(super) fn indentation(line: &str) -> usize {
    let text = line.trim_start_matches(' ');
    let spaces = line.len().saturating_sub(text.len());
    if text.starts_with('\t') { spaces.saturating_add(1) } else { spaces }
}

/// Whether a line's text begins an item of a list.
pub(super) fn is_item(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|after| after.is_empty() || after.starts_with(BLANKS))
}

fn ends_a_word(character: char) -> bool {
    BLANKS.contains(&character) || BREAKS.contains(&character) || INDICATORS.contains(&character)
}

pub(super) const BLANKS: [char; 2] = [' ', '\t'];

pub(super) const BREAKS: [char; 2] = ['\n', '\r'];

/// The characters that end a plain text inside brackets.
pub(super) const INDICATORS: [char; 5] = [',', '[', ']', '{', '}'];
