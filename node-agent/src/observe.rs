//! What is on disk, for [`crate::plan`].

use std::collections::BTreeSet;

use crate::backup;
use crate::layout::VerifierPlace;
use crate::plan::Current;
use crate::root::{FileError, Root};
use crate::state::State;
use crate::transaction::READ_LIMIT;

/// Looks at `paths`, at the verifier's folder where there is one, and at the copies of what was
/// there before nodeseal.
pub fn observe(
    root: &Root,
    place: Option<&VerifierPlace>,
    paths: &BTreeSet<String>,
    state: &State,
) -> Result<Current, FileError> {
    let mut current = Current::default();
    let verifier = place.map(VerifierPlace::file);
    if let Some(place) = place {
        current.verifier_folder = root.entries(&place.folder)?;
    }
    for path in paths.iter().chain(&verifier) {
        match root.seen(path, READ_LIMIT) {
            Ok(Some(seen)) => {
                current.files.insert(path.clone(), seen);
            }
            Ok(None) => {}
            // A file of ours was there: the link is no more than a change of it.
            Err(FileError::Symlink { target, .. }) if state.files.contains_key(path) => {
                current.links.insert(path.clone(), target);
            }
            Err(error) => return Err(error),
        }
    }
    for copy in state
        .files
        .values()
        .filter_map(|record| record.original.as_ref())
    {
        if let Some(original) = backup::original(root, copy)? {
            current.originals.insert(copy.clone(), original);
        }
    }
    Ok(current)
}
