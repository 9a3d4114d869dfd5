//! The source tree as text: its files, and the paths that they name.

use std::collections::BTreeSet;
use std::fs;

/// A path of modules and items from the crate's root, such as `["ledger", "rules", "Verdict"]`.
pub(crate) type Path = Vec<String>;

/// The files of `src`, sorted.
pub(crate) struct Tree(Vec<File>);

impl Tree {
    pub(crate) fn of_this_crate() -> Self {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let (mut files, mut folders) = (Vec::new(), vec![root.join("src")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let inside = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    files.push((inside, fs::read_to_string(&path).unwrap()));
                }
            }
        }
        assert!(files.len() > 100, "the tree is not where it was built");
        Self::new(files.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }

    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut files: Vec<_> = files.into_iter().map(|(path, text)| File::new(path, text)).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self(files)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    pub(crate) fn paths_where(&self, matches: impl Fn(&File) -> bool) -> Vec<String> {
        self.files().filter(|file| matches(file)).map(|file| file.path.clone()).collect()
    }
}

pub(crate) struct File {
    path: String,
    text: String,
    /// The text without comments, literals and tests.
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: without_tests(&without_prose(text)) }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether all of it is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// Its path as a module: `src/ledger/mod.rs` is `ledger`; the crate's root is empty.
    pub(crate) fn module(&self) -> Path {
        let inside = self.path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let mut names: Path = inside.split('/').map(str::to_owned).collect();
        if ["mod", "lib", "main"].contains(&names.last().unwrap().as_str()) {
            names.pop();
        }
        names
    }

    /// The top-level module that it belongs to; none for the crate's roots.
    pub(crate) fn top(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!["lib", "main"].contains(&name)).then_some(name)
    }

    /// The top-level modules that it names, its own excepted.
    pub(crate) fn used_tops(&self) -> BTreeSet<String> {
        let mut tops: BTreeSet<_> =
            self.used_paths().into_iter().filter_map(|path| path.into_iter().next()).collect();
        tops.retain(|top| Some(top.as_str()) != self.top());
        tops
    }

    /// The paths that begin with `crate::`, `super::` or `self::`, from the root.
    pub(crate) fn used_paths(&self) -> BTreeSet<Path> {
        let mut parent = self.module();
        parent.pop();
        [("crate::", Vec::new()), ("super::", parent), ("self::", self.module())]
            .into_iter()
            .flat_map(|(anchor, base)| self.paths_after(anchor, &base))
            .collect()
    }

    /// Whether the code has this text at the start of a word, be it as a path through a group: `std::{fs, io}` has
    /// `std::fs`.
    pub(crate) fn names(&self, wanted: &str) -> bool {
        if let Some((anchor, item)) = wanted.split_once("::").filter(|(_, item)| !item.is_empty()) {
            let path = item.trim_end_matches("::");
            let found = self.paths_after(&format!("{anchor}::"), &[]);
            return found.iter().any(|found| found.first().is_some_and(|first| first == path));
        }
        let starts_word =
            |(at, _): (usize, _)| !wanted.starts_with(is_name) || !ends_in_name(&self.code[..at]);
        self.code.match_indices(wanted).any(starts_word)
    }

    /// The paths behind each `anchor` in the code that begins a path or a word.
    fn paths_after(&self, anchor: &str, base: &[String]) -> BTreeSet<Path> {
        let mut paths = BTreeSet::new();
        for (at, _) in self.code.match_indices(anchor) {
            let before = &self.code[..at];
            let continues = anchor_is_relative(anchor) && before.ends_with("::");
            if ends_in_name(before) || continues {
                continue;
            }
            let (mut base, mut rest) = (base.to_vec(), &self.code[at + anchor.len()..]);
            while let Some(up) = rest.strip_prefix("super::") {
                base.pop();
                rest = up;
            }
            expand(&base, rest, &mut paths);
        }
        paths
    }
}

/// Whether a path that begins so must not stand behind another one: `super::super::` is one path.
fn anchor_is_relative(anchor: &str) -> bool {
    ["crate::", "super::", "self::"].contains(&anchor)
}

/// Adds each path of a use tree: `a::{b, c::d}` below `base` is `base::a::b` and `base::a::c::d`.
fn expand(base: &[String], tree: &str, paths: &mut BTreeSet<Path>) {
    let mut path = base.to_vec();
    let mut rest = tree.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            group_members(group).into_iter().for_each(|member| expand(&path, member, paths));
            return;
        }
        let name: String = rest.chars().take_while(|char| is_name(*char)).collect();
        rest = &rest[name.len()..];
        if !name.is_empty() && name != "self" {
            path.push(name);
        }
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
    }
    paths.insert(path);
}

/// The members of a braced group, of which the text begins behind its opening brace.
fn group_members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0_usize, 0, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

fn is_name(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn ends_in_name(text: &str) -> bool {
    text.ends_with(|char| is_name(char) || char == '$')
}

/// The text without comments and without the insides of its literals.
fn without_prose(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let prose = prose_length(rest, ends_in_name(&code));
        if prose == 0 {
            code.push(char);
            rest = &rest[char.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[prose..];
        }
    }
    code
}

/// The length of the comment or literal that the text begins with, in bytes; 0 if it begins with neither.
fn prose_length(text: &str, in_name: bool) -> usize {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("*/", 2);
    }
    if text.starts_with('r') && !in_name {
        let hashes = text[1..].chars().take_while(|char| *char == '#').count();
        if text[1 + hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    let quote = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => quote,
        _ => return 0,
    };
    let mut chars = text.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            _ if char == quote => return at + 1,
            // Neither an escape nor a quote behind one character: a lifetime.
            _ if quote == '\'' && !text[at + char.len_utf8()..].starts_with('\'') => return 0,
            _ => {}
        }
        // Behind an escape, such as '\u{7f}', a character literal goes on to its quote.
        if quote == '\'' && char == '\\' {
            return until("'", at + 2);
        }
    }
    text.len()
}

/// The code without the items that are compiled for tests only.
fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        kept.push_str(&rest[..at]);
        rest = &rest[at + TEST.len()..];
        let mut depth = 0_usize;
        let end = rest.char_indices().find(|(_, char)| match char {
            '{' => {
                depth += 1;
                false
            }
            '}' => {
                depth = depth.saturating_sub(1);
                depth == 0
            }
            ';' => depth == 0,
            _ => false,
        });
        rest = end.map_or("", |(at, _)| &rest[at + 1..]);
    }
    kept + rest
}

#[test]
fn paths_are_read_out_of_groups_parents_and_code() {
    let text = "use crate::x::{y, z::{self, w}};\nuse super::c::D;\n\
                fn f() { crate::q::r(); super::super::s(); $crate::t }";
    let used: Vec<_> =
        File::new("src/a/b.rs", text).used_paths().iter().map(|path| path.join("::")).collect();
    assert_eq!(used, ["a::c::D", "q::r", "s", "x::y", "x::z", "x::z::w"]);
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let text = r##"a // crate::comment
        /* crate::block */ b "crate::text \" crate::text" c r#"crate::" raw"# d '"' e '\'' f '\u{22}' g<'life>('x')
        #[cfg(test)] #[path = "x"] mod tests; h
        #[cfg(test)]
        mod more { fn f() { if true { crate::test() } } }
        i"##;
    let code = File::new("src/a.rs", text).code;
    assert_eq!(code.split_whitespace().collect::<String>(), "abcdefg<'life>()hi");
}
