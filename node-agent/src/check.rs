//! The last gate before anything is written: every rendered file through its strict parser.

use policy::containerd::FileSet;
use policy::crio::document::{PolicyJson, PolicyJsonError};
use policy::crio::render::REGISTRIES_D_FILE;
use policy::crio::transition::Step;
use policy::paths::VERIFIER_POLICY;
use policy::verifier::{MAX_BYTES, VerifierPolicy, VerifierPolicyError};

use crate::runtime::crio::registries;

/// The most bytes of a policy.json, of others and of ours.
pub const POLICY_LIMIT: u64 = policy::crio::document::MAX_BYTES;

/// Why rendered files are not written. Each is a defect of nodeseal, not of the policies.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The verifier would not read its policy.
    #[error("the verifier would refuse the rendered {VERIFIER_POLICY}: {0}")]
    Policy(#[from] VerifierPolicyError),
    /// CRI-O would refuse the file, and with it every pull.
    #[error("CRI-O would refuse the rendered /{path}: {source}")]
    Crio {
        /// The file.
        path: String,
        /// Why.
        source: PolicyJsonError,
    },
    /// CRI-O would refuse every pull with this file in registries.d.
    #[error("CRI-O would refuse the rendered /{REGISTRIES_D_FILE}: {0}")]
    Registries(String),
    /// The reader would read something else than was rendered.
    #[error("the rendered /{path} does not read back as it was written")]
    Different {
        /// The file.
        path: String,
    },
    /// More than its reader takes.
    #[error(
        "the policies make {size} bytes of /{path}, and at most {limit} are read of it: have fewer \
         scopes or policies"
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: usize,
        /// The most bytes that are read.
        limit: u64,
    },
    /// There is no policy, or a file that nobody checks.
    #[error("the rendered files are not complete, or hold {0}, which nothing checks")]
    Unexpected(String),
}

/// Checks every file that is rendered for a containerd node. Its drop-in is none of them: that one is made
/// from the node's configuration, and what containerd makes of it is worked out before.
pub fn containerd(files: &FileSet) -> Result<(), CheckError> {
    if !files.contains_key(VERIFIER_POLICY) {
        return Err(CheckError::Unexpected("no policy".to_owned()));
    }
    for (path, file) in files {
        match path.as_str() {
            VERIFIER_POLICY => verifier_policy(&file.bytes)?,
            other => return Err(CheckError::Unexpected(other.to_owned())),
        }
    }
    Ok(())
}

/// Checks every file that is written on the way to a CRI-O node's new set.
pub fn crio(steps: &[Step]) -> Result<(), CheckError> {
    for step in steps {
        match step {
            Step::Restore { .. } => {}
            Step::Write { path, file } if path == REGISTRIES_D_FILE => {
                registries::locations(&file.bytes)
                    .map(drop)
                    .map_err(CheckError::Registries)?;
            }
            Step::Write { path, file } => policy_json(path, &file.bytes)?,
        }
    }
    Ok(())
}

fn policy_json(path: &str, bytes: &[u8]) -> Result<(), CheckError> {
    size(path, bytes, POLICY_LIMIT)?;
    let parsed = PolicyJson::parse(bytes).map_err(|source| CheckError::Crio {
        path: path.to_owned(),
        source,
    })?;
    same(path, bytes, &parsed.to_json())
}

fn verifier_policy(bytes: &[u8]) -> Result<(), CheckError> {
    size(VERIFIER_POLICY, bytes, MAX_BYTES)?;
    let policy = VerifierPolicy::from_json(bytes)?;
    same(VERIFIER_POLICY, bytes, &policy.to_json())
}

fn size(path: &str, bytes: &[u8], limit: u64) -> Result<(), CheckError> {
    let size = bytes.len();
    if size as u64 <= limit {
        return Ok(());
    }
    let path = path.to_owned();
    Err(CheckError::TooLarge { path, size, limit })
}

fn same(path: &str, written: &[u8], read: &[u8]) -> Result<(), CheckError> {
    if written == read {
        return Ok(());
    }
    let path = path.to_owned();
    Err(CheckError::Different { path })
}

#[cfg(test)]
mod tests {
    use policy::containerd::{ContainerdFacts, render};
    use policy::flatten::{NodeFacts, flatten};
    use policy::paths::CONTAINERD_DROP_IN;

    use super::*;
    use crate::testing;

    fn rendered(drop_in: bool) -> FileSet {
        let ledger = testing::ledger(&[("a", "a.yaml", "a.example")]);
        let facts = ContainerdFacts {
            drop_in,
            ..ContainerdFacts::default()
        };
        let flat = flatten(&ledger.bundle, &NodeFacts::default());
        render(&flat, &ledger.bundle.digest(), &facts)
    }

    #[test]
    fn what_is_rendered_passes() {
        containerd(&rendered(false)).unwrap();
    }

    #[test]
    fn nothing_that_a_reader_would_refuse_passes() {
        let files = rendered(false);
        let mut cut = files.clone();
        cut.get_mut(VERIFIER_POLICY).unwrap().bytes.truncate(40);
        assert!(matches!(containerd(&cut), Err(CheckError::Policy(_))));
        let mut less = files;
        less.remove(VERIFIER_POLICY);
        assert!(matches!(containerd(&less), Err(CheckError::Unexpected(_))));
    }

    #[test]
    fn nothing_that_is_not_checked_passes() {
        let unexpected = |files: &FileSet, path: &str| {
            let error = containerd(files).unwrap_err();
            assert!(matches!(&error, CheckError::Unexpected(what) if what == path));
        };
        let mut more = rendered(false);
        more.insert("etc/other".to_owned(), more[VERIFIER_POLICY].clone());
        unexpected(&more, "etc/other");
        // The drop-in of `nodeseal render` is not the one that this node needs.
        unexpected(&rendered(true), CONTAINERD_DROP_IN);
    }
}
