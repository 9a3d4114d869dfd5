//! How far a long command is: a bar on the terminal, and elsewhere a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How far we are.
pub(super) struct Progress {
    what: &'static str,
    total: usize,
    shown: Shown,
}

enum Shown {
    Bar,
    /// A log or a pipe: lines that stay, so that somebody who follows it sees that it moves.
    Lines {
        last: Instant,
    },
}

impl Progress {
    pub(super) fn new(what: &'static str, total: usize) -> Self {
        let shown =
            if io::stderr().is_terminal() { Shown::Bar } else { Shown::Lines { last: Instant::now() } };
        let mut progress = Self { what, total, shown };
        progress.show(0);
        progress
    }

    pub(super) fn show(&mut self, done: usize) {
        match &mut self.shown {
            Shown::Bar => {
                let _ = write!(io::stderr(), "\r{}", bar(self.what, done, self.total));
            }
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let _ = writeln!(io::stderr(), "{done} of {} {}", self.total, self.what);
            }
            Shown::Lines { .. } => {}
        }
    }
}

impl Drop for Progress {
    /// Takes the bar away.
    fn drop(&mut self) {
        match self.shown {
            Shown::Bar => {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
            Shown::Lines { .. } => {}
        }
    }
}

fn bar(what: &str, done: usize, total: usize) -> String {
    let filled = done.saturating_mul(WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    format!("[{:<WIDTH$}] {done} of {total} {what}", "#".repeat(filled))
}

/// In characters.
const WIDTH: usize = 30;

/// Shorter than anybody's patience, longer than what fills a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_empty_at_first_and_full_at_last() {
        assert_eq!(bar("done", 0, 3), format!("[{}] 0 of 3 done", " ".repeat(WIDTH)));
        assert_eq!(bar("done", 3, 3), format!("[{}] 3 of 3 done", "#".repeat(WIDTH)));
        assert_eq!(bar("done", 0, 0), format!("[{}] 0 of 0 done", "#".repeat(WIDTH)));
    }
}
