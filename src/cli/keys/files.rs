//! Keystores and passwords as files: those of directories as the daemon reads them, and those that are named one by
//! one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::bls::PublicKey;
use crate::keys::loader::directory::{self, Directory, PasswordError};
use crate::keys::loader::file::{self, FileError};
use crate::text;

/// What was found where the user said.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) found: Vec<Found>,
    /// What lies in a directory and is no keystore by its name or its content.
    pub(super) passed_over: Vec<PathBuf>,
}

/// A file that was found, and the keystore in it or why there is none.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) keystore: Result<Keystore, Error>,
}

/// A keystore as it is in its file.
#[derive(Debug)]
pub(super) struct Keystore {
    pub(super) text: String,
    /// The key that it says it holds.
    pub(super) public_key: Option<PublicKey>,
}

/// The keystores in these files and directories, sorted by name within each directory. `passwords` may lie in one.
///
/// In a directory JSON that is no keystore is passed over. What is no JSON, or is called a keystore and is none, may be
/// one that was damaged, so it is found without its keystore. A file that is named itself must be one.
pub(super) fn search(paths: &[PathBuf], passwords: Option<&Path>) -> Result<Search, Error> {
    let mut search = Search::default();
    for path in paths {
        if !path.is_dir() {
            search.found.push(Found { path: path.clone(), keystore: Ok(keystore(path, read(path)?)?) });
            continue;
        }
        let failed = |source| Error::Read { path: path.clone(), source };
        let Directory { keystores, passed_over, unreadable } =
            Directory::read(path, passwords).map_err(failed)?;
        search.passed_over.extend(passed_over);
        for (path, source) in unreadable {
            search.found.push(Found { path: path.clone(), keystore: Err(Error::Read { path, source }) });
        }
        for path in keystores {
            let text = file::read_text(&path, file::KEYSTORE_LIMIT);
            let text = text.map_err(|source| Error::Unusable { path: path.clone(), source });
            if text.as_ref().is_ok_and(|text| directory::is_something_else(&path, text)) {
                search.passed_over.push(path);
                continue;
            }
            let keystore = text.and_then(|text| keystore(&path, text));
            search.found.push(Found { path, keystore });
        }
    }
    if search.found.is_empty() { Err(Error::NoKeystores) } else { Ok(search) }
}

fn keystore(path: &Path, text: Zeroizing<String>) -> Result<Keystore, Error> {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "crypto")]
        _crypto: Map<String, Value>,
        pubkey: Option<String>,
    }
    let shape = text::json::<Shape>(text.as_bytes()).map_err(|error| match error {
        text::JsonError::Json(error) if error.is_data() => Error::NoKeystore { path: path.to_owned() },
        source => Error::NoJson { path: path.to_owned(), source },
    });
    let Shape { pubkey, .. } = shape?;
    let public_key = pubkey.and_then(|pubkey| pubkey.parse().ok());
    Ok(Keystore { text: text.to_string(), public_key })
}

/// Where the passwords of keystores come from.
pub(super) enum Passwords {
    /// The same for all.
    One(Zeroizing<String>),
    /// A file for each in this directory.
    Directory(PathBuf),
}

impl Passwords {
    /// From a directory, or a file for all.
    pub(super) fn at(path: &Path) -> Result<Self, Error> {
        if path.is_dir() { Ok(Self::Directory(path.to_owned())) } else { password(path).map(Self::One) }
    }

    /// The password of the keystore in this file, which says that it holds this key.
    pub(super) fn of(
        &self,
        keystore: &Path,
        public_key: Option<PublicKey>,
    ) -> Result<Zeroizing<String>, Error> {
        match self {
            Self::One(password) => Ok(password.clone()),
            Self::Directory(directory) => {
                let password = directory::password(directory, keystore, public_key)
                    .map_err(|source| Error::Password { path: keystore.to_owned(), source })?;
                Ok(without_line_end(&password))
            }
        }
    }
}

/// The text of a password file.
fn password(path: &Path) -> Result<Zeroizing<String>, Error> {
    Ok(without_line_end(&read(path)?))
}

