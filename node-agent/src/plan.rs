//! From what is on disk and what should be there to the steps between, in the safe order.
//!
//! - Files that are as they should be are no step: steady state writes nothing.
//! - The order is that of the runtime's targets; files that are no longer wanted are given back
//!   after that.
//! - The agent's own record comes last. It is part of the same journal, so an interrupted apply
//!   never leaves a file that the agent takes for another's.

mod draft;
mod give_back;
mod model;

use self::draft::Draft;
use crate::state::State;

pub use self::model::{Current, Desired, Note, Others, Plan, Refusal, Seen, Source, Target};

/// The mode of the verifier.
pub const VERIFIER_MODE: u32 = 0o755;
/// The mode of the agent's own files.
pub const STATE_MODE: u32 = 0o600;

/// Decides what to do, and in which order.
pub fn plan(current: &Current, state: &State, desired: &Desired) -> Result<Plan, Refusal> {
    let mut draft = Draft::new(current, state, desired.uid);
    if let Some(place) = &desired.place
        && let Err(refusal) = current.refuse_unexpected(place)
    {
        if !state.files.contains_key(&place.file()) {
            return Err(refusal);
        }
        // It came later: everything else is kept as it should be all the same.
        draft.plan.unexpected = Some(refusal.to_string());
    }
    for target in &desired.targets {
        match target {
            Target::Write { path, file, own } => draft.write(path, file, *own),
            Target::Edit { path, from, bytes } => draft.edit(path, from.as_ref(), bytes)?,
            Target::Keep { path } => draft.keep_recorded(path),
            Target::Unedit { path, from, bytes } => draft.unedit(path, from, bytes)?,
            Target::Restore { path } => draft.restore(path),
            Target::Verifier { program, sha256 } => {
                if let Some(place) = &desired.place {
                    draft.verifier(place, program, sha256);
                }
            }
        }
    }
    draft.unwanted(&desired.targets, desired.others);
    Ok(draft.finish(desired.bundle.as_deref())?)
}

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod tests;
