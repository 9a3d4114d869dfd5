//! Directories as operators have them, as attackers leave them.

mod reload;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::Mutex;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;
use crate::keys::eth2_keystore::{KdfCost, encrypt};
use crate::keys::{KdfLimits, KdfPool};
use crate::sys::locked_memory::LockedMemory;

#[test]
fn loads_keystores_with_a_password_file_each_or_one_for_all() {
    let one_each = Bench::new();
    one_each.add_keystore("a", 1, "first\n");
    one_each.add_keystore("b", 2, "second");
    assert_eq!(one_each.start(), [1, 2]);

    let shared = Bench::new();
    shared.write("keys/a.json", &shared.keystore(1, "same"));
    shared.write("keys/b.json", &shared.keystore(2, "same"));
    shared.write("password", "same\r\n");
    let source = Source::Keystores { directory: shared.path("keys"), passwords: shared.path("password") };
    let loaded = shared.loader(vec![source]).load(&shared.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_eq!(shared.numbers(&loaded), [1, 2]);
}

#[test]
fn keys_from_files_are_read_only_and_keep_their_derivation_path() {
    let bench = Bench::new();
    let keystore = encrypt(&bench.secret(4), "password", KdfCost::Light, Some("m/12381/3600/4/0/0")).unwrap();
    bench.write("keys/x.json", &keystore);
    bench.write("passwords/x.txt", "password");
    assert_eq!(bench.start(), [4]);
    let key = bench.ring.key(&bench.secret(4).public_key()).unwrap();
    assert!(key.is_readonly());
    assert_eq!(key.derivation_path(), Some("m/12381/3600/4/0/0"));
}

#[test]
fn one_bad_file_stops_no_other_and_is_named_with_its_reason() {
    let bench = Bench::new();
    bench.add_keystore("good", 1, "password");
    bench.add_keystore("wrong", 2, "password");
    bench.write("passwords/wrong.txt", "other");
    bench.write("keys/orphan.json", &bench.keystore(3, "password"));
    bench.write("keys/broken.json", "{");
    bench.write("keys/binary.json", "");
    fs::write(bench.path("keys/binary.json"), [0xff, 0xff]).unwrap();
    bench.write("passwords/broken.txt", "password");
    bench.write("passwords/binary.txt", "password");
    let mut loader = bench.keystore_loader();
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_eq!(bench.numbers(&loaded), [1]);
    assert_problems(
        &loaded,
        &[
            ("binary.json", "not UTF-8"),
            ("broken.json", "not valid JSON"),
            ("orphan.json", "neither orphan.txt nor orphan"),
            ("wrong.json", "wrong password"),
        ],
    );
}

#[test]
fn a_password_file_that_every_user_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    for (name, number, mode) in [("shared", 1, 0o660), ("open", 2, 0o602)] {
        bench.add_keystore(name, number, "password");
        let passwords = bench.path(&format!("passwords/{name}.txt"));
        fs::set_permissions(passwords, fs::Permissions::from_mode(mode)).unwrap();
    }
    let loaded = bench.keystore_loader().load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_eq!(bench.numbers(&loaded), [1]);
    assert_problems(&loaded, &[("open.json", "can be written by others than its owner (mode 0602)")]);
}

