//! `bls-signer demo`: it shows what it says, and the lines that it prints can be repeated.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::binary;

#[test]
fn with_once_it_ends_after_two_verified_signatures() {
    let output = Command::new(binary()).args(["demo", "--once"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shown.lines().filter(|line| line.starts_with("verified")).count(), 2, "{shown}");
    assert!(!shown.contains("Ctrl-C"), "{shown}");
}

#[test]
fn its_curl_lines_give_what_it_showed_until_it_is_interrupted() {
    let mut demo =
        Command::new(binary()).arg("demo").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut shown = Vec::new();
    for line in lines.by_ref() {
        let last = line.starts_with("It goes on serving");
        shown.push(line);
        if last {
            break;
        }
    }
    assert!(shown.last().unwrap().ends_with("until Ctrl-C."), "{shown:?}");
    // Who does not read to the end learns at once that there is none, and how to make one.
    assert!(shown[0].contains("Ctrl-C") && shown[0].contains("--once"), "{shown:?}");
    let commands: Vec<_> = shown.windows(2).filter(|pair| pair[0].starts_with("$ curl")).collect();
    assert_eq!(commands.len(), 3, "{shown:?}");
    for pair in commands {
        let output = Command::new("sh").args(["-c", &pair[0][2..]]).output().unwrap();
        // The key is there already when it is imported once more.
        let imported = pair[1].contains("imported");
        let expected = if imported { r#"{"data":[{"status":"duplicate"}]}"# } else { &pair[1] };
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), expected, "{}", pair[0]);
    }

    kill(Pid::from_raw(demo.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert!(demo.wait().unwrap().success());
    let words = shown.iter().flat_map(|line| line.split([' ', ';']));
    let mut words = words.filter(|word| word.starts_with("/tmp/") && !word.contains("."));
    let state = words.next_back().expect("its directory");
    assert!(!std::path::Path::new(state).exists(), "{state} was left behind");
}
