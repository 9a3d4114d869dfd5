//! The files of key sources: regular, of bearable size, and no links that lead out of their directory.

use std::path::Path;

use zeroize::Zeroizing;

pub(crate) use crate::regular_file::FileError;

use crate::regular_file::RegularFile;

/// Reads a UTF-8 text of at most `limit` bytes. If `path` is a link, it leads to a
/// file in its own directory or below.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<Zeroizing<String>, FileError> {
    RegularFile::open_in_directory(path)?.read_text(limit)
}

/// Reads a password in the same way. Every user must not be able to write it; a group may, as clients that share their
/// directories leave such files behind, and another password opens nothing.
pub(super) fn read_password(path: &Path) -> Result<Zeroizing<String>, FileError> {
    RegularFile::open_in_directory(path)?.refuse_open_to_all()?.read_text(PASSWORD_LIMIT)
}

/// The most bytes of a keystore; a usual one has less than 1 KiB.
pub(crate) const KEYSTORE_LIMIT: u64 = 64 << 10;

/// The most bytes of a password file.
const PASSWORD_LIMIT: u64 = 64 << 10;

/// The most bytes of a key configuration file, which may have many documents: some 100,000 keys.
pub(super) const CONFIG_LIMIT: u64 = 16 << 20;
