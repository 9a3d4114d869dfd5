//! Rules of the source tree: who may use whom, what pure code must not do, where statuses and unsafe code stand, and
//! how long files and lines may be.
//!
//! Each rule is a function of a tree of files that lists what breaks it. Its test holds it against `src`, where nothing
//! may, and against a few lines that break it, where all must be found.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice
)]

mod circles;
mod links;
mod tree;

use self::circles::{Circle, circles};
use self::links::broken_links;
use self::tree::Tree;

/// The top-level modules, from those that use others to those that others use: a module uses only what stands below it.
const LAYERS: &[&str] = &[
    "bench_internals",
    "fuzz_internals",
    "cli",
    "daemon",
    "api",
    "fetch",
    "http",
    "signer",
    "wire",
    "keymanager",
    "supervisor",
    "ledger_settings",
    "keys",
    "ledger",
    "signing_policy",
    "clients",
    "duty",
    "network",
    "bls",
    "caller",
    "logging",
    "config",
    "credentials",
    "duty_group",
    "raw_roots",
    "blocking",
    "deadline",
    "repetitions",
    "primitives",
    "yaml",
    "der",
    "tpm",
    "regular_file",
    "text",
    "sys",
    "metrics",
    "mutex",
];

/// Circles of more than two files that may be, each with its reason.
const KNOWN_CIRCLES: &[(&[&str], &str)] = &[];

/// Code that decides: it neither waits, nor reads a clock, nor opens a file.
const PURE: &[&str] = &[
    "src/clients/client.rs",
    "src/duty/",
    "src/duty_group.rs",
    "src/ledger/rules.rs",
    "src/network/",
    "src/raw_roots.rs",
    "src/signing_policy.rs",
];

/// What pure code must not name. A time that it is given is no clock.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
];

/// Where a refusal or a fault becomes a status. The commands, which ask a daemon, read statuses.
const STATUSES: &[&str] = &["src/api/problem.rs", "src/cli/"];

/// The only modules of ours that the transport uses. None of them knows a duty or a key.
const TRANSPORT_USES: &[&str] = &[
    "caller",
    "config",
    "credentials",
    "der",
    "metrics",
    "mutex",
    "regular_file",
    "repetitions",
    "sys",
    "text",
];

/// Where unsafe code may stand; tests may have their own, under a lint that is lifted by name.
const UNSAFE: &str = "src/sys/";

const MAX_FILE_LINES: usize = 400;
const MAX_LINE_COLUMNS: usize = 120;

#[test]
fn a_module_uses_only_layers_below_its_own() {
    let src = Tree::of_this_crate();
    assert_nothing(&uses_that_run_up(&src, LAYERS));
    for layer in LAYERS {
        assert!(
            src.files().any(|file| file.top() == Some(*layer)),
            "LAYERS has {layer}, which does not exist"
        );
    }

    let wrong = Tree::new([
        ("src/high.rs", "use crate::low::deep::Item;\nuse crate::low;"),
        ("src/low/mod.rs", "use crate::{low::deep, high::Thing};"),
        (
            "src/low/deep.rs",
            "fn f() { crate::high::thing() }\n#[cfg(test)]\nmod tests { use crate::high::Thing; }",
        ),
        ("src/low/up.rs", "use super::super::high;"),
        ("src/low/tests.rs", "use crate::high::Thing;"),
        ("src/new.rs", ""),
    ]);
    assert_eq!(
        uses_that_run_up(&wrong, &["high", "low"]),
        [
            "src/low/deep.rs uses high, which is above it",
            "src/low/mod.rs uses high, which is above it",
            "src/low/up.rs uses high, which is above it",
            "src/new.rs: new has no place in LAYERS",
        ]
    );
}

