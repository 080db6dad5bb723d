//! From the authorities of the API to those of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::authority::{self, AuthorityDraft, SignerDraft, TrustRootRef, TrustRoots};
use policy::certificate::{self, CertificateError};
use policy::digest::Digest;
use policy::key::{KeyError, PublicKey};
use policy::keyless::MAX_IDENTITIES;
use policy::model::{Policy, PolicyId};
use policy::problem::{Problems, Reason};

use super::identity::unread;
use super::text::{
    PRIVATE_KEY, PRIVATE_KEY_FOR_CERTIFICATE, Text, pem_problem, reference, referenced,
};
use super::{FieldProblem, Holder, Keys, Report, RootUnavailable};
use crate::types::{Authority, CertificateSource, KeySource, KeylessSource};
use crate::validate::quoted;

/// The trust root that a field names where it says nothing.
const DEFAULT_TRUST_ROOT: &str = "sigstore";

/// Makes drafts of authorities, and remembers what it has said about them: the model, which checks
/// everything again, says it in other words.
pub(super) struct Signers<'a, K: Keys> {
    keys: &'a K,
    id: PolicyId,
    /// What is wrong so far.
    pub(super) report: Report,
    /// What the drafts refer to.
    pub(super) roots: TrustRoots,
    /// The model's names of fields that are wrong and reported.
    pub(super) said: BTreeSet<String>,
    /// The model's names of fields that have another one in the API.
    fields: BTreeMap<String, String>,
}

impl<'a, K: Keys> Signers<'a, K> {
    pub(super) fn new(keys: &'a K, id: PolicyId) -> Self {
        Self {
            keys,
            id,
            report: Report::default(),
            roots: TrustRoots::new(),
            said: BTreeSet::new(),
            fields: BTreeMap::new(),
        }
    }

    /// The draft of the authority with this index. Where it cannot be made, one that the model
    /// refuses, so that the others keep their places and are checked all the same.
    pub(super) fn authority(&mut self, index: usize, authority: &Authority) -> AuthorityDraft {
        let field = format!("authorities[{index}]");
        let Authority {
            name,
            key,
            keyless,
            certificate,
            transparency_log,
        } = authority;
        let log = transparency_log.as_ref().map(|log| log.trust_root.as_str());
        let signer = match (key, keyless, certificate) {
            (Some(key), None, None) => SignerDraft::Key {
                keys: self.key(&field, key),
                transparency_log: self.log(&field, log),
            },
            (None, Some(keyless), None) => self.keyless(&field, keyless, log),
            (None, None, Some(certificate)) => {
                let transparency_log = self.log(&field, log);
                self.certificate(&field, certificate, transparency_log)
            }
            _ => {
                let message = "an authority has exactly one of key, keyless and certificate: add one, or remove the others";
                self.add(&field, Reason::Invalid, message);
                self.said.insert(format!("{field}.key"));
                SignerDraft::Key {
                    keys: String::new(),
                    transparency_log: None,
                }
            }
        };
        AuthorityDraft {
            name: name.clone(),
            signer,
        }
    }

    /// What the model makes of the drafts, with the problems of both.
    pub(super) fn finish(
        mut self,
        made: Result<Policy, Problems>,
    ) -> Result<Policy, Vec<FieldProblem>> {
        match made {
            Ok(policy) => self.report.finish(policy),
            Err(Problems(problems)) => {
                for problem in problems {
                    if self.said.contains(&problem.field) {
                        continue;
                    }
                    let field = match self.fields.get(&problem.field) {
                        Some(field) => field.clone(),
                        None => format!("spec.{}", problem.field),
                    };
                    self.report.add(field, problem.reason, problem.message);
                }
                Err(self.report.0)
            }
        }
    }

    /// `field` is the model's name, which is below `spec`.
    pub(super) fn add(&mut self, field: &str, reason: Reason, message: impl fmt::Display) {
        self.report.add(format!("spec.{field}"), reason, message);
    }

    /// The keys as PEM.
    fn key(&mut self, field: &str, source: &KeySource) -> String {
        let field = format!("{field}.key");
        let Some((place, text)) = self.key_text(&format!("spec.{field}"), source) else {
            self.said.insert(field);
            return String::new();
        };
        if let Err(error) = text.parse_pem(PublicKey::parse_pem) {
            let private = matches!(error.1, KeyError::PrivateKey { .. });
            let (reason, message) =
                pem_problem(&text, error, private, Reason::InvalidKey, PRIVATE_KEY);
            self.report.add(place.clone(), reason, message);
            self.said.insert(field.clone());
        }
        self.fields.insert(field, place);
        text.value
    }

