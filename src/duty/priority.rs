//! Priority of a duty's signature among others.

/// Whose work goes first. What is first here is always done before the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// A block and what it cannot be made without: one validator, one slot, the most to lose.
    Block,
    /// A vote: late by a slot, it earns less.
    Vote,
    /// Everything else.
    Other,
}
