//! Bearer tokens: where each role's comes from, and the tokens themselves.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{Environment, Error, Role};
use crate::regular_file::RegularFile;
use crate::text;

/// One `--auth-token-file`: the token of one role, or of every role that has none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenFile {
    pub(super) owner: TokenOwner,
    path: PathBuf,
}

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenOwner {
    /// The routes of every role that has none of its own.
    EveryRole,
    Signing,
    Keymanager,
}

impl FromStr for TokenFile {
    type Err = TokenFileError;

    /// `ROLE=FILE` or `FILE`. A path that begins with a role and `=` is written with `./` before it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = text.split_once('=').and_then(|(word, path)| Some((word.parse::<Role>().ok()?, path)));
        let (owner, path) = match role {
            None => (TokenOwner::EveryRole, text),
            Some((Role::Signing, path)) => (TokenOwner::Signing, path),
            Some((Role::Keymanager, path)) => (TokenOwner::Keymanager, path),
            Some((role @ (Role::Metrics | Role::All), _)) => return Err(TokenFileError::Role { role }),
        };
        if path.is_empty() {
            return Err(TokenFileError::NoPath);
        }
        Ok(Self { owner, path: path.into() })
    }
}

/// Why a text names no token file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFileError {
    #[error(
        "a token is for signing or keymanager, or, without a role, for both; '{role}' has none of its own"
    )]
    Role { role: Role },
    #[error("the path of the token file is missing: give FILE, signing=FILE or keymanager=FILE")]
    NoPath,
}

/// In the file, one text or a list of them.
pub(super) fn token_files<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<TokenFile>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a path, or a list of paths with or without a role")]
    enum Form {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Form::deserialize(deserializer)? {
        Form::One(text) => vec![text],
        Form::Several(texts) => texts,
    };
    texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Where the token of each role is, to be read now and again on a reload.
#[derive(Clone)]
pub(crate) struct TokenSources {
    signing: Option<TokenSource>,
    keymanager: Option<TokenSource>,
}

#[derive(Clone)]
enum TokenSource {
    /// Given as it is.
    Text(AuthToken),
    File(PathBuf),
}

impl TokenSources {
    /// What was given, else the credentials that systemd delivered: `auth-token-signing`, `auth-token-keymanager`, and
    /// `auth-token` for a role without one of its own.
    pub(super) fn new(
        token: Option<AuthToken>,
        files: Vec<TokenFile>,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let mut given = Self { signing: None, keymanager: None };
        let mut every = token.map(TokenSource::Text);
        for TokenFile { owner, path } in files {
            let (source, conflict) = match owner {
                TokenOwner::EveryRole => (&mut every, "--auth-token or --auth-token-file without a role"),
                TokenOwner::Signing => (&mut given.signing, "--auth-token-file signing="),
                TokenOwner::Keymanager => (&mut given.keymanager, "--auth-token-file keymanager="),
            };
            if source.is_some() {
                return Err(Error::Conflict { first: conflict, second: "another one for the same" });
            }
            *source = Some(TokenSource::File(path));
        }
        let credential = |name: &str| environment.credential(name).map(TokenSource::File);
        let source = |own: Option<TokenSource>, name: &str| {
            own.or_else(|| every.clone()).or_else(|| credential(name)).or_else(|| credential("auth-token"))
        };
        Ok(Self {
            signing: source(given.signing, "auth-token-signing"),
            keymanager: source(given.keymanager, "auth-token-keymanager"),
        })
    }

    /// Reads the files.
    pub(crate) fn read(&self) -> Result<Tokens, Error> {
        Ok(Tokens { signing: self.read_for(Role::Signing)?, keymanager: self.read_for(Role::Keymanager)? })
    }

    /// Reads the one of a role; the others have none of their own.
    pub(super) fn read_for(&self, role: Role) -> Result<Option<AuthToken>, Error> {
        let source = match role {
            Role::Signing => &self.signing,
            Role::Keymanager => &self.keymanager,
            Role::Metrics | Role::All => &None,
        };
        match source {
            None => Ok(None),
            Some(TokenSource::Text(token)) => token.clone().check().map(Some),
            Some(TokenSource::File(path)) => AuthToken::from_file(path).map(Some),
        }
    }
}

/// The tokens that requests must carry.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) signing: Option<AuthToken>,
    pub(crate) keymanager: Option<AuthToken>,
}