    /// The text of a key and the field that it comes from. Nothing where the report says why.
    fn key_text(&mut self, field: &str, source: &KeySource) -> Option<(String, Text)> {
        let (holder, key_ref, name) = match source {
            KeySource {
                data: Some(data),
                config_map_key_ref: None,
                secret_key_ref: None,
            } => {
                let field = format!("{field}.data");
                let text = Text::own(self.keys, data, &field);
                return Some((field, text));
            }
            KeySource {
                data: None,
                config_map_key_ref: Some(key_ref),
                secret_key_ref: None,
            } => (Holder::ConfigMap, key_ref, "configMapKeyRef"),
            KeySource {
                data: None,
                config_map_key_ref: None,
                secret_key_ref: Some(key_ref),
            } => (Holder::Secret, key_ref, "secretKeyRef"),
            _ => {
                let message = "a key has exactly one of data, configMapKeyRef and secretKeyRef: add one, or remove the others";
                self.report.add(field, Reason::Invalid, message);
                return None;
            }
        };
        let field = format!("{field}.{name}");
        let reference = reference(&mut self.report, &self.id, holder, key_ref, &field)?;
        let reason = Reason::InvalidKey;
        let text = referenced(&mut self.report, self.keys, &reference, &field, reason)?;
        Some((field, text))
    }

    fn keyless(&mut self, field: &str, keyless: &KeylessSource, log: Option<&str>) -> SignerDraft {
        let root = &keyless.trust_root;
        if log.is_some_and(|log| log != root) {
            let message = format!(
                "keyless always demands an entry in a log of its own trustRoot, {}: remove transparencyLog",
                quoted(root)
            );
            self.add(
                &format!("{field}.transparencyLog"),
                Reason::Invalid,
                message,
            );
        }
        let field = format!("{field}.keyless");
        let trust_root = self.root(format!("{field}.trustRoot"), root);
        let identities = &keyless.identities;
        // Too many are refused by their number, and cost no more than that.
        let identity = |(index, identity)| {
            let field = format!("{field}.identities[{index}]");
            if identities.len() > MAX_IDENTITIES {
                unread()
            } else {
                self.identity(&field, identity)
            }
        };
        SignerDraft::Keyless {
            trust_root,
            identities: identities.iter().enumerate().map(identity).collect(),
        }
    }

    fn certificate(
        &mut self,
        field: &str,
        source: &CertificateSource,
        transparency_log: Option<TrustRootRef>,
    ) -> SignerDraft {
        let field = format!("{field}.certificate");
        self.certificates(&format!("{field}.roots"), &source.roots, certificate::roots);
        let intermediates = source.intermediates.clone().unwrap_or_default();
        if !intermediates.is_empty() {
            let field = format!("{field}.intermediates");
            self.certificates(&field, &intermediates, certificate::intermediates);
        }
        SignerDraft::Certificate {
            roots: source.roots.clone(),
            intermediates,
            subject: authority::CertificateSubject {
                email: source.subject.email.clone(),
                dns_name: source.subject.dns_name.clone(),
            },
            transparency_log,
        }
    }

    /// Parses certificates, so that messages name lines of the file, which the model cannot.
    fn certificates<T>(
        &mut self,
        field: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, CertificateError>,
    ) {
        let text = Text::own(self.keys, text, &format!("spec.{field}"));
        if let Err(error) = text.parse_pem(parse) {
            let private = matches!(error.1, CertificateError::PrivateKey { .. });
            let reason = Reason::InvalidCertificate;
            let (reason, message) =
                pem_problem(&text, error, private, reason, PRIVATE_KEY_FOR_CERTIFICATE);
            self.add(field, reason, message);
            self.said.insert(field.to_owned());
        }
    }

    fn log(&mut self, field: &str, name: Option<&str>) -> Option<TrustRootRef> {
        name.map(|name| self.root(format!("{field}.transparencyLog.trustRoot"), name))
    }

    /// The reference to a trust root. Where there is none, one that leads nowhere.
    fn root(&mut self, field: String, name: &str) -> TrustRootRef {
        let digest = match self.keys.trust_root(name) {
            Ok(root) => {
                let digest = root.digest();
                self.roots.insert(digest.clone(), root);
                digest
            }
            Err(why) => {
                let (reason, message) = unavailable(why, name, K::WHERE);
                self.add(&field, reason, message);
                self.said.insert(field);
                Digest::of(b"no trust root")
            }
        };
        TrustRootRef {
            name: name.to_owned(),
            digest,
        }
    }
}

fn unavailable(why: RootUnavailable, name: &str, place: &str) -> (Reason, String) {
    let shown = quoted(name);
    match why {
        RootUnavailable::NoObject if name == DEFAULT_TRUST_ROOT => (
            Reason::NotFound,
            format!(
                "there is no TrustRoot {shown}{place}, which is the one where no other is named: create it, for example with the public-good trusted_root.json in spec.trustedRoot.data, or name another"
            ),
        ),
        RootUnavailable::NoObject => (
            Reason::NotFound,
            format!("there is no TrustRoot {shown}{place}: create it, or correct the name"),
        ),
        RootUnavailable::NotReady(why) => (
            Reason::TrustRootNotReady,
            format!("the TrustRoot {shown} is not ready: {why}"),
        ),
    }
}
