//! Logs that a predecessor left.

use bls_signer::fuzz_internals::log_damage;

/// The first two bytes say what the rest is: any bytes, or a log whose checksums are made right and of which one frame
/// may be damaged afterwards.
pub fn wal(bytes: &[u8]) {
    let [mode, choice, rest @ ..] = bytes else { return };
    let (log, database) = rest.split_at(rest.len() - rest.len() * usize::from(*choice) / 512);
    match mode % 3 {
        0 => any(log, database),
        1 => intact(rest),
        _ => damaged(rest, *choice),
    }
}

/// Damage begins where a frame does.
fn any(log: &[u8], database: &[u8]) {
    let Some(offset) = log_damage(log, database) else { return };
    assert!(offset < log.len(), "damage at {offset} of {}", log.len());
    let page_size = log[8..12].iter().fold(0, |size, byte| size * 256 + usize::from(*byte));
    assert!(offset == 0 || (offset - HEADER) % (FRAME_HEADER + page_size) == 0, "damage at {offset}");
}

/// A log that was written to its end is not damaged, wherever it ends.
fn intact(bytes: &[u8]) {
    let Some(log) = written(bytes) else { return };
    assert_eq!(log_damage(&log, &[]), None);
}

/// One frame's page has another byte. What was on record after it, in commits of its own, is missed; the last commit
/// may have been torn.
fn damaged(bytes: &[u8], choice: u8) {
    let Some(mut log) = written(bytes) else { return };
    let frames = (log.len() - HEADER) / FRAME;
    let Some(bad) = usize::from(choice).checked_rem(frames) else { return };
    let commits: Vec<_> = (0..frames).map(|frame| word(&log, HEADER + frame * FRAME + 4) != 0).collect();
    log[HEADER + bad * FRAME + FRAME_HEADER + usize::from(choice)] ^= 0x10;
    let found = log_damage(&log, &[]);
    let later = (bad + 1..frames).find(|frame| commits[*frame]);
    // A commit, its copy that fills the sector, and one frame more that was begun when these were synced.
    if later.is_some_and(|commit| commit + 2 < frames) {
        assert_eq!(found, Some(HEADER + bad * FRAME), "frame {bad} of {frames}");
    }
    if later.is_none() && !commits[bad] {
        assert_eq!(found, None, "frame {bad} of {frames}");
    }
}

/// A log with these bytes as frames, as SQLite writes it (<https://www.sqlite.org/walformat.html>).
fn written(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut log = bytes.to_vec();
    let is_big_endian = log.get(3)? & 1 == 1;
    let (head, frames) = log.split_at_mut_checked(HEADER)?;
    put(head, 0, 0x377f_0682 | u32::from(is_big_endian));
    put(head, 8, u32::try_from(PAGE).ok()?);
    let mut sums = checksum((0, 0), &head[..24], is_big_endian);
    put(head, 24, sums.0);
    put(head, 28, sums.1);
    for frame in frames.chunks_exact_mut(FRAME) {
        frame[8..16].copy_from_slice(&head[16..24]);
        sums = checksum(sums, &frame[..8], is_big_endian);
        sums = checksum(sums, &frame[FRAME_HEADER..], is_big_endian);
        put(frame, 16, sums.0);
        put(frame, 20, sums.1);
    }
    Some(log)
}

fn checksum((mut s0, mut s1): (u32, u32), bytes: &[u8], is_big_endian: bool) -> (u32, u32) {
    let read = |at| if is_big_endian { word(bytes, at) } else { word(bytes, at).swap_bytes() };
    for at in (0..bytes.len()).step_by(8) {
        s0 = s0.wrapping_add(read(at)).wrapping_add(s1);
        s1 = s1.wrapping_add(read(at + 4)).wrapping_add(s0);
    }
    (s0, s1)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// The smallest page, so that a short input has several frames.
const PAGE: usize = 512;
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + PAGE;
