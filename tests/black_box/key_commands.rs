//! `bls-signer keys`: keys of a running daemon, in and out.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{
    Daemon, Key, LAYOUTS, Setup, attestation, command, json_of, on, randao_reveal, said, socket, text,
};

#[test]
fn keys_are_imported_from_a_directory_listed_and_deleted() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let keys: Vec<_> = (1..=20).map(Key::number).collect();
    let directory = daemon.directory().join("keystores");
    fs::create_dir(&directory).unwrap();
    for (number, key) in keys.iter().enumerate() {
        fs::write(directory.join(format!("keystore-{number:02}.json")), key.keystore("open sesame")).unwrap();
    }
    fs::write(directory.join("deposit_data-1.json"), "[]").unwrap();
    fs::write(daemon.directory().join("password"), "open sesame\n").unwrap();

    let imported = on(&daemon, &["keys", "import", "keystores", "--passwords", "password", "--json"]);
    assert!(imported.status.success(), "{imported:?}");
    let results = json_of(&imported);
    assert_eq!(results.as_array().unwrap().len(), keys.len());
    for (result, key) in results.as_array().unwrap().iter().zip(&keys) {
        assert_eq!((&result["status"], &result["pubkey"]), (&json!("imported"), &json!(key.name())));
    }

    let listed = on(&daemon, &["keys", "list"]);
    let mut names: Vec<_> = keys.iter().map(Key::name).collect();
    names.sort();
    let lines = text(&listed).lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines[0].starts_with("PUBLIC KEY") && lines[0].contains("SOURCE"), "{lines:?}");
    let shown: Vec<_> = lines[1..].iter().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let expected: Vec<_> = names.iter().map(|name| vec![&**name, "imported", "m/12381/3600/0/0/0"]).collect();
    assert_eq!(shown, expected);
    assert_eq!(daemon.sign(&keys[3], &randao_reveal(1)).status, 200);
    let signed = keys.iter().find(|key| key.name() == names[0]).unwrap();
    assert_eq!(daemon.sign(signed, &attestation(32, 2, 4, 1)).status, 200);

    let deleted =
        on(&daemon, &["keys", "delete", &names[0], &names[1], "--yes", "--history", "history.json"]);
    assert!(deleted.status.success(), "{deleted:?}");
    assert_eq!(daemon.public_keys(), names[2..]);
    let history: Value =
        serde_json::from_slice(&fs::read(daemon.directory().join("history.json")).unwrap()).unwrap();
    assert_eq!(history["metadata"]["interchange_format_version"], "5");
    assert_eq!(history["data"].as_array().unwrap().len(), 1, "the other one has never signed");
    assert_eq!(history["data"][0]["pubkey"], names[0]);
}

#[test]
fn a_wrong_password_is_told_for_its_keystore_and_stops_no_other() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    fs::create_dir(daemon.directory().join("passwords")).unwrap();
    for (name, password) in [("a", "right"), ("b", "wrong"), ("c", "right")] {
        let key = Key::number(name.as_bytes()[0].into());
        fs::write(daemon.directory().join(format!("{name}.json")), key.keystore("right")).unwrap();
        fs::write(daemon.directory().join(format!("passwords/{name}.txt")), password).unwrap();
    }
    let imported = on(&daemon, &["keys", "import", "a.json", "b.json", "c.json", "--passwords", "passwords"]);
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    let statuses: Vec<_> =
        text(&imported).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["imported", "imported", "error"], "what failed stands last");
    assert!(text(&imported).contains("b.json"));
    assert!(said(&imported).contains("1 of 3"));
    assert!(!format!("{imported:?}").contains("right"));
}

