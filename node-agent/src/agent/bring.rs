//! One look at the node's files: read, decide, bring them there.
//!
//! 1. Finish or undo an interrupted apply.
//! 2. Read the last good policies, the record of written files, and what is asked for.
//! 3. Gather the node's facts, flatten, render **all** files, check **all** of them; once more for
//!    what is known to work, if what is asked for has failed here.
//! 4. Compare with what is on disk; carry out the plan.

use node_runtime::probe::{Identity, Scopes};
use policy::settings::{Enforcement, Restart};

use super::choose::Brought;
use super::{Agent, Prove, Seen, Wants};
use crate::error::CycleError;
use crate::layout;
use crate::ledger::Ledger;
use crate::recover::{self, Recovery};
use crate::runtime::{Restarts, containerd};
use crate::started::{Reads, Started};
use crate::state::State;
use crate::status::{Failure, Left, Report};
use crate::transaction::READ_LIMIT;
use crate::trial::Subject;

impl Agent {
    /// One look at the files. What is left to do besides is returned.
    pub fn bring(&mut self) -> Wants {
        let mut report = Report::default();
        let mut trouble = self.order.trouble.clone();
        let mut wants = Wants::default();
        if let Err(error) = self.bring_there(&mut report, &mut wants) {
            self.untidy = true;
            report.failure = Some((error.failure(), error.to_string()));
            if !matches!(error, CycleError::NothingYet { .. }) {
                trouble = None;
            }
            // What is in force goes on being put to the proof.
            report.bundle = report.bundle.or_else(|| {
                let last = self.to_prove.as_ref();
                last.map(|prove| prove.subject.bundle.clone())
            });
            wants.proof.clone_from(&self.to_prove);
        }
        // The node is as what is in force asks, and that is not what the cluster asks for.
        report.failure = trouble.or(report.failure);
        report.warnings.extend(self.order.warning.clone());
        // There may be another look before this one is told.
        if let Some(notes) = report.applied.take() {
            self.applied.get_or_insert_default().extend(notes);
        }
        self.report = report;
        wants
    }

    fn bring_there(&mut self, report: &mut Report, wants: &mut Wants) -> Result<(), CycleError> {
        let recovery = recover::recover(&self.root)?;
        let (mut state, damaged) = self.state()?;
        let anew = damaged.as_ref().map(|why| self.made_anew(why));
        let mut notes: Vec<String> = recovery.message().into_iter().chain(anew).collect();
        super::notes::files(&state, report);
        let (merged, problems) = self.merged(report)?;
        report.problems = problems;
        report.kept = merged.kept.iter().map(super::notes::kept).collect();
        for id in &merged.never_valid {
            report
                .warnings
                .push(format!("{id} was never valid: it enforces nothing"));
        }
        let runtime = self.runtime();
        if let Ok(runtime) = &runtime {
            report.runtime = runtime.about();
        }
        let enforcement = merged.ledger.bundle.settings().enforcement;
        let (mut brought, probe, may) = if enforcement == Enforcement::Disabled {
            self.is_known(damaged)?;
            self.tidy_before_leaving(runtime.as_ref().ok(), &state, report);
            let brought = self.stopped(&state, merged.ledger, report);
            (brought, None, Restart::Never)
        } else {
            let runtime = runtime?;
            self.tidy(&runtime, &state)?;
            let (brought, probe) = self.chosen(&runtime, &state, merged.ledger, report)?;
            let may = runtime.restart(brought.ledger.bundle.settings());
            (brought, probe, may)
        };
        // Before anything changes: an agent that is ended in between goes on with the trial.
        self.note_trial(&brought);
        brought.changed = !matches!(recovery, Recovery::Nothing);
        let bundle = brought.ledger.bundle.digest();
        let ledger = brought.ledger.to_json()?;
        for set in std::mem::take(&mut brought.rendered.sets) {
            let in_force = set.in_force;
            let place = brought.rendered.place.as_ref();
            let place = place.filter(|_| brought.left.is_none());
            let plan = self.bring_set(&state, place, set, Some(&ledger))?;
            brought.changed |= !plan.steps.is_empty();
            brought.in_force |= in_force;
            self.drift += super::notes::drift(&plan.notes);
            if let Some(unexpected) = &plan.unexpected {
                report.failure = Some((Failure::ForeignOwner, unexpected.clone()));
            }
            notes.extend(plan.notes.iter().map(|note| self.describe(note)));
            state = State::from_json(&plan.state)?;
            report.applied = brought.changed.then(|| notes.clone());
            if in_force {
                // With it the bundle is in force, whatever becomes of the next.
                let is_there = brought.left != Some(Left::Failed);
                report.bundle = is_there.then(|| bundle.clone());
                let policies = brought.ledger.bundle.policies().count();
                report.policies = if brought.left.is_none() { policies } else { 0 };
            }
            super::notes::files(&state, report);
        }
        self.follow_up(brought, probe.as_ref(), may, report, wants);
        Ok(())
    }