#[test]
fn a_link_leads_to_a_file_and_a_heading_of_this_tree() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_nothing(&broken_links(root));

    let wrong = tempfile::tempdir().unwrap();
    std::fs::create_dir(wrong.path().join("docs")).unwrap();
    std::fs::write(
        wrong.path().join("docs/b.md"),
        "# One, *two* & `three`\n[back](../README.md) [out](../../x)",
    )
    .unwrap();
    let readme = "[a](docs/b.md#one-two--three) [b](docs/b.md#two) [c](docs/c.md) [d](#none) [e](https://x.example/)\n\
                  ```sh\n[f](nowhere)\n```\n";
    std::fs::write(wrong.path().join("README.md"), readme).unwrap();
    assert_eq!(
        broken_links(wrong.path()),
        [
            "README.md: #none: there is no such heading",
            "README.md: docs/b.md#two: there is no such heading",
            "README.md: docs/c.md: there is no such file",
            "docs/b.md: ../../x: it leads out of the tree",
        ]
    );
}

#[test]
fn no_more_than_two_files_use_each_other_in_a_circle() {
    let known: Vec<Circle> = KNOWN_CIRCLES
        .iter()
        .map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect())
        .collect();
    assert_eq!(circles(&Tree::of_this_crate()), known, "circles that are, and those that may be");

    let wrong = Tree::new([
        ("src/a/mod.rs", "mod b; mod c; mod d; use self::b::B;"),
        ("src/a/b.rs", "use super::c::C;"),
        ("src/a/c.rs", "use super::d::D;"),
        ("src/a/d.rs", "use super::{b::B, e};"),
        ("src/a/e.rs", "use super::f::F;"),
        ("src/a/f.rs", "use super::e::E;"),
    ]);
    assert_eq!(circles(&wrong), [["a::b", "a::c", "a::d"].map(str::to_owned).into()]);
}

#[test]
fn pure_code_neither_waits_nor_touches_the_world() {
    let src = Tree::of_this_crate();
    for pure in PURE {
        assert!(
            src.files().any(|file| file.path().starts_with(pure)),
            "PURE has {pure}, which does not exist"
        );
    }
    assert_nothing(&impure_code(&src));

    let wrong = Tree::new([
        ("src/duty/mod.rs", "async fn f() {}"),
        (
            "src/ledger/rules.rs",
            "use std::{collections::BTreeMap, fs};\nuse std::time::SystemTime;\n// tokio\n",
        ),
        ("src/ledger/judge.rs", "use tokio::sync::Mutex;"),
        ("src/signing_policy.rs", "fn f() { let _ = std::time::Instant::now(); let _ = \"tokio\"; }"),
    ]);
    assert_eq!(
        impure_code(&wrong),
        [
            "src/duty/mod.rs has `async `",
            "src/ledger/rules.rs has `std::fs`",
            "src/signing_policy.rs has `Instant::now`",
        ]
    );
}

#[test]
fn statuses_stand_in_one_file() {
    assert_nothing(&statuses_elsewhere(&Tree::of_this_crate()));

    let wrong = Tree::new([
        ("src/api/problem.rs", "fn f() { StatusCode::OK }"),
        ("src/api/sign.rs", "fn f() { StatusCode::OK }"),
        ("src/http/response.rs", "struct Response { status: StatusCode }"),
        (
            "src/signer/mod.rs",
            "use hyper::http::status::{StatusCode, InvalidStatusCode};\nuse hyper::StatusCode::*;",
        ),
    ]);
    assert_eq!(statuses_elsewhere(&wrong), ["src/api/sign.rs", "src/signer/mod.rs"]);
}

#[test]
fn the_transport_knows_neither_a_duty_nor_a_key() {
    assert_nothing(&what_the_transport_must_not_use(&Tree::of_this_crate()));

    let wrong = Tree::new([
        ("src/http/mod.rs", "use crate::config::Role;\nuse crate::{text, duty::Duty};"),
        ("src/http/guard.rs", "fn f(key: &crate::keys::Key) {}"),
        ("src/api/mod.rs", "use crate::duty::Duty;"),
    ]);
    assert_eq!(
        what_the_transport_must_not_use(&wrong),
        ["src/http/guard.rs uses keys", "src/http/mod.rs uses duty"]
    );
}

