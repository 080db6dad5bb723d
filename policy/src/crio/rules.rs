//! Policies as `sigstoreSigned` rules.
//!
//! A list of rules is an AND. OR exists only inside one `keyDatas` (CRI-O 1.32). So k of n key
//! authorities become the conjunction of all (n-k+1)-subsets: 2 of {a, b, c} is (a or b) and
//! (a or c) and (b or c). Where every authority has to sign, each is a rule, whatever its kind.

use crate::authority::{
    Authority, CertificateSigner, KeySigner, KeylessSigner, Signer, TrustRootRef, TrustedRoot,
};
use crate::capability::Limitation;
use crate::certificate::Certificate;
use crate::crio::document::Rule;
use crate::crio::features::Feature;
use crate::crio::fields::Base64;
use crate::crio::matching::{Match, Name, Prefix};
use crate::crio::sigstore::{Fulcio, Pki, SigstoreSigned};
use crate::identity::SignedIdentity;
use crate::key::PublicKey;
use crate::model::Requirement;
use crate::problem::Reason;
use crate::trust::TrustRoot;
use crate::version::Version;

/// The most rules that one policy may become.
pub const MAX_RULES: usize = 64;

/// The rules of one policy, all of which must be met; or everything that cannot be said in the
/// files of this version.
pub fn rules(requirement: &Requirement, version: Version) -> Result<Vec<Rule>, Vec<Limitation>> {
    let mut limits = Limits {
        version,
        found: Vec::new(),
    };
    let rules = limits.rules(requirement);
    match rules {
        Some(rules) if limits.found.is_empty() => Ok(rules),
        _ => Err(limits.found),
    }
}

/// Makes rules, and gathers what stands in the way.
struct Limits {
    version: Version,
    found: Vec<Limitation>,
}