#[test]
fn what_is_no_keystore_or_has_no_password_is_told_and_stops_no_other() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let [keystores, passwords] = ["keystores", "passwords"].map(|name| daemon.directory().join(name));
    for directory in [&keystores, &passwords] {
        fs::create_dir(directory).unwrap();
    }
    for number in 1..=20 {
        let name = format!("keystore-{number:02}");
        fs::write(keystores.join(&name).with_extension("json"), Key::number(number).keystore("right"))
            .unwrap();
        fs::write(passwords.join(&name).with_extension("txt"), "right").unwrap();
    }
    fs::remove_file(passwords.join("keystore-02.txt")).unwrap();
    fs::write(keystores.join("keystore-03.json"), "{\"crypto\": ").unwrap();
    fs::write(keystores.join("keystore-04.json"), "{\"version\": 4}").unwrap();
    fs::write(keystores.join("keystore-05.json"), [0xFF, 0xFE]).unwrap();
    fs::write(keystores.join("backup.json"), "").unwrap();
    fs::write(keystores.join("deposit_data-1.json"), "[{\"pubkey\": \"ab\"}]").unwrap();

    let imported = on(&daemon, &["keys", "import", "keystores", "--passwords", "passwords", "--json"]);
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    assert!(said(&imported).contains("5 of 21"), "{imported:?}");
    let rows = json_of(&imported);
    let of_file = |name: &str| {
        let of = |row: &&Value| row["file"].as_str().is_some_and(|file| file.ends_with(name));
        rows.as_array().unwrap().iter().find(of).unwrap_or(&Value::Null).clone()
    };
    for (name, reason) in [
        ("keystore-02.json", "neither keystore-02.txt nor keystore-02"),
        ("keystore-03.json", "no JSON"),
        ("keystore-04.json", "no EIP-2335 keystore"),
        ("keystore-05.json", "keystore-05.json"),
        ("backup.json", "no JSON"),
    ] {
        assert_eq!(of_file(name)["status"], "error", "{name}: {rows:#}");
        assert!(of_file(name)["message"].as_str().unwrap().contains(reason), "{name}: {rows:#}");
    }
    assert_eq!(of_file("deposit_data-1.json"), Value::Null);
    assert_eq!(daemon.public_keys().len(), 16);
}

#[test]
fn the_directories_of_validator_clients_are_imported_as_they_are() {
    for layout in LAYOUTS {
        let daemon = Daemon::start(&["--network", "minimal"]);
        let keys = [1, 2, 3].map(Key::number);
        let [keystores, passwords] = layout.lay_out(daemon.directory(), &keys);
        let imported = on(&daemon, &["keys", "import", &keystores, "--passwords", &passwords, "--json"]);
        assert!(imported.status.success(), "{layout:?}: {imported:?}");
        let mut names = keys.each_ref().map(Key::name);
        names.sort();
        assert_eq!(daemon.public_keys(), names, "{layout:?}");
        assert_eq!(said(&imported), "", "{layout:?}: nothing worth a word was passed over");
    }
}

