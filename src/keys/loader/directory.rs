//! A directory of EIP-2335 keystores and the passwords for them, in the layouts of key tools and validator clients. The
//! daemon and the command line read them here, so that they find the same keys.
//!
//! | made by | keystore | password file |
//! | --- | --- | --- |
//! | deposit tools, Web3Signer, Teku | `NAME.json` | `NAME.txt` |
//! | Lighthouse, Lodestar | `0xPUBKEY/voting-keystore.json` | `0xPUBKEY` |
//! | Nimbus | `0xPUBKEY/keystore.json` | `0xPUBKEY` |
//!
//! Sources: `validator_dir` of Lighthouse, `validatorDir/paths.ts` of Lodestar, "The data directory" in Nimbus's book.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::file::{self, FileError};
use crate::bls::PublicKey;
use crate::text;

/// What a directory, and those right below it, hold. No file has been opened yet.
#[derive(Default)]
pub(crate) struct Directory {
    /// Every `.json` file, in any letter case, sorted. Those that lie beside keystores by custom and are none are left
    /// out.
    pub(crate) keystores: Vec<PathBuf>,
    /// What is no keystore by its name, and does not belong beside one.
    pub(crate) passed_over: Vec<PathBuf>,
    /// Directories below this one that cannot be read.
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Directory {
    /// Lists the directory. `passwords` may lie in it, and is no directory of keystores.
    ///
    /// # Errors
    /// The directory itself cannot be read.
    pub(crate) fn read(path: &Path, passwords: Option<&Path>) -> io::Result<Self> {
        let passwords = passwords.and_then(|passwords| passwords.canonicalize().ok());
        let is_passwords = |path: &Path| passwords.is_some() && path.canonicalize().ok() == passwords;
        let mut directory = Self::default();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let path = entry.path();
            match Kind::of(&entry) {
                Kind::Keystore => directory.keystores.push(path),
                Kind::Directory if is_passwords(&path) => {}
                Kind::Directory => directory.add_below(path),
                Kind::Companion => {}
                Kind::Other => directory.passed_over.push(path),
            }
        }
        // Passwords may lie beside their keystores, without an extension.
        let names: HashSet<_> = directory.keystores.iter().map(|path| path.with_extension("")).collect();
        directory.passed_over.retain(|path| !names.contains(path));
        directory.keystores.sort_unstable();
        directory.passed_over.sort_unstable();
        Ok(directory)
    }

    /// The keystores of a directory below, as validator clients have one for each key. What else lies there is the
    /// key's own: its settings, its lock.
    fn add_below(&mut self, path: PathBuf) {
        let before = self.keystores.len();
        let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        match entries {
            Ok(entries) => {
                let keystores = entries.iter().filter(|entry| matches!(Kind::of(entry), Kind::Keystore));
                self.keystores.extend(keystores.map(DirEntry::path));
                if self.keystores.len() == before {
                    self.passed_over.push(path);
                }
            }
            Err(error) => self.unreadable.push((path, error)),
        }
    }
}

/// What an entry of a directory is, by its name.
enum Kind {
    Keystore,
    Directory,
    /// Something that tools leave beside keystores, or the password of one.
    Companion,
    Other,
}

impl Kind {
    fn of(entry: &DirEntry) -> Self {
        let name = entry.file_name();
        let path = Path::new(&name);
        let is_deposit_data = || name.as_encoded_bytes().starts_with(DEPOSIT_DATA);
        if name.as_encoded_bytes().starts_with(b".") || COMPANIONS.iter().any(|companion| name == *companion)
        {
            return Self::Companion;
        }
        match path.extension() {
            Some(extension) if is_json(extension) && is_deposit_data() => Self::Companion,
            Some(extension) if is_json(extension) => Self::Keystore,
            Some(extension) if extension == "txt" || extension == "lock" => Self::Companion,
            Some(_) | None if entry.file_type().is_ok_and(|kind| kind.is_dir()) => Self::Directory,
            Some(_) | None if public_key(&name).is_some() => Self::Companion,
            Some(_) | None => Self::Other,
        }
    }
}

/// Whether the JSON in this file of a directory is something else than a keystore: a gas limit, a list of deposits.
/// What is no JSON, or is called a keystore and is none, may be one that was damaged.
pub(crate) fn is_something_else(path: &Path, json: &str) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "crypto")]
        _crypto: HashMap<String, IgnoredAny>,
    }
    let json = json.as_bytes();
    let is_called_keystore = path.file_name().is_some_and(|name| {
        name.to_ascii_lowercase().as_encoded_bytes().windows(KEYSTORE.len()).any(|part| part == KEYSTORE)
    });
    !is_called_keystore && text::json::<IgnoredAny>(json).is_ok() && text::json::<Shape>(json).is_err()
}

