//! The `bls-signer` program: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bls_signer::cli::run()
}
