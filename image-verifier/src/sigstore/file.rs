//! The call that the sigstore conformance suite makes of a client, without files and exit codes:
//! `verify-bundle --bundle F (--certificate-identity I --certificate-oidc-issuer U | --key K)
//! [--trusted-root T] FILE_OR_DIGEST`.

use policy::key::PublicKey;

use super::{
    Accepted, Artifact, LogEntry, SigstoreBundle, TrustMaterial, VerifyError, verify_bundle,
    verify_with_keys,
};

/// Who has to have signed.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// The owner of a certificate, by exact texts.
    Identity {
        /// The subject alternative name.
        subject: &'a str,
        /// The OIDC issuer.
        issuer: &'a str,
    },
    /// The holder of one of the keys in this PEM text.
    Key(&'a str),
}

/// Verifies a bundle over an artifact. `trusted_root` is the JSON text of one; without it, the root
/// of the public-good instance as it was when this program was built counts. A log entry is always
/// demanded, of keys too.
pub fn verify_file(
    bundle: &[u8],
    artifact: &Artifact<'_>,
    wanted: Wanted<'_>,
    trusted_root: Option<&str>,
) -> Result<Accepted<()>, VerifyError> {
    let trust = match trusted_root {
        Some(json) => TrustMaterial::parse(json)?,
        None => TrustMaterial::public_good()?,
    };
    let bundle = SigstoreBundle::parse(bundle)?;
    match wanted {
        Wanted::Identity { subject, issuer } => {
            verify_bundle(&bundle, artifact, &trust)?.accept(|signer| {
                let holds = signer.subject.as_str() == subject
                    && signer.issuer.as_deref() == Some(issuer)
                    && !subject.is_empty();
                holds.then_some(())
            })
        }
        Wanted::Key(pem) => {
            let keys = PublicKey::parse_pem(pem)
                .map_err(|error| VerifyError::TrustRoot(format!("the key: {error}")))?;
            let log = LogEntry::Demanded(&trust);
            Ok(verify_with_keys(&bundle, artifact, &keys, log)?.map(|_| ()))
        }
    }
}
