//! The check of the sources that a fetcher reads.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::keymanager::fetched::{FetchedSources, SourceReport, Trouble};
use crate::wire::health::Check;

/// `None` where no source was heard of. A source that fails is shown, and turns nothing red as long as its keys sign;
/// names and reasons are for the operator alone.
pub(super) fn check(sources: &FetchedSources, shows_names: bool) -> Option<Check> {
    let sources = sources.report();
    if sources.is_empty() {
        return None;
    }
    let count = |has: fn(&SourceReport) -> bool| sources.iter().filter(|source| has(source)).count();
    let is_empty =
        |source: &SourceReport| source.keys > 0 && matches!(source.trouble, Some((Trouble::Empty, _)));
    let problems = [
        (
            count(|source| source.keys == 0),
            "sources of keys give none: see the log of bls-signer-fetch.service",
        ),
        (
            count(is_empty),
            "sources list no key any more, and those that they gave before stay: correct them, or retire them",
        ),
        (
            count(|source| source.is_awaited),
            "sources have not yet said that the sealed keys are still theirs: is bls-signer-fetch.service running",
        ),
    ];
    let wrong: Vec<_> = problems
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, problem)| format!("{count} {problem}"))
        .collect();
    let mut data = Map::new();
    data.insert("sources".to_owned(), json!(sources.len()));
    data.insert(
        "keys".to_owned(),
        json!(sources.iter().map(|source| source.keys).fold(0, usize::saturating_add)),
    );
    data.insert("sources-with-errors".to_owned(), json!(count(|source| source.trouble.is_some())));
    if shows_names {
        data.extend(sources.iter().map(|source| (format!("source {}", source.name), shown(source))));
    }
    Some(Check::with("fetch-check", (!wrong.is_empty()).then(|| wrong.join("; ")), data))
}

fn shown(source: &SourceReport) -> Value {
    let ago =
        source.last_complete.map(|at| SystemTime::now().duration_since(at).unwrap_or_default().as_secs());
    let mut shown = json!({ "keys": source.keys, "last-complete-seconds-ago": ago });
    let Some(members) = shown.as_object_mut() else { return shown };
    if let Some((trouble, reason)) = &source.trouble {
        members.insert("error".to_owned(), json!(format!("{}: {reason}", trouble.name())));
    }
    if !source.troubles.is_empty() {
        let times = source.troubles.iter().map(|(kind, times)| ((*kind).to_owned(), json!(times)));
        members.insert("errors-since-start".to_owned(), times.collect::<Map<_, _>>().into());
    }
    shown
}
