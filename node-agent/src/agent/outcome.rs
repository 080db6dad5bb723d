//! What came of what was done besides files.

use node_runtime::probe::Proof;
use node_runtime::process::Start;
use policy::digest::Digest;

use super::{Agent, Prove};
use crate::layout;
use crate::refresh::Stale;
use crate::runtime::Runtime;
use crate::started::Started;
use crate::status::Proven;
use crate::transaction::READ_LIMIT;
use crate::trial::Cause;

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
            self.tried_for.clone_from(&self.stale_for);
        }
        if pulled.done.is_empty() {
            return;
        }
        for stale in pulled.done {
            self.refreshed.pulled(stale);
        }
        self.keep(layout::REFRESHED, self.refreshed.to_json());
    }

    /// Takes in what came of a restart. What is on trial is taken back when it failed.
    pub fn restarted(&mut self, restarted: &Restarted) {
        self.down = matches!(restarted, Restarted::Down(_));
        match restarted {
            Restarted::Done(process) => {
                if let Some(process) = process {
                    self.has_read(process);
                }
            }
            Restarted::Refused(why) | Restarted::Down(why) => {
                if self.trials.fail(Cause::Reload, why) {
                    self.keep(layout::TRIALS, self.trials.to_json());
                }
            }
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
                self.worked(&prove.bundle);
                false
            }
            Proof::Unknown { .. } => false,
            // No pod with a new image starts.
            Proof::RefusesEverything { .. } => self.take_back(&proof),
            // Going back helps only where it was better before.
            Proof::Bypassed { .. } | Proof::StaleBundle { .. } => {
                self.was_enforcing() && self.take_back(&proof)
            }
        };
        self.proven = Some(Proven {
            bundle: prove.bundle.clone(),
            proof,
        });
        taken_back
    }

    fn take_back(&mut self, proof: &Proof) -> bool {
        let failed = self.trials.fail(Cause::Proof, &proof.to_string());
        if failed {
            self.keep(layout::TRIALS, self.trials.to_json());
        }
        failed
    }

    fn was_enforcing(&self) -> bool {
        let stored = self.stored.as_ref();
        let condition = stored.and_then(|status| status.condition("Enforcing"));
        condition.is_some_and(|condition| condition.status == "True")
    }

    /// What is on the node works: it is what the node goes back to.
    pub(super) fn worked(&mut self, bundle: &Digest) {
        let before = self.trials.clone();
        if self.trials.worked(bundle) {
            match self.root.read(layout::BUNDLE, READ_LIMIT) {
                Ok(Some(content)) => self.keep(layout::GOOD, Ok(content.bytes)),
                Ok(None) => {}
                Err(error) => tracing::warn!("the last good policies cannot be kept: {error}"),
            }
        }
        if self.trials != before {
            self.keep(layout::TRIALS, self.trials.to_json());
        }
    }
}
