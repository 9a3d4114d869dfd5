//! The watchdog is fed by what signs and what records, never by a timer alone.
//!
//! Each round runs every probe to its end; only then systemd hears from us. A probe that fails or hangs is named in the
//! log, so that the restart that follows has its reason beside it.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::notify::Notifier;
use crate::text::chain;

/// A piece of the daemon that shows that it works.
pub(crate) struct Probe<'daemon> {
    what: &'static str,
    run: Box<dyn Fn() -> Outcome<'daemon> + Send + Sync + 'daemon>,
}

type Outcome<'daemon> =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send + 'daemon>>;

impl<'daemon> Probe<'daemon> {
    /// `what` is its name in the log. The future that `run` makes resolves once the piece has done some real work.
    pub(crate) fn new<F, E>(what: &'static str, run: impl Fn() -> F + Send + Sync + 'daemon) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'daemon,
        E: Error + Send + Sync + 'static,
    {
        let run = move || -> Outcome<'daemon> {
            let probe = run();
            Box::pin(async move { probe.await.map_err(Into::into) })
        };
        Self { what, run: Box::new(run) }
    }
}

/// Feeds the watchdog for as long as all probes succeed; forever, and without doing anything if nobody watches.
pub(crate) async fn feed(notifier: &Notifier, probes: &[Probe<'_>]) -> Infallible {
    let Some(interval) = notifier.watchdog_interval() else { return std::future::pending().await };
    // Twice as often as systemd recommends, so that a probe that hangs is in the log well before the end.
    let pause = interval.checked_div(4).unwrap_or(interval);
    loop {
        if all_succeed(probes, pause).await {
            if let Err(error) = notifier.watchdog() {
                tracing::warn!(error = chain(&error), "the watchdog could not be fed");
            }
        }
        sleep(pause).await;
    }
}

async fn all_succeed(probes: &[Probe<'_>], patience: Duration) -> bool {
    let mut well = true;
    for Probe { what, run } in probes {
        match timeout(patience, run()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    probe = what,
                    error = chain(error.as_ref()),
                    "{what} failed its probe: the watchdog is not fed"
                );
                well = false;
            }
            Err(_) => {
                tracing::error!(
                    probe = what,
                    "{what} did not answer for {patience:?}: the watchdog is not fed"
                );
                well = false;
            }
        }
    }
    well
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// The number of times the watchdog was fed within so many intervals.
    fn fed(probe: Probe<'_>, intervals: u32) -> usize {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let environment =
            [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")].into_iter().collect();
        let notifier = Notifier::new(&environment).unwrap();
        let probes = [Probe::new("a fine one", || async { Ok::<_, io::Error>(()) }), probe];
        let fed = Cell::new(0_usize);
        let count = async {
            for _ in 0..intervals.saturating_mul(10) {
                sleep(Duration::from_millis(100)).await;
                let mut message = [0; 64];
                while let Ok(length) = manager.recv(&mut message) {
                    assert_eq!(&message[..length], b"WATCHDOG=1");
                    fed.set(fed.get().saturating_add(1));
                }
            }
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                never = feed(&notifier, &probes) => match never {},
                () = count => {}
            }
        });
        fed.get()
    }

    #[test]
    fn probes_that_succeed_feed_the_watchdog_more_than_once_an_interval() {
        assert!(fed(Probe::new("a fine one", || async { Ok::<_, io::Error>(()) }), 5) > 10);
    }

    #[test]
    fn one_probe_that_fails_or_hangs_starves_the_watchdog() {
        assert_eq!(fed(Probe::new("a broken one", || async { Err(io::Error::other("broken")) }), 5), 0);
        assert_eq!(fed(Probe::new("a stuck one", std::future::pending::<io::Result<()>>), 5), 0);
    }

    #[test]
    fn a_probe_that_recovers_feeds_it_again() {
        let stuck = AtomicBool::new(true);
        let probe = Probe::new("a slow one", || async {
            if stuck.swap(false, Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok::<_, io::Error>(())
        });
        assert!(fed(probe, 5) > 5);
    }

    #[test]
    fn without_a_watchdog_nothing_is_probed() {
        let probe = Probe::new("never", || -> std::future::Ready<io::Result<()>> { panic!("probed") });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let notifier = Notifier::default();
            let probes = [probe];
            assert!(timeout(Duration::from_secs(1000), feed(&notifier, &probes)).await.is_err());
        });
    }
}
