//! Who certifies and logs in the drawn cases, and authorities that trust them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use e2e::sigstore::signer::{BUNDLE, CERTIFICATE, CHAIN, Signature};
use e2e::sigstore::{Authority, Leaf, Log, Payload, Validity};
use image_verifier::candidate::{Attachment, Candidate, Found, Signed};
use policy::authority::{
    AuthorityDraft, CertificateSubject, SignerDraft, TrustRootRef, TrustRoots,
};
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::trust::TrustRoot;

use crate::draw::{COMPANIES, Certificate, FULCIOS, Logged, Maker, PEOPLE};

/// Fulcios below roots, logs, companies, and what trusts the first two.
pub(crate) struct Sigstore {
    fulcios: Vec<Authority>,
    logs: Vec<Log>,
    companies: Vec<Authority>,
    references: Vec<TrustRootRef>,
    pub(crate) roots: TrustRoots,
}

impl Sigstore {
    pub(crate) fn new() -> Result<Self> {
        let fulcio =
            |index| Authority::root(&format!("root {index}"))?.intermediate(&format!("{index}"));
        let fulcios: Vec<Authority> = (0..FULCIOS).map(fulcio).collect::<Result<_>>()?;
        let logs: Vec<Log> = (0..FULCIOS).map(|_| Log::new()).collect::<Result<_>>()?;
        let company = |index| Authority::root(&format!("company {index}"));
        let keys: Vec<String> = logs.iter().map(Log::public_pem).collect::<Result<_>>()?;
        let [(first, log), (second, other)] =
            [(0, 0), (1, 1)].map(|(f, l)| (&fulcios[f], &keys[l]));
        let mut references = Vec::new();
        let mut roots = BTreeMap::new();
        for (fulcio, logs) in [
            (first, vec![log.clone()]),
            (second, vec![other.clone()]),
            (first, vec![log.clone(), other.clone()]),
        ] {
            let root = TrustRoot::from_pem(Some(&fulcio.chain_pem()), &logs, &[], None);
            let root = root.map_err(|error| anyhow!("{error}"))?;
            let digest = root.digest();
            references.push(TrustRootRef {
                name: format!("root{}", references.len()),
                digest: digest.clone(),
            });
            roots.insert(digest, Arc::new(root));
        }
        Ok(Self {
            companies: (0..COMPANIES).map(company).collect::<Result<_>>()?,
            fulcios,
            logs,
            references,
            roots,
        })
    }

    /// Signs with a certificate.
    pub(crate) fn sign(&self, maker: Maker, payload: &Payload) -> Result<Signature> {
        let (authority, person, certificate) = match maker {
            Maker::Key(_) => return Err(anyhow!("a key has no certificate")),
            Maker::Keyless(fulcio, person, certificate) => {
                (&self.fulcios[fulcio], person, certificate)
            }
            Maker::Company(company, person, certificate) => {
                (&self.companies[company], person, certificate)
            }
        };
        let (email, issuer) = PEOPLE[person];
        let mut leaf = Leaf::new().email(email);
        if matches!(maker, Maker::Keyless(..)) {
            leaf = leaf.issuer(issuer);
        }
        match certificate {
            Certificate::Expired => leaf = leaf.valid(Validity::around(yesterday())),
            Certificate::TwoNames => leaf = leaf.email("somebody@example.com"),
            Certificate::Valid | Certificate::NoChain => {}
        }
        let signature = authority.issue(&leaf)?.sign(payload)?;
        Ok(match certificate {
            Certificate::NoChain => signature.without(CHAIN),
            _ => signature,
        })
    }

    /// Enters a signature into a log, well or badly.
    pub(crate) fn log(&self, signature: Signature, how: Logged) -> Result<Signature> {
        let now = SystemTime::now();
        match how {
            Logged::No => Ok(signature),
            Logged::Now(log) => signature.logged(&self.logs[log], now),
            Logged::Yesterday(log) => signature.logged(&self.logs[log], yesterday()),
            Logged::Borrowed(log) => {
                let mut other = signature.clone();
                other.payload.push(b' ');
                let entry = self.logs[log].enter(&other, now)?;
                Ok(signature.annotated(BUNDLE, &entry.bundle()))
            }
            Logged::Forged(log) => {
                let mut entry = self.logs[log].enter(&signature, now)?;
                entry.integrated_time -= 1;
                Ok(signature.annotated(BUNDLE, &entry.bundle()))
            }
        }
    }

    pub(crate) fn keys(&self, name: String, keys: String, log: Option<usize>) -> AuthorityDraft {
        let signer = SignerDraft::Key {
            keys,
            transparency_log: log.map(|root| self.references[root].clone()),
        };
        AuthorityDraft { name, signer }
    }

    pub(crate) fn keyless(&self, name: String, root: usize, person: usize) -> AuthorityDraft {
        let (email, issuer) = PEOPLE[person];
        let signer = SignerDraft::Keyless {
            trust_root: self.references[root].clone(),
            identities: vec![IdentityDraft {
                issuer: PatternDraft::Exact(issuer.to_owned()),
                subject: PatternDraft::Exact(email.to_owned()),
                claims: BTreeMap::new(),
            }],
        };
        AuthorityDraft { name, signer }
    }

    pub(crate) fn company(&self, name: String, company: usize, person: usize) -> AuthorityDraft {
        let signer = SignerDraft::Certificate {
            roots: self.companies[company].root_pem(),
            intermediates: String::new(),
            subject: CertificateSubject {
                email: Some(PEOPLE[person].0.to_owned()),
                dns_name: None,
            },
            transparency_log: None,
        };
        AuthorityDraft { name, signer }
    }
}

fn yesterday() -> SystemTime {
    SystemTime::now() - Duration::from_hours(24)
}

/// As the verifier finds them.
pub(crate) fn candidates(signatures: &[Signature]) -> Vec<Found> {
    let candidate = |signature: &Signature| {
        let annotation = |name: &str| signature.annotations.get(name).cloned();
        Found::Candidate(Candidate {
            origin: "drawn".to_owned(),
            signed: Signed::Attachment(Attachment {
                payload: signature.payload.clone(),
                signature: signature.signature.clone(),
                certificate: annotation(CERTIFICATE),
                chain: annotation(CHAIN),
                log_entry: annotation(BUNDLE),
                timestamp: None,
            }),
        })
    };
    signatures.iter().map(candidate).collect()
}
