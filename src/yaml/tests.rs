//! The reader held against YAML by hand, and against anything that looks like it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Every document of a text: for each name asked for, its text, or what is wrong.
fn read(text: &str, names: &[&str]) -> Vec<Result<Vec<Option<String>>, String>> {
    let read = |document: Result<Mapping<'_>, YamlError>| -> Result<Vec<_>, YamlError> {
        let document = document?;
        names.iter().map(|name| Ok(document.text(name)?.map(|text| text.to_string()))).collect()
    };
    documents(text).map(|document| read(document).map_err(|error| error.to_string())).collect()
}

/// The text of `k` in a text of one document.
fn k(text: &str) -> Result<Option<String>, String> {
    let documents = read(text, &["k"]);
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.into_iter().next().unwrap().map(|mut texts| texts.remove(0))
}

#[test]
fn every_way_to_write_a_text_is_understood() {
    for (text, said) in [
        ("k: v", "v"),
        ("k: v # comment", "v"),
        ("k:    v#no comment  ", "v#no comment"),
        ("k:\tv", "v"),
        ("k: v\r\nother: x\r\n", "v"),
        ("k: v\rother: x", "v"),
        ("\"k\": v", "v"),
        ("'k' : v", "v"),
        ("\"\\x6b\": v", "v"),
        ("  k: v\n  l: w", "v"),
        ("k: 0x00000000219ab540356cbb839cbe05303d7705fa", "0x00000000219ab540356cbb839cbe05303d7705fa"),
        ("k: -1", "-1"),
        ("k: http://x:1/y?z", "http://x:1/y?z"),
        ("k: it's", "it's"),
        ("k: 'it''s'", "it's"),
        ("k: ''", ""),
        ("k: \"~\"", "~"),
        ("k: 'null'", "null"),
        ("k: 'a # b: c'", "a # b: c"),
        ("k: \"a\\tb\\x41\\u00e9\\U0001F600\\\\ \\\"\\/\"", "a\tbA\u{e9}\u{1f600}\\ \"/"),
        ("k: !!str 12", "12"),
        ("k: &anchor v", "v"),
        ("k: &a !t \"v\" # c", "v"),
        ("&a k: v", "v"),
        ("k:\n  v", "v"),
        ("k:\n  # comment\n\n  v\nl: w", "v"),
        ("k: a\n  b\n\n  c\nl: w", "a b\nc"),
        ("k: \"a\n  b\"", "a b"),
        ("k: \"a\\\n  b\"", "ab"),
        ("k: 'a\n\n  b'", "a\nb"),
        ("k: |\n  a\n   b\n\nl: w", "a\n b\n"),
        ("k: |-\n  a\n  b\n", "a\nb"),
        ("k: |+\n  a\n\n", "a\n\n"),
        ("k: >-\n  a\n  b\n\n  c\n", "a b\nc"),
        ("k: >\n  a\n    deep\n  b", "a\n  deep\nb\n"),
        ("k: |2-\n    a\n", "  a"),
        ("k: | # comment\n  # text\n", "# text\n"),
        ("{k: v}", "v"),
        ("{\"k\":\"v\"}", "v"),
        ("{ l: [1, {a: 'b]'}], k: v w , m: x } # c\n", "v w"),
        ("{k: v, # comment\n l: w\n}", "v"),
        ("{k: \"a\n b\"}", "a b"),
        ("---\nk: v\n...\n", "v"),
        ("--- # comment\nk: v", "v"),
        ("--- !tag\nk: v", "v"),
        ("--- {k: v}", "v"),
        ("%YAML 1.2\n---\nk: v", "v"),
        ("\u{feff}k: v", "v"),
        ("\u{feff}# c\n\u{feff}---\nk: v", "v"),
        ("l: [a, it's, 'b]', \"]\", {x: y}]\nk: v", "v"),
        ("l: [a,\nb]\nk: v", "v"),
        ("l:\n- a: 1\n  b: [\n- c\n\n# d\nk: v", "v"),
        ("l:\n  \"x\": {\n  k: w\nk: v", "v"),
        ("l:\n  'x\nk: v", "v"),
        ("l: |\n  k: w\n k: w\nk: v", "v"),
        ("l: *alias\nk: v", "v"),
        ("l:\nk: v", "v"),
        ("l: a\nl: b\nk: v", "v"),
    ] {
        let expected = match text {
            // What is below a name is only passed over where its end can be seen.
            "l:\n  'x\nk: v" => Err("it is not valid YAML at line 2: a quote is not closed".to_owned()),
            "l: |\n  k: w\n k: w\nk: v" => {
                Err("it is not valid YAML at line 3: its indentation is not that of the names above it"
                    .to_owned())
            }
            _ => Ok(Some(said.to_owned())),
        };
        assert_eq!(k(text), expected, "{text:?}");
    }
}

