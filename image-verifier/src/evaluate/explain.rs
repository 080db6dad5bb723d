//! A refusal in words: which policy, which authority, what was found instead, and what to do.

use policy::authority::{Authority, CertificateSubject, Signer};
use policy::key::{KeyKind, PublicKey};
use policy::model::Mode;
use policy::pattern::Pattern;

use super::{MAX_LIST, PolicyState};
use crate::candidate::Finding;
use crate::reason::{Reason, Refusal, bounded, quoted};

/// Why the policy fails.
pub(super) fn refusal(state: &PolicyState<'_>, candidates: usize, findings: &[Finding]) -> Refusal {
    let (threshold, authorities) = (
        state.requirement.threshold(),
        state.requirement.authorities(),
    );
    let failure = findings
        .iter()
        .chain(&state.failure)
        .rev()
        .max_by_key(|finding| finding.reason.weight());
    let (reason, found) = match failure {
        Some(Finding { reason, message }) => (*reason, message.as_str()),
        None if candidates == 0 => (Reason::NoSignature, "no signature was found"),
        None => (
            Reason::NoMatchingSignature,
            "no further signature was found",
        ),
    };
    let wanted = if let (1, [authority]) = (threshold, authorities) {
        format!("a signature by {}", described(authority))
    } else {
        let list: Vec<_> = authorities.iter().map(described).collect();
        let list = bounded(&list.join(", "), MAX_LIST);
        format!(
            "signatures by {threshold} of {list}, has {}",
            state.signed.len()
        )
    };
    let of = match candidates {
        0 | 1 => String::new(),
        count => format!(" (the closest of {count} signatures)"),
    };
    let advice = advice(reason, state);
    let id = state.id;
    Refusal::new(
        reason,
        format!("policy `{id}` wants {wanted}; {found}{of}. {advice}"),
    )
}

/// An authority by name and signer, so that the line tells which one was meant.
fn described(authority: &Authority) -> String {
    let name = authority.name();
    let signer = match authority.signer() {
        Signer::Key(signer) => match signer.keys() {
            [key] => format!("key {}", short(key)),
            keys => format!("{} keys", keys.len()),
        },
        Signer::Keyless(signer) => match signer.identities() {
            [identity] => format!(
                "{} by {}",
                pattern(identity.subject()),
                pattern(identity.issuer())
            ),
            identities => format!("{} identities", identities.len()),
        },
        Signer::Certificate(signer) => {
            let CertificateSubject { email, dns_name } = signer.subject();
            let names: Vec<String> = [email, dns_name]
                .into_iter()
                .flatten()
                .map(|name| quoted(name))
                .collect();
            format!("certificate for {}", names.join(" and "))
        }
    };
    let log = match authority.signer() {
        Signer::Keyless(_) => None,
        _ => authority.trust_root(),
    };
    let log = log.map_or(String::new(), |root| {
        format!(", in a log of `{}`", root.name())
    });
    format!("`{name}` ({signer}{log})")
}

fn pattern(pattern: &Pattern) -> String {
    let text = quoted(pattern.text());
    if pattern.is_exact() {
        text
    } else {
        format!("the expression {text}")
    }
}

fn short(key: &PublicKey) -> String {
    let fingerprint = key.fingerprint();
    format!("sha256:{}", &fingerprint.hex()[..12])
}

/// What to do about it.
fn advice(reason: Reason, state: &PolicyState<'_>) -> &'static str {
    match reason {
        Reason::NoSignature => "Sign the image by digest, and push the signature beside it",
        Reason::NoMatchingSignature => whose_key(state),
        Reason::WrongDigest => "Sign this very digest; for a multi-arch image, the index",
        Reason::WrongIdentity => "Sign it under this name, or change the policy's signedIdentity",
        Reason::MalformedSignature | Reason::UnsupportedFormat => {
            "Sign with cosign, as an attachment or as a bundle"
        }
        Reason::CertificateExpired => {
            "Sign again, with a log entry or a timestamp that proves when"
        }
        Reason::LogEntryMissing => "Sign again with a transparency log (cosign's default)",
        Reason::LogEntryInvalid => {
            "Sign again with the log and the timestamp authority of the policy's TrustRoot"
        }
        Reason::TrustRootUnusable => "Renew the TrustRoot",
        Reason::DigestMismatch => "The registry or a proxy on the way serves damaged content",
        Reason::LimitExceeded => "Remove old signatures, or raise the limits",
        Reason::RegistryDenied => {
            "Give the node credentials for this registry (imagePullSecrets never reach a verifier), or let signatures be read without"
        }
        // An audit has held up no pull.
        Reason::RegistryError | Reason::TimedOut if state.requirement.mode() == Mode::Audit => {
            "The next pull of the image looks again"
        }
        Reason::RegistryError | Reason::TimedOut => "The pull will be tried again",
        _ => "See the verifier's documentation",
    }
}

/// Whose signature is missing: "that key" is said only where the message names one.
fn whose_key(state: &PolicyState<'_>) -> &'static str {
    let authorities = state.requirement.authorities();
    let missing = authorities
        .iter()
        .enumerate()
        .filter(|(index, _)| !state.signed.contains_key(index));
    let ed25519 = missing
        .flat_map(|(_, authority)| keys(authority))
        .any(|key| key.kind() == KeyKind::Ed25519);
    let one_key = matches!(authorities, [authority] if keys(authority).len() == 1);
    let only_keys = authorities
        .iter()
        .all(|authority| matches!(authority.signer(), Signer::Key(_)));
    if !only_keys && state.signed.is_empty() {
        return "Sign as a signer of the policy, or add this one to it";
    }
    match (state.signed.is_empty(), one_key, ed25519) {
        (false, _, false) => "Another of these authorities has to sign too",
        (false, _, true) => {
            "Another of these authorities has to sign too; Ed25519ph, cosign's default for Ed25519 keys, is not supported"
        }
        (true, true, false) => "Sign with that key, or add the signer's key to the policy",
        (true, true, true) => {
            "Sign with that key; Ed25519ph, cosign's default for Ed25519 keys, is not supported"
        }
        (true, false, false) => {
            "Sign with a key of the policy, or add the signer's key to the policy"
        }
        (true, false, true) => {
            "Sign with a key of the policy; Ed25519ph, cosign's default for Ed25519 keys, is not supported"
        }
    }
}

fn keys(authority: &Authority) -> &[PublicKey] {
    match authority.signer() {
        Signer::Key(signer) => signer.keys(),
        Signer::Keyless(_) | Signer::Certificate(_) => &[],
    }
}
