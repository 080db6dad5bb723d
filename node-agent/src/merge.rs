//! What is in force after the policy folder was read: the last good form of everything.
//!
//! 1. A valid policy is taken as it is now.
//! 2. A policy that is invalid now and was in force keeps its last valid form; one that was never
//!    valid enforces nothing, and its problem says so.
//! 3. Of a file that cannot be read, or that holds nothing any more, every policy that came from it
//!    is kept: a file is emptied by a full disk more often than by an administrator, who removes it.
//!    A broken file, or a policy that was never valid, may be what a policy that disappeared
//!    elsewhere has become: as long as there is one, nothing is removed.
//! 4. A policy that is in none of the readable files is removed.
//! 5. An invalid, unreadable or removed `EnforcementConfig` leaves the last values in force:
//!    removing a file must never turn `Reject` into `Allow`.
//! 6. A folder that cannot be read changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use policy::bundle::{Bundle, Settings};
use policy::model::{Policy, PolicyId};

use crate::ledger::Ledger;

/// What a folder of policies holds now.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The valid policies with the file that each is in.
    pub policies: Vec<(Policy, String)>,
    /// Policies that are there and not valid, with their file.
    pub invalid: Vec<(PolicyId, String)>,
    /// The settings.
    pub settings: SettingsReading,
    /// Files of which not everything could be read or named.
    pub broken: BTreeSet<String>,
    /// Files that hold no object at all.
    pub empty: BTreeSet<String>,
}

/// What the folder says about the settings.
#[derive(Debug, Clone, Default)]
pub enum SettingsReading {
    /// No `EnforcementConfig`.
    #[default]
    Absent,
    /// One that is not valid.
    Invalid,
    /// A valid one, with its file.
    Valid(Settings, String),
}

/// Why something stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What is there now is not valid.
    Invalid,
    /// The file that it came from cannot be read.
    FileBroken,
    /// The file that it came from holds nothing now.
    FileEmpty,
    /// It is gone, and something else in the folder is broken or was never valid.
    MayHaveMoved,
    /// The folder cannot be read.
    FolderUnreadable,
    /// It is gone: only settings stay then.
    Removed,
}

/// Something that stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The policy; `None` for the settings.
    pub policy: Option<PolicyId>,
    /// The file that it came from.
    pub file: String,
    /// Why.
    pub why: Why,
}

/// What is in force now, and what of it is not what the folder says.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// In force.
    pub ledger: Ledger,
    /// What stays as it was.
    pub kept: Vec<Kept>,
    /// Policies that were never valid: they enforce nothing.
    pub never_valid: Vec<PolicyId>,
}

/// Merges what is in force with what the folder holds now; `None` is a folder that cannot be read.
#[must_use]
pub fn merge(last: &Ledger, reading: Option<&Reading>) -> Merged {
    let Some(reading) = reading else {
        return keep_all(last);
    };
    let mut merged = Merged::default();
    let mut policies: BTreeMap<PolicyId, (Policy, String)> = BTreeMap::new();
    for (policy, file) in &reading.policies {
        policies.insert(policy.id().clone(), (policy.clone(), file.clone()));
    }

    let invalid: BTreeMap<&PolicyId, &String> = reading
        .invalid
        .iter()
        .map(|(id, file)| (id, file))
        .collect();
    for id in invalid.keys() {
        if last.bundle.policy(id).is_none() && !policies.contains_key(id) {
            merged.never_valid.push((*id).clone());
        }
    }

    let may_have_moved = !reading.broken.is_empty() || !merged.never_valid.is_empty();
    for policy in last.bundle.policies() {
        let id = policy.id();
        if policies.contains_key(id) {
            continue;
        }
        let source = last.sources.get(id).cloned().unwrap_or_default();
        let why = if invalid.contains_key(id) {
            Why::Invalid
        } else if reading.broken.contains(&source) {
            Why::FileBroken
        } else if reading.empty.contains(&source) {
            Why::FileEmpty
        } else if may_have_moved {
            Why::MayHaveMoved
        } else {
            continue;
        };
        // A policy that moved and is invalid is looked for in its new file from now on.
        let file = invalid.get(id).map_or(source, |file| (*file).clone());
        merged.kept.push(Kept {
            policy: Some(id.clone()),
            file: file.clone(),
            why,
        });
        policies.insert(id.clone(), (policy.clone(), file));
    }

    let settings = settings(last, reading, may_have_moved, &mut merged);
    let sources = policies
        .iter()
        .map(|(id, (_, file))| (id.clone(), file.clone()))
        .collect();
    let policies = policies.into_values().map(|(policy, _)| policy);
    merged.ledger.bundle = Bundle::new(settings, policies);
    merged.ledger.sources = sources;
    merged
}

fn settings(
    last: &Ledger,
    reading: &Reading,
    may_have_moved: bool,
    merged: &mut Merged,
) -> Settings {
    if let SettingsReading::Valid(settings, file) = &reading.settings {
        merged.ledger.settings_source = Some(file.clone());
        return settings.clone();
    }
    merged
        .ledger
        .settings_source
        .clone_from(&last.settings_source);
    if let Some(file) = &last.settings_source {
        let why = match &reading.settings {
            SettingsReading::Invalid => Why::Invalid,
            _ if reading.broken.contains(file) => Why::FileBroken,
            _ if reading.empty.contains(file) => Why::FileEmpty,
            _ if may_have_moved => Why::MayHaveMoved,
            _ => Why::Removed,
        };
        merged.kept.push(Kept {
            policy: None,
            file: file.clone(),
            why,
        });
    }
    last.bundle.settings().clone()
}

fn keep_all(last: &Ledger) -> Merged {
    let why = Why::FolderUnreadable;
    let policies = last.sources.iter().map(|(id, file)| Kept {
        policy: Some(id.clone()),
        file: file.clone(),
        why,
    });
    let settings = last.settings_source.iter().map(|file| Kept {
        policy: None,
        file: file.clone(),
        why,
    });
    let kept = policies.chain(settings).collect();
    Merged {
        ledger: last.clone(),
        kept,
        never_valid: Vec::new(),
    }
}

impl Kept {
    /// What to tell a user.
    #[must_use]
    pub fn message(&self) -> String {
        let file = &self.file;
        match (&self.policy, self.why) {
            (_, Why::Invalid) => {
                format!("what {file} holds now is not valid; the last valid form stays in force")
            }
            (_, Why::FileBroken) => {
                format!("{file} cannot be read; what it last held stays in force")
            }
            (_, Why::FileEmpty) => format!(
                "{file} holds nothing now; what it last held stays in force: remove the file if \
                 that is what you want, or put its content back"
            ),
            (_, Why::MayHaveMoved) => format!(
                "it is not in {file} any more, and something else in the folder is not valid; it \
                 stays in force until that is mended or removed"
            ),
            (_, Why::FolderUnreadable) => {
                "the policy folder cannot be read; everything stays in force".to_owned()
            }
            (None, Why::Removed) => format!(
                "the EnforcementConfig is not in {file} any more; its last values stay in force: \
                 put it back, with `defaultAction: Allow` if that is what you want"
            ),
            (Some(_), Why::Removed) => format!("it is not in {file} any more"),
        }
    }
}

#[cfg(test)]
mod tests;
