//! CRI-O: what its files can say, and which signatures it reads.

use super::containerd::tag_in_signature;
use super::{Capability, Limitation, weaker};
use crate::authority::{Authority, Signer};
use crate::crio::document::Rule;
use crate::crio::features::Feature;
use crate::crio::rules;
use crate::crio::texts::size_below_a_scope;
use crate::identity::SignedIdentity;
use crate::key::KeyKind;
use crate::model::{Mode, Policy};
use crate::problem::Reason;
use crate::version::Version;

/// The most bytes that the rules of one policy may take at all of its scopes.
pub const MAX_POLICY_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn of(policy: &Policy, version: Version) -> Capability {
    let prevents = express(policy, version).err().unwrap_or_default();
    // An audit will be enforced one day: what to know then is to be known before.
    let only_audits = prevents
        .iter()
        .all(|limit| limit.reason == Reason::AuditUnsupported);
    Capability {
        warnings: if only_audits {
            warnings(policy, version)
        } else {
            Vec::new()
        },
        prevents,
    }
}

/// The rules of a policy, or why there are none.
pub(crate) fn express(policy: &Policy, version: Version) -> Result<Vec<Rule>, Vec<Limitation>> {
    express_within(policy, version, MAX_POLICY_BYTES)
}

pub(super) fn express_within(
    policy: &Policy,
    version: Version,
    most: usize,
) -> Result<Vec<Rule>, Vec<Limitation>> {
    let mut prevents = Vec::new();
    if policy.id().namespace().is_some() && !Feature::CheckAtCreation.is_in(version) {
        let message = format!(
            "CRI-O {version} does not keep the policies of namespaces apart once an image is on the node: upgrade it to CRI-O {} or later",
            Feature::CheckAtCreation.since()
        );
        prevents.push(Limitation::of("", Reason::NotExpressible, message));
    }
    if policy.requirement().mode() == Mode::Audit {
        let message = "the files of CRI-O know no audit: nothing is reported and nothing refused on such nodes until the mode is Enforce";
        prevents.push(Limitation::of("mode", Reason::AuditUnsupported, message));
    }
    prevents.extend(weaker::prevents(policy.requirement()));
    let rules = match rules::rules(policy.requirement(), version) {
        Ok(rules) => {
            prevents.extend(too_large(policy, &rules, most));
            rules
        }
        Err(limits) => {
            prevents.extend(limits);
            Vec::new()
        }
    };
    if prevents.is_empty() {
        Ok(rules)
    } else {
        Err(prevents)
    }
}

/// The rules stand at every scope and its twin, and wherever other policies name scopes inside
/// them. The latter is known where files are rendered.
fn too_large(policy: &Policy, rules: &[Rule], most: usize) -> Option<Limitation> {
    let bytes = size_below_a_scope(rules) * policy.scopes().len() * 2;
    let message = format!(
        "the rules of this policy would take {} MiB in CRI-O's files, where they stand at each of its scopes, and at most {} MiB are written: use fewer scopes, authorities or keys",
        bytes.div_ceil(1024 * 1024),
        most.div_ceil(1024 * 1024)
    );
    (bytes > most).then(|| Limitation::of("scopes", Reason::TooLarge, message))
}

fn warnings(policy: &Policy, version: Version) -> Vec<Limitation> {
    let requirement = policy.requirement();
    let mut warnings = vec![format_of_signatures(requirement.authorities())];
    let message = "of a multi-arch image CRI-O verifies the manifest of the node's platform, containerd that of the index: sign with --recursive";
    warnings.push(Limitation::of("", Reason::RecursiveSigningNeeded, message));
    for authority in requirement.authorities() {
        let name = authority.name();
        warnings.extend(
            by_authority(authority)
                .into_iter()
                .map(|limit| limit.by(name)),
        );
    }
    warnings.extend(weaker::warnings(requirement));
    match requirement.signed_identity() {
        SignedIdentity::MatchRepoDigestOrExact | SignedIdentity::RemapIdentity { .. } => {
            warnings.push(tag_in_signature());
        }
        SignedIdentity::MatchRepository { .. } | SignedIdentity::ExactRepository { .. } => {}
    }
    if policy.id().namespace().is_some() && !Feature::ImageVolumes.is_in(version) {
        let message = format!(
            "CRI-O {version} mounts image volumes without asking the policy of the namespace: upgrade it to CRI-O {} or later",
            Feature::ImageVolumes.since()
        );
        warnings.push(Limitation::of("", Reason::ImageVolumes, message));
    }
    warnings
}

fn format_of_signatures(authorities: &[Authority]) -> Limitation {
    let logged = authorities
        .iter()
        .any(|authority| authority.trust_root().is_some());
    let flags = if logged {
        "--new-bundle-format=false --use-signing-config=false"
    } else {
        "--new-bundle-format=false --use-signing-config=false --tlog-upload=false"
    };
    let message = format!(
        "CRI-O reads only signatures that are attached as sha256-….sig, with entries of Rekor v1; those that cosign 3 makes by default do not verify there: sign with {flags}"
    );
    Limitation::of("", Reason::SignatureFormat, message)
}

fn by_authority(authority: &Authority) -> Vec<Limitation> {
    let mut warnings = Vec::new();
    match authority.signer() {
        Signer::Key(signer) => {
            let kinds: Vec<KeyKind> = signer
                .keys()
                .iter()
                .map(crate::key::PublicKey::kind)
                .collect();
            if kinds
                .iter()
                .any(|kind| matches!(kind, KeyKind::EcdsaP384 | KeyKind::EcdsaP521))
            {
                let message = "CRI-O verifies with SHA-256 whatever the key, and cosign signs with SHA-384 and SHA-512 for P-384 and P-521 keys: use a P-256 or RSA key, or make signatures with SHA-256";
                warnings.push(Limitation::of("key", Reason::SignatureFormat, message));
            }
            if kinds.contains(&KeyKind::Ed25519) {
                let message = "cosign 2 and 3 make signatures of another kind (Ed25519ph) with Ed25519 keys, which no runtime verifies: sign with pure Ed25519, or use an ECDSA P-256 key";
                warnings.push(Limitation::of("key", Reason::SignatureFormat, message));
            }
        }
        Signer::Keyless(signer) => {
            if signer.root().root().has_ct_logs() {
                let message = "CRI-O does not check that certificates are in the certificate log of the trust root";
                let field = "keyless.trustRoot";
                warnings.push(Limitation::of(field, Reason::WeakerCheck, message));
            }
        }
        Signer::Certificate(_) => {
            let message = "CRI-O checks certificates at the current time: once the one that signed has expired, containers of the image no longer start there, restarts included";
            warnings.push(Limitation::of("certificate", Reason::CurrentTime, message));
        }
    }
    if let Some(root) = authority.trust_root() {
        let left_out: Vec<String> = root
            .root()
            .other_rekor_logs()
            .into_iter()
            .map(crate::trust::LogKey::name)
            .collect();
        if !left_out.is_empty() {
            let message = format!(
                "CRI-O verifies entries of logs with ECDSA P-256 keys only, so those of {} do not count there",
                left_out.join(", ")
            );
            let field = weaker::trust_root_field(authority);
            warnings.push(Limitation::of(field, Reason::SignatureFormat, message));
        }
    }
    warnings
}
