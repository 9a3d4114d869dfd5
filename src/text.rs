//! Text that people and other programs hand over as files and bodies, and what messages repeat of it.
//!
//! Every reader of such text goes by one rule for the byte order mark: in front of UTF-8 it is skipped, and a text in
//! UTF-16, which begins with another one, is refused by that name. Every message is one line of bounded length, however
//! long the value that it is about.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::{self, Write};
use std::io::{self, Read};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The text without the byte order mark (U+FEFF) that some editors and shells put at its start.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The same for bytes in UTF-8.
pub(crate) fn unmarked_bytes(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF_8).unwrap_or(bytes)
}

/// The lines of a list, trimmed, with their numbers from 1. Empty ones, and those that begin with `#`, say nothing.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Whether the bytes begin with a byte order mark of UTF-16, as PowerShell's `>` and Notepad's "Unicode" write it.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    UTF_16.iter().any(|mark| bytes.starts_with(mark))
}

/// Reads one JSON value.
///
/// # Errors
/// It is no JSON, or not of `T`'s form.
pub(crate) fn json<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, JsonError> {
    if is_utf16(bytes) {
        return Err(JsonError::Utf16);
    }
    serde_json::from_slice(unmarked_bytes(bytes)).map_err(JsonError::Json)
}

/// The same from a stream.
///
/// # Errors
/// As for [`json`], or the stream cannot be read.
pub(crate) fn json_from<T: DeserializeOwned>(mut stream: impl Read) -> Result<T, JsonError> {
    let mut start = Vec::with_capacity(UTF_8.len());
    let length = u64::try_from(UTF_8.len()).unwrap_or(u64::MAX);
    stream.by_ref().take(length).read_to_end(&mut start).map_err(JsonError::Read)?;
    if is_utf16(&start) {
        return Err(JsonError::Utf16);
    }
    serde_json::from_reader(unmarked_bytes(&start).chain(stream)).map_err(JsonError::Json)
}

/// Why a text is not the JSON that was asked for: one line of bounded length with the place. It may show values, so it
/// is not for texts that hold secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// The mark of UTF-16.
    #[error("it is UTF-16 text (it begins with the byte order mark of that): save it as UTF-8")]
    Utf16,
    /// The stream.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// The text. Its own display repeats values of any length, so it is no source that a reporter would print.
    #[error("{}", Bounded(.0))]
    Json(serde_json::Error),
}

/// What is wrong with a text that holds secrets: members by name, the kind of fault, and none of the values. A message
/// of our own shows if it begins with "the member".
pub(crate) fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (message, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    let names_members_only = ["missing field `", "duplicate field `", "the member "];
    match error.classify() {
        Category::Data if !names_members_only.iter().any(|start| message.starts_with(start)) => {
            "a member has the wrong type".to_owned()
        }
        Category::Data | Category::Syntax | Category::Eof | Category::Io => Bounded(message).to_string(),
    }
}

/// Shows a value, or what a parser says of one, in less than a line: control characters as blanks, the middle of a long
/// text left out.
pub(crate) struct Bounded<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Bounded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ends(f, &self.0, (LONGEST_START, LONGEST_END))
    }
}

/// The same for a whole message, which is only cut where a part of it should have been bounded and was not.
pub(crate) struct OneLine<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ends(f, &self.0, (LONGEST_LINE_START, LONGEST_LINE_END))
    }
}

/// An error with all its causes, in one line of bounded length.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    OneLine(text).to_string()
}

fn write_ends(
    f: &mut fmt::Formatter<'_>,
    value: &dyn fmt::Display,
    (longest_start, longest_end): (usize, usize),
) -> fmt::Result {
    let (start, end) = (String::new(), VecDeque::new());
    let mut ends = Ends { start, end, end_bytes: 0, left_out: 0, longest_start, longest_end };
    write!(ends, "{value}")?;
    f.write_str(&ends.start)?;
    if ends.left_out > 0 {
        write!(f, "[... {} characters ...]", ends.left_out)?;
    }
    ends.end.iter().try_for_each(|character| f.write_char(*character))
}

/// The start and the end of a text that is being written.
struct Ends {
    start: String,
    end: VecDeque<char>,
    end_bytes: usize,
    left_out: usize,
    longest_start: usize,
    longest_end: usize,
}

impl Write for Ends {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = if character.is_control() { ' ' } else { character };
            let length = self.start.len().saturating_add(character.len_utf8());
            // From the first that goes to the end on, all do.
            if self.end.is_empty() && length <= self.longest_start {
                self.start.push(character);
                continue;
            }
            self.end.push_back(character);
            self.end_bytes = self.end_bytes.saturating_add(character.len_utf8());
            while self.end_bytes > self.longest_end {
                let Some(first) = self.end.pop_front() else { break };
                self.end_bytes = self.end_bytes.saturating_sub(first.len_utf8());
                self.left_out = self.left_out.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// The byte order mark in UTF-8, and those of UTF-16 (Unicode, section 23.8).
const UTF_8: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// What a message repeats of a text, in bytes of its start and of its end, where a parser says what it expected and in
/// which line.
const LONGEST_START: usize = 160;
const LONGEST_END: usize = 120;

/// The same of a whole message, which stays below two kibibytes with what stands between.
const LONGEST_LINE_START: usize = 1_488;
const LONGEST_LINE_END: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mark_of_utf_8_is_skipped_once_and_those_of_utf_16_are_named() {
        assert_eq!(json::<u8>(b"\xef\xbb\xbf 7").ok(), Some(7));
        assert_eq!(json_from::<u8>(&b"\xef\xbb\xbf7"[..]).ok(), Some(7));
        assert_eq!(json_from::<u8>(&b"7"[..]).ok(), Some(7));
        assert!(json::<u8>(b"\xef\xbb\xbf\xef\xbb\xbf7").is_err());
        for text in [&b"\xff\xfe7\0"[..], b"\xfe\xff\x007"] {
            assert!(json::<u8>(text).unwrap_err().to_string().contains("UTF-16"));
            assert!(json_from::<u8>(text).unwrap_err().to_string().contains("UTF-16"));
        }
        assert_eq!((unmarked("\u{feff}a\u{feff}"), unmarked("")), ("a\u{feff}", ""));
    }

    #[test]
    fn a_message_about_a_long_value_says_what_was_expected_and_where() {
        let text = format!("\n\"{}\"", "x\\n".repeat(1 << 20));
        let message = json::<u8>(text.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("invalid type: string \"x"), "{message}");
        assert!(message.ends_with(&format!("expected u8 at line 2 column {}", (3 << 20) + 2)), "{message}");
        assert!(message.len() < 600, "{message}");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_one_short_line_and_a_short_text_is_whole(text in "\\PC{0,400}|.{0,2000}") {
            let shown = Bounded(&text).to_string();
            prop_assert!(!shown.contains(char::is_control));
            prop_assert!(shown.len() <= LONGEST_START + LONGEST_END + 40);
            if text.len() <= LONGEST_START && !text.contains(char::is_control) {
                prop_assert_eq!(shown, text);
            }
        }

        #[test]
        fn a_message_has_less_than_two_kibibytes_whatever_it_shows(
            text in "(.{0,3}|[é€😀\u{0}]{0,3}){0,2000}", times in 1_usize..5,
        ) {
            let shown = OneLine(text.repeat(times)).to_string();
            prop_assert!(shown.len() < 2_048, "{}", shown.len());
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