impl Tokens {
    /// Whether one of them is so short that it can be guessed.
    pub(super) fn any_is_short(&self) -> bool {
        [&self.signing, &self.keymanager].into_iter().flatten().any(AuthToken::is_short)
    }
}

/// A bearer token. Zeroised when dropped; it has no `Debug` and no `Display`.
#[derive(Clone)]
pub(crate) struct AuthToken(Zeroizing<String>);

impl AuthToken {
    /// Takes anything: what a token must be is checked by [`AuthToken::check`], because an argument parser would print
    /// a value that it refuses.
    pub(crate) fn unchecked(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The token itself, for the one place that hashes or sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The token in a file, without the white space around it. Not every user may read the file, and only its owner
    /// write it.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Error> {
        let text = RegularFile::open_secret(path)
            .and_then(|file| file.read_text(LARGEST_TOKEN_FILE_BYTES))
            .map_err(|source| Error::File { what: TOKEN_FILE, path: path.to_owned(), source })?;
        let token = text::unmarked(&text).trim();
        if token.is_empty() {
            return Err(Error::EmptyFile { what: TOKEN_FILE, path: path.to_owned() });
        }
        Self(Zeroizing::new(token.to_owned())).check()
    }

    /// Refuses an empty token and one that no client could send (RFC 9110, 5.5: visible ASCII).
    fn check(self) -> Result<Self, Error> {
        if self.0.is_empty() {
            return Err(Error::EmptyToken);
        }
        if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::UnusableToken);
        }
        Ok(self)
    }

    fn is_short(&self) -> bool {
        self.0.len() < SHORTEST_GOOD_TOKEN_CHARACTERS
    }
}

impl<'de> Deserialize<'de> for AuthToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The usual error would show the value.
        String::deserialize(deserializer)
            .map(Self::unchecked)
            .map_err(|_| serde::de::Error::custom("auth_token must be a string"))
    }
}

