//! One set of files to disk, leftovers away, and everything off again.

use std::collections::BTreeSet;

use policy::paths::VERIFIER_NAME;

use super::Agent;
use crate::error::CycleError;
use crate::journal::Step;
use crate::layout::{self, VerifierPlace};
use crate::plan::{self, Desired, Plan, Target};
use crate::recover;
use crate::runtime::{self, Runtime, Set};
use crate::state::{Role, State};
use crate::status::Report;
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

impl Agent {
    /// Takes everything off the node, with nothing but the agent's own records to go by: what it
    /// could give back is given back, and what is left is told.
    pub fn uninstall(&mut self) -> Result<Uninstalled, CycleError> {
        recover::recover(&self.root)?;
        let (state, damaged) = self.state()?;
        self.tidy_recorded(&state, BTreeSet::new())?;
        let behind = runtime::left_behind(&self.root, &state);
        let set = runtime::leaving(&self.root, &state);
        let plan = self.bring_set(&state, None, set, None)?;
        let mut notes: Vec<String> = damaged
            .map(|why| self.made_anew(&why))
            .into_iter()
            .collect();
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

    /// Leftovers of an agent that was cut off, or that failed.
    pub(super) fn tidy(&mut self, runtime: &Runtime, state: &State) -> Result<(), CycleError> {
        if !std::mem::take(&mut self.untidy) {
            return Ok(());
        }
        let unrecorded = runtime.unrecorded(&self.root)?;
        self.tidy_recorded(state, unrecorded.into_iter().collect())
    }

    /// The same before everything is taken off, which waits for nothing: not for the runtime, and not
    /// for leftovers that cannot be removed.
    pub(super) fn tidy_before_leaving(
        &mut self,
        runtime: Option<&Runtime>,
        state: &State,
        report: &mut Report,
    ) {
        if !std::mem::take(&mut self.untidy) {
            return;
        }
        let unrecorded = runtime.and_then(|runtime| runtime.unrecorded(&self.root).ok());
        let unrecorded = unrecorded.unwrap_or_default().into_iter().collect();
        if let Err(error) = self.tidy_recorded(state, unrecorded) {
            self.untidy = true;
            let warning = format!("leftovers of nodeseal's could not be removed: {error}");
            report.warnings.push(warning);
        }
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
    pub(super) fn bring_set(
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