#[test]
fn follows_no_link_elsewhere_waits_for_no_fifo_and_reads_no_device_directory_or_giant() {
    let bench = Bench::new();
    bench.add_keystore("good", 1, "password");
    bench.write("outside.json", &bench.keystore(2, "password"));
    symlink(bench.path("outside.json"), bench.path("keys/link.json")).unwrap();
    symlink("/dev/zero", bench.path("keys/device.json")).unwrap();
    symlink("loop.json", bench.path("keys/loop.json")).unwrap();
    symlink(".", bench.path("keys/here.json")).unwrap();
    mkfifo(&bench.path("keys/fifo.json"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    fs::create_dir(bench.path("keys/directory.json")).unwrap();
    let _socket = UnixListener::bind(bench.path("keys/socket.json")).unwrap();
    let giant = fs::File::create(bench.path("keys/giant.json")).unwrap();
    giant.set_len(1 << 30).unwrap();
    bench.write("keys/password.json", &bench.keystore(3, "password"));
    symlink(bench.path("passwords/good.txt"), bench.path("passwords/password.txt")).unwrap();
    bench.write("keys/notes.txt", "not a keystore");
    bench.write("keys/.hidden.json", "not a keystore");
    bench.write("keys/deposit_data-1600000000.json", "[]");

    let mut loader = bench.keystore_loader();
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_eq!(bench.numbers(&loaded), [1]);
    assert_problems(
        &loaded,
        &[
            ("device.json", "symbolic link"),
            ("directory.json", "not a regular file"),
            ("fifo.json", "not a regular file"),
            ("giant.json", "1073741824 bytes"),
            ("here.json", "not a regular file"),
            ("link.json", "symbolic link"),
            ("loop.json", "symbolic link"),
            ("password.json", "password.txt: it is a symbolic link"),
            ("socket.json", "not a regular file"),
        ],
    );
}

#[test]
fn the_first_of_two_files_with_one_key_wins() {
    let bench = Bench::new();
    bench.add_keystore("a", 1, "password");
    bench.add_keystore("b", 1, "password");
    let mut loader = bench.keystore_loader();
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_eq!(bench.numbers(&loaded), [1]);
    let [duplicate] = loaded.duplicates.as_slice() else { panic!("{:?}", loaded.duplicates) };
    assert_eq!((duplicate.first.name(), duplicate.second.name()), ("a.json".into(), "b.json".into()));
    loaded.apply(&bench.ring);

    // The key stays as long as one of the files does.
    fs::remove_file(bench.path("keys/a.json")).unwrap();
    let loaded = bench.reload(&mut loader);
    assert_eq!((loaded.leaving.len(), bench.signing()), (0, vec![1]));
    fs::remove_file(bench.path("keys/b.json")).unwrap();
    let loaded = bench.reload(&mut loader);
    assert_eq!((loaded.leaving.len(), bench.signing()), (1, vec![]));
}

#[test]
fn reads_key_configurations_with_several_documents() {
    let bench = Bench::new();
    bench.write("configs/ks/one.json", &bench.keystore(1, "password"));
    bench.write("configs/ks/one.txt", "password\nsecond line is a comment\n");
    bench.write("elsewhere.json", &bench.keystore(2, "password"));
    bench.write("elsewhere.txt", "password");
    let yaml = format!(
        "---\ntype: file-keystore\nkeyType: BLS\nkeystoreFile: ks/one.json\nkeystorePasswordFile: ks/one.txt\n\
         unknown: [1, 2]\n---\ntype: \"file-keystore\"\nkeystoreFile: {0}/elsewhere.json\n\
         keystorePasswordFile: {0}/elsewhere.txt\n---\ntype: file-raw\nprivateKey: {1:064x}\n---\n\
         type: file-raw\nprivateKey: \"0x{2:064X}\"\n---\n",
        bench.root(),
        3,
        4
    );
    bench.write("configs/all.yaml", &yaml);
    bench.write("configs/more.yml", &format!("type: file-raw\nprivateKey: {:064}\n", 5));
    bench.write("configs/README.md", "no key");
    let mut loader = bench.config_loader();
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_problems(&loaded, &[]);
    assert_eq!(bench.numbers(&loaded), [1, 2, 3, 4, 5]);
}

#[test]
fn names_the_document_that_is_wrong_and_shows_no_key() {
    let bench = Bench::new();
    let canary = "c0ffee".repeat(12);
    let yaml = format!(
        "type: file-raw\nprivateKey: \"{:064x}\"\n---\ntype: file-raw\nprivateKey: {canary}\n---\n\
         type: hashicorp\ntoken: {canary}\n---\ntype: file-raw\n---\ntype: file-raw\nprivateKey: [{canary}]\n---\n\
         type: file-raw\nkeyType: SECP256K1\nprivateKey: {canary}\n---\ntype: file-raw\ntype: file-raw\n---\n\
         type: file-keystore\nkeystoreFile: ../x.json\nkeystorePasswordFile: x.txt\n---\n\
         type: file-raw\nprivateKey: \"{:064x}\"\n---\nprivateKey: {canary}\n---\n{canary}\n---\n\
         type: file-raw\nprivateKey: \"{:064x}\"\n",
        1, 0, 2
    );
    bench.write("configs/k.yaml", &yaml);
    bench.write(
        "configs/l.yaml",
        &format!("type: file-raw\nprivateKey: \"{:064x}\"\n---\n{{{canary}\n---\na: b", 3),
    );
    let mut loader = bench.config_loader();
    let loaded = loader.load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_eq!(bench.numbers(&loaded), [1, 2, 3]);
    assert_problems(
        &loaded,
        &[
            ("k.yaml, document 10", "type is missing"),
            ("k.yaml, document 11", "no mapping of names"),
            ("k.yaml, document 2", "64 hexadecimal digits"),
            ("k.yaml, document 3", "\"hashicorp\" is not supported"),
            ("k.yaml, document 4", "privateKey is missing"),
            ("k.yaml, document 5", "privateKey is a list"),
            ("k.yaml, document 6", "not BLS"),
            ("k.yaml, document 7", "type is given twice"),
            ("k.yaml, document 8", "leads out of the directory"),
            ("k.yaml, document 9", "above 0 and below the order"),
            ("l.yaml", "not valid YAML"),
        ],
    );
    for problem in &loaded.problems {
        assert!(!problem.to_string().contains("c0ffee"), "{problem}");
        assert!(!format!("{problem:?}").contains("c0ffee"), "{problem:?}");
    }
}

#[test]
fn a_key_configuration_cannot_exhaust_the_loader() {
    let bench = Bench::new();
    let laughs: String = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
        let before = i - 1;
        format!("{text}a{i}: &a{i} [*a{before}, *a{before}, *a{before}, *a{before}]\n")
    });
    bench.write("configs/laughs.yaml", &format!("type: file-raw\n{laughs}privateKey: *a29\n"));
    bench.write("configs/ignored.yaml", &format!("type: file-raw\nprivateKey: \"{:064x}\"\n{laughs}", 1));
    bench.write("configs/deep.yaml", &format!("type: {}", "[".repeat(100_000)));
    bench.write("configs/deeper.yaml", &"- ".repeat(100_000));
    bench.write("configs/good.yaml", &format!("type: file-raw\nprivateKey: \"{:064x}\"\n", 2));
    let loaded = bench.config_loader().load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert!(bench.numbers(&loaded).contains(&2));
    let failed: Vec<String> = loaded.problems.iter().map(|problem| problem.place.name()).collect();
    for name in ["laughs.yaml", "deep.yaml", "deeper.yaml"] {
        assert!(failed.iter().any(|place| place.starts_with(name)), "{name}: {failed:?}");
    }
}

