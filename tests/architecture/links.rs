//! Links of the documents: each leads to a file of this tree, and to a heading in it where it names one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// What is wrong with the links of the Markdown files below `root`, sorted.
pub(crate) fn broken_links(root: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for document in documents(root) {
        let text = fs::read_to_string(root.join(&document)).unwrap();
        for target in targets(&text) {
            if let Err(reason) = resolve(root, &document, &text, target) {
                broken.push(format!("{}: {target}: {reason}", document.display()));
            }
        }
    }
    broken.sort();
    broken
}

/// The Markdown files that stand in the tree, by their paths in it.
fn documents(root: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 3] = ["target", "node_modules", "vendor"];
    let (mut documents, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name) {
                folders.push(path);
            } else if name.ends_with(".md") {
                documents.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    documents
}

/// Where the links `[text](target)` and pictures of a document lead, but for those into the web.
fn targets(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    });
    let links = lines.flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    links.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

fn resolve(root: &Path, document: &Path, text: &str, target: &str) -> Result<(), String> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        return has_heading(text, heading);
    }
    let mut place = document.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir if !place.pop() => return Err("it leads out of the tree".to_owned()),
            Component::ParentDir | Component::CurDir => {}
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::Prefix(_) => return Err("it is not relative".to_owned()),
        }
    }
    let place = root.join(place);
    match heading {
        "" if place.exists() => Ok(()),
        "" => Err("there is no such file".to_owned()),
        heading => match fs::read_to_string(&place) {
            Ok(text) => has_heading(&text, heading),
            Err(_) => Err("there is no such file".to_owned()),
        },
    }
}

fn has_heading(text: &str, heading: &str) -> Result<(), String> {
    let headings: BTreeSet<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    if headings.contains(heading) { Ok(()) } else { Err("there is no such heading".to_owned()) }
}

/// A heading as links name it: in small letters, hyphens for blanks, without punctuation.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
