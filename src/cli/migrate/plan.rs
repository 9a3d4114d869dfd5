//! What a migration would do, and what stands against it, as a table.

use std::fmt;

use super::answering::Answering;
use super::configuration::Configuration;
use super::history::History;
use super::keys::OldKeys;
use super::target::Changes;
use crate::cli::old_signer::{FetchSource, OldSigner};
use crate::cli::packaged::SOURCES;
use crate::keys::loader::Source;
use crate::text::{OneLine, chain};

/// Lines of a table.
pub(super) struct Plan {
    text: String,
}

/// Why a migration is not carried out.
pub(super) fn obstacles(
    old: &OldSigner,
    answering: &Answering,
    keys: &OldKeys,
    history: &History,
    unmergeable: Vec<String>,
    skips_unusable: bool,
) -> Vec<String> {
    let answers = match answering {
        Answering::Nobody { .. } => None,
        Answering::Somebody { .. } => Some(format!(
            "{answering}: stop {} for good first, all replicas of it; if it is another program, say with --address \
             where {} answered",
            old.name, old.name
        )),
    };
    let lost = keys.elsewhere.values().sum::<usize>().saturating_add(keys.unusable.len());
    let lost = (lost > 0 && !skips_unusable).then(|| {
        format!(
            "{lost} entries give no key: correct them, bring those keys as keystores, or leave them out with \
             --skip-unusable"
        )
    });
    let fetched = keys.fetched.values().sum::<usize>();
    let fetched = (fetched > 0 && !skips_unusable).then(|| {
        format!(
            "{fetched} keys are in vaults: the fetcher brings them, from the sources above, once this is done; go on \
             without them with --skip-unusable"
        )
    });
    let silence = match history {
        History::Found { .. } | History::None => None,
        History::NotNamed => Some(
            "nothing says where the history is: give --history=FILE or --database=URL, or --no-history for keys that \
             have never signed"
                .to_owned(),
        ),
        History::Unreadable(error) => Some(chain(error)),
    };
    answers.into_iter().chain(lost).chain(fetched).chain(silence).chain(unmergeable).collect()
}

impl Plan {
    pub(super) fn new(
        old: &OldSigner,
        answering: &Answering,
        keys: &OldKeys,
        history: &History,
        changes: &Changes,
        configuration: &Configuration,
        obstacles: &[String],
    ) -> Self {
        let mut plan = Self { text: String::new() };
        plan.line("old signer", format_args!("{} in {}", old.name, OneLine(old.directory.display())));
        plan.line("", answering);
        plan.keys(keys, changes);
        plan.history(history, changes);
        plan.options(old, configuration);
        plan.fetch_sources(old, keys);
        for obstacle in obstacles {
            plan.line("REFUSED", obstacle);
        }
        plan
    }

    fn keys(&mut self, keys: &OldKeys, changes: &Changes) {
        let count = keys.keys.len();
        let raw = count.saturating_sub(keys.from_keystores);
        let here = count.saturating_sub(changes.new_keys);
        self.line(
            "keys",
            format_args!("{count}: {} to be sealed here, {here} sealed here already", changes.new_keys),
        );
        self.line("", format_args!("{} from keystores, {raw} in the clear", keys.from_keystores));
        if keys.duplicates > 0 {
            self.line("", format_args!("{} more files with one of these keys", keys.duplicates));
        }
        for (kind, count) in &keys.fetched {
            self.line("", format_args!("{count} of type {kind}: for the fetcher, as below"));
        }
        for (kind, count) in &keys.elsewhere {
            self.line("", format_args!("{count} of type {kind}: NOT TAKEN, as no file holds them"));
        }
        for unusable in &keys.unusable {
            self.line("", format_args!("NOT TAKEN: {unusable}"));
        }
    }

    fn history(&mut self, history: &History, changes: &Changes) {
        match history {
            History::Found { place, interchange } => {
                let keys = interchange.keys().count();
                self.line("history", format_args!("{keys} keys, from {}", OneLine(place)));
                self.line("", format_args!("the record of {} keys grows by it", changes.raised));
            }
            History::None => self.line("history", "none: these keys have never signed, you say"),
            History::NotNamed => self.line("history", "not named"),
            History::Unreadable(_) => self.line("history", "cannot be read"),
        }
        let silent = &changes.without_history;
        if let (Some(first), History::Found { .. }) = (silent.first(), history) {
            self.line(
                "",
                format_args!(
                    "{} keys have none, as if they had never signed: {first}{}",
                    silent.len(),
                    if silent.len() > 1 { " and others" } else { "" }
                ),
            );
        }
    }

    fn options(&mut self, old: &OldSigner, configuration: &Configuration) {
        for (origin, long, value) in &old.options {
            self.line(
                "option",
                format_args!("{} becomes {} = {}", OneLine(origin), long.replace('-', "_"), OneLine(value)),
            );
        }
        for note in &old.notes {
            self.line("note", OneLine(note));
        }
        for option in &old.without_counterpart {
            self.line("NO COUNTERPART", OneLine(option));
        }
        match configuration.path() {
            Some(path) => self.line("configuration", OneLine(path.display())),
            None => self.line("configuration", "written to no file: --write-config=FILE"),
        }
        for line in configuration.text().lines() {
            self.line("", format_args!("    {line}"));
        }
    }

    fn fetch_sources(&mut self, old: &OldSigner, keys: &OldKeys) {
        let directories = old.sources.iter().filter_map(|source| match source {
            Source::KeyConfigs { directory } if !keys.fetched.is_empty() => Some(directory),
            Source::KeyConfigs { .. } | Source::Keystores { .. } => None,
        });
        let configured: Vec<_> =
            directories.map(|directory| FetchSource::of_key_configurations(directory)).collect();
        for FetchSource { name, text } in configured.iter().chain(&old.fetch_sources) {
            self.line("fetcher", format_args!("{SOURCES}/{name}.toml, to be written by you (docs/fetch.md)"));
            for line in text.lines() {
                self.line("", format_args!("    {line}"));
            }
        }
    }

    fn line(&mut self, what: &str, said: impl fmt::Display) {
        self.text.push_str(format!("{what:<16}{said}").trim_end());
        self.text.push('\n');
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