#[test]
fn a_blank_first_line_is_no_password() {
    let bench = Bench::new();
    bench.write("configs/one.json", &bench.keystore(1, "password"));
    bench.write("configs/one.txt", "\npassword\n");
    let yaml = "type: file-keystore\nkeystoreFile: one.json\nkeystorePasswordFile: one.txt\n";
    bench.write("configs/one.yaml", yaml);
    let loaded = bench.config_loader().load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert_problems(&loaded, &[("one.yaml, document 1", "blank first line")]);
}

#[test]
fn takes_a_key_from_the_sealed_ones_by_the_content_of_its_file() {
    let bench = Bench::new();
    bench.add_keystore("a", 1, "password");
    bench.add_keystore("b", 2, "password");
    let first = bench.keystore_loader().load(&bench.ring, Urgency::Start, &nothing_sealed, &|_| {});
    assert!(first.entering.iter().all(|entry| entry.derived));
    let content = first.entering.iter().find(|entry| entry.key.public_key() == bench.secret(1).public_key());
    let content = content.unwrap().content;

    // A start that knows the first file's key needs no password for it.
    fs::remove_file(bench.path("passwords/a.txt")).unwrap();
    let sealed = |asked: &ContentHash| (*asked == content).then(|| bench.secret(1));
    let second = bench.keystore_loader().load(&bench.ring, Urgency::Start, &sealed, &|_| {});
    assert_problems(&second, &[]);
    assert_eq!(bench.numbers(&second), [1, 2]);
    let derived: Vec<bool> = second.entering.iter().map(|entry| entry.derived).collect();
    assert_eq!(derived, [false, true]);
}

