//! The policy file of the verifier that containerd runs: the flattened table with its limits.
//!
//! Version N of the verifier reads the versions N-1 and N; there is only version 1 so far.
//! Whatever the reader does not know it refuses, and with it every pull: an ignored field could
//! have been the one that denies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bundle::DefaultAction;
use crate::digest::Digest;
use crate::flatten::{Entry, Flat, FlatError};
use crate::model::{PolicyId, Requirement};
use crate::scope::Scope;

/// The version that is written.
pub const VERSION: u32 = 1;
/// The most bytes of a policy file that the verifier reads.
pub const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// What the verifier may spend on one pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// containerd's `per_verifier_timeout` in milliseconds. The verifier answers after 80 % of it
    /// at the latest, because containerd drops the reason of a verifier that it has to kill.
    pub timeout_ms: u64,
    /// The most bytes that are read of one manifest, index or signature.
    pub max_object_bytes: u64,
    /// The most bytes that are read in all.
    pub max_total_bytes: u64,
    /// The most signatures that are tried.
    pub max_signatures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            max_object_bytes: 4 * 1024 * 1024,
            max_total_bytes: 16 * 1024 * 1024,
            max_signatures: 64,
        }
    }
}

/// The verifier's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierPolicy {
    /// The digest of the bundle that it was made from; it stands in verdicts.
    pub bundle: Digest,
    /// What one pull may cost.
    pub limits: Limits,
    /// The table.
    pub flat: Flat,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    version: u32,
    bundle: Digest,
    limits: Limits,
    default_action: DefaultAction,
    policies: BTreeMap<PolicyId, Requirement>,
    scopes: BTreeMap<Scope, Entry>,
}

/// Why bytes are not a policy that the verifier may use.
#[derive(Debug, thiserror::Error)]
pub enum VerifierPolicyError {
    /// Not JSON of the expected shape, or with fields that this version does not know.
    #[error("it is damaged or was written by a newer version: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("it has version {0}, and this verifier reads version {VERSION}")]
    Version(u64),
    /// The table does not hold together.
    #[error(transparent)]
    Table(#[from] FlatError),
    /// A limit of zero, or a time-out past an hour.
    #[error("its limits are not usable: each must be above zero, the time-out at most one hour")]
    Limits,
}

impl VerifierPolicy {
    /// The canonical bytes of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json(&Wire {
            version: VERSION,
            bundle: self.bundle.clone(),
            limits: self.limits,
            default_action: self.flat.default_action(),
            policies: self.flat.requirements().clone(),
            scopes: self.flat.entries().clone(),
        })
    }

    /// Reads and checks a file.
    pub fn from_json(bytes: &[u8]) -> Result<Self, VerifierPolicyError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != u64::from(VERSION) {
            return Err(VerifierPolicyError::Version(version));
        }
        let wire: Wire = serde_json::from_slice(bytes)?;
        let Limits {
            timeout_ms,
            max_object_bytes,
            max_total_bytes,
            max_signatures,
        } = wire.limits;
        if !(1..=3_600_000).contains(&timeout_ms)
            || max_object_bytes == 0
            || max_total_bytes == 0
            || max_signatures == 0
        {
            return Err(VerifierPolicyError::Limits);
        }
        let flat = Flat::from_parts(wire.default_action, wire.scopes, wire.policies)?;
        Ok(Self {
            bundle: wire.bundle,
            limits: wire.limits,
            flat,
        })
    }
}

/// Indented JSON with a final newline: these files are read by people, too.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    // Maps with string keys and no fallible serialisers cannot fail; should that ever change, an
    // empty file is refused by every reader.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Settings};
    use crate::flatten::{NodeFacts, flatten};
    use crate::testing::policy;

    fn sample() -> VerifierPolicy {
        let policies = [policy(
            "p",
            &["a.example", "*.corp.example"],
            &["a.example/x"],
        )];
        let bundle = Bundle::new(Settings::default(), policies);
        let flat = flatten(&bundle, &NodeFacts::default());
        VerifierPolicy {
            bundle: bundle.digest(),
            limits: Limits::default(),
            flat,
        }
    }

    /// The sample's JSON with one change.
    fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<VerifierPolicy, String> {
        let mut value = serde_json::from_slice(&sample().to_json()).unwrap();
        change(&mut value);
        VerifierPolicy::from_json(&serde_json::to_vec(&value).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_policy_survives_its_own_file() {
        assert_eq!(
            VerifierPolicy::from_json(&sample().to_json()).unwrap(),
            sample()
        );
    }

    #[test]
    fn whatever_the_reader_does_not_know_is_refused() {
        assert!(
            changed(|v| v["version"] = 2.into())
                .unwrap_err()
                .contains("version 2")
        );
        assert!(
            changed(|v| v["extra"] = 0.into())
                .unwrap_err()
                .contains("unknown field `extra`")
        );
        assert!(
            changed(|v| v["scopes"]["a.example"]["action"] = "Allow".into())
                .unwrap_err()
                .contains("unknown variant `Allow`")
        );
        assert!(
            changed(|v| v["policies"]["p"]["attestations"] = 0.into())
                .unwrap_err()
                .contains("unknown field `attestations`")
        );
        assert!(changed(|v| v["scopes"]["a.example"]["extra"] = 0.into()).is_err());
        assert!(
            changed(|v| v["scopes"]["NotCanonical"] = v["scopes"]["a.example"].clone()).is_err()
        );
        assert!(
            changed(|v| v["policies"] = serde_json::json!({}))
                .unwrap_err()
                .contains("not in the file")
        );
        assert!(
            changed(|v| v["limits"]["timeoutMs"] = 0.into())
                .unwrap_err()
                .contains("limits")
        );
        assert!(
            changed(|v| v["policies"]["p"]["threshold"] = 0.into())
                .unwrap_err()
                .contains("threshold")
        );
        assert!(VerifierPolicy::from_json(b"").is_err());
    }
}
