//! Who a certificate was given to.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use policy::digest::Digest;
use policy::keyless::Signer;
use sigstore_verify::crypto::{CertificateInfo, parse_certificate_info};
use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use super::pki::spki;
use super::{VerifyError, raw};
use crate::reason::quoted;

/// Fulcio's other name: a user name that is no e-mail address (docs/oid-info.md of Fulcio).
const FULCIO_OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    /// An e-mail address.
    Email(String),
    /// A URI: a workflow, a service account, a SPIFFE id.
    Uri(String),
    /// A host name.
    Dns(String),
    /// Fulcio's user name, an other name of type 1.3.6.1.4.1.57264.1.7.
    UserName(String),
    /// Any other kind, which no policy can name.
    Other,
}

impl San {
    /// The name without its kind; empty for a kind that no policy can name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(name) | Self::Uri(name) | Self::Dns(name) | Self::UserName(name) => name,
            Self::Other => "",
        }
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("a name of an unknown kind"),
            known => f.write_str(&quoted(known.as_str())),
        }
    }
}

/// What a verified certificate says about its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerIdentity {
    /// Its only subject alternative name.
    pub subject: San,
    /// The OIDC issuer that vouched for it, where it names one.
    pub issuer: Option<String>,
    /// The claims of the identity token, by the names of Fulcio's docs/oid-info.md
    /// (`sourceRepositoryURI`). One that cannot be read is left out, and so matches nothing.
    pub claims: BTreeMap<String, String>,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// The end of its validity: minutes after signing for a keyless one.
    pub not_after: Timestamp,
}

impl fmt::Display for SignerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = self.issuer.as_deref().map_or("no issuer".into(), quoted);
        write!(f, "{} ({issuer})", self.subject)
    }
}

impl SignerIdentity {
    /// Reads a certificate. It must have exactly one subject alternative name, as every one of
    /// Fulcio's has (its docs/certificate-specification.md): of several, some would be compared
    /// and some not.
    pub(super) fn read(certificate: &DerCertificate) -> Result<Self, VerifyError> {
        let info = parse_certificate_info(certificate)
            .map_err(|error| VerifyError::Malformed(error.to_string()))?;
        let mut names = names(certificate)?;
        let (Some(subject), true) = (names.pop(), names.is_empty()) else {
            let message = "the certificate has not exactly one subject alternative name";
            return Err(VerifyError::Malformed(message.into()));
        };
        Ok(Self {
            subject,
            claims: claims(&info),
            issuer: info.issuer,
            fingerprint: Digest::of(certificate.as_bytes()),
            not_after: info.not_after,
        })
    }

    /// The signer in the terms of a policy; nothing for a name of a kind that no policy can name,
    /// which must not match an expression for any text.
    #[must_use]
    pub fn as_signer(&self) -> Option<Signer> {
        let subject = match &self.subject {
            San::Email(name) | San::Uri(name) | San::Dns(name) | San::UserName(name) => name,
            San::Other => return None,
        };
        Some(Signer {
            issuer: self.issuer.clone(),
            subject: subject.clone(),
            claims: self.claims.clone(),
        })
    }
}

/// Whom a signature says that it is by: what its certificate says, or a hint at a key. It is a claim
/// until the signature was verified by that certificate, and for a key it stays one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// SHA-256 of the certificate's key (`SubjectPublicKeyInfo`, in the encoding that every key has as
    /// one of a policy), or of the key that a log entry names. No certificate counts whose key has
    /// none.
    pub key: Option<Digest>,
    /// What a bundle calls its key; there is no rule for that.
    pub hint: Option<String>,
    /// The certificate's subject alternative names.
    pub names: Vec<San>,
    /// The OIDC issuer in it.
    pub issuer: Option<String>,
}