const TOKEN_FILE: &str = "the token file";
/// More than any token.
const LARGEST_TOKEN_FILE_BYTES: u64 = 64 * 1024;
/// 16 characters of base64 are 96 bits.
const SHORTEST_GOOD_TOKEN_CHARACTERS: usize = 16;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::regular_file::FileError;

    fn secret_file(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn token_file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = secret_file(directory.path(), "token", text, mode);
        (directory, path)
    }

    #[test]
    fn reads_a_token_without_the_line_end() {
        for text in ["0123456789abcdef\n", "\u{feff}0123456789abcdef\r\n"] {
            let (_directory, path) = token_file(text, 0o640);
            assert_eq!(AuthToken::from_file(&path).ok().unwrap().reveal(), "0123456789abcdef");
        }
    }

    #[test]
    fn refuses_an_empty_token_file_and_names_it() {
        let (_directory, path) = token_file(" \n", 0o600);
        let error = AuthToken::from_file(&path).err().unwrap();
        assert!(matches!(&error, Error::EmptyFile { .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()));
    }

    #[test]
    fn refuses_a_token_file_that_others_can_read_or_write_and_names_it() {
        for mode in [0o644, 0o602, 0o622, 0o660] {
            let (_directory, path) = token_file("0123456789abcdef", mode);
            let error = AuthToken::from_file(&path).err().unwrap();
            let Error::File { source: FileError::Readable { .. } | FileError::Writable { .. }, .. } = &error
            else {
                panic!("{error}");
            };
            assert!(error.to_string().contains(path.to_str().unwrap()));
            assert!(!error.to_string().contains("0123456789abcdef"));
        }
    }

    #[test]
    fn refuses_tokens_that_no_header_can_carry() {
        for text in ["two words", "tab\there", "línea", "line\nbreak", "\u{7f}"] {
            assert!(
                matches!(AuthToken::unchecked(text.to_owned()).check().err(), Some(Error::UnusableToken)),
                "{text}"
            );
        }
        assert!(matches!(AuthToken::unchecked(String::new()).check().err(), Some(Error::EmptyToken)));
        assert!(AuthToken::unchecked("AZaz09-._~+/=".to_owned()).check().is_ok());
    }

    #[test]
    fn a_file_is_for_one_role_or_for_every_one() {
        let parsed = |text: &str| text.parse::<TokenFile>();
        let file = |owner, path: &str| Ok(TokenFile { owner, path: path.into() });
        assert_eq!(parsed("/etc/token"), file(TokenOwner::EveryRole, "/etc/token"));
        assert_eq!(parsed("a=b"), file(TokenOwner::EveryRole, "a=b"));
        assert_eq!(parsed("./signing=b"), file(TokenOwner::EveryRole, "./signing=b"));
        assert_eq!(parsed("signing=/t"), file(TokenOwner::Signing, "/t"));
        assert_eq!(parsed("keymanager=/t=1"), file(TokenOwner::Keymanager, "/t=1"));
        for (text, role) in [("all=/t", Role::All), ("metrics=/t", Role::Metrics)] {
            assert_eq!(parsed(text), Err(TokenFileError::Role { role }), "{text}");
        }
        for text in ["", "signing=", "keymanager="] {
            assert_eq!(parsed(text), Err(TokenFileError::NoPath), "{text}");
        }
    }

    /// The tokens of signing and keymanager.
    fn tokens(token: Option<&str>, files: &[&str], environment: &Environment) -> [Option<String>; 2] {
        let files = files.iter().map(|file| file.parse().unwrap()).collect();
        let token = token.map(|token| AuthToken::unchecked(token.to_owned()));
        let tokens = TokenSources::new(token, files, environment).ok().unwrap().read().ok().unwrap();
        [tokens.signing, tokens.keymanager].map(|token| token.map(|token| token.reveal().to_owned()))
    }

    #[test]
    fn what_is_given_for_a_role_comes_before_what_is_given_for_every_one_and_before_credentials() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| secret_file(directory.path(), name, name, 0o600).display().to_string();
        let (a, b) = (file("a"), file("b"));
        let (own, keymanager_a) = (format!("keymanager={b}"), format!("keymanager={a}"));
        let none = Environment::default();
        let some = |signing: &str, keymanager: &str| [signing, keymanager].map(|text| Some(text.to_owned()));

        assert_eq!(tokens(None, &[], &none), [None, None]);
        assert_eq!(tokens(None, &[&a], &none), some("a", "a"));
        assert_eq!(tokens(None, &[&a, &own], &none), some("a", "b"));
        assert_eq!(tokens(Some("t"), &[&own], &none), some("t", "b"));
        assert_eq!(tokens(None, &[&own], &none), [None, Some("b".to_owned())]);
        for twice in [&[a.as_str(), &b][..], &[&own, &keymanager_a]] {
            let files = twice.iter().map(|file| file.parse().unwrap()).collect();
            assert!(matches!(TokenSources::new(None, files, &none).err(), Some(Error::Conflict { .. })));
        }

        let credentials: Environment = [("CREDENTIALS_DIRECTORY", directory.path())].into_iter().collect();
        file("auth-token-keymanager");
        let delivered = |name: &str| Some(name.to_owned());
        assert_eq!(tokens(None, &[], &credentials), [None, delivered("auth-token-keymanager")]);
        file("auth-token");
        assert_eq!(tokens(None, &[], &credentials), some("auth-token", "auth-token-keymanager"));
        assert_eq!(tokens(None, &[&own], &credentials), some("auth-token", "b"));
        assert_eq!(tokens(None, &[&a], &credentials), some("a", "a"));
    }
}
