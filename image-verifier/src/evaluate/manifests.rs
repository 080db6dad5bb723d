//! The verdict on an index, from that on itself and those on its manifests. Pure.
//!
//! For each policy alone: it passes by the index, or by all manifests that a node may choose, each by
//! the same authorities and threshold. Signatures of the one and of the other are never added up.

use std::collections::BTreeSet;

use policy::digest::Digest;
use policy::problem;

use super::{PolicyVerdict, Verdict, overall};
use crate::reason::{Reason, Refusal};

/// What the policies make of one manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestVerdict {
    /// Its digest.
    pub digest: Digest,
    /// What the index says that it is for, in words for a message.
    pub platform: String,
    /// The verdict on it, as if it had been asked about.
    pub verdict: Verdict,
}

/// One policy's verdicts on the manifests.
type Its<'a> = [(&'a ManifestVerdict, &'a PolicyVerdict)];

/// What is signed, where only the other would have counted; in words for a message.
const ONLY_MANIFESTS: &str = "its manifests are signed as the policy wants, which is what CRI-O looks at; containerd asks about the index. Sign both with `cosign sign --recursive`";
const ONLY_INDEX: &str = "the index is signed as the policy wants, which is what containerd asks about; CRI-O looks at the manifest. Sign both with `cosign sign --recursive`";

/// The verdict on an index for which its manifests count as well.
pub(crate) fn index_or_manifests(index: Verdict, manifests: &[ManifestVerdict]) -> Verdict {
    each(index, manifests, |policy, its| {
        if policy.refusal.is_none() {
            return policy;
        }
        by_all(&policy, its).unwrap_or_else(|| {
            let worst = worst(its);
            let refusal = policy.refusal.map(|mut refusal| {
                if let Some((manifest, other)) = worst {
                    let ManifestVerdict { digest, platform, .. } = manifest;
                    let Refusal { reason, message, .. } = other;
                    if reason.weight() > refusal.reason.weight() {
                        refusal.reason = *reason;
                        refusal.message = format!("{message} (the manifest {digest} for {platform}; the index does not count either)");
                    } else {
                        let also = format!(". Nor does each manifest count: {reason} for {platform}, {digest}");
                        refusal.message.push_str(&also);
                    }
                }
                refusal
            });
            PolicyVerdict { refusal, ..policy }
        })
    })
}

/// The verdict on an index of which the manifests decide alone. `index` is that on the index itself,
/// which only explains.
pub(crate) fn manifests_alone(manifests: &[ManifestVerdict], index: &Verdict) -> Verdict {
    each(index.clone(), manifests, |policy, its| {
        by_all(&policy, its).unwrap_or_else(|| {
            let refusal = match worst(its) {
                // There is no manifest, and nothing to vouch for it.
                None => Refusal::new(Reason::NoSignature, "the index has no manifest to choose"),
                Some((manifest, refusal)) => {
                    let ManifestVerdict {
                        digest, platform, ..
                    } = manifest;
                    let mut refusal = refusal.clone();
                    let message = &mut refusal.message;
                    *message = format!("the manifest {digest} for {platform}: {message}");
                    if policy.refusal.is_none() {
                        recursive(message, ONLY_INDEX);
                    }
                    refusal
                }
            };
            PolicyVerdict {
                policy: policy.policy,
                signed_by: Vec::new(),
                refusal: Some(refusal),
                valid_until: None,
            }
        })
    })
}

/// The verdict on an index, told what its manifests would have made of it. Changes only messages.
pub(crate) fn explained(index: Verdict, manifests: &[ManifestVerdict]) -> Verdict {
    each(index, manifests, |mut policy, its| {
        let all = by_all(&policy, its).is_some();
        if let Some(refusal) = policy.refusal.as_mut().filter(|_| all) {
            recursive(&mut refusal.message, ONLY_MANIFESTS);
        }
        policy
    })
}

fn recursive(message: &mut String, what: &str) {
    let code = problem::Reason::RecursiveSigningNeeded;
    *message = format!("{code}: {what} ({message})");
}

/// Each policy with its verdicts on the manifests.
fn each(
    verdict: Verdict,
    manifests: &[ManifestVerdict],
    change: impl Fn(PolicyVerdict, &Its<'_>) -> PolicyVerdict,
) -> Verdict {
    type Part = fn(&Verdict) -> &[PolicyVerdict];
    let all = |policies: Vec<PolicyVerdict>, part: Part| -> Vec<PolicyVerdict> {
        let changed = policies.into_iter().map(|policy| {
            // One that a manifest's verdict lacks has not passed there.
            let its = manifests.iter().filter_map(|manifest| {
                let mut of = part(&manifest.verdict).iter();
                Some((manifest, of.find(|of| of.policy == policy.policy)?))
            });
            let its: Vec<_> = its.collect();
            if its.len() == manifests.len() {
                change(policy, &its)
            } else {
                change(policy, &[])
            }
        });
        changed.collect()
    };
    let enforced = all(verdict.enforced, |verdict| &verdict.enforced);
    let audited = all(verdict.audited, |verdict| &verdict.audited);
    let refusal = overall(&enforced);
    let valid_until = enforced
        .iter()
        .filter_map(|policy| policy.valid_until)
        .min();
    Verdict {
        valid_until: valid_until.filter(|_| refusal.is_none()),
        refusal,
        enforced,
        audited,
        trust_roots: verdict.trust_roots,
    }
}

/// That the policy passes, if every manifest does; none is not every.
fn by_all(policy: &PolicyVerdict, its: &Its<'_>) -> Option<PolicyVerdict> {
    if its.is_empty() || its.iter().any(|(_, its)| its.refusal.is_some()) {
        return None;
    }
    let names = its
        .iter()
        .flat_map(|(_, its)| its.signed_by.iter().cloned());
    let names: BTreeSet<String> = names.collect();
    Some(PolicyVerdict {
        policy: policy.policy.clone(),
        signed_by: names.into_iter().collect(),
        refusal: None,
        valid_until: its.iter().filter_map(|(_, its)| its.valid_until).min(),
    })
}

/// The first of the failures that explain the most.
fn worst<'a>(its: &Its<'a>) -> Option<(&'a ManifestVerdict, &'a Refusal)> {
    let failing = its.iter().rev();
    let failing = failing.filter_map(|(manifest, its)| Some((*manifest, its.refusal.as_ref()?)));
    failing.max_by_key(|(_, refusal)| refusal.reason.weight())
}

