//! What stands at the path of CRI-O's policy file where nothing stood before nodeseal.
//!
//! A CRI-O that names a policy file refuses every pull while there is none, and it goes on naming it
//! until it is restarted, whatever its configuration says by then. So such a file is not removed: it
//! says what CRI-O goes by where it names none.

use policy::digest::Digest;
use policy::files::File;

use super::base::SYSTEM_POLICY;
use super::{CRIO_DROP_IN, config, drop_in};
use crate::check::POLICY_LIMIT;
use crate::layout::relative;
use crate::plan::Target;
use crate::root::{FileError, Root};
use crate::state::{Role, State};

/// Everything passes: what CRI-O is told where it has no policy file at all.
const ANYTHING: &[u8] = b"{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n";

/// What CRI-O goes by where it names no policy file.
pub(super) fn stand_in(root: &Root) -> Result<File, FileError> {
    let system = root.read_following(SYSTEM_POLICY, POLICY_LIMIT)?;
    Ok(File {
        bytes: system.map_or_else(|| ANYTHING.to_vec(), |content| content.bytes),
        mode: 0o644,
    })
}

/// What becomes of the policy file when everything is taken off the node, where it cannot go: it is
/// left behind, and CRI-O's again. What others put in its place is theirs.
pub(in crate::runtime) fn on_leaving(root: &Root, state: &State) -> Option<Target> {
    // The drop-in may be gone, and the CRI-O that read it still run.
    let told = state.files.get(CRIO_DROP_IN);
    let named = config::read(root).ok().and_then(|config| config.policy);
    let named = named.as_deref().and_then(relative);
    let is_named = |path: &String| {
        let by_ours = Digest::of(drop_in(path).as_bytes());
        told.is_some_and(|record| record.sha256 == by_ours) || named.as_ref() == Some(path)
    };
    let (path, record) = state.files.iter().find(|(path, record)| {
        record.role == Role::Config && record.original.is_none() && is_named(path)
    })?;
    let path = path.clone();
    let there = root.read(&path, POLICY_LIMIT).ok()??;
    if Digest::of(&there.bytes) != record.sha256 {
        return None;
    }
    Some(match stand_in(root) {
        Ok(File { bytes, .. }) => Target::Unedit {
            path,
            from: record.sha256.clone(),
            bytes,
        },
        // What the node goes by is not known: nothing gets looser by a guess.
        Err(_) => Target::Keep { path },
    })
}
