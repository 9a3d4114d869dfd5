//! Where a value stands, for messages.

use std::fmt;

/// The way from the top of the body to a value. Written out only in a refusal.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
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
    pub(super) const TOP: Path<'static> = Path { parent: None, step: Step::Top };

    pub(super) fn member<'s>(&'s self, name: &'s str) -> Path<'s> {
        Path { parent: Some(self), step: Step::Member(name) }
    }

    pub(super) fn item(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), step: Step::Item(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, MAX_STEPS)
    }
}

impl Path<'_> {
    /// Writes the last `steps` steps.
    fn write(&self, f: &mut fmt::Formatter<'_>, steps: usize) -> fmt::Result {
        if steps == 0 {
            return f.write_str("…");
        }
        let parent = self.parent.filter(|parent| !matches!(parent.step, Step::Top));
        if let Some(parent) = parent {
            parent.write(f, steps.saturating_sub(1))?;
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

/// A caller's text in a message: control characters escaped, the middle of a long one left out.
pub(super) struct Shortened<'s>(pub(super) &'s str);

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

/// How many characters of a caller's value a message repeats.
const MAX_SHOWN: usize = 80;

/// More than any message has: what a member is called in a body nested for the sake of it helps nobody.
const MAX_STEPS: usize = 12;