#[test]
fn nothing_and_null_are_no_text() {
    for text in
        ["l: v", "k:", "k: # c", "k: ~", "k: null", "k: NULL\nl: x", "k: !!null", "{k: , l: x}", "{k}"]
    {
        assert_eq!(k(text), Ok(None), "{text:?}");
    }
}

#[test]
fn documents_are_told_apart_and_empty_ones_passed_over() {
    let text = "\u{feff}---\n# nothing\n---\nk: 1\n---\n\n---\nk: |\n  ---\n--- {k: 3}\n...\n\
                %YAML 1.2\n---\nk: 4\n...\nk: 5\n---";
    let texts: Vec<_> =
        read(text, &["k"]).into_iter().map(|texts| texts.unwrap().remove(0).unwrap()).collect();
    assert_eq!(texts, ["1", "---\n", "3", "4", "5"]);
    for nothing in ["", "\n\n", "# c", "---", "---\n---\n...\n", "\u{feff}", "\u{feff}\u{feff}\n"] {
        assert_eq!(read(nothing, &[]), [], "{nothing:?}");
    }
}

#[test]
fn what_is_not_read_is_named_with_its_line() {
    for (text, said) in [
        ("k: *a", "k is an alias (*), which is not followed: write its value as a text"),
        ("a: &a v\nk: *a # c", "k is an alias"),
        ("{k: *a}", "k is an alias"),
        ("k: [v]", "k is a list"),
        ("k:\n- v", "k is a list"),
        ("k:\n  - v", "k is a list"),
        ("k: {a: b}", "k is a mapping"),
        ("k:\n  a: b", "k is a mapping"),
        ("k:\n  \"a\": b", "k is a mapping"),
        ("k: v\nk: v", "k is given twice"),
        ("k: \"\\q\"", "k has an escape that YAML does not know"),
        ("k: \"\\ud800\"", "k has an escape"),
        ("k: \"\\u12\"", "k has an escape"),
        ("[*a]", "it is no mapping of names to values (line 1)"),
        ("\n- a", "no mapping of names to values (line 2)"),
        ("text", "no mapping"),
        ("\"text\"", "no mapping"),
        ("--- text", "no mapping"),
        ("k: v\ntext", "not valid YAML at line 2: it has no name and colon"),
        ("k: v\n  l: w", "line 2: there is a second colon"),
        ("k: a: b", "line 1: there is a second colon"),
        ("k: 'a' b", "line 1: there is something after its value"),
        ("k: [a] b", "there is something after its value"),
        ("k: v\n l: w\n", "line 2"),
        ("  k: v\nl: w", "line 2: its indentation"),
        ("k: 'a\nl: b", "line 1: a quote is not closed"),
        ("k: \"a\nl: b\"", "line 1: its text goes on in a line that is not indented"),
        ("k: [a, {b]", "closes what another kind has opened"),
        ("k: [a", "line 1: a bracket is not closed"),
        ("{k: a", "a comma or a brace is missing"),
        ("{k: [a]", "a comma or a brace is missing"),
        ("{", "a brace is not closed"),
        ("{k: a} b", "there is something after its value"),
        ("{k: a}\nb: c", "line 2: there is something after the closing brace"),
        ("? k\n: v", "begins with a character that no name begins with"),
        ("*a : v", "begins with a character that no name begins with"),
        ("<<: *a\nk: v", "merge key"),
        ("{<<: *a, k: v}", "merge key"),
        ("k: @v", "put it in quotes"),
        ("k: `v`", "put it in quotes"),
        ("k: %v", "put it in quotes"),
        ("k: - v", "a list begins on the line of its name"),
        ("\tk: v\nl: w", "line 2"),
    ] {
        let error = k(text).unwrap_err();
        assert!(error.contains(said), "{text:?}: {error}");
    }
}

