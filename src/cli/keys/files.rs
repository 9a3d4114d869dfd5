//! Keystores and passwords as files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::bls::PublicKey;

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

/// The keystores in these files, and in the `.json` files of these directories, sorted by name within each.
///
/// In a directory JSON that is no keystore is passed over: tools leave deposit data beside keystores. What is no JSON, or
/// is called a keystore and is none, may be one that was damaged, so it is found without its keystore. A file that is
/// named itself must be one.
pub(super) fn keystores(paths: &[PathBuf]) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(Found { path: path.clone(), keystore: Ok(keystore(path)?) });
            continue;
        }
        let read = |source| Error::Read { path: path.clone(), source };
        let entries = fs::read_dir(path).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
        let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json") && file.is_file());
        files.sort();
        for path in files {
            let keystore = keystore(&path);
            if matches!(keystore, Err(Error::NoKeystore { .. })) && !is_called_keystore(&path) {
                continue;
            }
            found.push(Found { path, keystore });
        }
    }
    if found.is_empty() { Err(Error::NoKeystores) } else { Ok(found) }
}

/// As the deposit tools call them: `keystore-m_12381_3600_0_0_0-1700000000.json`.
fn is_called_keystore(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"keystore"))
}

fn keystore(path: &Path) -> Result<Keystore, Error> {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "crypto")]
        _crypto: Map<String, Value>,
        pubkey: Option<String>,
    }
    let text = read(path)?;
    if let Err(source) = serde_json::from_str::<IgnoredAny>(&text) {
        return Err(Error::NoJson { path: path.to_owned(), source });
    }
    let shape = serde_json::from_str(&text).map_err(|_| Error::NoKeystore { path: path.to_owned() });
    let Shape { pubkey, .. } = shape?;
    let public_key = pubkey.and_then(|pubkey| pubkey.parse().ok());
    Ok(Keystore { text: text.to_string(), public_key })
}

/// Where the passwords of keystores come from.
pub(super) enum Passwords {
    /// The same for all.
    One(Zeroizing<String>),
    /// `NAME.txt` in this directory for `NAME.json`.
    Directory(PathBuf),
}

impl Passwords {
    /// From a directory, or a file for all.
    pub(super) fn at(path: &Path) -> Result<Self, Error> {
        if path.is_dir() { Ok(Self::Directory(path.to_owned())) } else { password(path).map(Self::One) }
    }

    /// The password of the keystore in this file.
    pub(super) fn of(&self, keystore: &Path) -> Result<Zeroizing<String>, Error> {
        match self {
            Self::One(password) => Ok(password.clone()),
            Self::Directory(directory) => {
                let name = keystore.file_stem().unwrap_or_default();
                password(&directory.join(name).with_extension("txt"))
            }
        }
    }
}

/// The text of a password file, without the line end that editors add.
fn password(path: &Path) -> Result<Zeroizing<String>, Error> {
    Ok(Zeroizing::new(read(path)?.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|length| length < LARGEST) {
        return Ok(text);
    }
    Err(Error::TooLarge { path: path.to_owned() })
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {LARGEST} bytes: that is no keystore and no password", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is no JSON, so it is no keystore: was it copied whole?", path.display())]
    NoJson { path: PathBuf, source: serde_json::Error },
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

/// A keystore has a kilobyte or two, the deposit data of ten thousand keys that may lie beside it some megabytes.
const LARGEST: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
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
        let found = keystores(&[directory.path().to_owned()]).unwrap();
        assert_eq!(names(&found), ["keystore-1.json", "keystore-2.json"]);
        assert_eq!(found[1].keystore.as_ref().unwrap().public_key, Some(PublicKey([0xAB; 48])));
        assert_eq!(found[0].keystore.as_ref().unwrap().public_key, None);
    }

    #[test]
    fn what_may_be_a_damaged_keystore_is_not_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, "a.json", "{");
        write(&directory, "b.json", "");
        write(&directory, "keystore-1.json", r#"{"crypto": "x"}"#);
        write(&directory, "keystore-2.json", r#"{"crypto": {}"#);
        write(&directory, "other.json", r#"{"crypto": "x"}"#);
        let found = keystores(&[directory.path().to_owned()]).unwrap();
        assert_eq!(names(&found), ["a.json", "b.json", "keystore-1.json", "keystore-2.json"]);
        let [a, b, one, two] = [0, 1, 2, 3].map(|place: usize| found[place].keystore.as_ref().unwrap_err());
        assert!([a, b, two].iter().all(|error| matches!(error, Error::NoJson { .. })), "{found:?}");
        assert!(matches!(one, Error::NoKeystore { .. }), "{found:?}");
    }

    fn names(found: &[Found]) -> Vec<&str> {
        found.iter().map(|found| found.path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn a_named_file_must_be_a_keystore_and_a_directory_must_have_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(&directory, "deposit_data-1.json", "[]");
        assert!(matches!(keystores(&[path]), Err(Error::NoKeystore { .. })));
        assert!(matches!(keystores(&[directory.path().to_owned()]), Err(Error::NoKeystores)));
        assert!(matches!(keystores(&["/nonexistent".into()]), Err(Error::Read { .. })));
    }

    #[test]
    fn passwords_lose_their_line_end_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(&directory, "a.txt", " pass word \r\n");
        let [keystore, other] = ["/elsewhere/a.json", "/elsewhere/b.json"].map(Path::new);
        assert_eq!(*Passwords::at(&one).unwrap().of(keystore).unwrap(), " pass word ");
        assert_eq!(*Passwords::at(directory.path()).unwrap().of(keystore).unwrap(), " pass word ");
        assert!(matches!(Passwords::at(directory.path()).unwrap().of(other), Err(Error::Read { .. })));
    }
}