/// How many names are shown.
const SHOWN: usize = 3;

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self
            .names
            .iter()
            .take(SHOWN)
            .map(ToString::to_string)
            .collect();
        match (names.as_slice(), &self.issuer, &self.key, &self.hint) {
            ([], _, _, Some(hint)) => write!(f, "the key {}", quoted(hint)),
            ([], _, Some(key), None) => {
                write!(
                    f,
                    "the key sha256:{}",
                    key.hex().get(..12).unwrap_or_default()
                )
            }
            ([], ..) => f.write_str("nobody by name"),
            (names, Some(issuer), ..) => write!(f, "{} ({})", names.join(", "), quoted(issuer)),
            (names, None, ..) => f.write_str(&names.join(", ")),
        }
    }
}

impl Claimed {
    /// What a certificate says. What cannot be read of it is left out.
    pub(super) fn by(certificate: &DerCertificate) -> Self {
        let info = parse_certificate_info(certificate).ok();
        Self {
            key: spki(certificate)
                .and_then(|key| raw::public_key(&key))
                .ok()
                .map(|key| key.fingerprint()),
            hint: None,
            names: names(certificate).unwrap_or_default(),
            issuer: info.and_then(|info| info.issuer),
        }
    }
}

/// All subject alternative names of a certificate.
pub(super) fn names(certificate: &DerCertificate) -> Result<Vec<San>, VerifyError> {
    let malformed = |error| VerifyError::Malformed(format!("the certificate: {error}"));
    let certificate = Certificate::from_der(certificate.as_bytes()).map_err(malformed)?;
    let extension: Option<(bool, SubjectAltName)> =
        certificate.tbs_certificate.get().map_err(malformed)?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    Ok(names.iter().map(san).collect())
}

fn san(name: &GeneralName) -> San {
    match name {
        GeneralName::Rfc822Name(name) => San::Email(name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => San::Uri(name.to_string()),
        GeneralName::DnsName(name) => San::Dns(name.to_string()),
        GeneralName::OtherName(name) => user_name(name).map_or(San::Other, San::UserName),
        _ => San::Other,
    }
}

fn user_name(name: &OtherName) -> Option<String> {
    let text = (name.type_id == FULCIO_OTHER_NAME).then_some(&name.value)?;
    let text = text.decode_as::<Utf8StringRef<'_>>().ok()?;
    Some(text.as_str().to_owned())
}

fn claims(info: &CertificateInfo) -> BTreeMap<String, String> {
    let ci = &info.ci_claims;
    let old = &ci.deprecated_github;
    [
        ("buildConfigDigest", &ci.build_config_digest),
        ("buildConfigURI", &ci.build_config_uri),
        ("buildSignerDigest", &ci.build_signer_digest),
        ("buildSignerURI", &ci.build_signer_uri),
        ("buildTrigger", &ci.build_trigger),
        ("deploymentEnvironment", &ci.deployment_environment),
        ("githubWorkflowName", &old.workflow_name),
        ("githubWorkflowRef", &old.workflow_ref),
        ("githubWorkflowRepository", &old.workflow_repository),
        ("githubWorkflowSHA", &old.workflow_sha),
        ("githubWorkflowTrigger", &old.workflow_trigger),
        ("runInvocationURI", &ci.run_invocation_uri),
        ("runnerEnvironment", &ci.runner_environment),
        ("sourceRepositoryDigest", &ci.source_repository_digest),
        (
            "sourceRepositoryIdentifier",
            &ci.source_repository_identifier,
        ),
        (
            "sourceRepositoryOwnerIdentifier",
            &ci.source_repository_owner_identifier,
        ),
        ("sourceRepositoryOwnerURI", &ci.source_repository_owner_uri),
        ("sourceRepositoryRef", &ci.source_repository_ref),
        ("sourceRepositoryURI", &ci.source_repository_uri),
        (
            "sourceRepositoryVisibilityAtSigning",
            &ci.source_repository_visibility_at_signing,
        ),
        ("tokenSubject", &ci.token_subject),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    .collect()
}
