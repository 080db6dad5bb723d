//! The checks that every trust root passes, however it came in. They are those of the verifier's
//! library, so that it takes what is accepted here, and a few more.

use std::collections::BTreeSet;

use super::{
    Authority, LogKey, MAX_CHAIN, MAX_ENTRIES, MAX_URI, Parts, TrustError, TrustProblem, TrustRoot,
    Window, keys,
};
use crate::certificate::Certificate;

/// What a chain belongs to, with its field in a `trusted_root.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `certificateAuthorities`: every certificate is an authority.
    Certificates,
    /// `timestampAuthorities`: the first certificate signs.
    Timestamps,
}

impl TryFrom<Parts> for TrustRoot {
    type Error = TrustError;

    fn try_from(parts: Parts) -> Result<Self, TrustError> {
        for (field, authorities, kind) in [
            (
                "certificateAuthorities",
                &parts.certificate_authorities,
                Kind::Certificates,
            ),
            (
                "timestampAuthorities",
                &parts.timestamp_authorities,
                Kind::Timestamps,
            ),
        ] {
            count(field, authorities.len())?;
            for (index, authority) in authorities.iter().enumerate() {
                let path = format!("{field}[{index}]");
                self::authority(&path, &|index| certificate(&path, index), authority, kind)?;
            }
        }
        for (field, all) in [
            ("transparencyLogs", &parts.transparency_logs),
            ("ctLogs", &parts.ct_logs),
        ] {
            logs(field, all)?;
        }
        if parts.certificate_authorities.is_empty() && parts.transparency_logs.is_empty() {
            return Err(TrustError::new("", TrustProblem::Nothing(Vec::new())));
        }
        Ok(Self {
            certificate_authorities: sorted(parts.certificate_authorities),
            transparency_logs: sorted(parts.transparency_logs),
            ct_logs: sorted(parts.ct_logs),
            timestamp_authorities: sorted(parts.timestamp_authorities),
        })
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all.dedup();
    all
}

pub(super) fn count(path: &str, count: usize) -> Result<(), TrustError> {
    if count > MAX_ENTRIES {
        return Err(TrustError::new(path, TrustProblem::TooMany(count)));
    }
    Ok(())
}

/// Where a certificate stands in a `trusted_root.json`.
pub(super) fn certificate(path: &str, index: usize) -> String {
    format!("{path}.certChain.certificates[{index}]")
}

/// Checks one authority that stands at `path`, each of its certificates at `place`.
pub(super) fn authority(
    path: &str,
    place: &dyn Fn(usize) -> String,
    authority: &Authority,
    kind: Kind,
) -> Result<(), TrustError> {
    uri(&format!("{path}.uri"), &authority.uri)?;
    window(path, authority.valid_for)?;
    chain(path, place, &authority.chain, kind)?;
    for (index, certificate) in authority.chain.iter().enumerate() {
        usable(place(index), certificate)?;
    }
    Ok(())
}

/// That the key of a certificate is one that can be verified with.
fn usable(place: String, certificate: &Certificate) -> Result<(), TrustError> {
    let unusable = |problem| {
        let subject = certificate.subject().to_owned();
        TrustError::new(place, TrustProblem::CertificateKey { subject, problem })
    };
    certificate.public_key().map(drop).map_err(unusable)
}

/// Checks what the certificates of a chain are, and their order.
fn chain(
    path: &str,
    place: &dyn Fn(usize) -> String,
    chain: &[Certificate],
    kind: Kind,
) -> Result<(), TrustError> {
    if !(1..=MAX_CHAIN).contains(&chain.len()) {
        return Err(TrustError::new(
            path,
            TrustProblem::ChainLength(chain.len()),
        ));
    }
    for (index, certificate) in chain.iter().enumerate() {
        let subject = || certificate.subject().to_owned();
        let problem = if index == 0 && kind == Kind::Timestamps {
            // One certificate alone signs and is its own anchor.
            (certificate.is_ca() && chain.len() > 1)
                .then(|| TrustProblem::SignerIsCa { subject: subject() })
        } else {
            (!certificate.is_ca()).then(|| TrustProblem::NotCa { subject: subject() })
        };
        let next = chain
            .get(index + 1)
            .filter(|next| !certificate.names_issuer(next));
        let order = next.map(|next| TrustProblem::Order {
            subject: subject(),
            next: next.subject().to_owned(),
        });
        if let Some(problem) = problem.or(order) {
            return Err(TrustError::new(place(index), problem));
        }
    }
    Ok(())
}

/// Checks all logs of one kind.
fn logs(field: &str, logs: &[LogKey]) -> Result<(), TrustError> {
    count(field, logs.len())?;
    let mut ids = BTreeSet::new();
    for (index, log) in logs.iter().enumerate() {
        let path = format!("{field}[{index}]");
        self::log(&path, log)?;
        if !ids.insert(log.key_id) {
            let problem = TrustProblem::DuplicateLog(log.key_id.to_string());
            return Err(TrustError::new(path, problem));
        }
    }
    Ok(())
}

/// Checks one log that stands at `path`.
pub(super) fn log(path: &str, log: &LogKey) -> Result<(), TrustError> {
    uri(&format!("{path}.baseUrl"), &log.base_url)?;
    window(path, log.valid_for)?;
    let at = |problem| TrustError::new(path, problem);
    keys::check_kind(&log.key).map_err(at)?;
    keys::check_id(log.key_id, &log.key).map_err(at)
}

fn window(path: &str, window: Option<Window>) -> Result<(), TrustError> {
    let backwards = |window: Window| window.end.is_some_and(|end| end < window.start);
    if window.is_some_and(backwards) {
        return Err(TrustError::new(
            format!("{path}.validFor"),
            TrustProblem::Window,
        ));
    }
    Ok(())
}

fn uri(path: &str, uri: &str) -> Result<(), TrustError> {
    if uri.len() > MAX_URI || uri.chars().any(char::is_control) {
        return Err(TrustError::new(path, TrustProblem::Uri));
    }
    Ok(())
}
