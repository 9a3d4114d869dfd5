//! `bls-signer fetch`: the fetcher, a program of its own, which this one becomes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What the fetcher is told.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// What bls-signer-fetch takes: serve, once or check, and its options
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the fetcher.
pub(super) fn run(options: Options) -> Result<Infallible, Error> {
    let program = program().map_err(Error::Place)?;
    let error = Command::new(&program).args(options.arguments).exec();
    Err(match error.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled { program },
        _ => Error::Run { program, source: error },
    })
}

/// Where the fetcher is: beside this program.
pub(super) fn program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("bls-signer-fetch"))
}

/// Why the fetcher does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot find out where this program lies, beside which the fetcher is looked for")]
    Place(#[source] io::Error),
    #[error(
        "the fetcher is not installed: there is no {}; the Debian package brings it, and in a checkout 'cargo build \
         --release --package bls-signer-fetch' builds it",
        program.display()
    )]
    NotInstalled { program: PathBuf },
    #[error("the fetcher {} cannot be run", program.display())]
    Run { program: PathBuf, source: io::Error },
}
