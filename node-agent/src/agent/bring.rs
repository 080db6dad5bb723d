//! One look at the node's files: read, decide, bring them there.
//!
//! 1. Finish or undo an interrupted apply.
//! 2. Read the last good policies, the record of written files, and what is asked for.
//! 3. Gather the node's facts, flatten, render **all** files, check **all** of them; once more for
//!    what is known to work, if what is asked for has failed here.
//! 4. Compare with what is on disk; carry out the plan.

use std::collections::BTreeSet;

use node_runtime::probe::{Identity, Scopes};
use policy::bundle::Bundle;
use policy::digest::Digest;
use policy::paths::VERIFIER_NAME;
use policy::settings::{Enforcement, Restart};

use super::{Agent, Prove, Seen, Wants};
use crate::error::CycleError;
use crate::journal::Step;
use crate::layout::{self, VerifierPlace};
use crate::ledger::Ledger;
use crate::plan::{self, Desired, Plan, Target};
use crate::recover::{self, Recovery};
use crate::runtime::{self, Node, Rendered, Restarts, Runtime, Set, containerd};
use crate::started::{Reads, Started};
use crate::state::{Role, State};
use crate::status::{Failure, Left, Report};
use crate::transaction::READ_LIMIT;
use crate::trial::{Cause, Choice, Subject};
use crate::{apply, backup, observe};

/// What came of taking everything off the node.
#[derive(Debug, Clone, Default)]
pub struct Uninstalled {
    /// What was met.
    pub notes: Vec<String>,
    /// Nothing was left behind on purpose.
    pub is_whole: bool,
    /// Files that could not be given back.
    pub left: Vec<String>,
}

