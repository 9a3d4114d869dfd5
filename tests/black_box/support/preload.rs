//! Libraries that stand between the daemon and the system, to make a disk misbehave.

use std::path::Path;
use std::process::Command;

/// Compiles `tests/support/NAME.c` into `directory`; gives what `LD_PRELOAD` takes.
pub fn build_preload(directory: &Path, name: &str) -> String {
    let library = directory.join(format!("{name}.so")).display().to_string();
    let source = format!("{}/tests/support/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o", &library, &source, "-ldl"])
        .status()
        .unwrap();
    assert!(built.success());
    library
}