/// The password of a keystore out of a directory of password files: `NAME.txt` or `NAME` for `NAME.json`, or the public
/// key with or without `0x` and `.txt`. The public key is that of the keystore, or of the directory that it lies in.
///
/// # Errors
/// There is none of these files, or the first that is there cannot be read.
pub(crate) fn password(
    directory: &Path,
    keystore: &Path,
    public_key: Option<PublicKey>,
) -> Result<Zeroizing<String>, PasswordError> {
    let name = match keystore.extension() {
        Some(extension) if is_json(extension) => keystore.file_stem(),
        Some(_) | None => keystore.file_name(),
    };
    let name = name.unwrap_or_default();
    let public_key = public_key.or_else(|| self::public_key(keystore.parent()?.file_name()?));
    for candidate in candidates(name, public_key) {
        let path = directory.join(candidate);
        match file::read_password(&path) {
            Ok(password) => return Ok(password),
            Err(FileError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {}
            // Of the layout that has a directory for each key.
            Err(FileError::NotRegular) if path.is_dir() => {}
            Err(reason) => return Err(PasswordError::File { path, reason }),
        }
    }
    Err(PasswordError::Missing { directory: directory.to_owned(), name: name.to_owned() })
}

fn candidates(name: &OsStr, public_key: Option<PublicKey>) -> Vec<OsString> {
    let mut names = vec![with_txt(name), name.to_owned()];
    if let Some(public_key) = public_key {
        let prefixed = public_key.to_string();
        let bare = prefixed.trim_start_matches("0x").to_owned();
        for key in [prefixed, bare].map(OsString::from) {
            names.extend([key.clone(), with_txt(&key)]);
        }
    }
    names
}

fn with_txt(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(".txt");
    name
}

/// Why there is no password for a keystore.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The file is there and cannot be read.
    #[error("its password file {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: FileError,
    },
    /// No file has a name that would say whose password it is.
    #[error(
        "there is no password for it in {}: neither {name}.txt nor {name}, nor its public key (with or without 0x and \
         .txt)",
        .directory.display(), name = .name.to_string_lossy()
    )]
    Missing {
        /// Where it was looked for.
        directory: PathBuf,
        /// The keystore's name without `.json`.
        name: OsString,
    },
    /// The password file's first line is empty.
    #[error("its password file {} has a blank first line", .0.display())]
    Blank(PathBuf),
}

fn is_json(extension: &OsStr) -> bool {
    extension.eq_ignore_ascii_case("json")
}

fn public_key(name: &OsStr) -> Option<PublicKey> {
    name.to_str()?.parse().ok()
}

const KEYSTORE: &[u8] = b"keystore";

/// Deposit data lies beside the keystores where the deposit tools write both.
const DEPOSIT_DATA: &[u8] = b"deposit_data-";

/// What validator clients keep beside keystores. The key of a withdrawal keystore signs no duty.
const COMPANIONS: [&str; 9] = [
    // Lighthouse
    "validator_definitions.yml",
    "slashing_protection.sqlite",
    "withdrawal-keystore.json",
    "api-token.txt",
    // Nimbus
    "slashing_protection.sqlite3",
    "remote_keystore.json",
    "suggested_gas_limit.json",
    "payload_builder.json",
    "suggested_fee_recipient.hex",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_of_every_layout_are_read_and_what_is_not_is_said() {
        let root = tempfile::tempdir().unwrap();
        let key = format!("0x{}", "ab".repeat(48));
        for file in [
            "a.json",
            "B.JSON",
            "a.txt",
            "deposit_data-1.json",
            "validator_definitions.yml",
            "slashing_protection.sqlite",
            ".secp-sk",
            "a.json.bak",
            "c.yaml",
            &format!("{key}/voting-keystore.json"),
            &format!("{key}/withdrawal-keystore.json"),
            &format!("{key}/voting-keystore.json.lock"),
            &format!("{key}/suggested_gas_limit.json"),
            "nested/keystore-1.json",
            "nested/deeper/keystore-2.json",
            "logs/validator.log",
            "secrets/other.json",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(".", root.path().join("loop")).unwrap();
        let directory = Directory::read(root.path(), Some(&root.path().join("logs/../secrets"))).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string()).collect()
        };
        let voting = format!("{key}/voting-keystore.json");
        assert_eq!(names(&directory.keystores), [&*voting, "B.JSON", "a.json", "nested/keystore-1.json"]);
        assert_eq!(names(&directory.passed_over), ["a.json.bak", "c.yaml", "logs", "loop"]);
        assert!(directory.unreadable.is_empty());
        assert!(Directory::read(&root.path().join("nowhere"), None).is_err());
    }

    #[test]
    fn a_password_is_found_by_the_name_of_its_keystore_or_by_the_public_key() {
        let key = PublicKey([0xAB; 48]);
        let bare = "ab".repeat(48);
        let by_key = [format!("0x{bare}"), format!("0x{bare}.txt"), bare.clone(), format!("{bare}.txt")];
        let by_name = ["validator.1.txt".to_owned(), "validator.1".to_owned()];
        for name in by_key.iter().chain(&by_name) {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join(name), "p").unwrap();
            fs::write(root.path().join("validator.txt"), "wrong").unwrap();
            // A directory of the same name, as where keystores and passwords lie in one directory.
            fs::create_dir(root.path().join("validator.1.d")).unwrap();
            let keystore = Path::new("keys/validator.1.JSON");
            assert_eq!(*password(root.path(), keystore, Some(key)).unwrap(), "p", "{name}");
            let anonymous = Path::new("keys").join(format!("0x{bare}")).join("validator.1.json");
            assert_eq!(*password(root.path(), &anonymous, None).unwrap(), "p", "{name}");
            let other = password(root.path(), Path::new("keys/x.json"), Some(PublicKey([1; 48])));
            let error = other.unwrap_err().to_string();
            assert!(error.contains("neither x.txt nor x"), "{error}");
        }
    }

    #[test]
    fn json_that_is_something_else_is_told_from_a_damaged_keystore() {
        for (name, json, expected) in [
            ("a.json", r#"{"crypto": {}}"#, false),
            ("a.json", "\u{feff}{\"crypto\": {}}", false),
            ("a.json", "{", false),
            ("a.json", "", false),
            ("a.json", r#"{"crypto": "x"}"#, true),
            ("a.json", "[]", true),
            ("a.json", "30000000", true),
            ("keystore-1.json", "{}", false),
            ("Voting-Keystore.JSON", "{}", false),
        ] {
            assert_eq!(is_something_else(Path::new(name), json), expected, "{name}: {json}");
        }
    }
}
