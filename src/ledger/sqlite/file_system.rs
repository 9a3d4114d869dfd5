//! File systems that the state directory may lie on: what promises locks and syncs and does not keep them is refused.

use std::path::Path;

use nix::sys::statfs::{FsType, statfs};

use super::OpenError;

/// Which file systems are good enough for a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystems {
    /// Those of this host alone.
    Local,
    /// Any: somebody knows that locks and syncs hold there.
    Any,
}

/// What is wrong with a file system, if it is named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Other hosts, or another process, answer for its locks and syncs.
    Elsewhere(&'static str),
    /// What it holds goes with the host's memory, or with a container.
    Passing(&'static str),
}

/// Looks at the directory, and refuses or warns.
pub(super) fn check(directory: &Path, allowed: FileSystems) -> Result<(), OpenError> {
    let found = statfs(directory).map_err(|error| OpenError::Io {
        path: directory.to_owned(),
        action: "examined",
        source: error.into(),
    })?;
    match (trouble(found.filesystem_type()), allowed) {
        (None, _) | (Some(_), FileSystems::Any) => Ok(()),
        (Some(Trouble::Elsewhere(name)), FileSystems::Local) => {
            Err(OpenError::FileSystem { path: directory.to_owned(), name })
        }
        (Some(Trouble::Passing(name)), FileSystems::Local) => {
            tracing::warn!(
                "the state directory {} is on {name}: it may be gone after a restart of the host or the container, and \
                 with it what the keys have signed. Put it on a disk, or set state_fs to any",
                directory.display()
            );
            Ok(())
        }
    }
}

fn trouble(found: FsType) -> Option<Trouble> {
    // The number is of another width, or signed, on other machines.
    let found = i128::from(found.0) & 0xFFFF_FFFF;
    KNOWN.iter().find(|(number, _)| found == *number).map(|(_, trouble)| *trouble)
}

/// By the numbers of statfs(2).
const KNOWN: &[(i128, Trouble)] = &[
    (0x6969, Trouble::Elsewhere("nfs")),
    (0x517B, Trouble::Elsewhere("smb")),
    (0xFF53_4D42, Trouble::Elsewhere("cifs")),
    (0xFE53_4D42, Trouble::Elsewhere("smb2")),
    (0x6573_5546, Trouble::Elsewhere("fuse")),
    (0x0102_1997, Trouble::Elsewhere("9p")),
    (0x00C3_6400, Trouble::Elsewhere("ceph")),
    (0x794C_7630, Trouble::Passing("overlayfs")),
    (0x0102_1994, Trouble::Passing("tmpfs")),
    (0x8584_58F6, Trouble::Passing("ramfs")),
];

#[cfg(test)]
mod tests {
    use nix::sys::statfs::{EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC};

    use super::*;

    #[test]
    fn what_others_answer_for_is_refused_and_what_passes_is_not() {
        let of = |number| trouble(FsType(number));
        assert_eq!(of(0x6969), Some(Trouble::Elsewhere("nfs")));
        assert_eq!(of(0x6573_5546), Some(Trouble::Elsewhere("fuse")));
        assert_eq!(trouble(OVERLAYFS_SUPER_MAGIC), Some(Trouble::Passing("overlayfs")));
        assert_eq!(trouble(TMPFS_MAGIC), Some(Trouble::Passing("tmpfs")));
        assert_eq!(trouble(EXT4_SUPER_MAGIC), None);
    }
}
