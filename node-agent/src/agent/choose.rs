//! What is brought to the node: what is asked for, what stands in for it, or nothing.

use node_runtime::probe::{Identity, Scopes};
use policy::bundle::Bundle;
use policy::digest::Digest;
use policy::paths::{CONTAINERD_DROP_IN, VERIFIER_POLICY};

use super::Agent;
use super::notes::Back;
use crate::error::CycleError;
use crate::layout;
use crate::ledger::Ledger;
use crate::runtime::{self, Node, Rendered, Runtime};
use crate::state::{State, StateError};
use crate::status::{Detected, Failure, Left, Report};
use crate::transaction::READ_LIMIT;
use crate::trial::{Cause, Choice, Subject};

/// What stands on the node after all sets were brought there.
pub(super) struct Brought {
    pub(super) ledger: Ledger,
    pub(super) rendered: Rendered,
    /// What it is, to the record of trials.
    pub(super) subject: Subject,
    /// Everything was taken off, and why.
    pub(super) left: Option<Left>,
    /// All of it is in force, not only what prepares for it.
    pub(super) in_force: bool,
    pub(super) changed: bool,
}

impl Brought {
    /// Nothing is on disk yet.
    fn new(ledger: Ledger, rendered: Rendered, left: Option<Left>) -> Self {
        Self {
            subject: Subject {
                bundle: ledger.bundle.digest(),
                node: rendered.print.clone(),
            },
            ledger,
            rendered,
            left,
            in_force: false,
            changed: false,
        }
    }
}

impl Agent {
    /// The emergency stop: everything off, by the agent's own records alone. Nothing of the policies or
    /// the runtime can keep it from that.
    pub(super) fn stopped(
        &mut self,
        state: &State,
        wanted: Ledger,
        report: &mut Report,
    ) -> Brought {
        self.stands_in = None;
        report.detected = Detected::NotNeeded;
        let print = Digest::of(b"enforcement is Disabled");
        let rendered = self.leaving(state, print, Left::Disabled, report);
        Brought::new(wanted, rendered, Some(Left::Disabled))
    }

    /// Whether the record that everything is taken off by says all there is. Where it was damaged and
    /// something is at a path that is nodeseal's alone, it does not.
    pub(super) fn is_known(&self, damaged: Option<StateError>) -> Result<(), CycleError> {
        let Some(source) = damaged else {
            return Ok(());
        };
        for path in [VERIFIER_POLICY, CONTAINERD_DROP_IN] {
            if self.root.exists(path)? {
                let path = self.root.show(layout::STATE);
                return Err(CycleError::Blind { path, source });
            }
        }
        Ok(())
    }

    /// Renders what is asked for, or what is known to work where that has failed on this node.
    pub(super) fn chosen(
        &mut self,
        runtime: &Runtime,
        state: &State,
        wanted: Ledger,
        report: &mut Report,
    ) -> Result<(Brought, Option<(Identity, Scopes)>), CycleError> {
        let before = report.clone();
        self.stands_in = None;
        let probe = self.probe_for(&wanted.bundle);
        let rendered = self.render(runtime, state, &wanted.bundle, probe.as_ref(), report)?;
        let subject = Subject {
            bundle: wanted.bundle.digest(),
            node: rendered.print.clone(),
        };
        let (failed, good, back) = match self.trials.choose(&subject) {
            Choice::Wanted => return Ok((Brought::new(wanted, rendered, None), probe)),
            Choice::Good(failed) => match self.good() {
                Ok(good) => (failed.clone(), Some(good), Back::Good),
                // Nothing at all would be weaker, and what is there now is not known to be better.
                Err(why) => (failed.clone(), Some(wanted.clone()), Back::Lost(why)),
            },
            Choice::Reverted(failed) => (failed.clone(), Some(wanted.clone()), Back::Good),
            // The record may be lost, and what worked still there.
            Choice::Nothing(failed) => {
                let other = |good: &Ledger| good.bundle.digest() != failed.subject.bundle;
                match self.good().ok().filter(other) {
                    Some(good) => (failed.clone(), Some(good), Back::Good),
                    None => (failed.clone(), None, Back::Nothing),
                }
            }
        };
        self.stands_in = Some(failed.cause);
        let failure = Some((Failure::RolledBack, super::notes::failed(&failed, &back)));
        let Some(good) = good else {
            report.failure = failure;
            let rendered = self.leaving(state, rendered.print, Left::Failed, report);
            return Ok((Brought::new(wanted, rendered, Some(Left::Failed)), None));
        };
        *report = before;
        report.failure = failure;
        let probe = self.probe_for(&good.bundle);
        let rendered = self.render(runtime, state, &good.bundle, probe.as_ref(), report)?;
        let mut brought = Brought::new(good, rendered, None);
        if brought.subject == failed.subject {
            // The same bundle, and not all of what goes with it.
            brought.subject.node =
                Digest::of(format!("without {}", failed.subject.node).as_bytes());
        }
        Ok((brought, probe))
    }

    /// Notes what is about to stand on the node.
    pub(super) fn note_trial(&mut self, brought: &Brought) {
        let before = self.trials.clone();
        let is_whole = brought.rendered.sets.iter().any(|set| set.in_force);
        if self.stands_in.is_some() || brought.left.is_some() {
            self.trials.stand_in();
        } else if is_whole {
            self.trials.begin(&brought.subject);
        }
        if self.trials != before {
            self.keep(layout::TRIALS, self.trials.to_json());
        }
    }

    fn probe_for(&mut self, bundle: &Bundle) -> Option<(Identity, Scopes)> {
        bundle.settings().probe_interval.seconds()?;
        self.probe(&bundle.digest())
    }

    fn node<'a>(&'a self, state: &'a State, probe: Option<&'a (Identity, Scopes)>) -> Node<'a> {
        Node {
            root: &self.root,
            state,
            sandbox_images: &self.options.sandbox_images,
            probe: probe.map(|(identity, scopes)| (identity, scopes)),
            refreshed: &self.refreshed,
            tried: &self.tried,
            reverting: self.stands_in == Some(Cause::Reload),
        }
    }

    fn render(
        &self,
        runtime: &Runtime,
        state: &State,
        bundle: &Bundle,
        probe: Option<&(Identity, Scopes)>,
        report: &mut Report,
    ) -> Result<Rendered, CycleError> {
        runtime.render(self.node(state, probe), bundle, report)
    }

    /// Everything off the node.
    fn leaving(&self, state: &State, print: Digest, why: Left, report: &mut Report) -> Rendered {
        report.left = Some(why);
        let behind = runtime::left_behind(&self.root, state);
        report.warnings.extend(behind);
        report.prove = false;
        report.pending = None;
        Rendered::off(&self.root, state, print)
    }

    /// The policies that were last seen to work, or why these are lost.
    fn good(&self) -> Result<Ledger, String> {
        let show = || self.root.show(layout::GOOD);
        let content = self.root.read(layout::GOOD, READ_LIMIT);
        let content = content.map_err(|error| error.to_string())?;
        let content = content.ok_or_else(|| format!("{} is gone", show()))?;
        let ledger = Ledger::from_json(&content.bytes);
        ledger.map_err(|error| format!("{}: {error}", show()))
    }
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