#[cfg(test)]
mod tests {
    use policy::model::PolicyId;

    use super::*;

    fn policy(name: &str, signed_by: &[&str], valid_until: Option<i64>) -> PolicyVerdict {
        let refusal = || Refusal::new(Reason::NoSignature, "none");
        PolicyVerdict {
            policy: PolicyId::Cluster {
                name: name.to_owned(),
            },
            signed_by: signed_by.iter().map(|&name| name.to_owned()).collect(),
            refusal: signed_by.is_empty().then(refusal),
            valid_until,
        }
    }

    fn verdict(enforced: &[PolicyVerdict], audited: &[PolicyVerdict]) -> Verdict {
        Verdict {
            refusal: overall(enforced),
            enforced: enforced.to_vec(),
            audited: audited.to_vec(),
            valid_until: None,
            trust_roots: BTreeSet::new(),
        }
    }

    fn manifest(enforced: &[PolicyVerdict], audited: &[PolicyVerdict]) -> ManifestVerdict {
        ManifestVerdict {
            digest: Digest::of(b"manifest"),
            platform: "`linux/amd64`".to_owned(),
            verdict: verdict(enforced, audited),
        }
    }

    #[test]
    fn no_manifest_is_not_every_manifest() {
        let index = verdict(&[policy("p", &[], None)], &[]);
        assert!(index_or_manifests(index.clone(), &[]).refusal.is_some());
        let signed = verdict(&[policy("p", &["a"], None)], &[]);
        assert_eq!(index_or_manifests(signed.clone(), &[]).refusal, None);
        assert!(manifests_alone(&[], &signed).refusal.is_some());
        assert_eq!(explained(index.clone(), &[]), index);
    }

    #[test]
    fn a_verdict_that_lacks_the_policy_has_not_passed() {
        let index = verdict(&[policy("p", &[], None)], &[]);
        let signed = manifest(&[policy("p", &["a"], None)], &[]);
        for other in [
            manifest(&[], &[]),
            manifest(&[policy("q", &["a"], None)], &[]),
        ] {
            let manifests = [signed.clone(), other];
            assert!(
                index_or_manifests(index.clone(), &manifests)
                    .refusal
                    .is_some()
            );
            assert!(manifests_alone(&manifests, &index).refusal.is_some());
        }
    }

    #[test]
    fn it_holds_until_the_first_manifest_ends_and_names_all_signers() {
        let index = verdict(&[policy("p", &[], None)], &[]);
        let manifests = [("a", Some(7)), ("b", Some(5)), ("a", None)]
            .map(|(by, end)| manifest(&[policy("p", &[by], end)], &[]));
        for verdict in [
            index_or_manifests(index.clone(), &manifests),
            manifests_alone(&manifests, &index),
        ] {
            assert_eq!(verdict.refusal, None);
            assert_eq!(verdict.valid_until, Some(5));
            assert_eq!(verdict.enforced[0].signed_by, ["a", "b"]);
        }
    }

    #[test]
    fn audits_are_told_by_the_same_rules_and_decide_nothing() {
        let audit = [policy("q", &[], None)];
        let index = verdict(&[policy("p", &["a"], None)], &audit);
        let manifests = [manifest(
            &[policy("p", &[], None)],
            &[policy("q", &["b"], None)],
        )];
        let found = index_or_manifests(index.clone(), &manifests);
        assert_eq!((found.refusal, &found.audited[0].refusal), (None, &None));
        let found = manifests_alone(&manifests, &index);
        assert!(
            found
                .refusal
                .unwrap()
                .message
                .contains("RecursiveSigningNeeded")
        );
        assert_eq!(found.audited[0].refusal, None);
    }

    #[test]
    fn what_explains_the_most_is_the_reason() {
        let index = verdict(&[policy("p", &[], None)], &[]);
        let mut late = policy("p", &[], None);
        late.refusal = Some(Refusal::new(Reason::TimedOut, "late"));
        let manifests = [
            manifest(&[policy("p", &[], None)], &[]),
            manifest(&[late], &[]),
        ];
        for verdict in [
            index_or_manifests(index.clone(), &manifests),
            manifests_alone(&manifests, &index),
        ] {
            let refusal = verdict.refusal.unwrap();
            assert_eq!(refusal.reason, Reason::TimedOut);
            assert!(refusal.message.contains("late"), "{}", refusal.message);
        }
    }
}
