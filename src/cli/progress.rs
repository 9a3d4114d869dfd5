//! A progress bar on the terminal, and nothing anywhere else.

use std::io::{self, IsTerminal, Write};

/// How far we are.
pub(super) struct Progress {
    what: &'static str,
    total: usize,
    shown: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: usize) -> Self {
        let mut progress = Self { what, total, shown: io::stderr().is_terminal() };
        progress.show(0);
        progress
    }

    pub(super) fn show(&mut self, done: usize) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{}", line(self.what, done, self.total));
        }
    }
}

impl Drop for Progress {
    /// Takes the line away.
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: usize, total: usize) -> String {
    let filled = done.saturating_mul(WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    format!("[{:<WIDTH$}] {done} of {total} {what}", "#".repeat(filled))
}

const WIDTH: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_empty_at_first_and_full_at_last() {
        assert_eq!(line("done", 0, 3), format!("[{}] 0 of 3 done", " ".repeat(WIDTH)));
        assert_eq!(line("done", 3, 3), format!("[{}] 3 of 3 done", "#".repeat(WIDTH)));
        assert_eq!(line("done", 0, 0), format!("[{}] 0 of 0 done", "#".repeat(WIDTH)));
    }
}
