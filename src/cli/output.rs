//! What subcommands write to standard output, and what a reader means who closes it early.

use std::io::{self, Write};

/// Writes what somebody looks at. Who reads no further (`| head`, `| grep -q`) has seen enough: the exit status then
/// still tells what the command did.
///
/// # Errors
/// When the text could not be written for any other reason.
pub(super) fn show(output: &mut dyn Write, text: impl AsRef<[u8]>) -> io::Result<()> {
    match hand_over(output, text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes what somebody needs to the last byte, such as a key's history.
///
/// # Errors
/// When not all of the text was taken.
pub(super) fn hand_over(output: &mut dyn Write, text: impl AsRef<[u8]>) -> io::Result<()> {
    output.write_all(text.as_ref())?;
    output.flush()
}
