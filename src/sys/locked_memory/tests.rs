//! Both kinds of region, as the kernel sees them.

use nix::libc;
use nix::sys::resource::Resource;
use nix::unistd::ftruncate;

use super::*;

fn both_kinds() -> Vec<Arc<LockedMemory>> {
    vec![LockedMemory::new().unwrap(), LockedMemory::on(Pages::reserve(Backing::Anonymous).unwrap())]
}

#[test]
fn gives_back_what_was_stored() {
    for memory in both_kinds() {
        let cells: Vec<SecretCell> = (0..5000u32).map(|i| memory.store(&secret(i)).unwrap()).collect();
        for (i, cell) in (0..).zip(&cells) {
            assert_eq!(cell.expose(), &secret(i));
            assert!(cell.matches(&secret(i)));
            assert!(!cell.matches(&secret(i + 1)));
        }
    }
}

#[test]
fn wipes_a_cell_that_is_dropped_and_uses_it_again() {
    for memory in both_kinds() {
        let cell = memory.store(&secret(7)).unwrap();
        let address = memory.address(cell.index);
        drop(cell);
        // SAFETY: the page stays mapped while the region lives.
        assert_eq!(unsafe { address.read() }, [0; 32]);
        let again = memory.store(&secret(8)).unwrap();
        assert_eq!(memory.address(again.index), address);
    }
}

#[test]
fn grows_in_steps_and_reuses_before_it_grows() {
    for memory in both_kinds() {
        assert_eq!(memory.cells.lock().mapped, 0);
        for _ in 0..10_000 {
            drop(memory.store(&secret(1)).unwrap());
        }
        assert_eq!(memory.cells.lock().mapped, STEP);
        let kept: Vec<SecretCell> = (0..=2048).map(|i| memory.store(&secret(i)).unwrap()).collect();
        assert_eq!(memory.cells.lock().mapped, 2 * STEP);
        drop(kept);
    }
}

#[test]
fn is_locked_undumpable_and_guarded_on_both_ends() {
    for memory in both_kinds() {
        let cell = memory.store(&secret(1)).unwrap();
        let start = memory.address(cell.index).addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = vm_flags(&maps, start);
        assert!(flags.contains(&"lo"), "not locked: {flags:?}");
        assert!(flags.contains(&"dd"), "may be dumped: {flags:?}");
        assert!(flags.contains(&"wf") || flags.contains(&"dc"), "a child inherits it: {flags:?}");
        assert!(!vm_flags(&maps, start - 1).contains(&"rd"), "no guard before the region");
        assert!(!vm_flags(&maps, start + STEP).contains(&"rd"), "no guard after the region");
    }
}

#[test]
fn a_successor_takes_over_the_cells_it_names_and_the_others_are_wiped() {
    let Some(memory) = with_file() else { return };
    let mut cells: Vec<SecretCell> = (0..3000).map(|i| memory.store(&secret(i)).unwrap()).collect();
    let file = memory.file().unwrap().try_clone_to_owned().unwrap();
    // As after SIGKILL: nothing is dropped, but the mapping is gone.
    let killed: Vec<u32> = [2999, 7].into_iter().map(|i: usize| cells[i].index()).collect();
    let (successor, taken) = LockedMemory::adopt(file, &killed).unwrap();
    assert_eq!(taken[0].expose(), &secret(2999));
    assert_eq!(taken[1].expose(), &secret(7));
    assert_eq!(successor.used(), 2);
    assert_eq!(cells.remove(8).expose(), &[0; 32], "what was not taken over is wiped");
    let new = successor.store(&secret(1)).unwrap();
    assert!(!killed.contains(&new.index()));
}

#[test]
fn takes_over_nothing_but_a_region_of_its_own() {
    let ordinary = nix::sys::memfd::memfd_create(c"ordinary", nix::sys::memfd::MFdFlags::empty()).unwrap();
    ftruncate(&ordinary, CAPACITY as libc::off_t).unwrap();
    assert!(matches!(LockedMemory::adopt(ordinary, &[]), Err(AdoptError::OtherFile)));
    let Some(memory) = with_file() else { return };
    let file = || memory.file().unwrap().try_clone_to_owned().unwrap();
    for cells in [&[1, 1][..], &[u32::MAX], &[1 << 20]] {
        assert!(matches!(LockedMemory::adopt(file(), cells), Err(AdoptError::Cells)));
    }
    assert!(LockedMemory::adopt(file(), &[]).is_ok());
}

#[test]
fn names_the_limit_when_it_is_too_low() {
    // The limit does not bind a privileged process, so the work is done in a child that gives its rights away.
    if std::env::var_os(CHILD).is_some() {
        return exhaust_the_limit();
    }
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this)
        .args(["--exact", "sys::locked_memory::tests::names_the_limit_when_it_is_too_low", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.matches("LimitMEMLOCK").count(), 2, "{text}");
    assert_eq!(text.matches("after 2048 secrets").count(), 2, "{text}");
}

/// `None` on a kernel without secret memory.
fn with_file() -> Option<Arc<LockedMemory>> {
    let memory = LockedMemory::new().unwrap();
    if memory.file().is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have a kernel with memfd_secret");
        println!("SKIPPED: this kernel has no memfd_secret");
        return None;
    }
    Some(memory)
}

fn exhaust_the_limit() {
    nix::sys::resource::setrlimit(Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10).unwrap();
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
    }
    for memory in both_kinds() {
        let mut cells = Vec::new();
        let error = loop {
            match memory.store(&secret(1)) {
                Ok(cell) => cells.push(cell),
                Err(error) => break error,
            }
        };
        println!("{error} after {} secrets", cells.len());
        // Nothing is lost: what is stored stays readable, and a freed cell can be used again.
        assert_eq!(cells.pop().unwrap().expose(), &secret(1));
        memory.store(&secret(2)).unwrap();
    }
}

fn secret(i: u32) -> [u8; 32] {
    let mut secret = [0xa5; 32];
    secret[..4].copy_from_slice(&i.to_le_bytes());
    secret
}

/// The `VmFlags` of the mapping that holds `address`.
fn vm_flags(smaps: &str, address: usize) -> Vec<&str> {
    let mut inside = false;
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or("");
        if let Some((from, to)) = first.split_once('-') {
            let range = usize::from_str_radix(from, 16).unwrap()..usize::from_str_radix(to, 16).unwrap();
            inside = range.contains(&address);
        } else if inside && first == "VmFlags:" {
            return line.split_whitespace().skip(1).collect();
        }
    }
    panic!("no mapping at {address:x}");
}

const CHILD: &str = "BLS_SIGNER_TEST_LOW_LIMIT";
