//! `bls-signer completions SHELL`: the completion script of a shell, for packages and for who installs by hand.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, Error, output};

/// Prints the script.
pub(super) fn run(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "bls-signer", &mut script);
    output::show(&mut io::stdout(), script).map_err(Error::Output)
}
