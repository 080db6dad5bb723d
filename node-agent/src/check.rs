//! The last gate before anything is written: every rendered file through its strict parser.

use policy::containerd::{ContainerdFacts, FileSet};
use policy::paths::{CONTAINERD_DROP_IN, VERIFIER_POLICY};
use policy::verifier::{MAX_BYTES, VerifierPolicy, VerifierPolicyError};
use toml_edit::{DocumentMut, Item};

/// Why rendered files are not written. Each is a defect of nodeseal, not of the policies.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The verifier would not read its policy.
    #[error("the verifier would refuse the rendered {VERIFIER_POLICY}: {0}")]
    Policy(#[from] VerifierPolicyError),
    /// The verifier would read something else than was rendered.
    #[error("the rendered {VERIFIER_POLICY} does not read back as it was written")]
    Different,
    /// More than the verifier reads.
    #[error(
        "the policies make {size} bytes of {VERIFIER_POLICY}, and the verifier reads at most \
         {MAX_BYTES}: have fewer scopes or policies"
    )]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// containerd would not start with the drop-in.
    #[error("the rendered {CONTAINERD_DROP_IN} is not valid TOML: {0}")]
    DropIn(String),
    /// containerd would lose its configuration with the drop-in.
    #[error("the rendered {CONTAINERD_DROP_IN} has another version than containerd's own file")]
    DropInVersion,
    /// There is no policy, or a file that nobody checks.
    #[error("the rendered files are not complete, or hold {0}, which nothing checks")]
    Unexpected(String),
}

/// Checks every file.
pub fn check(files: &FileSet, facts: &ContainerdFacts) -> Result<(), CheckError> {
    if !files.contains_key(VERIFIER_POLICY) {
        return Err(CheckError::Unexpected("no policy".to_owned()));
    }
    for (path, file) in files {
        match path.as_str() {
            VERIFIER_POLICY => verifier_policy(&file.bytes)?,
            CONTAINERD_DROP_IN => drop_in(&file.bytes, facts)?,
            other => return Err(CheckError::Unexpected(other.to_owned())),
        }
    }
    Ok(())
}

fn verifier_policy(bytes: &[u8]) -> Result<(), CheckError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(CheckError::TooLarge { size: bytes.len() });
    }
    let policy = VerifierPolicy::from_json(bytes)?;
    if policy.to_json() == bytes {
        Ok(())
    } else {
        Err(CheckError::Different)
    }
}

fn drop_in(bytes: &[u8], facts: &ContainerdFacts) -> Result<(), CheckError> {
    let text = std::str::from_utf8(bytes).map_err(|error| CheckError::DropIn(error.to_string()))?;
    let document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| CheckError::DropIn(error.to_string()))?;
    let version = document.get("version").and_then(Item::as_integer);
    if version == Some(facts.config_version.number()) {
        Ok(())
    } else {
        Err(CheckError::DropInVersion)
    }
}

#[cfg(test)]
mod tests {
    use policy::containerd::{ConfigVersion, render};
    use policy::flatten::{NodeFacts, flatten};

    use super::*;
    use crate::testing;

    fn rendered() -> (FileSet, ContainerdFacts) {
        let ledger = testing::ledger(&[("a", "a.yaml", "a.example")]);
        let facts = ContainerdFacts::default();
        let flat = flatten(&ledger.bundle, &NodeFacts::default());
        (render(&flat, &ledger.bundle.digest(), &facts), facts)
    }

    #[test]
    fn what_is_rendered_passes() {
        let (files, facts) = rendered();
        check(&files, &facts).unwrap();
    }

    #[test]
    fn nothing_that_a_reader_would_refuse_passes() {
        let (files, facts) = rendered();
        let mut cut = files.clone();
        cut.get_mut(VERIFIER_POLICY).unwrap().bytes.truncate(40);
        assert!(matches!(check(&cut, &facts), Err(CheckError::Policy(_))));
        let mut toml = files.clone();
        toml.get_mut(CONTAINERD_DROP_IN)
            .unwrap()
            .bytes
            .extend(b"[[[");
        assert!(matches!(check(&toml, &facts), Err(CheckError::DropIn(_))));
        let other = ContainerdFacts {
            config_version: ConfigVersion::V2,
            ..facts.clone()
        };
        assert!(matches!(
            check(&files, &other),
            Err(CheckError::DropInVersion)
        ));
        let mut more = files.clone();
        more.insert("etc/other".to_owned(), files[VERIFIER_POLICY].clone());
        assert!(matches!(
            check(&more, &facts),
            Err(CheckError::Unexpected(_))
        ));
        let mut less = files;
        less.remove(VERIFIER_POLICY);
        assert!(matches!(
            check(&less, &facts),
            Err(CheckError::Unexpected(_))
        ));
    }
}
