//! A verdict as it stands on disk: a line that holds the entry's key and the digest of what follows,
//! and JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use policy::digest::Digest;
use policy::flatten::{Decision, Outcome};
use policy::model::{PolicyId, Requirement};
use serde::{Deserialize, Serialize};

use super::key::{FORMAT, Key};
use crate::evaluate::{PolicyVerdict, Verdict};

/// What an entry begins with.
const MAGIC: &str = "nodeseal-verdict";

/// Who signed each policy's image, by name.
type Signed = BTreeMap<PolicyId, BTreeSet<String>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    image: String,
    digest: Digest,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; from then on it is not believed.
    valid_until: i64,
    enforced: Signed,
    audited: Signed,
}

impl Entry {
    /// An entry of a verdict that passes in every respect, audits included, and still holds.
    pub(super) fn new(
        key: &Key,
        verdict: &Verdict,
        now: Timestamp,
        max_age: Duration,
    ) -> Option<Self> {
        let policies = || verdict.enforced.iter().chain(&verdict.audited);
        let passes = |policy: &PolicyVerdict| policy.refusal.is_none();
        if verdict.refusal.is_some() || verdict.enforced.is_empty() || !policies().all(passes) {
            return None;
        }
        let created_at = now.as_second();
        let ends = policies().filter_map(|policy| policy.valid_until);
        let valid_until = ends
            .chain(verdict.valid_until)
            .fold(after(created_at, max_age), i64::min);
        let signed = |policies: &[PolicyVerdict]| -> Signed {
            let signed = |policy: &PolicyVerdict| policy.signed_by.iter().cloned().collect();
            policies
                .iter()
                .map(|policy| (policy.policy.clone(), signed(policy)))
                .collect()
        };
        (valid_until > created_at).then(|| Self {
            image: key.image.clone(),
            digest: key.digest.clone(),
            created_at,
            valid_until,
            enforced: signed(&verdict.enforced),
            audited: signed(&verdict.audited),
        })
    }

    pub(super) fn to_bytes(&self, key: &Key) -> Vec<u8> {
        // A map with string keys cannot fail; an empty body would not be read as an entry.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = head(key, &body).into_bytes();
        bytes.extend(body);
        bytes
    }

    /// The entry in `bytes`, if it is whole and that of `key`.
    pub(super) fn from_bytes(bytes: &[u8], key: &Key) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let (found, body) = bytes.split_at_checked(end + 1)?;
        if found != head(key, body).as_bytes() {
            return None;
        }
        let entry: Self = serde_json::from_slice(body).ok()?;
        let own = entry.image == key.image && entry.digest == key.digest;
        own.then_some(entry)
    }

    /// Whether it is believed at `now`.
    pub(super) fn holds(&self, now: Timestamp, max_age: Duration) -> bool {
        let now = now.as_second();
        self.created_at <= now && now < self.valid_until && now < after(self.created_at, max_age)
    }

    /// The verdict, if who signed is what `decision` demands. The key says so already: this does not
    /// rely on it.
    pub(super) fn verdict(&self, decision: &Decision<'_>) -> Option<Verdict> {
        let Outcome::Verify(enforced) = &decision.outcome else {
            return None;
        };
        let roots = enforced.iter().flat_map(|(_, demand)| demand.trust_roots());
        Some(Verdict {
            refusal: None,
            enforced: self.policies(&self.enforced, enforced)?,
            audited: self.policies(&self.audited, &decision.audit)?,
            valid_until: Some(self.valid_until),
            trust_roots: roots.map(|root| root.reference().digest.clone()).collect(),
        })
    }

    fn policies(
        &self,
        signed: &Signed,
        demanded: &[(&PolicyId, &Requirement)],
    ) -> Option<Vec<PolicyVerdict>> {
        let policy = |&(id, requirement): &(&PolicyId, &Requirement)| {
            let signed = signed.get(id)?;
            let authorities = requirement.authorities().iter();
            // In the order of the policy.
            let signed_by: Vec<String> = authorities
                .map(|authority| authority.name().to_owned())
                .filter(|name| signed.contains(name))
                .collect();
            let enough = signed_by.len() >= requirement.threshold().max(1);
            (enough && signed_by.len() == signed.len()).then(|| PolicyVerdict {
                policy: id.clone(),
                signed_by,
                refusal: None,
                valid_until: Some(self.valid_until),
            })
        };
        if signed.len() != demanded.len() {
            return None;
        }
        demanded.iter().map(policy).collect()
    }
}

fn head(key: &Key, body: &[u8]) -> String {
    format!("{MAGIC} {FORMAT} {} {}\n", key.name(), Digest::of(body))
}

fn after(unix: i64, age: Duration) -> i64 {
    unix.saturating_add(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
}
