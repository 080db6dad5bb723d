//! Authorities as written, with references resolved to digests and before any check.

use serde::{Deserialize, Serialize};

use super::{Authority, Signer, TrustedRoot};
use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::key::PublicKey;
use crate::keyless::IdentityDraft;

/// A reference to a trust root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustRootRef {
    /// The name of the `TrustRoot` object, for messages.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

/// One signer, before any check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityDraft {
    /// Unique within the policy.
    pub name: String,
    /// How its signatures are recognised.
    pub signer: SignerDraft,
}

impl AuthorityDraft {
    /// One that signs with one of these keys (PEM), without a log.
    #[must_use]
    pub fn key(name: impl Into<String>, keys: impl Into<String>) -> Self {
        let signer = SignerDraft::Key {
            keys: keys.into(),
            transparency_log: None,
        };
        Self {
            name: name.into(),
            signer,
        }
    }
}

/// How signatures are recognised, before any check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum SignerDraft {
    /// By public keys.
    Key {
        /// One or more PEM public keys, any one of which may have signed.
        keys: String,
        /// Also demand an entry in a log of this trust root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transparency_log: Option<TrustRootRef>,
    },
    /// By short-lived certificates of a sigstore certificate authority, and a log entry.
    Keyless {
        /// Whose certificates and logs count.
        trust_root: TrustRootRef,
        /// Who may have asked for the certificate: any one of them.
        identities: Vec<IdentityDraft>,
    },
    /// By certificates of a PKI.
    Certificate {
        /// PEM.
        roots: String,
        /// PEM; empty for none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        intermediates: String,
        /// Whom the certificate must name.
        subject: CertificateSubject,
        /// Also demand an entry in a log of this trust root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transparency_log: Option<TrustRootRef>,
    },
}

/// Whom a certificate of a PKI must name: all that is given, exactly. One of the two is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateSubject {
    /// An e-mail address among its alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A host name among its alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
}

impl From<Authority> for AuthorityDraft {
    fn from(authority: Authority) -> Self {
        let log = |log: Option<TrustedRoot>| log.map(|root| root.reference);
        let signer = match authority.signer {
            Signer::Key(signer) => SignerDraft::Key {
                keys: signer.keys.iter().map(PublicKey::to_pem).collect(),
                transparency_log: log(signer.log),
            },
            Signer::Keyless(signer) => SignerDraft::Keyless {
                trust_root: signer.root.reference,
                identities: signer.identities.into_iter().map(Into::into).collect(),
            },
            Signer::Certificate(signer) => SignerDraft::Certificate {
                roots: signer.roots.iter().map(Certificate::to_pem).collect(),
                intermediates: signer
                    .intermediates
                    .iter()
                    .map(Certificate::to_pem)
                    .collect(),
                subject: signer.subject,
                transparency_log: log(signer.log),
            },
        };
        Self {
            name: authority.name,
            signer,
        }
    }
}
