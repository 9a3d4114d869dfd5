//! Blocking work: what takes long enough to keep a thread of the runtime from others.

use tokio::task::block_in_place;

/// Works on so many bytes. Many take milliseconds, in which other connections are served all the same.
///
/// Only to be called on a runtime of several threads, even if it has but one.
pub(crate) fn in_place_if_large<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes > LARGE_BYTES { block_in_place(work) } else { work() }
}

/// Works on what takes most of a millisecond.
///
/// Only to be called on a runtime of several threads, even if it has but one.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    block_in_place(work)
}

/// To read that much takes some 100 microseconds.
const LARGE_BYTES: usize = 64 * 1024;
