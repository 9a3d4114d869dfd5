//! Damage in a write-ahead log that a predecessor left: whether it ends where its last commit ended, or before.
//!
//! SQLite reads a log up to the first frame whose checksum is wrong and forgets the rest without a word. That is right
//! for the last commit, which a power loss may have torn. It is wrong for one before: the ledger syncs each commit
//! before it begins the next, so whatever has a commit after it was on record.
//!
//! Source: SQLite, "WAL-mode file format" (<https://www.sqlite.org/walformat.html>).

use std::collections::BTreeMap;

/// Where the log is damaged (in bytes from its start), if what was on record lies at or beyond.
pub(crate) fn damage(log: &[u8], database: &[u8]) -> Option<usize> {
    let (head, frames) = log.split_first_chunk::<HEADER>()?;
    let Some(header) = Header::read(head) else {
        return adds_to(database, frames).then_some(0);
    };
    let frame_length = FRAME_HEADER.checked_add(header.page_size)?;
    let bad = header.good(frames, frame_length);
    // A commit ends with its last frame, and perhaps one copy of it that fills the sector; of that copy SQLite syncs
    // only the part within the sector. So the first bad frame may be such a left-over, or belong to a torn commit.
    // After the torn commit's end comes another one, which was only begun when the torn one had been synced.
    let all = frames.chunks_exact(frame_length);
    let after_commit = bad.checked_sub(1).and_then(|last| all.clone().nth(last)).is_some_and(is_commit);
    let first = if after_commit { bad.saturating_add(1) } else { bad };
    let mut beyond =
        all.skip(first).filter(|frame| header.wrote(frame)).skip_while(|frame| !is_commit(frame));
    let last = beyond.next()?;
    let next = beyond.next()?;
    let is_copy = is_commit(next) && word(next, 0) == word(last, 0);
    let another = if is_copy { beyond.next().is_some() } else { true };
    another.then(|| HEADER.saturating_add(bad.saturating_mul(frame_length)))
}

/// For a log whose first bytes are not valid: whether it holds anything that the database lacks. It does not if a power
/// loss tore the beginning of a new log, written over one that had been moved into the database.
fn adds_to(database: &[u8], frames: &[u8]) -> bool {
    let Some(&[high, low]) = database.get(16..18) else { return !frames.is_empty() };
    let page_size = match u16::from_be_bytes([high, low]) {
        1 => 65_536,
        size => usize::from(size),
    };
    let frame_length = FRAME_HEADER.saturating_add(page_size);
    let frames = frames.chunks_exact(frame_length);
    let intact = frames.clone().zip(frames.skip(1)).filter(|(before, frame)| follows(before, frame));
    // A log is written over from its beginning only when all of it is in the database, so of several logs whose frames
    // are left in the file only the last counts. The first half of the salt is its number.
    let Some(last) = intact.clone().filter_map(|(_, frame)| salt(frame).0).reduce(later) else {
        return false;
    };
    let (mut open, mut newest) = (Vec::new(), BTreeMap::new());
    for (_, frame) in intact.filter(|(_, frame)| salt(frame).0 == Some(last)) {
        open.push((word(frame, 0), frame.get(FRAME_HEADER..)));
        if is_commit(frame) {
            newest.extend(open.drain(..));
        }
    }
    newest.into_iter().any(|(number, page)| {
        let number = number.and_then(|number| usize::try_from(number).ok());
        let start = number.and_then(|number| number.checked_sub(1)?.checked_mul(page_size));
        let end = start.and_then(|start| start.checked_add(page_size));
        start.zip(end).and_then(|(start, end)| database.get(start..end)) != page
    })
}

/// Of two logs' numbers that of the later one; they begin anywhere and wrap around.
fn later(one: u32, other: u32) -> u32 {
    if other.wrapping_sub(one) <= u32::MAX / 2 { other } else { one }
}

/// Whether a frame's checksum continues the one before, so that it is no garbage.
fn follows(before: &[u8], frame: &[u8]) -> bool {
    let sums = |frame| word(frame, 16).zip(word(frame, 20));
    let (Some(seed), Some(sum), Some((head, page))) =
        (sums(before), sums(frame), frame.split_first_chunk::<FRAME_HEADER>())
    else {
        return false;
    };
    let start = head.get(..8).unwrap_or_default();
    [Order::Little, Order::Big].iter().any(|order| order.sum(order.sum(seed, start), page) == sum)
}

/// The log's first bytes, as far as they matter here.
struct Header {
    page_size: usize,
    /// What marks the frames of this log from left-overs of an earlier one.
    salt: (Option<u32>, Option<u32>),
    order: Order,
    sum: (u32, u32),
}

impl Header {
    /// None if it is not valid, so that no frame counts.
    fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let order = match word(bytes, 0)? {
            0x377f_0682 => Order::Little,
            0x377f_0683 => Order::Big,
            _ => return None,
        };
        let sum = order.sum((0, 0), bytes.get(..24)?);
        let page_size = usize::try_from(word(bytes, 8)?).ok().filter(|size| (512..=65_536).contains(size))?;
        let valid = sum == (word(bytes, 24)?, word(bytes, 28)?);
        valid.then(|| Self { page_size, salt: (word(bytes, 16), word(bytes, 20)), order, sum })
    }

    /// How many frames there are before the first whose checksum is wrong.
    fn good(&self, frames: &[u8], frame_length: usize) -> usize {
        let mut sum = self.sum;
        let good = frames.chunks_exact(frame_length).take_while(|frame| {
            let Some((head, page)) = frame.split_first_chunk::<FRAME_HEADER>() else { return false };
            sum = self.order.sum(self.order.sum(sum, head.get(..8).unwrap_or_default()), page);
            self.wrote(frame) && (Some(sum.0), Some(sum.1)) == (word(head, 16), word(head, 20))
        });
        good.count()
    }

    fn wrote(&self, frame: &[u8]) -> bool {
        salt(frame) == self.salt
    }
}

fn salt(frame: &[u8]) -> (Option<u32>, Option<u32>) {
    (word(frame, 8), word(frame, 12))
}

/// Whether a transaction ends here: then the frame says how large the database is.
fn is_commit(frame: &[u8]) -> bool {
    word(frame, 4).is_some_and(|pages| pages != 0)
}

/// How the words are read that enter the checksum: as on the machine that wrote them.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn sum(self, (mut s0, mut s1): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let number = |bytes: [u8; 4]| match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        };
        for pair in bytes.chunks_exact(8) {
            let &[a, b, c, d, e, f, g, h] = pair else { continue };
            s0 = s0.wrapping_add(number([a, b, c, d])).wrapping_add(s1);
            s1 = s1.wrapping_add(number([e, f, g, h])).wrapping_add(s0);
        }
        (s0, s1)
    }
}

/// The big-endian number at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
