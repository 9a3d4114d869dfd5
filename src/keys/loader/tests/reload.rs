//! Files as they change under a running daemon.

use std::fs;

use super::*;

#[test]
fn a_reload_takes_in_new_and_changed_files_and_lets_vanished_ones_go() {
    let bench = Bench::new();
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        bench.add_keystore(name, number, "password");
    }
    let mut loader = bench.keystore_loader();
    bench.reload(&mut loader);
    assert_eq!(bench.signing(), [1, 2, 3]);

    bench.add_keystore("d", 4, "password");
    bench.add_keystore("b", 5, "password");
    fs::remove_file(bench.path("keys/c.json")).unwrap();
    let loaded = bench.reload(&mut loader);
    assert_eq!(loaded.leaving.len(), 2);
    assert_eq!(bench.signing(), [1, 4, 5]);
}

#[test]
fn a_reload_opens_nothing_that_has_not_changed() {
    let bench = Bench::new();
    bench.add_keystore("a", 1, "password");
    bench.add_keystore("b", 2, "password");
    let mut loader = bench.keystore_loader();
    bench.reload(&mut loader);
    // Without its passwords nothing could be opened again.
    fs::remove_dir_all(bench.path("passwords")).unwrap();
    fs::create_dir(bench.path("passwords")).unwrap();
    fs::rename(bench.path("keys/b.json"), bench.path("keys/renamed.json")).unwrap();
    for _ in 0..3 {
        let loaded = bench.reload(&mut loader);
        assert_problems(&loaded, &[]);
        assert!(loaded.leaving.is_empty());
    }
    assert_eq!(bench.signing(), [1, 2]);
}

#[test]
fn a_key_that_fails_to_load_is_served_on_until_its_file_is_gone() {
    let bench = Bench::new();
    bench.add_keystore("a", 1, "password");
    bench.add_keystore("b", 2, "password");
    let mut loader = bench.keystore_loader();
    bench.reload(&mut loader);

    bench.write("keys/a.json", "half of a file that is being writ");
    for _ in 0..2 {
        let loaded = bench.reload(&mut loader);
        assert_problems(&loaded, &[("a.json", "not valid JSON")]);
        assert_eq!(bench.signing(), [1, 2]);
    }
    bench.add_keystore("a", 1, "password");
    assert_problems(&bench.reload(&mut loader), &[]);
    assert_eq!(bench.signing(), [1, 2]);

    // The whole directory fails: nobody leaves.
    fs::rename(bench.path("keys"), bench.path("unmounted")).unwrap();
    let loaded = bench.reload(&mut loader);
    assert_problems(&loaded, &[("keys", "No such file")]);
    assert_eq!(bench.signing(), [1, 2]);

    fs::rename(bench.path("unmounted"), bench.path("keys")).unwrap();
    fs::remove_file(bench.path("keys/a.json")).unwrap();
    bench.reload(&mut loader);
    assert_eq!(bench.signing(), [2]);
}

#[test]
fn a_key_configuration_that_breaks_takes_no_key_away() {
    let bench = Bench::new();
    let raw = |number: u8| format!("type: file-raw\nprivateKey: \"{number:064x}\"\n");
    bench.write("configs/k.yaml", &format!("{}---\n{}---\n{}", raw(1), raw(2), raw(3)));
    let mut loader = bench.config_loader();
    bench.reload(&mut loader);
    assert_eq!(bench.signing(), [1, 2, 3]);
    // The second document is wrong now, the third has gone.
    bench.write("configs/k.yaml", &format!("{}---\ntype: file-raw\n", raw(1)));
    bench.reload(&mut loader);
    assert_eq!(bench.signing(), [1, 2]);
    bench.write("configs/k.yaml", "{");
    bench.reload(&mut loader);
    assert_eq!(bench.signing(), [1, 2]);
    fs::remove_file(bench.path("configs/k.yaml")).unwrap();
    bench.reload(&mut loader);
    assert!(bench.signing().is_empty());
}

#[test]
fn an_imported_key_stays_imported_when_a_file_has_it_too() {
    let bench = Bench::new();
    bench.ring.insert([Key::inherited(OpenedKey::new(bench.secret(1), None))]);
    bench.add_keystore("a", 1, "password");
    let mut loader = bench.keystore_loader();
    // It does not even enter: what is kept of an imported key on disk must not become a copy of the file.
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert!(loaded.entering.is_empty());
    let public_key = bench.secret(1).public_key();
    assert!(!bench.ring.key(&public_key).unwrap().is_readonly());
    // The file goes: the imported key does not.
    fs::remove_file(bench.path("keys/a.json")).unwrap();
    let loaded = bench.reload(&mut loader);
    assert!(loaded.leaving.is_empty());
    assert_eq!(bench.signing(), [1]);
    // The imported key goes while the file is back: the next reload serves the file's.
    bench.add_keystore("a", 1, "password");
    bench.reload(&mut loader);
    bench.ring.dismiss(&[public_key]);
    bench.reload(&mut loader);
    assert!(bench.ring.key(&public_key).unwrap().is_readonly());
}

#[test]
fn locked_memory_stays_flat_over_many_reloads() {
    let bench = Bench::new();
    bench.add_keystore("a", 1, "password");
    let mut loader = bench.keystore_loader();
    for round in 0..200 {
        bench.add_keystore("b", if round % 2 == 0 { 2 } else { 3 }, "password");
        bench.reload(&mut loader);
        assert_eq!(bench.signing().len(), 2);
    }
    assert_eq!(bench.importer.memory().used(), 2);
}

#[test]
fn a_mounted_secret_is_read_through_its_links_and_again_when_it_is_exchanged() {
    let bench = Bench::new();
    let exchange = |version: &str, number: u8| {
        for directory in ["keys", "passwords"] {
            let at = |name: &str| bench.path(&format!("{directory}/{name}"));
            let (name, content) = match directory {
                "keys" => ("key.json", bench.keystore(number, "password")),
                _ => ("key.txt", "password".to_owned()),
            };
            fs::create_dir(at(&format!("..{version}"))).unwrap();
            fs::write(at(&format!("..{version}/{name}")), content).unwrap();
            symlink(format!("..{version}"), at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
            if !at(name).exists() {
                symlink(format!("..data/{name}"), at(name)).unwrap();
            }
        }
    };
    exchange("first", 1);
    let mut loader = bench.keystore_loader();
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_problems(&loaded, &[]);
    assert_eq!((bench.numbers(&loaded), loaded.passed_over.paths.len()), (vec![1], 0));
    loaded.apply(&bench.ring);

    exchange("second", 2);
    let loaded = bench.reload(&mut loader);
    assert_problems(&loaded, &[]);
    assert_eq!(bench.signing(), [2]);
}
