//! The ledger and the sealed keys in it, as the daemon would read them.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Subject;
use super::finding::Finding;
use crate::config::Settings;
use crate::keymanager::StartError;
use crate::keys::Seal;
use crate::ledger::{self, Attention, Ledger, Missing, OpenError, SealedKeystore, ShownCounter};
use crate::ledger_settings;
use crate::network::Network;
use crate::sys::locked_memory::LockedMemory;
use crate::tpm::Reading;

pub(super) fn findings(settings: &Settings, subject: Subject) -> Vec<Finding> {
    let (ledger, finding) = ledger(settings);
    let credential = match subject {
        Subject::Start => false,
        Subject::Service { sealed } => sealed,
    };
    let sealed = match sealed_keys(settings, ledger.as_ref(), credential) {
        Ok(finding) => finding,
        Err(error) => Finding::wrong("keys", &error),
    };
    let counter = counter(settings, ledger.as_ref());
    [Some(finding), counter, Some(sealed)].into_iter().flatten().collect()
}

/// An existing ledger is opened, a missing one is not created.
fn ledger(settings: &Settings) -> (Option<Ledger>, Finding) {
    const WHAT: &str = "ledger";
    let directory = &settings.ledger.state_dir;
    let shown = directory.display();
    if !settings.ledger.slashing_protection {
        return (None, Finding::notable(WHAT, "SLASHING PROTECTION IS OFF"));
    }
    if !directory.exists() && !settings.ledger.required {
        // Opening would make the directory.
        let text = format!("the start would create {shown} and a ledger in it");
        return (None, Finding::notable(WHAT, text));
    }
    if ledger::is_older(directory) {
        // To open it would do that, and keep the older program from it.
        let text =
            format!("in {shown}, of an older version: the start would bring it up to date; not looked into");
        return (None, Finding::notable(WHAT, text));
    }
    let network = Network::load(&settings.network).ok();
    let opened = Ledger::open(ledger_settings::of(settings, network.as_ref(), Missing::Refuse));
    match opened {
        Ok(ledger) => {
            let doubt = ledger.opened().doubt.as_ref().map(|doubt| {
                format!(
                    "nothing shows that it is the newest ({doubt}): a start lifts all watermarks, or ends (--unproven)"
                )
            });
            let concerns: Vec<_> = doubt.into_iter().chain(concerns(&ledger.attention())).collect();
            let finding = match concerns.as_slice() {
                [] => Finding::fine(WHAT, format!("in {shown}")),
                concerns => Finding::notable(WHAT, format!("in {shown}: {}", concerns.join("; "))),
            };
            (Some(ledger), finding)
        }
        Err(OpenError::InUse { .. }) => {
            (None, Finding::notable(WHAT, format!("in {shown}, in use by a daemon: not looked into")))
        }
        Err(OpenError::Missing { .. }) if !settings.ledger.required => {
            (None, Finding::notable(WHAT, format!("none yet in {shown}: the start would create one")))
        }
        Err(error) => (None, Finding::wrong(WHAT, &error)),
    }
}

/// What counts the ledger's sessions, where that is wanted. Who has the ledger open compares; else it has to be there.
fn counter(settings: &Settings, ledger: Option<&Ledger>) -> Option<Finding> {
    const WHAT: &str = "counter";
    let named = settings.ledger.tpm_counter.as_ref().filter(|_| settings.ledger.slashing_protection)?;
    Some(match ledger.and_then(|ledger| ledger.opened().counter.as_ref()) {
        Some(counter @ ShownCounter::Counts { .. }) => Finding::fine(WHAT, counter.to_string()),
        Some(ShownCounter::NotYet(why)) => Finding::wrong(WHAT, &NotCounted(why.clone())),
        None => match named.read(TIME_OF_TPM) {
            Ok(Some(Reading { value: Some(value), mark: _ })) => {
                Finding::fine(WHAT, format!("{named} says {value}; not compared with the ledger"))
            }
            Ok(Some(Reading { value: None, .. }) | None) => {
                Finding::wrong(WHAT, &NotCounted(format!("{named} was not made")))
            }
            Err(error) => Finding::wrong(WHAT, &error),
        },
    })
}

/// No daemon starts with a counter that does not count.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotCounted(String);

