//! State directories on file systems of another sort: what another process answers for is refused unless it is named,
//! what goes with a container is warned of.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::{Key, Setup, State, attestation};

#[test]
fn a_state_directory_that_another_process_answers_for_is_refused_unless_that_is_asked_for() {
    let setup = Setup::new().args(&["--network", "minimal"]).with_state(State::Missing);
    let _mounted = FuseMount::at(setup.directory().join("state"));
    let (status, log) = setup.fails();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("state is on fuse") && log.contains("state_fs = \"any\""), "{log}");

    let options = ["--network", "minimal", "--state-fs", "any", "--require-ledger=off"];
    let setup = Setup::new().args(&options).with_state(State::Missing);
    let _mounted = FuseMount::at(setup.directory().join("state"));
    let (_, log) = setup.fails();
    // It goes on to the files, of which this file system has none and makes none.
    assert!(!log.contains("is on fuse") && log.contains("ledger.sqlite"), "{log}");
}

#[test]
fn a_state_directory_that_goes_with_its_container_is_warned_of() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let script = "cd $0 && mkdir base state && mount -t tmpfs tmpfs base && mkdir base/lower base/upper base/work && \
                  mount -t overlay -o lowerdir=base/lower,upperdir=base/upper,workdir=base/work overlay state && \
                  exec \"$@\"";
    let directory = setup.directory().display().to_string();
    let daemon = setup.under(&["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, &directory]).start();
    let warning = daemon.wait_for_log(|line| line.contains("is on overlayfs"));
    assert!(warning.contains("WARN") && warning.contains("state_fs"), "{warning}");
    let key = Key::number(1);
    daemon.import(&[&key]);
    assert_eq!(daemon.sign(&key, &attestation(8, 0, 1, 9)).status, 200);
}

/// A file system that a thread of this process answers for (FUSE), with an empty directory and nothing else.
struct FuseMount(PathBuf);

impl FuseMount {
    fn at(place: PathBuf) -> Self {
        fs::create_dir(&place).unwrap();
        let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40700,user_id=0,group_id=0", device.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("test"), &place, Some("fuse"), flags, Some(options.as_str())).unwrap();
        thread::spawn(move || answer_all(device));
        Self(place)
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// Answers the kernel by linux/fuse.h, protocol 7.31, until the file system is unmounted.
fn answer_all(mut device: File) {
    let mut request = [0; 64 * 1024];
    while let Ok(length) = device.read(&mut request) {
        let word = |at: usize| u32::from_le_bytes(request[at..at + 4].try_into().unwrap());
        assert!(length >= 40, "a request has a head");
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let answer = match word(4) {
            FORGET | INTERRUPT => continue,
            LOOKUP => Err(nix::errno::Errno::ENOENT),
            // Times and sizes of 0, then the mode, one link, owner and group root.
            GETATTR => Ok(words(
                &[&[0; 4][..], &[1, 0], &[0; 10], &[0; 3], &[0o40_700, 1, 0, 0, 0, 4096, 0]].concat(),
            )),
            STATFS => Ok(words(&[&[0; 10][..], &[4096, 255, 4096, 0], &[0; 6]].concat())),
            // Version, read-ahead, flags, a request in the background at most, the longest write, the time's grain.
            INIT => Ok(words(&[&[7, 31, 0, 0, 1, 4096, 1][..], &[0; 9]].concat())),
            OPENDIR => Ok(words(&[0; 4])),
            RELEASEDIR | ACCESS => Ok(Vec::new()),
            _ => Err(nix::errno::Errno::ENOSYS),
        };
        let (error, body) = answer.map_or_else(|errno| (-(errno as i32), Vec::new()), |body| (0, body));
        let length = u32::try_from(16 + body.len()).unwrap();
        let head = [&length.to_le_bytes()[..], &error.to_le_bytes(), &request[8..16]].concat();
        // The caller may have been interrupted: then nobody waits for it.
        let _ = device.write(&[head, body].concat());
    }
}

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const RELEASEDIR: u32 = 29;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
