//! Which keys the sources name, before any of them is opened.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::file::{self, FileError};
use super::{Place, Problem, Source, key_config};

/// What the sources hold, in their order and by name, and what of it could not be read.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

/// One key that a source names.
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) material: Material,
}

/// How to come to the key.
pub(super) enum Material {
    /// An EIP-2335 keystore, not read yet.
    Keystore { path: PathBuf, password: Password },
    /// A secret key in the clear.
    Raw(Zeroizing<[u8; 32]>),
}

/// Where the password is.
pub(super) enum Password {
    /// One for many keystores, read already.
    Shared(Arc<Zeroizing<String>>),
    /// A file that is the password.
    WholeFile(PathBuf),
    /// The first line of a file.
    FirstLine(PathBuf),
}

impl Listing {
    pub(super) fn read(sources: &[Source]) -> Self {
        let mut listing = Self::default();
        for source in sources {
            match source {
                Source::Keystores { directory, passwords } => listing.add_keystores(directory, passwords),
                Source::KeyConfigs { directory } => listing.add_key_configs(directory),
            }
        }
        listing
    }

    fn add_keystores(&mut self, directory: &Path, passwords: &Path) {
        let Some(files) = self.files(directory, &["json"]) else { return };
        let shared = if passwords.is_dir() {
            None
        } else {
            match file::read_text(passwords, file::PASSWORD_LIMIT) {
                Ok(password) => Some(Arc::new(password)),
                // Without it no keystore of the directory opens, so the directory has the problem.
                Err(source) => {
                    let reason = super::Reason::Password { path: passwords.to_owned(), source };
                    self.problems.push(Problem { place: Place::file(directory.to_owned()), reason });
                    return;
                }
            }
        };
        // Deposit data lies beside the keystores where the deposit tools write both, and is none.
        let is_keystore = |path: &PathBuf| {
            !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(DEPOSIT_DATA))
        };
        for path in files.into_iter().filter(is_keystore) {
            let password = match (&shared, path.file_stem()) {
                (Some(shared), _) => Password::Shared(Arc::clone(shared)),
                (None, stem) => Password::WholeFile(password_file(passwords, stem)),
            };
            let material = Material::Keystore { path: path.clone(), password };
            self.entries.push(Entry { place: Place::file(path), material });
        }
    }

    fn add_key_configs(&mut self, directory: &Path) {
        for path in self.files(directory, &["yaml", "yml"]).unwrap_or_default() {
            match file::read_text(&path, file::CONFIG_LIMIT) {
                Ok(text) => self.add_documents(&path, directory, &text),
                Err(error) => {
                    self.problems.push(Problem { place: Place::file(path), reason: error.into() });
                }
            }
        }
    }

    fn add_documents(&mut self, path: &Path, directory: &Path, text: &str) {
        for (document, material) in (1..).zip(key_config::read(text, directory)) {
            let place = Place { path: path.to_owned(), document };
            match material {
                Ok(material) => self.entries.push(Entry { place, material }),
                // Where one document is no YAML, nothing can be said about those after it.
                Err(error) if error.ends_the_file() => {
                    let place = Place::file(path.to_owned());
                    self.problems.push(Problem { place, reason: error.into() });
                }
                Err(error) => self.problems.push(Problem { place, reason: error.into() }),
            }
        }
    }

    /// The files of a directory with one of these extensions, not hidden, by name. Not those in directories below it.
    fn files(&mut self, directory: &Path, extensions: &[&str]) -> Option<Vec<PathBuf>> {
        match list(directory, extensions) {
            Ok(files) => Some(files),
            Err(error) => {
                let place = Place::file(directory.to_owned());
                self.problems.push(Problem { place, reason: FileError::Read(error).into() });
                None
            }
        }
    }
}

fn list(directory: &Path, extensions: &[&str]) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let wanted =
            path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known));
        if wanted && !hidden {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn password_file(directory: &Path, stem: Option<&OsStr>) -> PathBuf {
    let mut name = stem.unwrap_or_default().to_owned();
    name.push(".txt");
    directory.join(name)
}

const DEPOSIT_DATA: &[u8] = b"deposit_data-";
