//! Reference of the options as text: for `--help`, and for docs/web3signer.md.

use super::option::{Fate, Level, Web3SignerOption};
use super::table::{OPTIONS, VERSION};

/// What `--help` prints.
pub(super) fn help() -> String {
    format!(
        "The command line of Web3Signer {VERSION} for consensus keys\n\n\
         Usage: bls-signer web3signer [OPTIONS] eth2 [OPTIONS] [export|import|watermark-repair]\n\n\
         Options can stand in the YAML file of --config-file and in WEB3SIGNER_* variables too. Those of\n\
         'bls-signer serve' that are not in this table are taken as --NAME=VALUE and from BLS_SIGNER_* variables,\n\
         but for --listen, --host and --port.\n\n{}",
        table()
    )
}

/// The table of all options, in Markdown.
pub(super) fn table() -> String {
    let rows = OPTIONS.iter().map(|option| {
        let names: Vec<_> = option.names.iter().map(|name| format!("`{}`", with_dashes(name))).collect();
        format!("| {} | {} | {} |\n", names.join(", "), place(option.level), fate(option))
    });
    format!("| option | of | here |\n| --- | --- | --- |\n{}", rows.collect::<String>())
}

fn with_dashes(name: &str) -> String {
    format!("{}{name}", if name.len() > 1 { "--" } else { "-" })
}

fn place(level: Level) -> &'static str {
    match level {
        Level::Global => "all",
        Level::Eth2 => "`eth2`",
        Level::Export => "`eth2 export`",
        Level::Import => "`eth2 import`",
        Level::WatermarkRepair => "`eth2 watermark-repair`",
    }
}

fn fate(option: &Web3SignerOption) -> String {
    match option.fate {
        Fate::Flag(long) => format!("`--{long}`"),
        Fate::Translated(_, words) => words.to_owned(),
        Fate::Accepted(why) => format!("a warning: {why}"),
        Fate::Refused(instead) => format!("refused: {instead}"),
        Fate::RefusedWhenOn(instead) => format!("`true` is refused: {instead}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_this_table() {
        let document = include_str!("../../../docs/web3signer.md");
        assert!(document.contains(&table()), "docs/web3signer.md needs this table:\n{}", table());
        assert!(document.contains(VERSION));
    }

    #[test]
    fn no_name_means_two_options() {
        let names: Vec<_> = OPTIONS.iter().flat_map(|option| option.names).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }
}