/// What stands on the node after all sets were brought there.
struct Brought {
    ledger: Ledger,
    rendered: Rendered,
    /// What it is, to the record of trials.
    subject: Subject,
    /// Everything was taken off, and why.
    left: Option<Left>,
    /// All of it is in force, not only what prepares for it.
    in_force: bool,
    changed: bool,
}

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
        let mut notes: Vec<String> = recovery.message().into_iter().chain(damaged).collect();
        super::notes::files(&state, report);
        let (merged, problems) = self.merged(report)?;
        report.problems = problems;
        report.kept = merged.kept.iter().map(super::notes::kept).collect();
        for id in &merged.never_valid {
            report
                .warnings
                .push(format!("{id} was never valid: it enforces nothing"));
        }
        let runtime = self.runtime()?;
        report.runtime = runtime.about();
        self.tidy(&runtime, &state)?;

        let (mut brought, probe) = self.chosen(&runtime, &state, merged.ledger, report)?;
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
        self.follow_up(brought, probe.as_ref(), &runtime, report, wants);
        Ok(())
    }

    /// Renders what is asked for, or what is known to work where that has failed on this node.
    fn chosen(
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
        let brought = |ledger: Ledger, rendered: Rendered, left| Brought {
            subject: Subject {
                bundle: ledger.bundle.digest(),
                node: rendered.print.clone(),
            },
            ledger,
            rendered,
            left,
            in_force: false,
            changed: false,
        };
        let (failed, good) = match self.trials.choose(&subject) {
            Choice::Wanted if wanted.bundle.settings().enforcement == Enforcement::Disabled => {
                let rendered = self.leaving(state, rendered, Left::Disabled, report);
                return Ok((brought(wanted, rendered, Some(Left::Disabled)), None));
            }
            Choice::Wanted => return Ok((brought(wanted, rendered, None), probe)),
            Choice::Good(failed) => (failed.clone(), self.good()?),
            Choice::Reverted(failed) => (failed.clone(), Some(wanted.clone())),
            // The record may be lost, and what worked still there.
            Choice::Nothing(failed) => {
                let failed = failed.clone();
                let other = |good: &Ledger| good.bundle.digest() != failed.subject.bundle;
                let good = self.good().ok().flatten().filter(other);
                (failed, good)
            }
        };
        self.stands_in = Some(failed.cause);
        let failure = Some((
            Failure::RolledBack,
            super::notes::failed(&failed, good.is_some()),
        ));
        let Some(good) = good else {
            report.failure = failure;
            let rendered = self.leaving(state, rendered, Left::Failed, report);
            return Ok((brought(wanted, rendered, Some(Left::Failed)), None));
        };
        *report = before;
        report.failure = failure;
        let probe = self.probe_for(&good.bundle);
        let rendered = self.render(runtime, state, &good.bundle, probe.as_ref(), report)?;
        let mut brought = brought(good, rendered, None);
        if brought.subject == failed.subject {
            // The same bundle, and not all of what goes with it.
            brought.subject.node =
                Digest::of(format!("without {}", failed.subject.node).as_bytes());
        }
        Ok((brought, probe))
    }

    /// Notes what is about to stand on the node.
    fn note_trial(&mut self, brought: &Brought) {
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
    fn leaving(
        &self,
        state: &State,
        rendered: Rendered,
        why: Left,
        report: &mut Report,
    ) -> Rendered {
        report.left = Some(why);
        let behind = runtime::left_behind(&self.root, state);
        report.warnings.extend(behind);
        report.prove = false;
        report.pending = None;
        Rendered {
            sets: vec![runtime::leaving(&self.root, state)],
            stale: Vec::new(),
            restarts: Restarts::Unknown,
            ..rendered
        }
    }

    /// Takes everything off the node, with nothing but the agent's own records to go by: what it
    /// could give back is given back, and what is left is told.
    pub fn uninstall(&mut self) -> Result<Uninstalled, CycleError> {
        recover::recover(&self.root)?;
        let (state, damaged) = self.state()?;
        self.tidy_recorded(&state, BTreeSet::new())?;
        let behind = runtime::left_behind(&self.root, &state);
        let set = runtime::leaving(&self.root, &state);
        let plan = self.bring_set(&state, None, set, None)?;
        let mut notes: Vec<String> = damaged.into_iter().collect();
        notes.extend(plan.notes.iter().map(|note| self.describe(note)));
        let is_whole = behind.is_none();
        notes.extend(behind);
        let left = State::from_json(&plan.state)?.files;
        Ok(Uninstalled {
            notes,
            is_whole,
            left: left.into_keys().collect(),
        })
    }

    /// The policies that were last seen to work.
    fn good(&self) -> Result<Option<Ledger>, CycleError> {
        let content = self.root.read(layout::GOOD, READ_LIMIT)?;
        let ledger = content.map(|content| Ledger::from_json(&content.bytes));
        ledger.transpose().map_err(|source| CycleError::Ledger {
            path: self.root.show(layout::GOOD),
            source,
        })
    }

    /// What is left to do besides files, and what the record of trials says now.
    fn follow_up(
        &mut self,
        brought: Brought,
        probe: Option<&(Identity, Scopes)>,
        runtime: &Runtime,
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
        let may = match runtime {
            Runtime::Containerd(_) => settings.containerd.restart,
            Runtime::Crio(_) => settings.crio.restart,
        };
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

    /// Leftovers of an agent that was cut off, or that failed.
    fn tidy(&mut self, runtime: &Runtime, state: &State) -> Result<(), CycleError> {
        if !std::mem::take(&mut self.untidy) {
            return Ok(());
        }
        let unrecorded = runtime.unrecorded(&self.root)?;
        self.tidy_recorded(state, unrecorded.into_iter().collect())
    }

    fn tidy_recorded(&self, state: &State, more: BTreeSet<String>) -> Result<(), CycleError> {
        let mut paths = more;
        paths.extend(state.files.keys().cloned());
        let recorded = state.files.iter();
        let verifiers = recorded.filter(|(_, record)| record.role == Role::Verifier);
        let places = verifiers.filter_map(|(path, _)| {
            let folder = path.strip_suffix(VERIFIER_NAME)?;
            VerifierPlace::in_folder(&format!("/{folder}")).ok()
        });
        for place in places.chain([VerifierPlace::default()]) {
            recover::tidy(&self.root, Some(&place), &paths)?;
        }
        Ok(())
    }

    /// Brings one set of files to disk.
    fn bring_set(
        &self,
        state: &State,
        place: Option<&VerifierPlace>,
        set: Set,
        ledger: Option<&[u8]>,
    ) -> Result<Plan, CycleError> {
        let mut paths: BTreeSet<String> = state.files.keys().cloned().collect();
        paths.extend([layout::BUNDLE.to_owned(), layout::STATE.to_owned()]);
        paths.extend(
            set.targets
                .iter()
                .filter_map(Target::path)
                .map(str::to_owned),
        );
        let current = observe::observe(&self.root, place, &paths, state)?;
        let desired = Desired {
            place: place.cloned(),
            targets: set.targets,
            others: set.others,
            bundle: ledger.filter(|_| set.in_force).map(<[u8]>::to_vec),
            uid: self.root.uid(),
        };
        let plan = plan::plan(&current, state, &desired)?;
        apply::apply(&self.root, place, &plan)?;
        let keeps_a_copy = |step: &Step| step.before.as_ref().is_some_and(|before| before.lasting);
        if plan.steps.iter().any(keeps_a_copy) {
            backup::prune(&self.root, &State::from_json(&plan.state)?)?;
        }
        Ok(plan)
    }
}