/// What of the ledger's keys an operator should know.
fn concerns(attention: &Attention) -> Option<String> {
    let Attention { raw_roots, far_ahead } = attention;
    let concerns = [
        ("raw roots were signed with", raw_roots, "whose blocks and attestations are refused"),
        ("years ahead of the clock lie the records of", far_ahead, "which sign only what lies above"),
    ];
    let texts = concerns.into_iter().filter(|(_, keys, _)| !keys.is_empty());
    let texts: Vec<_> =
        texts.map(|(what, keys, then)| format!("{what} {} keys, {then} ({keys})", keys.count())).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Opens every imported key, as a start does: that takes microseconds each. Copies of key files are left alone: a start
/// that cannot open one makes another.
fn sealed_keys(settings: &Settings, ledger: Option<&Ledger>, credential: bool) -> Result<Finding, Error> {
    const WHAT: &str = "keys";
    let sealed = match ledger {
        Some(ledger) => imported(ledger)?,
        None => Vec::new(),
    };
    let Some(path) = &settings.keys.seal_file else {
        return match sealed.len() {
            0 if credential => {
                Ok(Finding::fine(WHAT, "imported ones are kept, sealed with systemd's credential"))
            }
            0 => Ok(Finding::notable(WHAT, "imported ones live in memory only: there is no seal")),
            count if credential => {
                let text = format!(
                    "{count} imported ones are sealed; only the service can open systemd's credential"
                );
                Ok(Finding::notable(WHAT, text))
            }
            keys => Err(StartError::SealMissing { keys }.into()),
        };
    };
    open_all(path, &sealed)?;
    if !settings.ledger.slashing_protection {
        return Ok(Finding::notable(
            WHAT,
            "imported ones live in memory only: without a ledger none is kept",
        ));
    }
    let opened = if ledger.is_some() { format!("; {} of them open", sealed.len()) } else { String::new() };
    Ok(Finding::fine(WHAT, format!("imported ones are kept, sealed with {}{opened}", path.display())))
}

fn imported(ledger: &Ledger) -> Result<Vec<SealedKeystore>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Error::Runtime)?;
    let kept = runtime.block_on(ledger.keystores(0, usize::MAX)).map_err(StartError::Ledger)?;
    let mut kept = kept.into_keystores();
    kept.retain(|keystore| keystore.copy_of.is_none());
    Ok(kept)
}

fn open_all(seal_file: &Path, sealed: &[SealedKeystore]) -> Result<(), StartError> {
    let memory = LockedMemory::new()?;
    let seal = Seal::from_file(seal_file, &memory)?;
    for keystore in sealed {
        seal.open(&keystore.public_key, &keystore.json, &memory).map_err(StartError::Unseal)?;
    }
    Ok(())
}

/// Why the sealed keys could not be served, in the words of a start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot wait for the ledger")]
    Runtime(#[source] io::Error),
}

const TIME_OF_TPM: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bls::PublicKey;
    use crate::config::{self, Environment, RawSettings};
    use crate::ledger::Activation;

    #[test]
    fn what_the_service_s_own_credential_seals_is_no_fault_of_a_check_that_cannot_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let flags = RawSettings { state_dir: Some(directory.path().to_owned()), ..RawSettings::default() };
        let settings = config::load(None, flags, &Environment::default()).ok().unwrap();
        let ledger = Ledger::open(ledger::Settings {
            missing: Missing::Create,
            ..ledger::Settings::new(directory.path().to_owned())
        })
        .unwrap();
        let said =
            |credential| sealed_keys(&settings, Some(&ledger), credential).map(|finding| finding.to_string());
        assert!(said(true).unwrap().starts_with("ok"));
        assert!(said(false).unwrap().contains("memory only"));

        let public_key = PublicKey([1; 48]);
        let json = "{}".to_owned();
        let keystore =
            Some(SealedKeystore { public_key, json, derivation_path: None, copy_of: None, source: None });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ledger.activate(vec![Activation::of(public_key, keystore)], None)).unwrap().unwrap();
        assert!(said(true).unwrap().starts_with("note"));
        assert!(matches!(said(false), Err(Error::Start(StartError::SealMissing { keys: 1 }))));
    }
}
