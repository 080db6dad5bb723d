//! Everything that a look reads before it decides.

use std::path::Path;

use policy::bundle::Bundle;

use super::{Agent, Source};
use crate::error::CycleError;
use crate::ledger::{Ledger, LedgerError};
use crate::merge::{self, Merged, Reading, SettingsReading};
use crate::runtime::Runtime;
use crate::state::{State, StateError};
use crate::status::{Problem, Report};
use crate::transaction::READ_LIMIT;
use crate::{layout, reading};

impl Agent {
    /// What is in force after the folder was read. Fills in what was in force before.
    pub(super) fn merged(&self, report: &mut Report) -> Result<(Merged, Vec<Problem>), CycleError> {
        let last = self.ledger()?;
        if let Ok(Some(ledger)) = &last {
            report.bundle = Some(ledger.bundle.digest());
            report.policies = ledger.bundle.policies().count();
        }
        match &self.options.source {
            Source::Folder(dir) => self.merged_with(dir, last, report),
            Source::Cluster => Ok((self.ordered(last)?, Vec::new())),
        }
    }

    /// The bundle that the cluster asks for, or else the last good one.
    fn ordered(&self, last: Result<Option<Ledger>, LedgerError>) -> Result<Merged, CycleError> {
        let ledger = match (&self.order.bundle, last) {
            (Some(bundle), _) => Ledger {
                bundle: Bundle::clone(bundle),
                ..Ledger::default()
            },
            (None, Ok(Some(ledger))) => ledger,
            (None, Ok(None)) => {
                let why = "the cluster has not said which yet";
                return Err(CycleError::NothingYet { why });
            }
            (None, Err(source)) => {
                let path = self.root.show(layout::BUNDLE);
                return Err(CycleError::Ledger { path, source });
            }
        };
        Ok(Merged {
            ledger,
            ..Merged::default()
        })
    }

    fn merged_with(
        &self,
        dir: &Path,
        last: Result<Option<Ledger>, LedgerError>,
        report: &mut Report,
    ) -> Result<(Merged, Vec<Problem>), CycleError> {
        let (reading, problems) = match reading::read(dir) {
            Ok((reading, problems)) => (Some(reading), problems),
            Err(error) => {
                let file = dir.display().to_string();
                (None, vec![Problem::of_file(file, error.to_string())])
            }
        };
        report.problems.clone_from(&problems);
        let last = match last {
            Ok(ledger) => ledger,
            Err(error) => {
                let path = self.root.show(layout::BUNDLE);
                let whole = reading
                    .as_ref()
                    .is_some_and(|reading| self.is_whole(reading));
                if error.is_newer() || !whole {
                    return Err(CycleError::Ledger {
                        path,
                        source: error,
                    });
                }
                let note = format!("{path} was damaged and is made anew from the folder: {error}");
                report.warnings.push(note);
                Some(Ledger::default())
            }
        };
        if reading.is_none() && last.is_none() {
            let why = "the policy folder could never be read";
            return Err(CycleError::NothingYet { why });
        }
        Ok((
            merge::merge(&last.unwrap_or_default(), reading.as_ref()),
            problems,
        ))
    }

    pub(super) fn ledger(&self) -> Result<Result<Option<Ledger>, LedgerError>, CycleError> {
        let content = self.root.read(layout::BUNDLE, READ_LIMIT)?;
        Ok(content
            .map(|content| Ledger::from_json(&content.bytes))
            .transpose())
    }

    /// True when the folder alone says all that has to be known, so that a lost ledger weakens
    /// nothing: everything valid, and settings that are there or were never strict.
    fn is_whole(&self, reading: &Reading) -> bool {
        // An unknown runtime may have been strict.
        let strict = || {
            self.runtime()
                .map_or(true, |runtime| runtime.is_strict(&self.root))
        };
        reading.invalid.is_empty()
            && reading.broken.is_empty()
            && match reading.settings {
                SettingsReading::Valid(..) => true,
                SettingsReading::Absent => !strict(),
                SettingsReading::Invalid => false,
            }
    }

    /// The record of written files. A damaged one only costs a copy of each file that differs,
    /// but where files build on the node's own, these could no longer be told from ours.
    pub(super) fn state(&self) -> Result<(State, Option<StateError>), CycleError> {
        let read = match self.root.read(layout::STATE, READ_LIMIT)? {
            Some(content) => State::from_json(&content.bytes),
            // Before the first apply there is neither.
            None if !self.root.exists(layout::BUNDLE)? => return Ok((State::default(), None)),
            None => Err(StateError::Gone),
        };
        Ok(match read {
            Ok(state) => (state, None),
            Err(source) if !matches!(self.runtime(), Ok(Runtime::Containerd(_))) => {
                return Err(CycleError::Record {
                    path: self.root.show(layout::STATE),
                    bundle: self.root.show(layout::BUNDLE),
                    backups: self.root.show(layout::BACKUP_DIR),
                    source,
                });
            }
            Err(error) => (State::default(), Some(error)),
        })
    }
}
