//! Finding of an opening: is the ledger the newest, and if not, what is done about it?

use std::path::Path;
use std::time::SystemTime;

use super::session::Session;
use super::{Identity, Loss, OpenError};
use crate::ledger::Settings;
use crate::ledger::anchor::{Anchors, Testimony};
use crate::ledger::counter::Standing;
use crate::ledger::row::KeyState;
use crate::ledger::rules::Watermark;
use crate::ledger::unproven::{self, Doubt, Lifted, Unproven};

/// What an opening has read of a ledger.
pub(super) struct Finding<'a> {
    pub(super) session: Session,
    /// Whether there was a log with something in it.
    pub(super) has_log: bool,
    /// What the counter shows, if there is one.
    pub(super) standing: Standing,
    /// Why it cannot be the newest, if somebody left a mark.
    pub(super) mark: Option<String>,
    pub(super) path: &'a Path,
    pub(super) identity: Identity,
    pub(super) entries: &'a [KeyState],
}

/// What an opening does about it.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// To lift all watermarks to.
    pub(super) floor: Option<Watermark>,
    /// What is left as it is.
    pub(super) doubt: Option<Doubt>,
    /// What is lifted without having been asked for.
    pub(super) lifted: Option<Lifted>,
}

impl Finding<'_> {
    pub(super) fn decide(
        self,
        settings: &Settings,
        anchors: &Anchors,
        now: SystemTime,
    ) -> Result<Decision, OpenError> {
        let by_hand = match settings.loss {
            Loss::Refuse => None,
            Loss::Lift { slot, epoch } => Some(Watermark::floor(Some(slot), Some(epoch))),
        };
        let testimony = anchors.testify(self.session.commits, now);
        if let Some(lost) = self.lost(&testimony) {
            return by_hand.map(|floor| Decision { floor: Some(floor), ..Decision::default() }).ok_or(lost);
        }
        let Some(doubt) = self.doubt(testimony) else { return Ok(Decision::default()) };
        if by_hand.is_some() {
            return Ok(Decision { floor: by_hand, ..Decision::default() });
        }
        match settings.unproven {
            Unproven::Leave => Ok(Decision { doubt: Some(doubt), ..Decision::default() }),
            Unproven::Refuse => Err(OpenError::Unproven { path: self.path.to_owned(), doubt, source: None }),
            Unproven::Lift => {
                let records = self.entries.iter().map(|entry| entry.watermark);
                match unproven::present(settings.clock, now, self.identity.created, records) {
                    Ok((slot, epoch)) => Ok(Decision {
                        floor: Some(unproven::floor(slot, epoch)),
                        doubt: None,
                        lifted: Some(Lifted { slot, epoch, doubt }),
                    }),
                    Err(unknown) => {
                        let path = self.path.to_owned();
                        Err(OpenError::Unproven { path, doubt, source: Some(unknown) })
                    }
                }
            }
        }
    }

    /// What the ledger lacks, if that shows.
    fn lost(&self, testimony: &Testimony) -> Option<OpenError> {
        if self.session.is_open && !self.has_log {
            return Some(OpenError::LogMissing { path: self.path.to_owned() });
        }
        if let Standing::Lost(loss) = self.standing {
            return Some(OpenError::CounterLoss { path: self.path.to_owned(), loss });
        }
        match testimony {
            Testimony::Fewer { anchor, commits } => Some(OpenError::RolledBack {
                path: self.path.to_owned(),
                anchor: anchor.clone(),
                anchored: *commits,
                found: self.session.commits,
            }),
            Testimony::Newest | Testimony::Old { .. } | Testimony::Silent => None,
        }
    }

    /// Why nothing shows that the ledger is the newest. One that never had an anchor misses none.
    fn doubt(&self, testimony: Testimony) -> Option<Doubt> {
        if let Some(why) = &self.mark {
            return Some(Doubt::Marked(why.clone()));
        }
        match testimony {
            Testimony::Newest | Testimony::Fewer { .. } => None,
            Testimony::Old { .. } | Testimony::Silent if self.standing == Standing::Newest => None,
            Testimony::Old { .. } | Testimony::Silent if !self.session.anchored => None,
            Testimony::Old { age } => Some(Doubt::OldAnchor { age }),
            Testimony::Silent => Some(Doubt::NoAnchor),
        }
    }
}
