//! What is told of a look.

use super::Agent;
use crate::layout;
use crate::merge;
use crate::plan::Note;
use crate::refresh::Stale;
use crate::state::{Record, State, StateError};
use crate::status::{FileStatus, Kept, Report};
use crate::trial::{Cause, Failed};

/// The most images that are named.
const MAX_NAMES: usize = 10;

impl Agent {
    /// The record of written files could not be used.
    pub(super) fn made_anew(&self, why: &StateError) -> String {
        format!("{} was made anew: {why}", self.root.show(layout::STATE))
    }

    pub(super) fn describe(&self, note: &Note) -> String {
        let show = |path: &String| self.root.show(path);
        match note {
            Note::Foreign { path, copy } => format!(
                "{} was not written by nodeseal and is replaced; its copy is {}",
                show(path),
                show(copy)
            ),
            Note::Changed { path, copy } => format!(
                "{} was changed by someone else and is put back; what it looked like is in {}",
                show(path),
                show(copy)
            ),
            Note::Lost { path, copy } => format!(
                "what was at {} before nodeseal cannot be given back, so nodeseal's file stays: \
                 its copy {} is lost or damaged",
                show(path),
                show(copy)
            ),
            Note::Linked { path, target } => format!(
                "{} had become a symbolic link to {target}, and is put back",
                show(path)
            ),
            Note::PutBack { path } => {
                format!("{} was removed or changed and is put back", show(path))
            }
        }
    }
}

/// How many files were put back.
pub(super) fn drift(notes: &[Note]) -> u64 {
    let is_drift = |note: &&Note| {
        matches!(
            note,
            Note::Changed { .. } | Note::Linked { .. } | Note::PutBack { .. }
        )
    };
    notes.iter().filter(is_drift).count() as u64
}

pub(super) fn kept(kept: &merge::Kept) -> Kept {
    let policy = kept
        .policy
        .as_ref()
        .map_or("EnforcementConfig".to_owned(), ToString::to_string);
    Kept {
        policy,
        file: kept.file.clone(),
        message: kept.message(),
    }
}

/// The managed files, and the copies of what was there before nodeseal.
pub(super) fn files(state: &State, report: &mut Report) {
    let file = |(path, record): (&String, &Record)| FileStatus {
        path: path.clone(),
        sha256: record.sha256.clone(),
        original: record.original.clone(),
    };
    report.files = state.files.iter().map(file).collect();
}

/// What the node is on after what was asked for has failed.
#[derive(Debug)]
pub(super) enum Back {
    /// What last worked.
    Good,
    /// What is asked for all the same: what last worked is lost, and why.
    Lost(String),
    /// What was there before nodeseal.
    Nothing,
}

/// Why what is asked for is not on the node, or not as it should be.
pub(super) fn failed(failed: &Failed, back: &Back) -> String {
    let what = match failed.cause {
        Cause::Reload => "the runtime did not take it up",
        Cause::Proof => "the proof of enforcement failed",
    };
    let now = match back {
        Back::Good => "the node is back on what last worked".to_owned(),
        Back::Lost(why) => format!(
            "what last worked is lost ({why}), so the policies that failed stay on the node"
        ),
        Back::Nothing => {
            "nothing worked here before, so the node is as it was before nodeseal".to_owned()
        }
    };
    format!(
        "the bundle sha256:{} failed on this node, {what}: {}; {now}. It is tried again when the \
         policies or the node change",
        &failed.subject.bundle.hex()[..16],
        failed.message
    )
}

/// Which images keep the policies waiting.
pub(super) fn stale(stale: &[Stale]) -> String {
    let holding = || stale.iter().filter(|stale| stale.holds);
    let names: Vec<&str> = holding()
        .take(MAX_NAMES)
        .map(|stale| stale.reference.as_str())
        .collect();
    let more = match holding().count().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "covered images on this node were pulled before their signatures were looked for, and \
         could not be pulled again yet: {}{more}. Until they are, the policies wait. See that they \
         are signed and can be pulled, remove them, or set `crio.staleImages: Proceed` in the \
         EnforcementConfig",
        names.join(", ")
    )
}
