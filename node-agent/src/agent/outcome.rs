//! What came of what was done besides files.

use node_runtime::probe::Proof;
use node_runtime::process::Start;
use policy::digest::Digest;

use super::{Agent, Prove};
use crate::layout;
use crate::ledger::Ledger;
use crate::refresh::Stale;
use crate::runtime::Runtime;
use crate::started::Started;
use crate::status::Proven;
use crate::transaction::READ_LIMIT;
use crate::trial::{Cause, Subject};

/// How often in a row a runtime that goes on may not be restarted before what needs that is taken back.
const REFUSALS: u32 = 3;

/// What came of pulling images again.
#[derive(Debug, Clone, Default)]
pub struct Pulled {
    /// These are fresh.
    pub done: Vec<Stale>,
    /// Every one was tried.
    pub all_tried: bool,
}

/// What came of a restart.
#[derive(Debug, Clone)]
pub enum Restarted {
    /// The runtime answers again; this is its process, where that is known.
    Done(Option<Start>),
    /// It was not restarted, and goes on as it was.
    Refused(String),
    /// It does not answer any more.
    Down(String),
}

impl Agent {
    /// Takes in what came of pulling images again.
    pub fn pulled(&mut self, pulled: Pulled) {
        if pulled.all_tried {
            self.tried.clone_from(&self.stale);
        }
        if pulled.done.is_empty() {
            return;
        }
        for stale in pulled.done {
            self.refreshed.pulled(stale);
        }
        self.keep(layout::REFRESHED, self.refreshed.to_json());
    }

    /// Takes in what came of a restart for `subject`. If that is on trial it is taken back when the
    /// runtime did not come back, or was not restarted several times in a row.
    pub fn restarted(&mut self, restarted: &Restarted, subject: Option<&Subject>) {
        self.down = matches!(restarted, Restarted::Down(_));
        let why = match restarted {
            Restarted::Done(process) => {
                self.refusals = 0;
                if let Some(process) = process {
                    self.has_read(process);
                }
                return;
            }
            Restarted::Refused(why) => {
                self.refusals += 1;
                if self.refusals < REFUSALS {
                    tracing::warn!("the runtime was not restarted and goes on: {why}");
                    return;
                }
                why
            }
            Restarted::Down(why) => why,
        };
        self.refusals = 0;
        if subject.is_some_and(|subject| self.trials.fail(subject, Cause::Reload, why)) {
            self.keep(layout::TRIALS, self.trials.to_json());
        }
    }

    /// The process was started after the files were written.
    fn has_read(&self, process: &Start) {
        let Ok(Runtime::Containerd(containerd)) = self.runtime() else {
            return;
        };
        let config = containerd.config_digest(&self.root);
        self.keep(layout::STARTED, Started::with(process, config).to_json());
    }

    /// Takes in a proof. True when what is on trial is taken back for it.
    pub fn proven(&mut self, prove: &Prove, proof: Proof) -> bool {
        let taken_back = match &proof {
            Proof::Enforcing => {
                self.worked(&prove.subject, true);
                false
            }
            Proof::Unknown { .. } => false,
            // No pod with a new image starts.
            Proof::RefusesEverything { .. } => self.take_back(&prove.subject, &proof),
            // Going back helps only where it was better before.
            Proof::Bypassed { .. } | Proof::StaleBundle { .. } => {
                self.trials.was_enforcing() && self.take_back(&prove.subject, &proof)
            }
        };
        self.proven = Some(Proven {
            bundle: prove.subject.bundle.clone(),
            process: prove.process.clone(),
            proof,
        });
        taken_back
    }

    fn take_back(&mut self, subject: &Subject, proof: &Proof) -> bool {
        let failed = self.trials.fail(subject, Cause::Proof, &proof.to_string());
        if failed {
            self.keep(layout::TRIALS, self.trials.to_json());
        }
        failed
    }

    /// What is on the node works: it is what the node goes back to. Only where its policies are the
    /// ones on the disk, and could be kept.
    pub(super) fn worked(&mut self, subject: &Subject, proven: bool) {
        if self.trials.good() != Some(&subject.bundle) && !self.keep_good(&subject.bundle) {
            return;
        }
        let before = self.trials.clone();
        self.trials.worked(subject, proven);
        if self.trials != before {
            self.keep(layout::TRIALS, self.trials.to_json());
        }
    }

    fn keep_good(&self, bundle: &Digest) -> bool {
        let on_disk = self.root.read(layout::BUNDLE, READ_LIMIT);
        let bytes = match on_disk {
            Ok(Some(content)) => content.bytes,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!("the last good policies cannot be kept: {error}");
                return false;
            }
        };
        let is_it = Ledger::from_json(&bytes).is_ok_and(|ledger| ledger.bundle.digest() == *bundle);
        is_it && self.keep(layout::GOOD, Ok(bytes))
    }
}