#[test]
fn no_size_or_depth_matters() {
    let deep = format!("l: {}{}\nk: v", "[".repeat(1_001), "]".repeat(1_001));
    assert!(k(&deep).unwrap_err().contains("nested too deeply"));
    let deep: String = (0..5_000).map(|depth| format!("{}l:\n", " ".repeat(depth % 300))).collect();
    assert!(!read(&deep, &["k"]).is_empty());
    let wide: String = (0..10_001).map(|number| format!("m{number}: 1\n")).collect();
    assert!(k(&wide).unwrap_err().contains("more than 10000 members"));
    for part in [
        "- ", "[", "{", "\"", "'", ": ", "\n", "a: [", "? ", "|\n", "&a ", "!", "*", "---\n", "\\", "#",
        "\u{feff}",
    ] {
        for start in ["", "k: ", "k:\n  ", "k: |\n  ", "k: \"", "{k: ", "[", "--- "] {
            read(&format!("{start}{}", part.repeat(20_000)), &["k"]);
        }
    }
}

#[test]
fn a_text_borrows_from_the_document_unless_it_has_to_be_put_together() {
    for (text, is_borrowed) in [("k: v", true), ("k: 'v'", true), ("k: \"v\"", true), ("k: \"\\x41\"", false)]
    {
        let document = documents(text).next().unwrap().ok().unwrap();
        let text = document.text("k").unwrap().unwrap();
        assert_eq!(matches!(text, Text::Borrowed(_)), is_borrowed);
    }
}

/// Real files in small, whose parts are put together at random.
const SEEDS: [&str; 4] = [
    "# Mainnet config\nPRESET_BASE: 'mainnet'\nGENESIS_FORK_VERSION: 0x00000000\nTERMINAL_TOTAL_DIFFICULTY: \
     58750000000000000000000\nBLOB_SCHEDULE:\n  - EPOCH: 412672\n    MAX_BLOBS_PER_BLOCK: 15\n",
    "---\ntype: file-raw\nkeyType: BLS\nprivateKey: \"0x00\"\n---\ntype: file-keystore\nkeystoreFile: a.json\n",
    "{\"type\": \"file-raw\", \"privateKey\": '0x00', \"x\": [1, {\"y\": null}]}\n",
    "k: &a >-\n  text\n  more\nl: *a\nm: !!str \"a\\\n  b\\u0041\"\n? n\n: o\n...\n%YAML 1.2\n",
];

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answered(&text);
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        answered(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn anything_made_of_what_yaml_is_made_of_is_answered(
        text in "[-:?,{}\\[\\]#&*!|>'\"%@` \n\t\r\\\\a0~<.\u{feff}\u{e9}]{0,60}"
    ) {
        answered(&text);
    }

    #[test]
    fn real_files_with_anything_changed_are_answered(
        seed in 0..SEEDS.len(), other in 0..SEEDS.len(),
        cuts in vec((
            any::<prop::sample::Index>(), 0_usize..12,
            "[-:?,{}\\[\\]#&*!|>'\"% \n\t\\\\a\u{feff}]{0,4}",
        ), 1..8)
    ) {
        let mut text: Vec<char> = format!("{}{}", SEEDS[seed], SEEDS[other]).chars().collect();
        for (at, length, put) in cuts {
            let at = at.index(text.len() + 1);
            let end = text.len().min(at + length);
            text.splice(at..end, put.chars());
        }
        answered(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_text_in_quotes_comes_back(text in "[^\u{0}\r\n]{0,40}") {
        let single = format!("k: '{}'", text.replace('\'', "''"));
        prop_assert_eq!(k(&single), Ok(Some(text.clone())));
        let double = format!("{{\"k\": {}}}", serde_json::to_string(&text).unwrap());
        prop_assert_eq!(k(&double), Ok(Some(text)));
    }
}

fn answered(text: &str) {
    let names = ["k", "type", "privateKey", "PRESET_BASE", "l", "m", "a"];
    let documents = read(text, &names);
    assert!(documents.len() <= text.len());
    for error in documents.iter().filter_map(|document| document.as_ref().err()) {
        assert!(!error.is_empty() && error.len() < 200 && !error.contains(char::is_control), "{error}");
    }
    for text_of in documents.into_iter().flatten().flatten().flatten() {
        assert!(text_of.len() <= text.len() * 2);
    }
}
