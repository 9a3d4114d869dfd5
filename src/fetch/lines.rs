//! Lines of a connection, in a buffer of fixed size that is wiped: they hold secret keys.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::{Zeroize, Zeroizing};

/// Reads lines of at most [`LONGEST_LINE_BYTES`].
pub(super) struct Lines<R> {
    stream: R,
    buffer: Zeroizing<Vec<u8>>,
    /// What was read and not given out yet lies from `start` to `end`.
    start: usize,
    end: usize,
    /// Beyond it there are only zeros.
    written: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn of(stream: R) -> Self {
        let buffer = Zeroizing::new(vec![0; LONGEST_LINE_BYTES]);
        Self { stream, buffer, start: 0, end: 0, written: 0 }
    }

    /// The next line without its end; `None` at the end of the stream. Nothing is lost where it is not awaited to its
    /// end.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        let line = loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(length) = unread.iter().position(|byte| *byte == b'\n') {
                let end = self.start.saturating_add(length);
                let line = self.start..end;
                self.start = end.saturating_add(1);
                break line;
            }
            self.make_room();
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            if room.is_empty() {
                return Err(LineError::TooLong);
            }
            match self.stream.read(room).await.map_err(LineError::Read)? {
                0 if self.end == 0 => return Ok(None),
                0 => return Err(LineError::Torn),
                count => self.end = self.end.saturating_add(count),
            }
            self.written = self.written.max(self.end);
        };
        Ok(self.buffer.get(line))
    }

    /// Moves what is unread to the front, and wipes what was there.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        self.buffer.get_mut(self.end..self.written).unwrap_or_default().zeroize();
        self.written = self.end;
    }
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the fetcher's connection cannot be read")]
    Read(#[source] io::Error),
    #[error("the fetcher sent a line of more than {LONGEST_LINE_BYTES} bytes, and no key is so long")]
    TooLong,
    #[error("the fetcher left in the middle of a line")]
    Torn,
}

/// A keystore of the greatest length that is taken, its password, and what stands around them.
const LONGEST_LINE_BYTES: usize = 96 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), LineError>) {
        let mut lines = Lines::of(bytes);
        let mut read = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => read.push(line.to_vec()),
                Ok(None) => break (read, Ok(())),
                Err(error) => break (read, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn gives_each_line_out_once_and_refuses_torn_and_endless_ones() {
        let many = b"some line\n\n".repeat(30_000);
        let (lines, end) = all(&many).await;
        assert_eq!((lines.len(), end.is_ok()), (60_000, true));
        assert!(lines.chunks(2).all(|pair| pair[0] == b"some line" && pair[1].is_empty()));
        assert!(matches!(all(b"whole\ntorn").await, (lines, Err(LineError::Torn)) if lines.len() == 1));
        let endless = [b"short\n".to_vec(), vec![b'x'; LONGEST_LINE_BYTES.saturating_mul(2)]].concat();
        assert!(matches!(all(&endless).await, (lines, Err(LineError::TooLong)) if lines == [b"short"]));
    }

    #[tokio::test]
    async fn keeps_no_line_once_it_waits_for_the_next() {
        let (mut writer, reader) = tokio::io::duplex(1 << 10);
        let mut lines = Lines::of(reader);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"a secret\nand another\nstart").await.unwrap();
        lines.next().await.unwrap();
        lines.next().await.unwrap();
        assert!(futures_pending(lines.next()).await);
        assert!(lines.buffer.starts_with(b"start\0") && lines.buffer.iter().skip(5).all(|byte| *byte == 0));
    }

    async fn futures_pending(future: impl Future) -> bool {
        tokio::select! {
            biased;
            _ = future => false,
            () = std::future::ready(()) => true,
        }
    }
}