#[test]
fn commands_read_the_daemon_s_own_form_of_the_token_file_and_carry_the_token_of_the_routes_they_ask() {
    let setup = Setup::new().args(&["--network", "minimal"]);
    let [signing, keymanager] = ["signing", "keymanager"].map(|role| {
        let path = setup.file(role, &format!("0123456789abcdef-{role}"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("{role}={}", path.display())
    });
    let both = format!("{signing},{keymanager}");
    let daemon = setup.args(&["--auth-token-file", &both]).start();
    let listed = |flags: &[&str], variable: &str| {
        let address = socket(&daemon);
        let arguments = [&["keys", "list", "--connect", &address], flags].concat();
        command(daemon.directory(), &arguments).env("BLS_SIGNER_AUTH_TOKEN_FILE", variable).output().unwrap()
    };
    for (flags, variable) in [
        (&[][..], both.as_str()),
        (&[], &keymanager),
        (&["--auth-token-file", &signing, "--auth-token-file", &keymanager], ""),
        (&["--auth-token-file", "keymanager"], &signing),
    ] {
        let listed = listed(flags, variable);
        assert!(listed.status.success(), "{flags:?} {variable}: {listed:?}");
    }
    for (flags, variable) in
        [(&[][..], ""), (&[], signing.as_str()), (&["--auth-token-file", "signing"], &both)]
    {
        assert!(!listed(flags, variable).status.success(), "{flags:?} {variable}");
    }
    let unread = listed(&[], "keymanager=");
    assert!(said(&unread).contains("BLS_SIGNER_AUTH_TOKEN_FILE"), "{unread:?}");
}

#[test]
fn a_history_goes_with_its_keys_and_a_foreign_one_stops_the_import() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    fs::write(daemon.directory().join("k.json"), key.keystore("p")).unwrap();
    fs::write(daemon.directory().join("p"), "p").unwrap();
    let root = format!("0x{}", "22".repeat(32));
    let history = |pubkey: &str| {
        let data = json!([{"pubkey": pubkey, "signed_blocks": [], "signed_attestations":
            [{"source_epoch": "5", "target_epoch": "9"}]}]);
        json!({"metadata": {"interchange_format_version": "5", "genesis_validators_root": root}, "data": data})
    };
    let file = daemon.directory().join("history.json");
    let import = ["keys", "import", "k.json", "--passwords", "p", "--slashing-protection", "history.json"];

    fs::write(&file, history(&Key::number(2).name()).to_string()).unwrap();
    let refused = on(&daemon, &import);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&key.name()), "{refused:?}");
    assert_eq!(daemon.public_keys(), Vec::<String>::new());

    let unreadable = history(&key.name()).to_string().replace("\"9\"", "\"nine\"");
    fs::write(&file, unreadable).unwrap();
    let refused = on(&daemon, &import);
    assert_eq!(refused.status.code(), Some(1));
    let message = said(&refused);
    assert!(message.contains(&key.name()) && message.contains("nine"), "{refused:?}");
    assert_eq!(daemon.public_keys(), Vec::<String>::new());

    let twice_encoded = json!(history(&key.name()).to_string()).to_string();
    fs::write(&file, format!("{twice_encoded}{}", " ".repeat(1 << 20))).unwrap();
    let refused = on(&daemon, &import);
    assert_eq!(refused.status.code(), Some(1));
    let message = said(&refused);
    assert!(message.contains("history.json") && message.contains("encoded twice"), "{message}");
    assert!(message.len() < 1_000, "{message}");

    fs::write(&file, format!("\u{feff}{}", history(&key.name()))).unwrap();
    let imported = on(&daemon, &import);
    assert!(imported.status.success(), "{imported:?}");
    let mut old = attestation(72, 5, 9, 1);
    old["fork_info"]["genesis_validators_root"] = json!(root);
    assert_eq!(daemon.sign(&key, &old).status, 412);
}

#[test]
fn nothing_is_deleted_when_the_history_cannot_be_saved() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let key = Key::number(1);
    daemon.import(&[&key]);
    fs::write(daemon.directory().join("taken.json"), "precious").unwrap();
    for history in ["taken.json", "nonexistent/h.json"] {
        let deleted = on(&daemon, &["keys", "delete", &key.name(), "--yes", "--history", history]);
        assert_eq!(deleted.status.code(), Some(1), "{deleted:?}");
        assert_eq!(daemon.public_keys(), [key.name()]);
    }
    assert_eq!(fs::read_to_string(daemon.directory().join("taken.json")).unwrap(), "precious");
}

#[test]
fn a_deletion_without_a_history_leaves_no_file_and_an_unknown_key_is_told() {
    let daemon = Daemon::start(&["--network", "minimal"]);
    let [here, elsewhere] = [1, 2].map(Key::number);
    daemon.import(&[&here]);
    let delete = |key: &Key| on(&daemon, &["keys", "delete", &key.name(), "--yes", "--history", "h.json"]);
    let file = daemon.directory().join("h.json");

    for _ in 0..2 {
        let unknown = delete(&elsewhere);
        assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
        assert!(text(&unknown).starts_with("not_found"), "{unknown:?}");
        assert!(said(&unknown).contains("1 of 1 keys") && said(&unknown).contains("unknown"), "{unknown:?}");
        assert!(!file.exists());
    }
    let never_signed = delete(&here);
    assert!(never_signed.status.success(), "{never_signed:?}");
    assert_eq!((text(&never_signed).starts_with("deleted"), file.exists()), (true, false));

    daemon.import(&[&here]);
    assert_eq!(daemon.sign(&here, &attestation(32, 2, 4, 1)).status, 200);
    assert!(delete(&here).status.success());
    let history = fs::read_to_string(&file).unwrap();
    assert!(history.contains(&here.name()));
    let again = delete(&here);
    assert_eq!(again.status.code(), Some(1), "a history is never replaced: {again:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), history);
}
