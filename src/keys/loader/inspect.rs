//! A look at what a source names without opening any keystore: whether each is there, of the right form, and with a
//! password beside it. Opening thousands of them would take minutes.

use std::path::PathBuf;
use std::slice;

use super::file;
use super::listing::{Entry, Listing};
use super::material::Material;
use super::problem::{Problem, Reason, parse_keystore};
use super::source::Source;
use crate::keys::import::{ImportError, Importer};

/// What a source has to offer.
pub(crate) struct Inspection {
    /// Keys that will load, as far as can be told without opening them.
    pub(crate) keys: usize,
    /// What will give no key.
    pub(crate) problems: Vec<Problem>,
    /// What lies there and is not read.
    pub(crate) passed_over: Vec<PathBuf>,
}

impl Source {
    /// Looks at all that the source names; what `importer` could never open is a problem.
    pub(crate) fn inspect(&self, importer: &Importer) -> Inspection {
        let Listing { entries, mut problems, mut passed_over } =
            Listing::read(slice::from_ref(self), importer.memory());
        let mut keys = 0_usize;
        for Entry { place, material } in entries {
            match examine(&material, importer) {
                Ok(()) => keys = keys.saturating_add(1),
                Err(Reason::SomethingElse) => passed_over.push(place.path),
                Err(reason) => problems.push(Problem { place, reason }),
            }
        }
        Inspection { keys, problems, passed_over }
    }
}

fn examine(material: &Material, importer: &Importer) -> Result<(), Reason> {
    match material {
        // Its digits were read and judged with the list.
        Material::Raw(_) => {}
        Material::Keystore { path, password } => {
            let keystore = parse_keystore(path, &file::read_text(path, file::KEYSTORE_LIMIT)?)?;
            importer.pool().with_memory(keystore.memory(), || ()).map_err(ImportError::from)?;
            password.read(path, keystore.public_key())?;
        }
    }
    Ok(())
}
