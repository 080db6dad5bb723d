//! containerd: its verifier is ours, so what counts is whether containerd calls it.

use super::{Capability, Limitation};
use crate::authority::{CertificateSigner, Signer};
use crate::identity::SignedIdentity;
use crate::key::KeyKind;
use crate::model::Policy;
use crate::problem::Reason;
use crate::version::Version;

/// The first version whose CRI pulls go through image verifiers.
pub const FIRST_ENFORCING: Version = Version::new(2, 1, 0);

pub(super) fn of(policy: &Policy, version: Option<Version>) -> Capability {
    let mut prevents = Vec::new();
    if policy.id().namespace().is_some() {
        let message = "containerd does not tell a verifier which namespace pulls, so this policy is left out on containerd nodes: write a ClusterImageSignaturePolicy for its scopes";
        prevents.push(Limitation::of("", Reason::NamespacedUnsupported, message));
    } else if let Some(version) = version.filter(|version| *version < FIRST_ENFORCING) {
        let message = format!(
            "containerd {version} calls no verifier when Kubernetes pulls an image, so nothing is enforced there: upgrade the node to containerd {FIRST_ENFORCING} or later"
        );
        prevents.push(Limitation::of("", Reason::NotEnforcing, message));
    }
    let warnings = if prevents.is_empty() {
        warnings(policy)
    } else {
        Vec::new()
    };
    Capability { prevents, warnings }
}

fn warnings(policy: &Policy) -> Vec<Limitation> {
    let requirement = policy.requirement();
    let mut warnings = Vec::new();
    for authority in requirement.authorities() {
        let signer = match authority.signer() {
            Signer::Key(signer) => signer,
            Signer::Certificate(signer) => {
                let warning = emails(signer).map(|warning| warning.by(authority.name()));
                warnings.extend(warning);
                continue;
            }
            Signer::Keyless(_) => continue,
        };
        if signer
            .keys()
            .iter()
            .any(|key| key.kind() == KeyKind::Ed25519)
        {
            let message = "cosign 2 and 3 make signatures of another kind (Ed25519ph) with Ed25519 keys, which no runtime verifies: sign with pure Ed25519, or use an ECDSA P-256 key";
            let warning = Limitation::of("key", Reason::SignatureFormat, message);
            warnings.push(warning.by(authority.name()));
        }
    }
    match requirement.signed_identity() {
        SignedIdentity::MatchRepository { .. } => {}
        SignedIdentity::ExactRepository { .. } => {
            let message = "bundles of cosign 3 name no repository and are refused by this type: sign with --new-bundle-format=false";
            warnings.push(Limitation::of(IDENTITY, Reason::SignatureFormat, message));
        }
        SignedIdentity::MatchRepoDigestOrExact | SignedIdentity::RemapIdentity { .. } => {
            warnings.push(tag_in_signature());
        }
    }
    warnings
}

/// Where an e-mail address is wanted that the verifier's library lets no certificate have.
fn emails(signer: &CertificateSigner) -> Option<Limitation> {
    signer.subject().email.as_ref()?;
    let roots = signer.roots().iter().map(|root| ("roots", root));
    let intermediates = signer.intermediates().iter();
    let mut all = roots.chain(intermediates.map(|one| ("intermediates", one)));
    let (field, found) = all.find(|(_, one)| one.constrains_emails())?;
    let message = format!(
        "the certificate `{}` has name constraints for e-mail addresses. containerd nodes refuse every signer below it who has an address, a permitted one too: use a certificate authority without them, or name a dnsName instead",
        found.subject()
    );
    let field = format!("certificate.{field}");
    Some(Limitation::of(&field, Reason::SignatureFormat, message))
}

pub(super) const IDENTITY: &str = "signedIdentity.type";

pub(super) fn tag_in_signature() -> Limitation {
    let message = "this type demands a tag in the signature, which plain cosign signatures do not carry: sign with --sign-container-identity REPOSITORY:TAG and --new-bundle-format=false, or use MatchRepository";
    Limitation::of(IDENTITY, Reason::TagInSignature, message)
}
