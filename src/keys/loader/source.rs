//! Sources of keys, and the places in them that keys come from.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::OneLine;

/// Where keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--keystores-path` and `--keystores-passwords-path`: a directory of keystores in a layout of
    /// [`directory`](super::directory), and either a directory of their passwords or one file with the password of all.
    Keystores {
        /// The directory of keystores.
        directory: PathBuf,
        /// A directory or a file.
        passwords: PathBuf,
    },
    /// `--key-config-path`: a directory of Web3Signer's key configuration files, `*.yaml` and `*.yml`.
    KeyConfigs {
        /// The directory.
        directory: PathBuf,
    },
}

impl Source {
    pub(crate) fn directory(&self) -> &Path {
        match self {
            Self::Keystores { directory, .. } | Self::KeyConfigs { directory } => directory,
        }
    }
}

/// A file, and which document in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The number of its source.
    pub(super) source: usize,
    pub(super) path: PathBuf,
    /// The path within the source's directory.
    name: PathBuf,
    /// From 1; 0 for a file that is one key as a whole.
    pub(super) document: usize,
}

impl Place {
    pub(super) fn file(source: usize, path: PathBuf) -> Self {
        let name = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
        Self { source, path, name, document: 0 }
    }

    /// One document of a file.
    pub(super) fn document(source: usize, path: PathBuf, document: usize) -> Self {
        Self { document, ..Self::file(source, path) }
    }

    /// A file somewhere below the source's directory.
    pub(super) fn below(source: usize, directory: &Path, path: PathBuf) -> Self {
        let name = path.strip_prefix(directory).unwrap_or(&path).to_owned();
        Self { source, path, name, document: 0 }
    }

    /// The name without the source's directory.
    pub(crate) fn name(&self) -> String {
        let name = OneLine(self.name.display()).to_string();
        match self.document {
            0 => name,
            number => format!("{name}, document {number}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = OneLine(self.path.display());
        match self.document {
            0 => path.fmt(f),
            number => write!(f, "{path}, document {number}"),
        }
    }
}
