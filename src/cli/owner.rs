//! The owner of a state directory: on another user's, root's commands become that user first, for good.
//!
//! Whoever owns a directory can give any name in it another meaning between two steps of a program that works there. A
//! program with root's rights would then write, read or give away what is root's. So these rights go before the first
//! file in the directory is opened, as with runuser(1), and nothing brings them back.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{
    Gid, ResUid, Uid, User, geteuid, getgroups, getresuid, initgroups, setgroups, setresgid, setresuid,
    setuid,
};

use crate::tpm;

/// Makes this process one of the directory's owner, if it is root's and the directory is not. Where there is no
/// directory yet, what it will be made in counts. A device that it needs, a TPM, stays within reach: its group stays
/// one of the process's, as it is one of the service's.
///
/// # Errors
/// Root's rights could not be given up, or not for good. Nothing has been opened in the directory then.
pub(super) fn become_owner_of(directory: &Path, device: Option<&Path>) -> Result<Became, Error> {
    if !geteuid().is_root() {
        return Ok(Became::Unchanged);
    }
    let owner = owner_of(directory).map_err(|source| Error::Look { path: directory.to_owned(), source })?;
    if owner.is_root() {
        return Ok(Became::Unchanged);
    }
    let failed = |source: nix::Error| Error::Become { path: directory.to_owned(), owner, source };
    let user = User::from_uid(owner).map_err(failed)?;
    if !become_for_good(owner, user, device.and_then(tpm::group_of)).map_err(failed)? {
        return Err(Error::NotForGood { path: directory.to_owned(), owner });
    }
    Ok(Became::Owner(owner))
}

/// Makes this process of root's one of that user's, for good.
///
/// # Errors
/// Root's rights could not be given up, or not for good.
pub(super) fn become_user(user: User) -> Result<(), Error> {
    let (name, uid) = (user.name.clone(), user.uid);
    match become_for_good(uid, Some(user), None) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::KeptRights { name }),
        Err(source) => Err(Error::BecomeUser { name, source }),
    }
}

/// Gives up all rights but those of this user and one more group. Says whether nothing brings them back.
fn become_for_good(uid: Uid, user: Option<User>, group: Option<Gid>) -> nix::Result<bool> {
    match user {
        Some(user) => {
            let name = CString::new(user.name).map_err(|_| nix::Error::EINVAL)?;
            initgroups(&name, user.gid)?;
            setresgid(user.gid, user.gid, user.gid)?;
        }
        None => {
            // The directory's own group may be anybody's: in some directories what is new takes their group.
            setgroups(&[NOBODY])?;
            setresgid(NOBODY, NOBODY, NOBODY)?;
        }
    }
    if let Some(group) = group.filter(|group| *group != ROOT) {
        let mut groups = getgroups()?;
        groups.push(group);
        setgroups(&groups)?;
    }
    setresuid(uid, uid, uid)?;
    let ResUid { real, effective, saved } = getresuid()?;
    Ok([real, effective, saved] == [uid; 3] && (uid.is_root() || setuid(Uid::from_raw(0)).is_err()))
}

/// Whether this process is another user's now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    Unchanged,
    Owner(Uid),
}

/// Who owns the directory, or the nearest one above that exists.
fn owner_of(directory: &Path) -> io::Result<Uid> {
    let directory = std::path::absolute(directory)?;
    let mut nearest = directory.as_path();
    loop {
        match fs::metadata(nearest) {
            Ok(metadata) => return Ok(Uid::from_raw(metadata.uid())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => nearest = nearest.parent().ok_or(error)?,
        }
    }
}

/// Why root's rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot look who owns the state directory {}", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error(
        "the state directory {} belongs to uid {owner}, and this process cannot become that user: run it as that user",
        path.display()
    )]
    Become { path: PathBuf, owner: Uid, source: nix::Error },
    #[error(
        "the state directory {} belongs to uid {owner}, and this process cannot give up root's rights for good: run it \
         as that user",
        path.display()
    )]
    NotForGood { path: PathBuf, owner: Uid },
    #[error("this process cannot become the user {name}")]
    BecomeUser { name: String, source: nix::Error },
    #[error("this process cannot give up root's rights for those of the user {name} for good")]
    KeptRights { name: String },
}

/// The group that owns nothing.
const NOBODY: Gid = Gid::from_raw(65_534);
const ROOT: Gid = Gid::from_raw(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_belongs_to_whom_the_one_above_belongs_to() {
        let directory = tempfile::tempdir().unwrap();
        let own = owner_of(directory.path()).unwrap();
        assert_eq!(own, geteuid());
        assert_eq!(owner_of(&directory.path().join("not/there/yet")).unwrap(), own);
        assert_eq!(owner_of(Path::new("/nonexistent/state")).unwrap(), owner_of(Path::new("/")).unwrap());
    }

    #[test]
    fn on_a_directory_of_its_own_a_process_stays_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(become_owner_of(directory.path(), None).unwrap(), Became::Unchanged);
        assert_eq!(geteuid(), owner_of(directory.path()).unwrap());
    }
}