impl Limits {
    fn rules(&mut self, requirement: &Requirement) -> Option<Vec<Rule>> {
        if !self.knows(Feature::Keys, "", "sigstore signatures") {
            return None;
        }
        let identity = self.identity(requirement.signed_identity());
        let authorities = requirement.authorities();
        if requirement.threshold() == authorities.len() {
            let parts: Vec<Option<Rule>> = authorities
                .iter()
                .map(|authority| self.of_authority(authority, identity.as_ref()))
                .collect();
            return parts.into_iter().collect();
        }
        let subsets = self.subsets(authorities, requirement.threshold())?;
        let identity = identity?;
        subsets
            .into_iter()
            .map(|subset| self.any_of(&subset, &identity))
            .collect()
    }

    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.found
            .push(Limitation::of(field, Reason::NotExpressible, message));
    }

    fn knows(&mut self, feature: Feature, field: &str, what: &str) -> bool {
        let known = feature.is_in(self.version);
        if !known {
            let message = format!(
                "CRI-O {} knows no {what}: upgrade the node to CRI-O {} or later",
                self.version,
                feature.since()
            );
            self.add(field, message);
        }
        known
    }

    /// What is found meanwhile is about that authority.
    fn of_authority(&mut self, authority: &Authority, identity: Option<&Match>) -> Option<Rule> {
        let before = self.found.len();
        let signed = match authority.signer() {
            Signer::Key(signer) => self.key(&[signer]),
            Signer::Keyless(signer) => self.keyless(signer),
            Signer::Certificate(signer) => self.certificate(signer),
        };
        for limit in &mut self.found[before..] {
            limit.authority = Some(authority.name().to_owned());
        }
        Some(rule(signed?, identity?))
    }

    fn any_of(&mut self, signers: &[&KeySigner], identity: &Match) -> Option<Rule> {
        Some(rule(self.key(signers)?, identity))
    }

    /// All subsets of which one has to have signed, where some of several authorities suffice.
    fn subsets<'a>(
        &mut self,
        authorities: &'a [Authority],
        threshold: usize,
    ) -> Option<Vec<Vec<&'a KeySigner>>> {
        let (n, k) = (authorities.len(), threshold);
        let mut signers = Vec::new();
        let mut logs: Vec<Option<&TrustRootRef>> = Vec::new();
        for authority in authorities {
            match authority.signer() {
                Signer::Key(signer) => {
                    logs.push(signer.log().map(TrustedRoot::reference));
                    signers.push(signer);
                }
                Signer::Keyless(_) | Signer::Certificate(_) => {
                    let message = format!(
                        "CRI-O has no way to say that {k} of {n} authorities suffice unless all of them are keys: set threshold to {n}, or write a policy with keys for nodes with CRI-O"
                    );
                    let limit = Limitation::of(authority.field(), Reason::NotExpressible, message);
                    self.found.push(limit.by(authority.name()));
                }
            }
        }
        if signers.len() != n {
            return None;
        }
        if logs.iter().any(|log| *log != logs[0]) {
            let message = format!(
                "CRI-O has no way to say that {k} of {n} authorities suffice where only some of them demand a log entry, or another log: give all authorities the same transparencyLog, or set threshold to {n}"
            );
            self.add("authorities", message);
            return None;
        }
        let size = n - k + 1;
        let rules = binomial(n, size);
        if rules > MAX_RULES {
            let message = format!(
                "a threshold of {k} of {n} authorities needs {rules} combinations of keys, and at most {MAX_RULES} are written for CRI-O: use fewer authorities, or a threshold nearer to their number"
            );
            self.add("threshold", message);
            return None;
        }
        let all = subsets(&signers, size);
        Some(
            all.into_iter()
                .map(|s| s.into_iter().copied().collect())
                .collect(),
        )
    }

    /// Any one of the keys of all these signers, which share one log.
    fn key(&mut self, signers: &[&KeySigner]) -> Option<SigstoreSigned> {
        let mut keys: Vec<&PublicKey> = signers.iter().flat_map(|signer| signer.keys()).collect();
        keys.sort();
        keys.dedup();
        let mut signed = SigstoreSigned::default();
        let usable = match keys.as_slice() {
            [key] => {
                signed.key_data = Some(pem(key));
                true
            }
            keys => {
                signed.key_datas = Some(keys.iter().map(|key| pem(key)).collect());
                self.knows(
                    Feature::KeyLists,
                    "key",
                    "list of keys, any one of which may have signed",
                )
            }
        };
        let logged = match signers.first().and_then(|signer| signer.log()) {
            Some(log) => self.log(&mut signed, log, "transparencyLog.trustRoot"),
            None => true,
        };
        (usable && logged).then_some(signed)
    }

    fn keyless(&mut self, keyless: &KeylessSigner) -> Option<SigstoreSigned> {
        let mut signed = SigstoreSigned::default();
        let logged = self.log(&mut signed, keyless.root(), "keyless.trustRoot");
        let before = self.found.len();
        let [identity] = keyless.identities() else {
            let message = "CRI-O accepts one identity and no other: keep one here, and select the nodes of other runtimes (nodeSelector) for a policy with several";
            self.add("keyless.identities", message);
            return None;
        };
        let exact = "CRI-O compares exact texts only: write it out";
        if !identity.issuer().is_exact() {
            self.add("keyless.identities[0].issuerRegExp", exact);
        }
        let subject = identity.subject();
        if !subject.is_exact() {
            self.add("keyless.identities[0].subjectRegExp", exact);
        } else if !is_email(subject.text()) {
            let message = "CRI-O compares e-mail addresses only, and this is none: workflows and other URIs are verified on containerd nodes";
            self.add("keyless.identities[0].subject", message);
        }
        if !identity.claims().is_empty() {
            let message =
                "CRI-O compares no claims of certificates: remove them for nodes with CRI-O";
            self.add("keyless.identities[0].claims", message);
        }
        if self.found.len() > before || !logged {
            return None;
        }
        signed.fulcio = Some(Fulcio {
            ca_path: None,
            ca_data: Some(pems(&anchors(keyless.root().root()))),
            oidc_issuer: identity.issuer().text().to_owned(),
            subject_email: subject.text().to_owned(),
        });
        Some(signed)
    }

    fn certificate(&mut self, signer: &CertificateSigner) -> Option<SigstoreSigned> {
        let known = self.knows(Feature::Pki, "certificate", "certificates of a PKI");
        if signer.log().is_some() {
            let message = "CRI-O looks at no log entry where a certificate of a PKI signs: remove transparencyLog for nodes with CRI-O";
            self.add("transparencyLog", message);
            return None;
        }
        let subject = signer.subject().clone();
        let all = |certificates: &[Certificate]| pems(&certificates.iter().collect::<Vec<_>>());
        let pki = Pki {
            ca_roots_data: Some(all(signer.roots())),
            ca_intermediates_data: (!signer.intermediates().is_empty())
                .then(|| all(signer.intermediates())),
            subject_email: subject.email,
            subject_hostname: subject.dns_name,
            ..Pki::default()
        };
        known.then(|| SigstoreSigned {
            pki: Some(pki),
            ..SigstoreSigned::default()
        })
    }

    /// Demands an entry in one of the logs of a trust root.
    fn log(&mut self, signed: &mut SigstoreSigned, root: &TrustedRoot, field: &str) -> bool {
        if !self.knows(Feature::FulcioAndLog, field, "log entries") {
            return false;
        }
        let keys = root.root().p256_rekor_keys();
        match keys.as_slice() {
            [] => {
                let message = format!(
                    "CRI-O verifies entries of logs with ECDSA P-256 keys only, and the TrustRoot `{}` has none",
                    root.name()
                );
                self.add(field, message);
                false
            }
            [key] => {
                signed.rekor_public_key_data = Some(pem(key));
                true
            }
            keys => {
                signed.rekor_public_key_datas = Some(keys.iter().map(|key| pem(key)).collect());
                self.knows(
                    Feature::KeyLists,
                    field,
                    "list of logs, any one of which may have the entry",
                )
            }
        }
    }

    /// The format's default compares tags, which plain cosign signatures do not carry: so the
    /// identity is always written out.
    fn identity(&mut self, identity: &SignedIdentity) -> Option<Match> {
        let made = match_rule(identity);
        made.map_err(|error| self.add("signedIdentity", format!("for CRI-O, {error}")))
            .ok()
    }
}

