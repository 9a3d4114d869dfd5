//! Keystores and passwords in the directories of other programs.

use std::fs;
use std::path::Path;

use super::Key;

/// Whose directories.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// `NAME.json` and `NAME.txt`, the name with a dot in it.
    DepositTool,
    /// The same in one directory, passwords without an extension.
    OneDirectory,
    Lighthouse,
    /// With another file name, as Lighthouse copies a keystore that it imports, and passwords for keys without `0x`.
    LighthouseImported,
    Lodestar,
    Nimbus,
}

pub const LAYOUTS: [Layout; 6] = [
    Layout::DepositTool,
    Layout::OneDirectory,
    Layout::Lighthouse,
    Layout::LighthouseImported,
    Layout::Lodestar,
    Layout::Nimbus,
];

impl Layout {
    /// Lays the keys out below `root`; answers the directories of keystores and of passwords.
    pub fn lay_out(self, root: &Path, keys: &[Key]) -> [String; 2] {
        let write = |path: String, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (number, key) in keys.iter().enumerate() {
            let (name, password) = (key.name(), format!("password {number}\n"));
            let keystore = key.keystore(password.trim_end());
            match self {
                Self::DepositTool => {
                    write(format!("keystores/validator.{number}.json"), &keystore);
                    write(format!("passwords/validator.{number}.txt"), &password);
                    write("passwords/validator.txt".to_owned(), "of nobody");
                    write("keystores/deposit_data-1600000000.json".to_owned(), "[]");
                }
                Self::OneDirectory => {
                    write(format!("keys/keystore-{number}.json"), &keystore);
                    write(format!("keys/keystore-{number}"), &password);
                }
                Self::Lighthouse => {
                    write(format!("validators/{name}/voting-keystore.json"), &keystore);
                    write(
                        format!("validators/{name}/withdrawal-keystore.json"),
                        &Key::number(77).keystore("w"),
                    );
                    write(format!("validators/{name}/voting-keystore.json.lock"), "");
                    write(format!("secrets/{name}"), &password);
                    write("validators/validator_definitions.yml".to_owned(), "---\n[]\n");
                    write("validators/slashing_protection.sqlite".to_owned(), "SQLite format 3");
                    write("validators/api-token.txt".to_owned(), "api-token-0x00");
                }
                Self::LighthouseImported => {
                    write(format!("validators/{name}/keystore-m_12381_3600_{number}_0_0-1.json"), &keystore);
                    write(format!("secrets/{}.txt", &name[2..]), &password);
                }
                Self::Lodestar => {
                    write(format!("keystores/{name}/voting-keystore.json"), &keystore);
                    write(format!("secrets/{name}"), &password);
                }
                Self::Nimbus => {
                    write(format!("validators/{name}/keystore.json"), &keystore);
                    write(format!("validators/{name}/suggested_gas_limit.json"), "60000000");
                    write(format!("validators/{name}/suggested_fee_recipient.hex"), "0x00");
                    write(format!("secrets/{name}"), &password);
                    write("validators/slashing_protection.sqlite3".to_owned(), "SQLite format 3");
                }
            }
        }
        let directories = match self {
            Self::DepositTool => ["keystores", "passwords"],
            Self::OneDirectory => ["keys", "keys"],
            Self::Lighthouse | Self::LighthouseImported | Self::Nimbus => ["validators", "secrets"],
            Self::Lodestar => ["keystores", "secrets"],
        };
        directories.map(|directory| root.join(directory).display().to_string())
    }
}
