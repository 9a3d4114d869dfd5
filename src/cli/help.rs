//! Help of the commands: the short one fits a screen of 80 columns and 40 lines, a longer one goes to a pager.

use std::io::{self, IsTerminal as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command as Process, Stdio};

use clap::CommandFactory as _;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Arguments, output};
use crate::config::Environment;

/// The program's arguments. What `-h` leaves out of the options of 'serve', `--help` has.
pub(super) fn command() -> clap::Command {
    let usual = |option: clap::Arg| {
        let is_usual = USUAL_OPTIONS.contains(&option.get_id().as_str());
        option.hide_short_help(!is_usual)
    };
    Arguments::command()
        .mut_args(|option| option.hide_short_help(true))
        .after_help("Options of 'serve', which is the default: bls-signer serve -h")
        .mut_subcommand("serve", |serve| serve.mut_args(usual).after_help(MORE_OPTIONS))
        .mut_subcommand("check", |check| check.mut_args(usual).after_help(MORE_OPTIONS))
}

/// Shows what was asked for. On a terminal a pager does, which shows what fits the screen and ends; this process
/// becomes the pager, and goes on only where there is none.
///
/// # Errors
/// When standard output did not take the text.
pub(super) fn show(text: &str, environment: &Environment) -> io::Result<()> {
    if io::stdout().is_terminal() && environment.text("TERM").is_some_and(|terminal| terminal != "dumb") {
        // Without a pager the text itself is all that can be shown.
        let _ = become_pager(text, environment);
    }
    output::show(&mut io::stdout().lock(), text)
}

/// Answers an error alone: nothing of this process is left to answer otherwise.
fn become_pager(text: &str, environment: &Environment) -> io::Error {
    let mut file = match memfd_create(c"help", MFdFlags::MFD_CLOEXEC) {
        Ok(file) => std::fs::File::from(file),
        Err(error) => return error.into(),
    };
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.rewind()) {
        return error;
    }
    let mut pager = match environment.value("PAGER") {
        Some(command) => {
            let mut shell = Process::new("sh");
            shell.arg("-c").arg(command);
            shell
        }
        None => Process::new("less"),
    };
    if environment.value("LESS").is_none() {
        pager.env("LESS", LESS_OPTIONS);
    }
    pager.stdin(Stdio::from(file)).exec()
}

/// Of 'serve': what most daemons are started with.
const USUAL_OPTIONS: [&str; 9] = [
    "config",
    "listen",
    "port",
    "network",
    "state_dir",
    "seal_file",
    "keystores_path",
    "keystores_passwords_path",
    "key_config_path",
];

const MORE_OPTIONS: &str = "All options: --help, or bls-signer.toml(5)";

/// End where all fits one screen, show colours, leave the text on the screen: as git has it.
const LESS_OPTIONS: &str = "FRX";

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_LINES: usize = 40;
    const MAX_COLUMNS: usize = 80;

    #[test]
    fn the_short_help_of_every_command_fits_a_screen() {
        let mut too_large = Vec::new();
        measure(command().term_width(MAX_COLUMNS), &mut too_large);
        assert_eq!(too_large, Vec::<String>::new());
    }

    fn measure(mut command: clap::Command, too_large: &mut Vec<String>) {
        command.build();
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        let help = command.render_help().to_string();
        let columns = help.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        if help.lines().count() > MAX_LINES || columns > MAX_COLUMNS {
            too_large.push(format!("{name}: {} lines, {columns} columns", help.lines().count()));
        }
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            measure(subcommand.clone().term_width(MAX_COLUMNS), too_large);
        }
    }

    #[test]
    fn every_subcommand_and_option_stands_in_the_manual() {
        let of_program = include_str!("../../packaging/man/bls-signer.8");
        let of_configuration = include_str!("../../packaging/man/bls-signer.toml.5");
        let mut command = command();
        command.build();
        let mut missing = Vec::new();
        undocumented(&command, "", of_program, &mut missing);
        let options = command.get_arguments().filter(|option| !SHARED.contains(&option.get_id().as_str()));
        for key in options.map(|option| option.get_id().as_str()) {
            if !of_configuration.contains(&format!("\n.It Cm {key} No = ")) {
                missing.push(format!("bls-signer.toml(5): {key}"));
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    /// Options that the manual describes once for all commands, or that are no keys of the configuration.
    const SHARED: [&str; 3] = ["config", "help", "version"];

    /// An option stands in the row of its command, or in a row of its own if several commands take it.
    fn undocumented(command: &clap::Command, path: &str, manual: &str, missing: &mut Vec<String>) {
        let has_keys_for_options = ["serve", "check", "web3signer"].contains(&path);
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let path = [path, subcommand.get_name()].join(" ");
            undocumented(subcommand, path.trim_start(), manual, missing);
        }
        if path.is_empty() || has_keys_for_options || command.has_subcommands() {
            return;
        }
        let begin = format!(".It Cm {path}");
        let is_row = |line: &&str| {
            line.strip_prefix(&begin).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let rows: Vec<_> = manual.lines().filter(is_row).collect();
        if rows.is_empty() {
            missing.push(path.to_owned());
        }
        for long in command.get_arguments().filter_map(clap::Arg::get_long) {
            let is_in_row = rows.iter().any(|row| row.split(' ').any(|word| word == format!("-{long}")));
            let is_shared = manual.lines().any(|line| {
                line.starts_with(&format!(".It Fl -{long} ")) || line == format!(".It Fl -{long}")
            });
            if !is_in_row && !is_shared && !SHARED.contains(&long) {
                missing.push(format!("{path} --{long}"));
            }
        }
    }

    #[test]
    fn every_option_stands_in_the_long_help_and_the_usual_ones_in_the_short() {
        let mut serve = command();
        serve.build();
        let serve = serve.find_subcommand_mut("serve").unwrap();
        let (short, long) = (serve.render_help().to_string(), serve.render_long_help().to_string());
        for option in serve.get_arguments() {
            let name = option.get_id().as_str();
            let flag = format!("--{}", name.replace('_', "-"));
            assert!(long.contains(&flag), "{flag}");
            if USUAL_OPTIONS.contains(&name) {
                assert!(short.contains(&flag), "{flag}");
            }
        }
        let options: Vec<_> = serve.get_arguments().map(|option| option.get_id().as_str()).collect();
        assert!(USUAL_OPTIONS.iter().all(|usual| options.contains(usual)), "{options:?}");
    }
}
