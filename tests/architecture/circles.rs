//! Circles of files that use each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Path, Tree};

/// Modules that reach each other through what they use.
pub(crate) type Circle = BTreeSet<String>;

/// All circles of more than two files. That a module names its own children is no use: so it offers them.
pub(crate) fn circles(tree: &Tree) -> Vec<Circle> {
    let modules: BTreeSet<Path> =
        tree.files().filter(|file| !file.is_test()).map(|file| file.module()).collect();
    let mut uses: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
    for file in tree.files().filter(|file| !file.is_test()) {
        let module = file.module();
        let used = file.used_paths().into_iter().filter_map(|path| file_of(path, &modules));
        uses.insert(module.clone(), used.filter(|used| !used.starts_with(&module)).collect());
    }
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        modules.iter().map(|module| (module, reached_from(module, &uses))).collect();
    let circles: BTreeSet<Circle> = modules
        .iter()
        .map(|module| {
            let both_ways = reached[module].iter().filter(|other| reached[**other].contains(module));
            both_ways.map(|other| other.join("::")).collect::<Circle>()
        })
        .filter(|circle| circle.len() > 2)
        .collect();
    circles.into_iter().collect()
}

/// The module that a path leads into: its longest start that is one.
fn file_of(mut path: Path, modules: &BTreeSet<Path>) -> Option<Path> {
    while !path.is_empty() {
        if modules.contains(&path) {
            return Some(path);
        }
        path.pop();
    }
    None
}

fn reached_from<'a>(from: &'a Path, uses: &'a BTreeMap<Path, BTreeSet<Path>>) -> BTreeSet<&'a Path> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(uses.get(module).into_iter().flatten().filter(|used| reached.insert(*used)));
    }
    reached
}
