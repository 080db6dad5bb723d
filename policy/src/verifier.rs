//! The policy file of the verifier that containerd runs: the flattened table with its limits.
//!
//! Version N of the verifier reads the versions N-1 and N; there is only version 1 so far.
//! Whatever the reader does not know it refuses, and with it every pull: an ignored field could
//! have been the one that denies.

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::read::{LeftOut, PolicyTable};
use crate::bundle::DefaultAction;
use crate::digest::Digest;
use crate::flatten::{Entry, Flat, FlatError};
use crate::model::{PolicyId, RequirementDraft};
use crate::problem::Problems;
use crate::scope::Scope;
use crate::trust::TrustRoot;

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
    /// How long a verdict that let an image pass is believed without looking for its signatures
    /// again, in seconds; none is kept where it is zero.
    #[serde(
        default = "max_verdict_age",
        skip_serializing_if = "is_max_verdict_age"
    )]
    pub max_verdict_age_seconds: u64,
}

/// A day.
fn max_verdict_age() -> u64 {
    24 * 60 * 60
}

/// Whether it need not be written down.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_max_verdict_age(seconds: &u64) -> bool {
    *seconds == max_verdict_age()
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            max_object_bytes: 4 * 1024 * 1024,
            max_total_bytes: 16 * 1024 * 1024,
            max_signatures: 64,
            max_verdict_age_seconds: max_verdict_age(),
        }
    }
}

/// Where the node keeps what a pull needs beside the image's name: its registry hosts and its
/// credentials. Paths are absolute; what is not there is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// The folders of containerd's `config_path`, in order. The first that has a folder for the
    /// image's host (or `_default`) counts, as in containerd's own pulls.
    pub config_paths: Vec<String>,
    /// Docker's `config.json` files in order; the first that is there and can be read counts, as
    /// for the kubelet.
    pub docker_configs: Vec<String>,
    /// The kubelet's credential providers. There is no usual place: the kubelet is told by flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_provider: Option<CredentialProvider>,
}

/// What the kubelet's flags `--image-credential-provider-config` and
/// `--image-credential-provider-bin-dir` say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialProvider {
    /// The `CredentialProviderConfig`: a file, or a folder of `.json`, `.yaml` and `.yml` files.
    pub config: String,
    /// The folder of the programs.
    pub bin_dir: String,
}

impl Default for Access {
    /// The `config_path` of containerd's generated configuration (2.2 and later), and where a
    /// kubelet that runs as a system service looks for Docker's file.
    fn default() -> Self {
        let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self {
            config_paths: own(&["/etc/containerd/certs.d", "/etc/docker/certs.d"]),
            docker_configs: own(&[
                "/var/lib/kubelet/config.json",
                "/root/.docker/config.json",
                "/.docker/config.json",
            ]),
            credential_provider: None,
        }
    }
}

impl Access {
    /// No place at all: registries are reached by the image's host, and anonymously.
    #[must_use]
    pub fn none() -> Self {
        Self {
            config_paths: Vec::new(),
            docker_configs: Vec::new(),
            credential_provider: None,
        }
    }

    /// Whether these are the usual places, which need not be written down.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first path that is not absolute: it would depend on where the verifier happens to run.
    fn relative(&self) -> Option<&str> {
        let provider = self.credential_provider.iter();
        let provider = provider.flat_map(|provider| [&provider.config, &provider.bin_dir]);
        let mut paths = self
            .config_paths
            .iter()
            .chain(&self.docker_configs)
            .chain(provider);
        paths
            .find(|path| !path.starts_with('/'))
            .map(String::as_str)
    }
}

/// The verifier's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierPolicy {
    /// The digest of the bundle that it was made from; it stands in verdicts.
    pub bundle: Digest,
    /// What one pull may cost.
    pub limits: Limits,
    /// Where the node's registry hosts and credentials are.
    pub access: Access,
    /// The table.
    pub flat: Flat,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    version: u32,
    bundle: Digest,
    limits: Limits,
    #[serde(skip_serializing_if = "Access::is_default")]
    access: Access,
    default_action: DefaultAction,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trust_roots: Vec<Arc<TrustRoot>>,
    policies: BTreeMap<PolicyId, RequirementDraft>,
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
    /// A policy in it is not valid.
    #[error("the policy `{0}` in it is not valid: {1}")]
    Policy(PolicyId, Problems),
    /// The table does not hold together.
    #[error(transparent)]
    Table(#[from] FlatError),
    /// A limit of zero, or a time-out past an hour.
    #[error("its limits are not usable: each must be above zero, the time-out at most one hour")]
    Limits,
    /// A path that depends on a working directory.
    #[error("its access names a path that is not absolute: {0:?}")]
    Access(String),
}

impl VerifierPolicy {
    /// The canonical bytes of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json(&Wire {
            version: VERSION,
            bundle: self.bundle.clone(),
            limits: self.limits,
            access: self.access.clone(),
            default_action: self.flat.default_action(),
            trust_roots: self.flat.trust_roots().into_values().collect(),
            policies: self
                .flat
                .requirements()
                .iter()
                .map(|(id, requirement)| (id.clone(), requirement.clone().into()))
                .collect(),
            scopes: self.flat.entries().clone(),
        })
    }

    /// Reads and checks a file, every policy and trust root in it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, VerifierPolicyError> {
        PolicyTable::from_json(bytes)?.all()
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
            access: Access::default(),
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
    #[test]
    fn how_long_verdicts_are_believed_is_written_where_it_is_not_the_usual_time() {
        let usual = String::from_utf8(sample().to_json()).unwrap();
        assert!(!usual.contains("maxVerdictAge"), "{usual}");
        for max_verdict_age_seconds in [0, 60, u64::MAX] {
            let other = VerifierPolicy {
                limits: Limits {
                    max_verdict_age_seconds,
                    ..Limits::default()
                },
                ..sample()
            };
            assert_eq!(VerifierPolicy::from_json(&other.to_json()).unwrap(), other);
        }
    }

    #[test]
    fn where_the_node_keeps_its_registry_access_survives_and_is_strict() {
        let other = VerifierPolicy {
            access: Access {
                config_paths: vec!["/a".to_owned()],
                docker_configs: Vec::new(),
                credential_provider: Some(CredentialProvider {
                    config: "/b".to_owned(),
                    bin_dir: "/c".to_owned(),
                }),
            },
            ..sample()
        };
        assert_eq!(VerifierPolicy::from_json(&other.to_json()).unwrap(), other);
        let usual = String::from_utf8(sample().to_json()).unwrap();
        assert!(!usual.contains("access"), "{usual}");
        for (access, part) in [
            (
                serde_json::json!({"configPaths": ["a"], "dockerConfigs": []}),
                "not absolute",
            ),
            (
                serde_json::json!({"configPaths": [], "dockerConfigs": ["~/x"]}),
                "not absolute",
            ),
            (
                serde_json::json!({"configPaths": [], "dockerConfigs": [], "x": 0}),
                "unknown field",
            ),
            (serde_json::json!({"configPaths": []}), "missing field"),
        ] {
            let error = changed(|v| v["access"] = access).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
