//! Trust roots of an own instance, given as PEM (`spec.keys` of a `TrustRoot`).

use super::check::{self, Kind};
use super::keys::{self, LogId};
use super::{Authority, LogKey, MAX_BYTES, Parts, TrustError, TrustProblem, TrustRoot};
use crate::certificate::{self, Certificate};
use crate::key::PublicKey;

impl TrustRoot {
    /// Makes a root from PEM texts, each of at most 256 KiB. Nothing has a window: whatever is
    /// given counts from ever and for ever.
    ///
    /// - `fulcio`: certificates of authorities, in any order, of one or more chains. Each
    ///   self-issued one is a root; every other one must lead to a root by issuer name and key
    ///   identifier, and joins the shortest chain that does.
    /// - `rekor`, `ct_log`: keys of logs, one or more in each text. A log's id is the SHA-256 of
    ///   its key, as in Rekor v1 and RFC 6962; a Rekor v2 log with an Ed25519 key has another id
    ///   and needs a `trusted_root.json`.
    /// - `timestamp_authority`: one chain, from the certificate that signs to the root.
    ///
    /// Nothing is left out: a key that is not verified with is an error.
    pub fn from_pem(
        fulcio: Option<&str>,
        rekor: &[String],
        ct_log: &[String],
        timestamp_authority: Option<&str>,
    ) -> Result<Self, TrustError> {
        let mut parts = Parts {
            transparency_logs: logs("rekor", rekor)?,
            ct_logs: logs("ctLog", ct_log)?,
            ..Parts::default()
        };
        let authority = |chain| Authority {
            uri: String::new(),
            chain,
            valid_for: None,
        };
        if let Some(text) = fulcio {
            let chains = chains("fulcio", text)?;
            check::count("fulcio", chains.len())?;
            parts.certificate_authorities = chains.into_iter().map(authority).collect();
        }
        if let Some(text) = timestamp_authority {
            let field = "timestampAuthority";
            let (lines, chain): (Vec<_>, _) = certificates(field, text)?.into_iter().unzip();
            let line = |index| lines.get(index).copied().unwrap_or_default();
            let place = |index| format!("{field}, line {}", line(index));
            let authority = authority(chain);
            check::authority(field, &place, &authority, Kind::Timestamps)?;
            parts.timestamp_authorities.push(authority);
        }
        Self::try_from(parts)
    }
}

fn certificates(field: &str, text: &str) -> Result<Vec<(usize, Certificate)>, TrustError> {
    bounded(field, text)?;
    certificate::parse_lines(text).map_err(|error| TrustError::new(field, error.into()))
}

fn bounded(field: &str, text: &str) -> Result<(), TrustError> {
    if text.len() > MAX_BYTES {
        return Err(TrustError::new(field, TrustProblem::TooLarge(text.len())));
    }
    Ok(())
}

fn logs(field: &str, texts: &[String]) -> Result<Vec<LogKey>, TrustError> {
    check::count(field, texts.len())?;
    let mut logs: Vec<LogKey> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{field}[{index}]");
        bounded(&path, text)?;
        let wrong = |problem| TrustError::new(&path, problem);
        for key in PublicKey::parse_pem(text).map_err(|error| wrong(error.into()))? {
            keys::check_kind(&key).map_err(wrong)?;
            let key_id = LogId::of(&key);
            if logs.iter().any(|other| other.key_id == key_id) {
                return Err(wrong(TrustProblem::DuplicateLog(key_id.to_string())));
            }
            logs.push(LogKey {
                key_id,
                base_url: String::new(),
                key,
                valid_for: None,
            });
        }
    }
    check::count(field, logs.len())?;
    Ok(logs)
}

/// One certificate on its way to a root.
struct Link {
    line: usize,
    certificate: Certificate,
    /// Which certificate issued it; `None` for a root.
    issuer: Option<usize>,
    /// Whether it leads to a root.
    rooted: bool,
    /// Whether another one was issued by it.
    issued: bool,
}

/// Sorts certificates of any order into chains, each from its lowest intermediate to its root.
fn chains(field: &str, text: &str) -> Result<Vec<Vec<Certificate>>, TrustError> {
    bounded(field, text)?;
    let wrong = |problem| TrustError::new(field, problem);
    let found = certificate::authorities(text).map_err(|error| wrong(error.into()))?;
    let mut links: Vec<Link> = found
        .into_iter()
        .map(|(line, certificate)| Link {
            line,
            rooted: certificate.is_self_issued(),
            certificate,
            issuer: None,
            issued: false,
        })
        .collect();
    // Where two issuers fit, the smaller one is taken, whatever the order of the text was.
    links.sort_by(|a, b| a.certificate.cmp(&b.certificate));
    // From the roots down, one step at a time: so a chain is the shortest, and no cross-signing
    // makes a circle.
    loop {
        let step: Vec<(usize, usize)> = links
            .iter()
            .enumerate()
            .filter(|(_, link)| !link.rooted)
            .filter_map(|(index, link)| {
                let fits = |other: &Link| {
                    other.rooted && link.certificate.names_issuer(&other.certificate)
                };
                links.iter().position(fits).map(|issuer| (index, issuer))
            })
            .collect();
        if step.is_empty() {
            break;
        }
        for (index, issuer) in step {
            if let Some(link) = links.get_mut(index) {
                (link.rooted, link.issuer) = (true, Some(issuer));
            }
            if let Some(link) = links.get_mut(issuer) {
                link.issued = true;
            }
        }
    }
    let lost = links
        .iter()
        .filter(|link| !link.rooted)
        .min_by_key(|link| link.line);
    if let Some(Link {
        line, certificate, ..
    }) = lost
    {
        let (line, subject) = (*line, certificate.subject().to_owned());
        return Err(wrong(TrustProblem::NoRoot { line, subject }));
    }
    let chain = |tip: &Link| {
        let next = |link: &&Link| link.issuer.and_then(|index| links.get(index));
        let path = std::iter::successors(Some(tip), next);
        path.map(|link| link.certificate.clone()).collect()
    };
    Ok(links
        .iter()
        .filter(|link| !link.issued)
        .map(chain)
        .collect())
}
