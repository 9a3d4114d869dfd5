//! Schema of the tables, and the migrations that bring an older file up to it.

use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::Connection;

use super::directory::Directory;
use super::files::FILE_NAME;
use super::{OpenError, identity, rows, session};

/// Makes an empty file a ledger.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    migrate(connection, 0)?;
    identity::date(connection, SystemTime::now())
}

/// Checks that the file is a ledger that this program understands, brings it up to date, and checks its structure.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::from_sqlite(path, source);
    let number =
        |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(sqlite);
    if number("application_id")? != APPLICATION_ID {
        let reason = "it is a SQLite file of another program";
        return Err(OpenError::NotALedger { path: path.to_owned(), reason });
    }
    let found = number("user_version")?;
    let migrated = usize::try_from(found).ok().filter(|found| *found <= MIGRATIONS.len());
    match migrated {
        Some(migrated) => migrate(connection, migrated).map_err(sqlite)?,
        None => return Err(OpenError::Newer { path: path.to_owned(), found, known: newest() }),
    }
    let report: String =
        connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(sqlite)?;
    if report == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), what: report }) }
}

/// Whether the ledger in this directory is of an older version, which an opening brings up to date for good. What
/// cannot be read is not: the opening says why.
pub(crate) fn is_older(directory: &Path) -> bool {
    let mut header = [0; HEADER];
    let opened = Directory::at(directory.to_owned()).and_then(|directory| directory.read(FILE_NAME));
    let read = opened.map(|file| file.map(|mut file| file.read_exact(&mut header)));
    let number = |at: usize| header.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
    matches!(read, Ok(Some(Ok(()))))
        && number(APPLICATION_ID_AT).map(i64::from) == Some(APPLICATION_ID)
        && number(USER_VERSION_AT).is_some_and(|version| i64::from(version) < newest())
}

/// Runs the migrations after the first `done`, all in one transaction.
fn migrate(connection: &Connection, done: usize) -> rusqlite::Result<()> {
    let missing = MIGRATIONS.get(done..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    for migration in missing {
        migration(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest())?;
    transaction.commit()
}

fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// "BLSS": what `file` and SQLite's tools show the file to be.
const APPLICATION_ID: i64 = 0x424c_5353;

/// The head of a SQLite file, in bytes, and where in it the two numbers stand
/// (<https://www.sqlite.org/fileformat.html>).
const HEADER: usize = 100;
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// The n-th entry brings schema version n to n + 1. Entries are never changed once released.
const MIGRATIONS: &[fn(&Connection) -> rusqlite::Result<()>] = &[
    |connection| connection.execute_batch(VERSION_1),
    |connection| connection.execute_batch(VERSION_2),
    |connection| {
        connection.execute_batch(VERSION_3)?;
        rows::add_head_checksum(connection)
    },
    |connection| {
        connection.execute_batch(VERSION_4)?;
        identity::add(connection)
    },
    |connection| {
        connection.execute_batch(VERSION_5)?;
        session::add(connection)
    },
    |connection| connection.execute_batch(VERSION_6),
    |connection| connection.execute_batch(VERSION_7),
    |connection| connection.execute_batch(VERSION_8),
];

/// Numbers are unsigned 64-bit values in SQLite's signed integers, bit for bit. `checksum` covers the key's row.
const VERSION_1: &str = "
    CREATE TABLE head (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        genesis_validators_root BLOB CHECK (length(genesis_validators_root) = 32),
        stop_slot INTEGER,
        stop_epoch INTEGER
    ) STRICT;
    INSERT INTO head (only) VALUES (1);

    CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 48),
        deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
        block_slot INTEGER,
        block_root BLOB CHECK (length(block_root) = 32),
        source_epoch INTEGER,
        target_epoch INTEGER,
        attestation_root BLOB CHECK (length(attestation_root) = 32),
        checksum INTEGER NOT NULL,
        CHECK ((source_epoch IS NULL) = (target_epoch IS NULL)),
        CHECK (block_slot IS NOT NULL OR block_root IS NULL),
        CHECK (source_epoch IS NOT NULL OR attestation_root IS NULL)
    ) STRICT;
";

/// Sealed keystores: EIP-2335 text, encrypted under a secret that is not in this file.
const VERSION_2: &str = "
    CREATE TABLE sealed_keystores (
        key INTEGER PRIMARY KEY REFERENCES keys (id),
        keystore TEXT NOT NULL,
        derivation_path TEXT,
        copy_of BLOB CHECK (length(copy_of) = 32)
    ) STRICT;
";

/// The head gets a checksum as well: a changed high watermark would let through what it is there to stop. The default
/// stands only until the statement that follows.
const VERSION_3: &str = "
    ALTER TABLE head ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
";

/// A ledger is told from every other, in a table that is written once. A key's row says whether a raw root was signed
/// with it; of one that says no the checksum is what it was.
const VERSION_4: &str = "
    CREATE TABLE identity (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        ledger_id BLOB NOT NULL CHECK (length(ledger_id) = 16),
        created INTEGER,
        checksum INTEGER NOT NULL
    ) STRICT;
    ALTER TABLE keys ADD COLUMN raw_root_signed INTEGER NOT NULL DEFAULT 0 CHECK (raw_root_signed IN (0, 1));
";

/// Whether a process has the file open, how many commits it has had and whether they were noted elsewhere: what tells a
/// newest copy from an older one. And the watermarks that a key without a row begins with.
const VERSION_5: &str = "
    CREATE TABLE session (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
        commits INTEGER NOT NULL,
        anchored INTEGER NOT NULL CHECK (anchored IN (0, 1)),
        floor_slot INTEGER,
        floor_source INTEGER,
        floor_target INTEGER,
        checksum INTEGER NOT NULL,
        CHECK ((floor_source IS NULL) = (floor_target IS NULL))
    ) STRICT;
    INSERT INTO session (only, is_open, commits, anchored, checksum) VALUES (1, 0, 0, 0, 0);
";

/// The exit that was signed with a key for a client that may have one. Of a row without it the checksum is what it was.
const VERSION_6: &str = "
    ALTER TABLE keys ADD COLUMN exit_root BLOB CHECK (length(exit_root) = 32);
";

/// The source that a kept keystore was fetched from; NULL for all others.
const VERSION_7: &str = "
    ALTER TABLE sealed_keystores ADD COLUMN source TEXT;
    ALTER TABLE sealed_keystores ADD COLUMN until_next_fetch INTEGER NOT NULL DEFAULT 0
        CHECK (until_next_fetch IN (0, 1));
";

/// What the counter says that counts the ledger's sessions outside of all disks; no row where there is none.
const VERSION_8: &str = "
    CREATE TABLE counter (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        mark BLOB NOT NULL CHECK (length(mark) = 32),
        value INTEGER,
        is_closed INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
        checksum INTEGER NOT NULL
    ) STRICT;
";