/// Every certificate of every chain. CRI-O trusts each as a root, as our own verifier does; with the
/// last ones alone it refuses signatures to which only a part of the chain is attached.
fn anchors(root: &TrustRoot) -> Vec<&Certificate> {
    let mut all = root.fulcio_roots();
    for certificate in root.fulcio_intermediates() {
        if !all.contains(&certificate) {
            all.push(certificate);
        }
    }
    all
}

fn rule(mut signed: SigstoreSigned, identity: &Match) -> Rule {
    signed.signed_identity = Some(identity.clone());
    Rule::SigstoreSigned(Box::new(signed))
}

fn pem(key: &PublicKey) -> Base64 {
    Base64::of(key.to_pem().as_bytes())
}

fn pems(certificates: &[&Certificate]) -> Base64 {
    let text: String = certificates
        .iter()
        .map(|certificate| certificate.to_pem())
        .collect();
    Base64::of(text.as_bytes())
}

/// Fulcio writes such a subject as an e-mail address into the certificate, and others as URIs.
fn is_email(text: &str) -> bool {
    let (name, domain) = text.rsplit_once('@').unwrap_or_default();
    !name.is_empty() && !domain.is_empty() && !text.contains([':', '/', ' '])
}

fn match_rule(identity: &SignedIdentity) -> Result<Match, String> {
    Ok(match identity {
        SignedIdentity::MatchRepository { .. } => Match::MatchRepository {},
        SignedIdentity::MatchRepoDigestOrExact => Match::MatchRepoDigestOrExact {},
        SignedIdentity::ExactRepository { repository } => Match::ExactRepository {
            docker_repository: Name::try_from(repository.clone())?,
        },
        SignedIdentity::RemapIdentity {
            prefix,
            signed_prefix,
        } => Match::RemapIdentity {
            prefix: Prefix::try_from(prefix.clone())?,
            signed_prefix: Prefix::try_from(signed_prefix.clone())?,
        },
    })
}

/// How many subsets of `k` there are in `n`; both are at most 16, so nothing overflows.
fn binomial(n: usize, k: usize) -> usize {
    (0..k).fold(1, |product, i| product * (n - i) / (i + 1))
}

/// All subsets of `size`, in the order of their members.
fn subsets<T>(items: &[T], size: usize) -> Vec<Vec<&T>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in items.iter().enumerate() {
        for mut rest in subsets(&items[index + 1..], size - 1) {
            rest.insert(0, first);
            all.push(rest);
        }
    }
    all
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
