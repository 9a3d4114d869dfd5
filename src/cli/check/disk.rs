//! Room on the disk of the state directory, without which nothing can be recorded and so nothing protected be signed.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::finding::Finding;

/// `None` where there is no such directory yet.
pub(super) fn finding(state_dir: &Path) -> Option<Finding> {
    let disk = statvfs(state_dir).ok()?;
    let bytes = disk.blocks_available().saturating_mul(disk.fragment_size());
    // Some file systems count no inodes.
    let files = (disk.files() > 0).then(|| disk.files_available());
    Some(judge(bytes, files, &state_dir.display().to_string()))
}

fn judge(bytes: u64, files: Option<u64>, shown: &str) -> Finding {
    const WHAT: &str = "disk";
    let mib = bytes / MIB;
    if files.is_some_and(|files| files < FEWEST_FILES) {
        return Finding::wrong(WHAT, &Error::Inodes { path: shown.to_owned() });
    }
    if mib < LEAST_MIB {
        return Finding::wrong(WHAT, &Error::Full { path: shown.to_owned(), bytes });
    }
    let text = format!("{mib} MiB free for {shown}");
    if mib < LITTLE_MIB { Finding::notable(WHAT, text) } else { Finding::fine(WHAT, text) }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "the disk of {path} is full ({bytes} bytes free): no block and no attestation can be recorded, so none is \
         signed"
    )]
    Full { path: String, bytes: u64 },
    #[error("the file system of {path} has no inodes left: no file can be made in it")]
    Inodes { path: String },
}

const MIB: u64 = 1 << 20;
/// The ledger's log alone keeps 2 MB.
const LEAST_MIB: u64 = 8;
const LITTLE_MIB: u64 = 128;
/// The ledger has four.
const FEWEST_FILES: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_wrong_a_small_one_is_said_and_a_file_system_without_inodes_is_neither() {
        let said = |bytes, files| judge(bytes, files, "/s").to_string();
        assert!(said(0, Some(1000)).starts_with("WRONG"));
        assert!(said(7 << 20, None).contains("is full"));
        assert!(said(100 << 20, None).starts_with("note"));
        assert!(said(1 << 30, Some(0)).contains("inodes"));
        assert!(said(1 << 30, None).starts_with("ok"));
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_disk() {
        assert_eq!(finding(Path::new("/nonexistent/state")), None);
    }
}