    /// What is left to do besides files, and what the record of trials says now.
    fn follow_up(
        &mut self,
        brought: Brought,
        probe: Option<&(Identity, Scopes)>,
        may: Restart,
        report: &mut Report,
        wants: &mut Wants,
    ) {
        let Brought {
            ledger,
            rendered,
            subject,
            left,
            in_force,
            changed: _,
        } = brought;
        let settings = ledger.bundle.settings();
        wants.stale = rendered.stale;
        self.stale.clone_from(&wants.stale);
        if !in_force && report.failure.is_none() {
            report.failure = Some((Failure::StaleImages, super::notes::stale(&wants.stale)));
        }
        wants.restart = self.behind(&rendered.restarts);
        if self.down {
            let why = "it did not come back from its last restart";
            wants.restart = Some(why.to_owned());
        } else if may == Restart::Never
            && let Some(why) = wants.restart.take()
        {
            report.pending = Some(format!("{why}: restart it"));
        }
        wants.subject = Some(subject.clone());
        wants.proof = probe
            .filter(|_| report.prove && in_force && wants.restart.is_none())
            .and_then(|(identity, _)| self.prove(subject.clone(), identity, &ledger));
        self.to_prove.clone_from(&wants.proof);
        report.table = rendered.table;
        // Where nothing can be proven, what was brought there without a failure has to do.
        let is_unproven = wants.proof.is_none() && wants.restart.is_none();
        // Not where there should be a proof, and only its registry has no port.
        let has_port = probe.is_some() || settings.probe_interval.seconds().is_none();
        let counts = match &self.seen {
            Seen::Told => true,
            Seen::Answers(_) => has_port || !report.prove,
            Seen::Silent(..) => false,
        };
        if is_unproven && in_force && left.is_none() && counts {
            self.worked(&subject, false);
        }
    }

    fn prove(&self, subject: Subject, identity: &Identity, ledger: &Ledger) -> Option<Prove> {
        let Seen::Answers(live) = &self.seen else {
            return None;
        };
        Some(Prove {
            kind: live.kind,
            subject,
            identity: identity.clone(),
            interval: ledger.bundle.settings().probe_interval.seconds()?,
            process: live
                .process
                .as_ref()
                .ok()
                .map(|process| process.start.clone()),
        })
    }

    /// Why the runtime has to be restarted, now that the files are there.
    fn behind(&self, restarts: &Restarts) -> Option<String> {
        match restarts {
            Restarts::Unknown => None,
            Restarts::Crio(lacks) => lacks.clone(),
            Restarts::Containerd(reads) => self.is_behind(reads).then(|| {
                let file = &reads.root_config;
                format!("containerd has not read {file} as it is now")
            }),
        }
    }

    fn is_behind(&self, reads: &Reads) -> bool {
        let Some(running) = containerd::running(&self.root, reads) else {
            return false;
        };
        let kept = self.root.read(layout::STARTED, READ_LIMIT).ok().flatten();
        let kept = kept.and_then(|content| Started::from_json(&content.bytes));
        let record = Started::of(kept.clone(), &running);
        if kept.as_ref() != Some(&record) {
            self.keep(layout::STARTED, record.to_json());
        }
        record.is_behind(&running)
    }
}
