//! Listing of the keys that the sources name, before any of them is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{Directory, PasswordError};
use super::file::{self, FileError};
use super::key_config::{self, ConfigError};
use super::material::{Material, Password};
use super::problem::{Problem, Reason};
use super::source::{Place, Source};
use crate::sys::locked_memory::LockedMemory;

/// What the sources hold, in their order and by name, and what of it could not be read.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
    /// What lies in the sources' directories and is not read.
    pub(super) passed_over: Vec<PathBuf>,
}

/// One key that a source names.
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) material: Material,
}

impl Listing {
    pub(super) fn read(sources: &[Source], memory: &Arc<LockedMemory>) -> Self {
        let mut listing = Self::default();
        for (number, source) in sources.iter().enumerate() {
            match source {
                Source::Keystores { directory, passwords } => {
                    listing.add_keystores(number, directory, passwords);
                }
                Source::KeyConfigs { directory } => listing.add_key_configs(number, directory, memory),
            }
        }
        listing
    }

    fn add_keystores(&mut self, source: usize, directory: &Path, passwords: &Path) {
        let Directory { keystores, passed_over, unreadable } =
            match Directory::read(directory, Some(passwords)) {
                Ok(found) => found,
                Err(error) => return self.add_unreadable(source, directory.to_owned(), error),
            };
        let password = if passwords.is_dir() {
            Password::InDirectory(passwords.to_owned())
        } else {
            match file::read_password(passwords) {
                Ok(password) => Password::Shared(Arc::new(password)),
                // Without it no keystore of the directory opens, so the directory has the problem.
                Err(error) => {
                    let reason =
                        Reason::Password(PasswordError::File { path: passwords.to_owned(), reason: error });
                    self.problems.push(Problem { place: Place::file(source, directory.to_owned()), reason });
                    return;
                }
            }
        };
        for (path, error) in unreadable {
            self.add_unreadable(source, path, error);
        }
        self.passed_over.extend(passed_over);
        for path in keystores {
            let material = Material::Keystore { path: path.clone(), password: password.clone() };
            self.entries.push(Entry { place: Place::below(source, directory, path), material });
        }
    }

    fn add_key_configs(&mut self, source: usize, directory: &Path, memory: &Arc<LockedMemory>) {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut paths: Vec<_> = match entries {
            Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
            Err(error) => return self.add_unreadable(source, directory.to_owned(), error),
        };
        paths.sort_unstable();
        for path in paths {
            match ConfigKind::of(&path) {
                ConfigKind::KeyConfig => match file::read_text(&path, file::CONFIG_LIMIT) {
                    Ok(text) => {
                        let documents = key_config::read(&text, directory, memory);
                        self.add_documents(source, &path, documents);
                    }
                    Err(error) => {
                        let place = Place::file(source, path);
                        self.problems.push(Problem { place, reason: error.into() });
                    }
                },
                ConfigKind::Companion => {}
                ConfigKind::Other => self.passed_over.push(path),
            }
        }
    }

    fn add_unreadable(&mut self, source: usize, directory: PathBuf, error: std::io::Error) {
        let reason = FileError::Read(error).into();
        self.problems.push(Problem { place: Place::file(source, directory), reason });
    }

    fn add_documents(&mut self, source: usize, path: &Path, documents: Vec<Result<Material, ConfigError>>) {
        for (document, material) in (1..).zip(documents) {
            let place = Place::document(source, path.to_owned(), document);
            match material {
                Ok(material) => self.entries.push(Entry { place, material }),
                // Where one document is no YAML, nothing can be said about those after it.
                Err(error) if error.ends_the_file() => {
                    let place = Place::file(source, path.to_owned());
                    self.problems.push(Problem { place, reason: error.into() });
                }
                Err(error) => self.problems.push(Problem { place, reason: error.into() }),
            }
        }
    }
}

/// What an entry of a directory of key configurations is, by its name.
enum ConfigKind {
    KeyConfig,
    /// A keystore or a password that configurations name, or something that is hidden.
    Companion,
    Other,
}

impl ConfigKind {
    fn of(path: &Path) -> Self {
        let has = |extensions: &[&str]| {
            let extension = path.extension();
            extension
                .is_some_and(|extension| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
        };
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || has(&["json", "txt"]) {
            return Self::Companion;
        }
        if has(&["yaml", "yml"]) {
            return Self::KeyConfig;
        }
        // A directory may hold the keystores that configurations name; with configurations of its own it was meant to
        // be read.
        let holds_configurations = || {
            fs::read_dir(path).is_ok_and(|entries| {
                let below = entries.filter_map(Result::ok).map(|entry| entry.path());
                below.filter(|path| !path.is_dir()).any(|path| matches!(Self::of(&path), Self::KeyConfig))
            })
        };
        if path.is_dir() && !holds_configurations() { Self::Companion } else { Self::Other }
    }
}
