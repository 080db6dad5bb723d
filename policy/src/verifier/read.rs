//! Reading a policy file. The verifier does it at every pull, and one image has to do with few of
//! the policies in it: what the others demand (keys, certificates, expressions, trust roots) is not
//! even parsed then. Everything else of the file is checked as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Access, Limits, VERSION, VerifierPolicy, VerifierPolicyError};
use crate::authority::{SignerDraft, TrustRoots};
use crate::bundle::DefaultAction;
use crate::digest::Digest;
use crate::flatten::{Entry, Flat, FlatError};
use crate::model::{Mode, PolicyId, Requirement, RequirementDraft};
use crate::problem::Problems;
use crate::reference::Reference;
use crate::scope::Scope;
use crate::trust::TrustRoot;

/// A policy file whose shape, version, limits and table of scopes were checked, and whose policies
/// were not parsed yet.
#[derive(Clone)]
pub struct PolicyTable {
    wire: Wire,
}

/// A policy that was left out, and what is wrong with it.
pub type LeftOut = (PolicyId, Problems);

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    version: u64,
    bundle: Digest,
    limits: Limits,
    #[serde(default)]
    access: Access,
    default_action: DefaultAction,
    #[serde(default)]
    trust_roots: Vec<Box<RawValue>>,
    policies: BTreeMap<PolicyId, Box<RawValue>>,
    scopes: BTreeMap<Scope, Entry>,
}

impl fmt::Debug for PolicyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyTable({})", self.wire.bundle)
    }
}

impl PolicyTable {
    /// Reads a file.
    pub fn from_json(bytes: &[u8]) -> Result<Self, VerifierPolicyError> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| newer(bytes, error))?;
        if wire.version != u64::from(VERSION) {
            return Err(VerifierPolicyError::Version(wire.version));
        }
        let Limits {
            timeout_ms,
            max_object_bytes,
            max_total_bytes,
            max_signatures,
            // Zero keeps none.
            max_verdict_age_seconds: _,
        } = wire.limits;
        if !(1..=3_600_000).contains(&timeout_ms)
            || max_object_bytes == 0
            || max_total_bytes == 0
            || max_signatures == 0
        {
            return Err(VerifierPolicyError::Limits);
        }
        if let Some(path) = wire.access.relative() {
            return Err(VerifierPolicyError::Access(path.to_owned()));
        }
        for (scope, entry) in &wire.scopes {
            let Entry::Verify(ids) = entry else { continue };
            if ids.is_empty() {
                return Err(FlatError::EmptyEntry(scope.clone()).into());
            }
            if let Some(policy) = ids.iter().find(|id| !wire.policies.contains_key(id)) {
                let (scope, policy) = (scope.clone(), policy.clone());
                return Err(FlatError::UnknownPolicy { scope, policy }.into());
            }
        }
        Ok(Self { wire })
    }

    /// What one pull may cost.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.wire.limits
    }

    /// The policy as far as it has to do with `image`: the most specific entry in its lookup list,
    /// and the policies in that. What it decides about any other image means nothing.
    ///
    /// An invalid policy or trust root is an error where the image needs it. That none is in a file
    /// is for its writer to check, with [`VerifierPolicy::from_json`].
    pub fn covering(self, image: &Reference) -> Result<VerifierPolicy, VerifierPolicyError> {
        self.narrowed(image).parse(false, None)
    }

    /// As [`PolicyTable::covering`], without the policies in audit mode that are invalid, which are
    /// given beside it: they would have denied nothing. Only what is wrong with their demands can be
    /// left out; a file with another shape than that of a policy is damaged, whatever its mode says.
    pub fn covering_without_invalid_audits(
        self,
        image: &Reference,
    ) -> Result<(VerifierPolicy, Vec<LeftOut>), VerifierPolicyError> {
        let mut left_out = Vec::new();
        let policy = self.narrowed(image).parse(false, Some(&mut left_out))?;
        Ok((policy, left_out))
    }

    /// Without everything that has nothing to do with the image.
    fn narrowed(mut self, image: &Reference) -> Self {
        let hit = image
            .lookup()
            .into_iter()
            .find_map(|name| self.wire.scopes.remove_entry(name.as_str()));
        self.wire.scopes = hit.into_iter().collect();
        let Wire {
            scopes, policies, ..
        } = &mut self.wire;
        policies.retain(|id, _| {
            let names = |entry: &Entry| matches!(entry, Entry::Verify(ids) if ids.contains(id));
            scopes.values().any(names)
        });
        self
    }

    /// The policy with everything in it parsed and checked.
    pub fn all(self) -> Result<VerifierPolicy, VerifierPolicyError> {
        self.parse(true, None)
    }

    /// Invalid policies in audit mode go to `left_out`, where there is one.
    fn parse(
        self,
        unused_roots: bool,
        mut left_out: Option<&mut Vec<LeftOut>>,
    ) -> Result<VerifierPolicy, VerifierPolicyError> {
        let Wire {
            bundle,
            limits,
            access,
            default_action,
            trust_roots,
            policies,
            mut scopes,
            ..
        } = self.wire;
        let mut drafts: Vec<(PolicyId, RequirementDraft)> = Vec::with_capacity(policies.len());
        for (id, raw) in policies {
            drafts.push((id, serde_json::from_str(raw.get())?));
        }
        let mut roots = TrustRoots::new();
        if unused_roots || drafts.iter().any(|(_, draft)| needs_root(draft)) {
            for raw in &trust_roots {
                let root: TrustRoot = serde_json::from_str(raw.get())?;
                roots.insert(root.digest(), Arc::new(root));
            }
        }
        let mut requirements = BTreeMap::new();
        for (id, draft) in drafts {
            let mode = draft.mode;
            match (Requirement::new(draft, &roots), &mut left_out) {
                (Ok(requirement), _) => {
                    requirements.insert(id, requirement);
                }
                (Err(problems), Some(left_out)) if mode == Mode::Audit => {
                    for entry in scopes.values_mut() {
                        leave_out(entry, &id);
                    }
                    left_out.push((id, problems));
                }
                (Err(problems), _) => return Err(VerifierPolicyError::Policy(id, problems)),
            }
        }
        Ok(VerifierPolicy {
            bundle,
            limits,
            access,
            flat: Flat::from_parts(default_action, scopes, requirements)?,
        })
    }
}

