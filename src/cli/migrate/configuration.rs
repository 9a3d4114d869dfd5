//! Configuration file that takes the place of the old signer's options.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::Error;
use super::target::Target;
use crate::config::RawSettings;

/// Its text, and where it is to lie.
pub(super) struct Configuration {
    text: String,
    path: Option<PathBuf>,
}

impl Configuration {
    /// The old signer's options under our names, with the directory and the seal secret of the keys.
    pub(super) fn of(
        options: &[(String, String, String)],
        target: &Target,
        seal_file: Option<&Path>,
        path: Option<PathBuf>,
    ) -> Self {
        let mut text = String::new();
        for (_, long, value) in options {
            text.push_str(&line(long, value));
        }
        let state_dir = Some(target.settings().ledger.state_dir.as_path());
        for (long, path) in [("state-dir", state_dir), ("seal-file", seal_file)] {
            let path = path.and_then(|path| std::path::absolute(path).ok());
            text.push_str(&path.map(|path| line(long, &path.display().to_string())).unwrap_or_default());
        }
        Self { text, path }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Opens its file, if one is named and it is to be written: it may lie where root alone can write.
    ///
    /// # Errors
    /// There is one with another content, or it cannot be made.
    pub(super) fn open(&self, is_to_write: bool) -> Result<Option<File>, Error> {
        let Some(path) = &self.path else { return Ok(None) };
        let failed = |source| Error::Write { path: path.clone(), source };
        let mut found = String::new();
        match File::open(path).and_then(|mut file| file.read_to_string(&mut found)) {
            Ok(_) if found == self.text => return Ok(None),
            // What a run that was broken off has left.
            Ok(_) if found.is_empty() => {}
            Ok(_) => return Err(Error::OtherConfiguration { path: path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        if !is_to_write {
            return Ok(None);
        }
        OpenOptions::new().write(true).create(true).truncate(false).open(path).map(Some).map_err(failed)
    }

    /// Writes it into its file, if that is new. Says whether it was.
    pub(super) fn write(&self, file: Option<File>) -> Result<bool, Error> {
        let (Some(mut file), Some(path)) = (file, &self.path) else { return Ok(false) };
        let written = file.write_all(self.text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok(true)
    }
}

/// An option as a line of TOML.
fn line(long: &str, value: &str) -> String {
    let key = long.replace('-', "_");
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    if RawSettings::is_list(long) {
        let items: Vec<_> = value.split(',').map(quoted).collect();
        return format!("{key} = [{}]\n", items.join(", "));
    }
    match value.parse::<u64>() {
        Ok(number) => format!("{key} = {number}\n"),
        Err(_) => format!("{key} = {}\n", quoted(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_written_as_the_file_takes_it() {
        for (long, value, toml) in [
            (
                "listen",
                "all=127.0.0.1:9000,metrics=[::1]:9001",
                "listen = [\"all=127.0.0.1:9000\", \"metrics=[::1]:9001\"]\n",
            ),
            ("http-host-allowlist", "*", "http_host_allowlist = [\"*\"]\n"),
            ("idle-timeout", "900", "idle_timeout = 900\n"),
            ("network", "a \"b\\", "network = \"a \\\"b\\\\\"\n"),
        ] {
            assert_eq!(line(long, value), toml);
        }
    }
}
