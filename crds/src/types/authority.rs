//! Who may sign.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;

/// One signer. Exactly one of `key`, `keyless` and `certificate` says how its signatures are
/// recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.key), has(self.keyless), has(self.certificate)].exists_one(x, x)")
    .message("an authority has exactly one of key, keyless and certificate: add one, or remove the others"))]
pub struct Authority {
    /// The signer's name: it stands in conditions, messages and metrics. A DNS label (lower-case
    /// letters, digits, inner dashes) of 1 to 63 characters, unique within the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::LABEL))]
    pub name: String,
    /// One or more public keys, any one of which may have signed. Excludes `keyless` and
    /// `certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySource>,
    /// Short-lived certificates of a Sigstore certificate authority, recognised by who asked for
    /// them. Excludes `key` and `certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<KeylessSource>,
    /// Certificates of a PKI of your own. Excludes `key` and `keyless`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSource>,
    /// Demands an entry in a transparency log besides the signature. Without it none is demanded
    /// of `key` and `certificate`; `keyless` always demands one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency_log: Option<TransparencyLog>,
}

/// Where public keys come from. Exactly one of `data`, `configMapKeyRef` and `secretKeyRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.data), has(self.configMapKeyRef), has(self.secretKeyRef)].exists_one(x, x)")
    .message("a key has exactly one of data, configMapKeyRef and secretKeyRef: add one, or remove the others"))]
pub struct KeySource {
    /// One or more PEM blocks `PUBLIC KEY`, one after the other, at most 16 and 16384 characters:
    /// any one of them may have signed, so that keys can be rotated. ECDSA P-256, P-384, P-521,
    /// Ed25519, or RSA of 2048 to 4096 bits. Lines that begin with `#` are comments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub data: Option<String>,
    /// A ConfigMap that holds the keys in the form of `data`. The usual place for public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// A Secret that holds the keys in the form of `data`. It is read only where its namespace
    /// allows that with a RoleBinding to the ClusterRole `nodeseal-key-reader`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
}

/// One key of a ConfigMap or Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The object's name, at most 253 characters.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SUBDOMAIN))]
    pub name: String,
    /// The key inside the object's data, at most 253 characters.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DATA_KEY))]
    pub key: String,
    /// The object's namespace, at most 63 characters. Required in a ClusterImageSignaturePolicy;
    /// refused in an ImageSignaturePolicy, which reads its own namespace only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::LABEL))]
    pub namespace: Option<String>,
}

/// Certificates of a Sigstore certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeylessSource {
    /// The TrustRoot whose authorities and logs are trusted, at most 253 characters. Default
    /// `sigstore`.
    #[serde(default = "default_trust_root")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SUBDOMAIN))]
    pub trust_root: String,
    /// Who may have asked for the certificate: any one of 1 to 16 identities.
    #[schemars(length(min = 1, max = 16))]
    pub identities: Vec<KeylessIdentity>,
}

/// An identity in a certificate: exactly one of `issuer` and `issuerRegExp`, and exactly one of
/// `subject` and `subjectRegExp`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.issuer) != has(self.issuerRegExp)")
    .message("an identity has exactly one of issuer and issuerRegExp: add one, or remove one"))]
#[x_kube(validation = Rule::new("has(self.subject) != has(self.subjectRegExp)")
    .message("an identity has exactly one of subject and subjectRegExp: add one, or remove one"))]
pub struct KeylessIdentity {
    /// The address of the identity provider, exactly, at most 512 characters. Excludes
    /// `issuerRegExp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::HTTPS))]
    pub issuer: Option<String>,
    /// A regular expression (RE2 syntax) that the whole issuer must match, at most 512
    /// characters. It is anchored at both ends; one that matches everything is refused. Excludes
    /// `issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub issuer_reg_exp: Option<String>,
    /// The e-mail address or URI in the certificate, exactly, at most 1024 characters. Excludes
    /// `subjectRegExp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub subject: Option<String>,
    /// A regular expression (RE2 syntax) that the whole subject must match, at most 1024
    /// characters. It is anchored at both ends; one that matches everything is refused. Excludes
    /// `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub subject_reg_exp: Option<String>,
    /// Values that the certificate's Fulcio extensions must have exactly, by the extension's
    /// name such as `sourceRepositoryURI`. At most 32; values at most 1024 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = claim_values)]
    pub claims: BTreeMap<String, String>,
}

/// Certificates of a PKI of your own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSource {
    /// The root certificates as PEM, at most 65536 characters. Below one with name constraints for
    /// e-mail addresses, containerd nodes accept no signer who has an address.
    #[schemars(length(min = 1, max = 65536))]
    pub roots: String,
    /// Intermediate certificates as PEM, at most 65536 characters. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub intermediates: Option<String>,
    /// Whom the signing certificate must name.
    pub subject: CertificateSubject,
}

/// The subject alternative names that a signing certificate must carry: all that are given, and
/// at least one is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.email) || has(self.dnsName)")
    .message("a subject needs email or dnsName, or any certificate of the roots would do: add one"))]
pub struct CertificateSubject {
    /// An e-mail address, exactly, at most 254 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    pub email: Option<String>,
    /// A DNS name, exactly, at most 253 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub dns_name: Option<String>,
}

/// A transparency log that must hold the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransparencyLog {
    /// The TrustRoot whose logs are trusted, at most 253 characters. Default `sigstore`.
    #[serde(default = "default_trust_root")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SUBDOMAIN))]
    pub trust_root: String,
}

fn default_trust_root() -> String {
    "sigstore".to_owned()
}

fn claim_values(schema: &mut schemars::Schema) {
    schema.insert(
        "additionalProperties".to_owned(),
        serde_json::json!({ "type": "string", "maxLength": 1024 }),
    );
}