#[test]
fn unsafe_code_stands_in_sys() {
    assert_nothing(&unsafe_code_elsewhere(&Tree::of_this_crate()));

    let wrong = Tree::new([
        ("src/sys/memory.rs", "fn f() { unsafe { g() } }"),
        ("src/keys/mod.rs", "#![allow(unsafe_code)]\n"),
        ("src/bls/mod.rs", "/// unsafe\nfn f() { unsafe { g() } }"),
        ("src/text.rs", "const WORD: &str = \"unsafe\"; // unsafe"),
    ]);
    assert_eq!(unsafe_code_elsewhere(&wrong), ["src/bls/mod.rs", "src/keys/mod.rs"]);
}

#[test]
fn files_and_lines_have_a_readable_length_and_each_file_says_what_it_is() {
    assert_nothing(&unreadable_files(&Tree::of_this_crate()));

    let (long, wide) = ("//! Long.\n".repeat(401), format!("//! {}\n", "w".repeat(117)));
    let wrong = Tree::new([
        ("src/long.rs", long.as_str()),
        ("src/wide.rs", &wide),
        ("src/silent.rs", "use std::fmt;\n"),
        ("src/fine.rs", "//! Fine.\n"),
        ("src/keys/tests.rs", "\nuse super::*;\n"),
    ]);
    assert_eq!(
        unreadable_files(&wrong),
        [
            "src/keys/tests.rs: no module comment",
            "src/long.rs: 401 lines",
            "src/silent.rs: no module comment",
            "src/wide.rs:1: 121 columns",
        ]
    );
}

fn uses_that_run_up(tree: &Tree, layers: &[&str]) -> Vec<String> {
    let layer = |name: &str| layers.iter().position(|layer| *layer == name);
    let mut wrong = Vec::new();
    for file in tree.files().filter(|file| !file.is_test()) {
        let Some(own) = file.top() else { continue };
        let Some(own_layer) = layer(own) else {
            wrong.push(format!("{}: {own} has no place in LAYERS", file.path()));
            continue;
        };
        for used in file.used_tops() {
            if layer(&used).is_some_and(|used| used < own_layer) {
                wrong.push(format!("{} uses {used}, which is above it", file.path()));
            }
        }
    }
    wrong
}

fn impure_code(tree: &Tree) -> Vec<String> {
    let pure =
        tree.files().filter(|file| !file.is_test() && PURE.iter().any(|pure| file.path().starts_with(pure)));
    pure.flat_map(|file| {
        let named = IMPURE.iter().filter(|impure| file.names(impure));
        named.map(|impure| format!("{} has `{impure}`", file.path())).collect::<Vec<_>>()
    })
    .collect()
}

fn statuses_elsewhere(tree: &Tree) -> Vec<String> {
    tree.paths_where(|file| {
        !file.is_test()
            && !STATUSES.iter().any(|place| file.path().starts_with(place))
            && file.names("StatusCode::")
    })
}

fn what_the_transport_must_not_use(tree: &Tree) -> Vec<String> {
    let transport = tree.files().filter(|file| file.top() == Some("http") && !file.is_test());
    transport
        .flat_map(|file| {
            let mut used = file.used_tops();
            used.retain(|used| used != "http" && !TRANSPORT_USES.contains(&used.as_str()));
            used.into_iter().map(|used| format!("{} uses {used}", file.path())).collect::<Vec<_>>()
        })
        .collect()
}

fn unsafe_code_elsewhere(tree: &Tree) -> Vec<String> {
    tree.paths_where(|file| {
        !file.is_test()
            && !file.path().starts_with(UNSAFE)
            && (file.names("unsafe ") || file.names("allow(unsafe_code"))
    })
}

fn unreadable_files(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.files() {
        if !file.text().starts_with("//! ") {
            wrong.push(format!("{}: no module comment", file.path()));
        }
        let lines = file.text().lines().count();
        if lines > MAX_FILE_LINES {
            wrong.push(format!("{}: {lines} lines", file.path()));
        }
        for (number, line) in (1..).zip(file.text().lines()) {
            let columns = line.chars().count();
            if columns > MAX_LINE_COLUMNS {
                wrong.push(format!("{}:{number}: {columns} columns", file.path()));
            }
        }
    }
    wrong
}

fn assert_nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "rules of docs/architecture.md are broken:\n{}", wrong.join("\n"));
}
