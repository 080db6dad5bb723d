//! What is on disk, for [`crate::plan`].

use std::collections::BTreeSet;

use policy::digest::Digest;

use crate::layout::VerifierPlace;
use crate::plan::{Current, Seen};
use crate::root::{FileError, Root};
use crate::transaction::READ_LIMIT;

/// Looks at `paths` and at the verifier's folder.
pub fn observe(
    root: &Root,
    place: &VerifierPlace,
    paths: &BTreeSet<String>,
) -> Result<Current, FileError> {
    let mut current = Current {
        verifier_folder: root.entries(&place.folder)?,
        ..Current::default()
    };
    for path in paths.iter().chain([&place.file()]) {
        if let Some(content) = root.read(path, READ_LIMIT)? {
            let sha256 = Digest::of(&content.bytes);
            let seen = Seen {
                sha256,
                mode: content.mode,
                uid: content.uid,
                gid: content.gid,
            };
            current.files.insert(path.clone(), seen);
        }
    }
    Ok(current)
}
