//! The `sigstoreSigned` requirement.

use serde::{Deserialize, Serialize};

use crate::crio::fields::{Base64, Check, any_empty, checked_if_present, count, present};
use crate::crio::matching::Match;

/// `sigstoreSigned`: exactly one source of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SigstoreSigned {
    /// A file with one key.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,
    /// Files with a key each, any one of which may have signed.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_paths: Option<Vec<String>>,
    /// One key, PEM.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_data: Option<Base64>,
    /// Keys, PEM, any one of which may have signed.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub key_datas: Option<Vec<Base64>>,
    /// Certificates issued by a Fulcio.
    #[serde(
        deserialize_with = "checked_if_present",
        skip_serializing_if = "Option::is_none"
    )]
    pub fulcio: Option<Fulcio>,
    /// Certificates of a corporate PKI.
    #[serde(
        deserialize_with = "checked_if_present",
        skip_serializing_if = "Option::is_none"
    )]
    pub pki: Option<Pki>,
    /// A file with one log key.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_path: Option<String>,
    /// Files with a log key each.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_paths: Option<Vec<String>>,
    /// One log key, PEM.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_data: Option<Base64>,
    /// Log keys, PEM.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_datas: Option<Vec<Base64>>,
    /// Which name the signature must carry.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub signed_identity: Option<Match>,
}

impl Check for Box<SigstoreSigned> {
    fn check(&self) -> Result<(), &'static str> {
        let keys = count(&[
            self.key_path.is_some(),
            self.key_paths.is_some(),
            self.key_data.is_some(),
            self.key_datas.is_some(),
            self.fulcio.is_some(),
            self.pki.is_some(),
        ]);
        let logs = count(&[
            self.rekor_public_key_path.is_some(),
            self.rekor_public_key_paths.is_some(),
            self.rekor_public_key_data.is_some(),
            self.rekor_public_key_datas.is_some(),
        ]);
        if keys != 1 {
            return Err(
                "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki is expected",
            );
        }
        if logs > 1 {
            return Err("at most one source of Rekor keys is expected");
        }
        if self.fulcio.is_some() && logs == 0 {
            return Err("fulcio needs a Rekor key");
        }
        if self.pki.is_some() && logs > 0 {
            return Err("pki takes no Rekor key");
        }
        if any_empty(&[&self.key_path, &self.rekor_public_key_path]) {
            return Err("keyPath and rekorPublicKeyPath must not be empty");
        }
        let empty = |list: &Option<Vec<Base64>>| list.as_ref().is_some_and(Vec::is_empty);
        if empty(&self.key_datas) || empty(&self.rekor_public_key_datas) {
            return Err("a list of keys must not be empty");
        }
        let empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
        if empty(&self.key_paths) || empty(&self.rekor_public_key_paths) {
            return Err("a list of key files must not be empty");
        }
        Ok(())
    }
}

/// The `fulcio` part of a `sigstoreSigned`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fulcio {
    /// A file with the CA's certificates; this or the next.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub ca_path: Option<String>,
    /// The CA's certificates, PEM.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub ca_data: Option<Base64>,
    /// The exact issuer.
    pub oidc_issuer: String,
    /// The exact e-mail address.
    pub subject_email: String,
}

impl Check for Fulcio {
    fn check(&self) -> Result<(), &'static str> {
        if self.ca_path.is_some() == self.ca_data.is_some() {
            return Err("exactly one of caPath and caData is expected");
        }
        if any_empty(&[&self.ca_path])
            || self.oidc_issuer.is_empty()
            || self.subject_email.is_empty()
        {
            return Err("caPath, oidcIssuer and subjectEmail must not be empty");
        }
        Ok(())
    }
}

/// The `pki` part of a `sigstoreSigned`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pki {
    /// A file with the roots; this or the next.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ca_roots_path: Option<String>,
    /// The roots, PEM.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ca_roots_data: Option<Base64>,
    /// A file with intermediates; this, the next, or neither.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ca_intermediates_path: Option<String>,
    /// Intermediates, PEM.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ca_intermediates_data: Option<Base64>,
    /// The exact e-mail address; this, the next, or both.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub subject_email: Option<String>,
    /// The exact host name.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub subject_hostname: Option<String>,
}

impl Check for Pki {
    fn check(&self) -> Result<(), &'static str> {
        if self.ca_roots_path.is_some() == self.ca_roots_data.is_some() {
            return Err("exactly one of caRootsPath and caRootsData is expected");
        }
        if self.ca_intermediates_path.is_some() && self.ca_intermediates_data.is_some() {
            return Err("at most one of caIntermediatesPath and caIntermediatesData is expected");
        }
        if self.subject_email.is_none() && self.subject_hostname.is_none() {
            return Err("at least one of subjectEmail and subjectHostname is expected");
        }
        let texts = [
            &self.ca_roots_path,
            &self.ca_intermediates_path,
            &self.subject_email,
            &self.subject_hostname,
        ];
        if any_empty(&texts) {
            return Err(
                "caRootsPath, caIntermediatesPath, subjectEmail and subjectHostname must not be empty",
            );
        }
        Ok(())
    }
}
