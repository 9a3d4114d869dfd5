//! Named tokens of clients, kept as digests in a file of the state directory: lines of `NAME SHA-256`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use crate::credentials::TokenDigest;
use crate::regular_file::{FileError, RegularFile};
use crate::text;

/// The tokens by name. The tokens themselves are nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientTokens(BTreeMap<String, TokenDigest>);

impl ClientTokens {
    /// Reads the file of this state directory; without one there is no token.
    pub(crate) fn read(state_dir: &Path) -> Result<Self, Error> {
        let path = Self::path(state_dir);
        let text = match RegularFile::open_secret(&path).and_then(|file| file.read_text(LARGEST_FILE_BYTES)) {
            Ok(text) => text,
            Err(FileError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(Error::File { what: FILE, path, source }),
        };
        Self::parse(&text).map_err(|line| Error::ClientTokens { path, line })
    }

    /// The file in this state directory.
    pub(crate) fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("client-tokens")
    }

    /// The digest of a token's hash; `None` if there is none of this name.
    pub(crate) fn digest(&self, name: &str) -> Option<TokenDigest> {
        self.0.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds one. `false`: there is one of this name, which stays.
    pub(crate) fn insert(&mut self, name: &str, digest: TokenDigest) -> bool {
        match self.0.entry(name.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(digest);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Takes one out. `false`: there was none of this name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// What the file is to contain.
    pub(crate) fn to_text(&self) -> String {
        let lines = self.0.iter().map(|(name, digest)| format!("{name} {digest}\n"));
        std::iter::once(HEADER.to_owned()).chain(lines).collect()
    }

    /// An error is the number of a line that is no token.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut tokens = Self::default();
        for (number, line) in text::entries(text) {
            let (name, digest) = line.split_once(' ').ok_or(number)?;
            let digest = TokenDigest::parse(digest.trim()).ok_or(number)?;
            if !is_token_name(name) || !tokens.insert(name, digest) {
                return Err(number);
            }
        }
        Ok(tokens)
    }
}

/// Whether a text can name a token, or a client.
pub(crate) fn is_token_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=LONGEST_NAME_CHARACTERS).contains(&text.len()) && text.bytes().all(fits)
}

const FILE: &str = "the file of client tokens";
const HEADER: &str = "# Digests of the clients' tokens, by name. Written by 'bls-signer token'.\n";
/// Some ten thousand tokens.
const LARGEST_FILE_BYTES: u64 = 1 << 20;
const LONGEST_NAME_CHARACTERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_from_what_is_written() {
        let mut tokens = ClientTokens::default();
        let digest = TokenDigest::of("secret");
        assert!(tokens.insert("vc1", digest));
        assert!(!tokens.insert("vc1", TokenDigest::of("other")));
        assert!(tokens.insert("vc2", TokenDigest::of("other")));
        let text = tokens.to_text();
        assert!(!text.contains("secret"));
        let mut read = ClientTokens::parse(&text).unwrap();
        assert_eq!(read.names().collect::<Vec<_>>(), ["vc1", "vc2"]);
        assert!(read.digest("vc1").unwrap().is(&digest));
        assert!(read.remove("vc1") && !read.remove("vc1"));
        assert!(read.digest("vc1").is_none());
        for wrong in ["vc1", "vc1 abc", "v/1 00", &format!("vc1 {digest}\nvc1 {digest}")] {
            assert!(ClientTokens::parse(wrong).is_err(), "{wrong}");
        }
    }
}