#[test]
fn tells_how_far_it_is() {
    let bench = Bench::new();
    for number in 1..=9 {
        bench.add_keystore(&format!("k{number}"), number, "password");
    }
    let seen = Mutex::new(Vec::new());
    let progress = |progress: Progress| seen.lock().unwrap().push(progress);
    bench.keystore_loader().load(&bench.ring, Urgency::Start, &nothing_sealed, &progress);
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable_by_key(|progress| progress.done);
    assert_eq!(seen, (1..=9).map(|done| Progress { done, total: 9 }).collect::<Vec<_>>());
}

/// A temporary directory with `keys`, `passwords` and `configs`, and what is needed to load from it.
struct Bench {
    directory: TempDir,
    importer: Importer,
    ring: Ring,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["keys", "passwords", "configs", "configs/ks"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let pool = Arc::new(KdfPool::new(KdfLimits::default()));
        Self { directory, importer: Importer::new(LockedMemory::new().unwrap(), pool), ring: Ring::new() }
    }

    fn root(&self) -> String {
        self.directory.path().display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn add_keystore(&self, name: &str, number: u8, password: &str) {
        self.write(&format!("keys/{name}.json"), &self.keystore(number, password));
        self.write(&format!("passwords/{name}.txt"), password);
    }

    fn keystore(&self, number: u8, password: &str) -> String {
        encrypt(&self.secret(number), password, KdfCost::Light, None).unwrap()
    }

    fn secret(&self, number: u8) -> SecretKey {
        let mut bytes = [0; 32];
        bytes[31] = number;
        SecretKey::new(&bytes, self.importer.memory()).unwrap()
    }

    fn loader(&self, sources: Vec<Source>) -> Loader {
        Loader::new(sources, self.importer.clone())
    }

    fn keystore_loader(&self) -> Loader {
        let (directory, passwords) = (self.path("keys"), self.path("passwords"));
        self.loader(vec![Source::Keystores { directory, passwords }])
    }

    fn config_loader(&self) -> Loader {
        self.loader(vec![Source::KeyConfigs { directory: self.path("configs") }])
    }

    /// Loads into the empty ring; which keys sign.
    fn start(&self) -> Vec<u8> {
        let loaded = self.keystore_loader().load(&self.ring, Urgency::Start, &nothing_sealed, &|_| {});
        assert_problems(&loaded, &[]);
        loaded.apply(&self.ring);
        self.signing()
    }

    /// Loads and applies; what remains of the outcome.
    fn reload(&self, loader: &mut Loader) -> Loaded {
        let mut loaded = loader.load(&self.ring, Urgency::Background, &nothing_sealed, &|_| {});
        let rest = Loaded {
            leaving: loaded.leaving.clone(),
            problems: std::mem::take(&mut loaded.problems),
            duplicates: std::mem::take(&mut loaded.duplicates),
            ..Loaded::default()
        };
        loaded.apply(&self.ring);
        rest
    }

    fn signing(&self) -> Vec<u8> {
        let mut numbers: Vec<u8> = self.ring.snapshot().keys().map(|key| self.number(*key)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn numbers(&self, loaded: &Loaded) -> Vec<u8> {
        let mut numbers: Vec<u8> =
            loaded.entering.iter().map(|entry| self.number(entry.key.public_key())).collect();
        numbers.sort_unstable();
        numbers
    }

    fn number(&self, public_key: PublicKey) -> u8 {
        (1..=9).find(|number| self.secret(*number).public_key() == public_key).unwrap()
    }
}

/// The problems are those of these files, each for this reason; in the order of the names.
fn assert_problems(loaded: &Loaded, expected: &[(&str, &str)]) {
    let mut problems: Vec<(String, String)> =
        loaded.problems.iter().map(|problem| (problem.place.name(), problem.reason.to_string())).collect();
    problems.sort_unstable();
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for ((name, reason), (expected_name, part)) in problems.iter().zip(expected) {
        assert!(
            name == expected_name && reason.contains(part),
            "{name}: {reason} (wanted {expected_name}: {part})"
        );
    }
}

fn nothing_sealed(_: &ContentHash) -> Option<SecretKey> {
    None
}