fn leave_out(entry: &mut Entry, id: &PolicyId) {
    if let Entry::Verify(ids) = entry {
        ids.remove(id);
        if ids.is_empty() {
            *entry = Entry::Default;
        }
    }
}

/// What is wrong with a file that does not parse: a newer version says more than its new fields.
fn newer(bytes: &[u8], error: serde_json::Error) -> VerifierPolicyError {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    match serde_json::from_slice(bytes) {
        Ok(Versioned { version }) if version != u64::from(VERSION) => {
            VerifierPolicyError::Version(version)
        }
        _ => error.into(),
    }
}

fn needs_root(draft: &RequirementDraft) -> bool {
    draft
        .authorities
        .iter()
        .any(|authority| match &authority.signer {
            SignerDraft::Keyless { .. } => true,
            SignerDraft::Key {
                transparency_log, ..
            }
            | SignerDraft::Certificate {
                transparency_log, ..
            } => transparency_log.is_some(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Settings};
    use crate::flatten::{NodeFacts, Outcome, flatten};
    use crate::model::Policy;
    use crate::testing::{draft, keyless, named, policy, public_good};

    fn image(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    /// Two policies by keys and a keyless one, each at its own host; `b` also at that of `a`.
    fn file() -> Vec<u8> {
        let (reference, roots) = named(&public_good());
        let mut third = draft("c", &["c.example"], &[]);
        let issuer = "https://issuer.example";
        third.requirement.authorities = vec![keyless("c", &reference, issuer, "a@c.example")];
        let policies = [
            policy("a", &["a.example"], &["a.example/x"]),
            policy("b", &["b.example", "a.example/app"], &[]),
            Policy::new(third, &roots).unwrap(),
        ];
        let bundle = Bundle::new(Settings::default(), policies);
        VerifierPolicy {
            bundle: bundle.digest(),
            limits: Limits::default(),
            access: Access::default(),
            flat: flatten(&bundle, &NodeFacts::default()),
        }
        .to_json()
    }

    fn changed(change: impl FnOnce(&mut serde_json::Value)) -> PolicyTable {
        let mut value = serde_json::from_slice(&file()).unwrap();
        change(&mut value);
        PolicyTable::from_json(&serde_json::to_vec(&value).unwrap()).unwrap()
    }

    #[test]
    fn what_covers_an_image_is_decided_as_by_the_whole_table() {
        let whole = VerifierPolicy::from_json(&file()).unwrap();
        for (name, wanted) in [
            ("a.example/app:v1", 2),
            ("a.example/other:v1", 1),
            ("a.example/x/y:v1", 0),
            ("b.example/app", 1),
            ("c.example/app", 1),
            ("d.example/app", 0),
        ] {
            let image = image(name);
            let part = PolicyTable::from_json(&file()).unwrap();
            let part = part.covering(&image).unwrap();
            assert_eq!(
                part.flat.decide(&image),
                whole.flat.decide(&image),
                "{name}"
            );
            assert_eq!(part.flat.requirements().len(), wanted, "{name}");
            assert_eq!(part.bundle, whole.bundle);
        }
    }

    #[test]
    fn an_invalid_policy_stops_the_images_that_it_covers_and_no_other() {
        let break_policy = |v: &mut serde_json::Value| v["policies"]["b"]["threshold"] = 7.into();
        let table = || changed(break_policy);
        for name in ["b.example/app", "a.example/app"] {
            let error = table().covering(&image(name)).unwrap_err().to_string();
            assert!(error.contains("policy `b`"), "{error}");
        }
        let other = table().covering(&image("a.example/other")).unwrap();
        let outcome = other.flat.decide(&image("a.example/other")).outcome.clone();
        assert!(matches!(outcome, Outcome::Verify(policies) if policies.len() == 1));
        assert!(table().all().is_err());
    }

    #[test]
    fn an_invalid_policy_in_audit_mode_is_left_out_where_that_is_wanted() {
        let table = |mode: &str| {
            changed(|v| {
                v["policies"]["b"]["threshold"] = 7.into();
                v["policies"]["b"]["mode"] = mode.into();
            })
        };
        let (app, alone) = (image("a.example/app"), image("b.example/app"));
        let id = PolicyId::Cluster { name: "b".into() };
        let without = |image| {
            table("Audit")
                .covering_without_invalid_audits(image)
                .unwrap()
        };
        let (policy, left_out) = without(&app);
        assert_eq!(left_out[0].0, id);
        assert!(left_out[0].1.to_string().contains("threshold"));
        // The other one there still decides.
        let outcome = policy.flat.decide(&app).outcome.clone();
        assert!(matches!(outcome, Outcome::Verify(policies) if policies.len() == 1));
        let (policy, left_out) = without(&alone);
        assert_eq!(left_out.len(), 1);
        let outcome = policy.flat.decide(&alone).outcome.clone();
        assert_eq!(outcome, Outcome::Default(DefaultAction::Allow));
        // Neither one that enforces, nor what is damaged, nor where everything is checked.
        assert!(
            table("Enforce")
                .covering_without_invalid_audits(&app)
                .is_err()
        );
        let damaged = changed(|v| {
            v["policies"]["b"]["mode"] = "Audit".into();
            v["policies"]["b"]["extra"] = 0.into();
        });
        assert!(damaged.covering_without_invalid_audits(&app).is_err());
        assert!(table("Audit").covering(&app).is_err());
        assert!(table("Audit").all().is_err());
    }

    #[test]
    fn a_trust_root_is_parsed_where_a_policy_needs_it() {
        let table = || changed(|v| v["trustRoots"][0]["extra"] = 0.into());
        assert!(table().covering(&image("a.example/app")).is_ok());
        assert!(table().covering(&image("c.example/app")).is_err());
        assert!(table().all().is_err());
        let missing = changed(|v| v["trustRoots"] = serde_json::json!([]));
        let error = missing.covering(&image("c.example/app")).unwrap_err();
        assert!(error.to_string().contains("did not come with"), "{error}");
    }

    #[test]
    fn the_table_is_checked_whatever_the_image_is() {
        let mut value: serde_json::Value = serde_json::from_slice(&file()).unwrap();
        value["policies"].as_object_mut().unwrap().remove("b");
        let error = PolicyTable::from_json(&serde_json::to_vec(&value).unwrap()).unwrap_err();
        assert!(matches!(error, VerifierPolicyError::Table(_)), "{error}");
        assert!(PolicyTable::from_json(b"{").is_err());
    }

    #[test]
    fn a_newer_file_is_called_that_whatever_else_is_in_it() {
        let newer = br#"{"version": 2, "everything": "else"}"#;
        let error = PolicyTable::from_json(newer).unwrap_err();
        assert!(matches!(error, VerifierPolicyError::Version(2)), "{error}");
    }
}
