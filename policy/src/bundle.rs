//! The bundle: the valid policies and settings of a node, resolved and not yet flattened.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::authority::{self, TrustRoots};
use crate::digest::Digest;
use crate::model::{Policy, PolicyDraft, PolicyId};
use crate::problem::Problems;
use crate::scope::Scope;
pub use crate::settings::{DefaultAction, Settings};
use crate::trust::TrustRoot;

/// The format that this version writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// Settings, policies and the trust roots that they need, sorted, so that the same content has the
/// same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    settings: Settings,
    policies: BTreeMap<PolicyId, Policy>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    format: u32,
    settings: Settings,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trust_roots: Vec<Arc<TrustRoot>>,
    policies: Vec<PolicyDraft>,
}

/// Why bytes are not a bundle that this version may use.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON of the expected shape, or with fields that this version does not know.
    #[error("the bundle is damaged or was written by a newer version: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another format.
    #[error("the bundle has format {0}, and this version reads format {FORMAT}: upgrade first")]
    Format(u32),
    /// A policy that is not valid.
    #[error("the bundle holds the policy `{0}`, which is not valid: {1}")]
    Policy(PolicyId, Problems),
    /// An exemption for a tag or a digest.
    #[error("the bundle exempts `{0}`, and only whole repositories and more may be exempt")]
    Exempt(Scope),
    /// A trust root that stands there twice.
    #[error("the bundle holds a trust root twice")]
    TwiceRoot,
    /// A trust root that no policy needs.
    #[error("the bundle holds the trust root {0}, which no policy needs")]
    Unneeded(Digest),
    /// Two policies of one name.
    #[error("the bundle holds the policy `{0}` twice")]
    Duplicate(PolicyId),
}

impl Bundle {
    /// Puts policies together. Of two with one id the later one stays; callers report duplicates.
    #[must_use]
    pub fn new(settings: Settings, policies: impl IntoIterator<Item = Policy>) -> Self {
        let policies = policies
            .into_iter()
            .map(|policy| (policy.id().clone(), policy))
            .collect();
        Self { settings, policies }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All policies, sorted by id.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// The policy of that id.
    #[must_use]
    pub fn policy(&self, id: &PolicyId) -> Option<&Policy> {
        self.policies.get(id)
    }

    /// The trust roots that the policies need.
    #[must_use]
    pub fn trust_roots(&self) -> TrustRoots {
        authority::trust_roots(self.policies().flat_map(Policy::trust_roots))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            format: FORMAT,
            settings: self.settings.clone(),
            trust_roots: self.trust_roots().into_values().collect(),
            policies: self.policies.values().cloned().map(Into::into).collect(),
        };
        crate::verifier::json(&wire)
    }

    /// Reads what [`Bundle::to_json`] wrote; fields and formats that it does not know are refused.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        let format = serde_json::from_slice::<serde_json::Value>(bytes)?
            .get("format")
            .and_then(serde_json::Value::as_u64)
            .and_then(|format| u32::try_from(format).ok());
        if let Some(format) = format.filter(|&format| format != FORMAT) {
            return Err(BundleError::Format(format));
        }
        let wire: Wire = serde_json::from_slice(bytes)?;
        let mut policies = BTreeMap::new();
        let versions = |scope: &&Scope| scope.version().is_some();
        if let Some(scope) = wire.settings.exempt_images.iter().find(versions) {
            return Err(BundleError::Exempt(scope.clone()));
        }
        let count = wire.trust_roots.len();
        let roots: TrustRoots = wire
            .trust_roots
            .into_iter()
            .map(|r| (r.digest(), r))
            .collect();
        for draft in wire.policies {
            let id = draft.id.clone();
            let policy = Policy::new(draft, &roots)
                .map_err(|problems| BundleError::Policy(id.clone(), problems))?;
            if policies.insert(id.clone(), policy).is_some() {
                return Err(BundleError::Duplicate(id));
            }
        }
        let bundle = Self {
            settings: wire.settings,
            policies,
        };
        // Of one bundle there is only one form.
        let needed = bundle.trust_roots();
        match roots
            .into_keys()
            .find(|digest| !needed.contains_key(digest))
        {
            Some(digest) => Err(BundleError::Unneeded(digest)),
            None if needed.len() != count => Err(BundleError::TwiceRoot),
            None => Ok(bundle),
        }
    }

    /// The digest of the canonical bytes: the bundle's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::policy;

    #[test]
    fn the_order_of_policies_never_changes_a_byte() {
        let (a, b) = (
            policy("a", &["a.example"], &[]),
            policy("b", &["b.example"], &[]),
        );
        let one = Bundle::new(Settings::default(), [a.clone(), b.clone()]);
        let two = Bundle::new(Settings::default(), [b, a]);
        assert_eq!(one.to_json(), two.to_json());
        assert_eq!(Bundle::from_json(&one.to_json()).unwrap(), one);
    }

    #[test]
    fn a_bundle_of_another_format_or_with_unknown_fields_is_refused() {
        let json = String::from_utf8(Bundle::default().to_json()).unwrap();
        let newer = json.replacen("\"format\": 1", "\"format\": 2, \"extra\": 0", 1);
        assert!(matches!(
            Bundle::from_json(newer.as_bytes()),
            Err(BundleError::Format(2))
        ));
        let unknown = json.replacen("\"format\": 1", "\"format\": 1, \"extra\": 0", 1);
        assert!(matches!(
            Bundle::from_json(unknown.as_bytes()),
            Err(BundleError::Shape(_))
        ));
        assert!(matches!(
            Bundle::from_json(b"{"),
            Err(BundleError::Shape(_))
        ));
    }

    #[test]
    fn a_bundle_that_exempts_a_tag_is_refused() {
        let exempt_images = [Scope::parse("a.example/b:v1").unwrap()].into();
        let settings = Settings {
            exempt_images,
            ..Settings::default()
        };
        let bytes = Bundle::new(settings, []).to_json();
        let error = Bundle::from_json(&bytes);
        assert!(matches!(error, Err(BundleError::Exempt(_))), "{error:?}");
    }

    #[test]
    fn a_bundle_with_one_policy_twice_is_refused() {
        let bundle = Bundle::new(Settings::default(), [policy("a", &["a.example"], &[])]);
        let mut value: serde_json::Value = serde_json::from_slice(&bundle.to_json()).unwrap();
        let twice = value["policies"][0].clone();
        value["policies"].as_array_mut().unwrap().push(twice);
        let bytes = serde_json::to_vec(&value).unwrap();
        assert!(matches!(
            Bundle::from_json(&bytes),
            Err(BundleError::Duplicate(_))
        ));
    }
}
