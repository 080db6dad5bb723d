//! What an interrupted apply left behind: finished or undone, once, before anything else.

use std::collections::BTreeSet;

use crate::apply::traces;
use crate::journal::Journal;
use crate::layout::{self, VerifierPlace};
use crate::root::{FileError, Root};
use crate::transaction::{self, READ_LIMIT, StepError};

/// What was found and done.
#[derive(Debug)]
pub enum Recovery {
    /// No apply was interrupted.
    Nothing,
    /// Everything new was there: it is in place now.
    Forward,
    /// Something new was missing: everything is as before the apply.
    Back,
    /// The journal was of no use. It is gone, and everything is rendered again.
    Discarded(String),
}

impl Recovery {
    /// What to tell, if anything.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Forward => Some("an interrupted apply was completed".to_owned()),
            Self::Back => {
                Some("an interrupted apply was undone, and everything is rendered again".to_owned())
            }
            Self::Discarded(why) => Some(format!(
                "the journal of an interrupted apply was discarded: {why}; everything is rendered \
                 again"
            )),
        }
    }
}

/// Finishes or undoes what an interrupted apply left.
///
/// A journal that cannot be used never stops the agent: the files it speaks of are each whole,
/// and rendering again brings them to where they should be.
pub fn recover(root: &Root) -> Result<Recovery, FileError> {
    let Some(content) = root.read(layout::JOURNAL, READ_LIMIT)? else {
        return Ok(Recovery::Nothing);
    };
    let steps = match Journal::from_json(&content.bytes) {
        Ok(journal) => journal.steps,
        Err(error) => {
            root.remove(layout::JOURNAL)?;
            let path = root.show(layout::JOURNAL);
            return Ok(Recovery::Discarded(format!("{path}: {error}")));
        }
    };
    if transaction::can_go_forward(root, &steps)? {
        match transaction::forward(root, &steps) {
            Ok(()) => {
                transaction::finish(root, &steps)?;
                return Ok(Recovery::Forward);
            }
            Err(StepError::File(error)) => {
                tracing::warn!("an interrupted apply cannot be completed and is undone: {error}");
            }
            Err(StepError::Lost { .. }) => {}
        }
    }
    match transaction::back(root, &steps) {
        Ok(()) => {
            transaction::finish(root, &steps)?;
            Ok(Recovery::Back)
        }
        Err(StepError::File(error)) => Err(error),
        Err(error @ StepError::Lost { .. }) => {
            root.remove(layout::JOURNAL)?;
            Ok(Recovery::Discarded(error.to_string()))
        }
    }
}

/// Removes the agent's leftovers beside `paths` and those that it recorded, in its own folders and in
/// those that it made. Only without a journal.
pub fn tidy(
    root: &Root,
    place: Option<&VerifierPlace>,
    paths: &BTreeSet<String>,
) -> Result<(), FileError> {
    transaction::sweep(root, place, paths.iter().map(String::as_str))?;
    traces::sweep(root)
}