/// Without the line end that editors add.
fn without_line_end(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// A file that the user names: it may be a link, or a pipe of the shell's.
fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    let limit = LARGEST.saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    match std::str::from_utf8(&bytes) {
        _ if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) => {
            Err(Error::TooLarge { path: path.to_owned() })
        }
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => Err(unusable(FileError::no_text(&bytes, error))),
    }
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {LARGEST} bytes: that is no keystore and no password", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is no JSON, so it is no keystore: was it copied whole?", path.display())]
    NoJson { path: PathBuf, source: text::JsonError },
    #[error("{} is of no use", path.display())]
    Unusable { path: PathBuf, source: FileError },
    #[error("{} cannot be opened", path.display())]
    Password { path: PathBuf, source: PasswordError },
    #[error("{} is no EIP-2335 keystore", path.display())]
    NoKeystore { path: PathBuf },
    #[error("there is no EIP-2335 keystore in what was named")]
    NoKeystores,
    #[error("{} does not say whose key it holds, so its history cannot be found", path.display())]
    Anonymous { path: PathBuf },
    #[error(
        "{} has no history of {public_key} in {}: leave --slashing-protection out if the key has never signed",
        history.display(),
        path.display()
    )]
    Unknown { path: PathBuf, history: PathBuf, public_key: PublicKey },
    #[error("the history of {public_key} in {}: {reason}; nothing was imported", history.display())]
    Unreadable { history: PathBuf, public_key: PublicKey, reason: String },
}

/// In bytes, of a file that is named itself. A keystore has a kilobyte or two, a password less.
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_directory_s_keystores_are_found_and_what_is_beside_them_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        write(
            &directory,
            "keystore-2.json",
            &format!(r#"{{"crypto": {{}}, "pubkey": "{}"}}"#, "AB".repeat(48)),
        );
        write(&directory, "keystore-1.json", r#"{"crypto": {}}"#);
        write(&directory, "deposit_data-1.json", r#"[{"pubkey": "ab"}]"#);
        write(&directory, "keystore-3.json.bak", r#"{"crypto": {}}"#);
        fs::create_dir(directory.path().join("d.json")).unwrap();
        let Search { found, passed_over } = search(&[directory.path().to_owned()], None).unwrap();
        assert_eq!(names(&found), ["d.json", "keystore-1.json", "keystore-2.json"]);
        assert!(matches!(found[0].keystore, Err(Error::Unusable { .. })));
        assert_eq!(passed_over, [directory.path().join("keystore-3.json.bak")]);
        assert_eq!(found[2].keystore.as_ref().unwrap().public_key, Some(PublicKey([0xAB; 48])));
        assert_eq!(found[1].keystore.as_ref().unwrap().public_key, None);
    }

    #[test]
    fn what_may_be_a_damaged_keystore_is_not_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, "a.json", "{");
        write(&directory, "b.json", "");
        write(&directory, "keystore-1.json", r#"{"crypto": "x"}"#);
        write(&directory, "keystore-2.json", r#"{"crypto": {}"#);
        write(&directory, "other.json", r#"{"crypto": "x"}"#);
        let Search { found, passed_over } = search(&[directory.path().to_owned()], None).unwrap();
        assert_eq!(names(&found), ["a.json", "b.json", "keystore-1.json", "keystore-2.json"]);
        let [a, b, one, two] = [0, 1, 2, 3].map(|place: usize| found[place].keystore.as_ref().unwrap_err());
        assert!([a, b, two].iter().all(|error| matches!(error, Error::NoJson { .. })), "{found:?}");
        assert!(matches!(one, Error::NoKeystore { .. }), "{found:?}");
        assert_eq!(passed_over, [directory.path().join("other.json")]);
    }

    fn names(found: &[Found]) -> Vec<&str> {
        found.iter().map(|found| found.path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn a_named_file_must_be_a_keystore_and_a_directory_must_have_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(&directory, "deposit_data-1.json", "[]");
        assert!(matches!(search(&[path], None), Err(Error::NoKeystore { .. })));
        assert!(matches!(search(&[directory.path().to_owned()], None), Err(Error::NoKeystores)));
        assert!(matches!(search(&["/nonexistent".into()], None), Err(Error::Read { .. })));
    }

    #[test]
    fn passwords_lose_their_line_end_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(&directory, "a.txt", " pass word \r\n");
        let [keystore, other] = ["/elsewhere/a.json", "/elsewhere/b.json"].map(Path::new);
        assert_eq!(*Passwords::at(&one).unwrap().of(keystore, None).unwrap(), " pass word ");
        assert_eq!(*Passwords::at(directory.path()).unwrap().of(keystore, None).unwrap(), " pass word ");
        assert!(matches!(
            Passwords::at(directory.path()).unwrap().of(other, None),
            Err(Error::Password { .. })
        ));
    }
}
