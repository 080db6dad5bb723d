//! Everything that a look reads before it decides.

use policy::bundle::DefaultAction;
use policy::paths::VERIFIER_POLICY;
use policy::verifier::VerifierPolicy;

use super::Agent;
use crate::error::CycleError;
use crate::facts::{self, Facts};
use crate::ledger::{Ledger, LedgerError};
use crate::merge::{self, Merged, Reading, SettingsReading};
use crate::state::State;
use crate::status::{Detected, Problem, Report};
use crate::transaction::READ_LIMIT;
use crate::{containerd_config, layout, reading};

impl Agent {
    /// What is in force after the folder was read. Fills in what was in force before.
    pub(super) fn merged(&self, report: &mut Report) -> Result<(Merged, Vec<Problem>), CycleError> {
        let last = self.ledger()?;
        if let Ok(Some(ledger)) = &last {
            report.bundle = Some(ledger.bundle.digest());
            report.policies = ledger.sources.len();
        }
        let (reading, problems) = match reading::read(&self.options.policy_dir) {
            Ok((reading, problems)) => (Some(reading), problems),
            Err(error) => {
                let file = self.options.policy_dir.display().to_string();
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
            return Err(CycleError::NothingYet);
        }
        Ok((
            merge::merge(&last.unwrap_or_default(), reading.as_ref()),
            problems,
        ))
    }

    fn ledger(&self) -> Result<Result<Option<Ledger>, LedgerError>, CycleError> {
        let content = self.root.read(layout::BUNDLE, READ_LIMIT)?;
        Ok(content
            .map(|content| Ledger::from_json(&content.bytes))
            .transpose())
    }

    /// True when the folder alone says all that has to be known, so that a lost ledger weakens
    /// nothing: everything valid, and settings that are there or were never strict.
    fn is_whole(&self, reading: &Reading) -> bool {
        let strict = || {
            let installed = self.root.read(VERIFIER_POLICY, READ_LIMIT).ok().flatten();
            installed
                .and_then(|content| VerifierPolicy::from_json(&content.bytes).ok())
                .is_some_and(|policy| policy.flat.default_action() == DefaultAction::Reject)
        };
        reading.invalid.is_empty()
            && reading.broken.is_empty()
            && match reading.settings {
                SettingsReading::Valid(..) => true,
                SettingsReading::Absent => !strict(),
                SettingsReading::Invalid => false,
            }
    }

    /// The record of written files. A damaged one only costs a copy of each file that differs.
    pub(super) fn state(&self) -> Result<(State, Option<String>), CycleError> {
        let Some(content) = self.root.read(layout::STATE, READ_LIMIT)? else {
            return Ok((State::default(), None));
        };
        Ok(match State::from_json(&content.bytes) {
            Ok(state) => (state, None),
            Err(error) => {
                let path = self.root.show(layout::STATE);
                (
                    State::default(),
                    Some(format!("{path} was made anew: {error}")),
                )
            }
        })
    }

    pub(super) fn facts(&self, report: &mut Report) -> Result<Facts, CycleError> {
        let path = &self.options.containerd_config;
        let content = self.root.read_following(path, 16 << 20)?;
        let text = content.as_ref().map(|content| content.bytes.as_slice());
        let config = match containerd_config::parse(path, text) {
            Ok(config) => config,
            Err(error) => {
                report.detected = Detected::Unusable(error.to_string());
                return Err(error.into());
            }
        };
        let version = config.version.number();
        report.detected = if text.is_some() {
            Detected::Read(format!(
                "containerd, configuration version {version} in /{path}"
            ))
        } else {
            Detected::Missing(self.root.show(path))
        };
        let (folder, images) = (&self.options.folder, &self.options.sandbox_images);
        Ok(facts::gather(&config, path, text.is_some(), folder, images))
    }
}
