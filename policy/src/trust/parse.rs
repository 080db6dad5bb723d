//! `trusted_root.json` (`TrustedRoot` of sigstore's protobuf-specs, versions 0.1 and 0.2).

use sigstore_trust_root::TimeRange;
use sigstore_trust_root::trusted_root::{CertChain, PublicKey as WireKey, TrustedRoot as Wire};

use super::check::{self, Kind};
use super::keys::{self, LogId, Refusal};
use super::{Authority, LogKey, MAX_BYTES, Parts, TrustError, TrustProblem, TrustRoot, Window};
use crate::certificate::Certificate;
use crate::text::is_deceptive;

const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// What a `trusted_root.json` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Everything that can be verified with.
    pub root: TrustRoot,
    /// What was left out, because this version verifies nothing with it: one sentence each, with
    /// its place. To be shown, never dropped.
    pub filtered: Vec<String>,
}

impl TrustRoot {
    /// Reads and checks a `trusted_root.json` of at most 256 KiB with at most 16 entries of a kind.
    ///
    /// Keys of algorithms that are not verified are left out and reported; whatever is damaged,
    /// out of order or contradictory is an error. Fields that the format may gain are passed over,
    /// as its specification demands. Any text is answered, without panic.
    pub fn from_trusted_root_json(text: &str) -> Result<Parsed, TrustError> {
        let whole = |problem| TrustError::new("", problem);
        if text.len() > MAX_BYTES {
            return Err(whole(TrustProblem::TooLarge(text.len())));
        }
        // First of all, so that no message can carry a part of it.
        if text.contains("PRIVATE KEY") {
            return Err(whole(TrustProblem::PrivateKey));
        }
        if text.trim_start().starts_with("-----BEGIN ") {
            return Err(whole(TrustProblem::Pem));
        }
        let wire = read(text)?;
        if !MEDIA_TYPES.contains(&wire.media_type.as_str()) {
            let shown = wire
                .media_type
                .chars()
                .take(100)
                .filter(|c| !is_deceptive(*c))
                .collect();
            return Err(TrustError::new("mediaType", TrustProblem::MediaType(shown)));
        }
        let mut reader = Reader::default();
        let parts = reader.parts(&wire)?;
        let filtered = reader.filtered;
        // Without any of them nobody would look for certificates in a log any more.
        if parts.ct_logs.is_empty() && !wire.ctlogs.is_empty() {
            let path = |left_out: &&String| left_out.starts_with("ctlogs[");
            let left_out = filtered.iter().filter(path).cloned().collect();
            return Err(TrustError::new("ctlogs", TrustProblem::NoCtLog(left_out)));
        }
        match TrustRoot::try_from(parts) {
            Ok(root) => Ok(Parsed { root, filtered }),
            Err(TrustError {
                problem: TrustProblem::Nothing(_),
                ..
            }) => Err(whole(TrustProblem::Nothing(filtered))),
            Err(error) => Err(error),
        }
    }
}

fn read(text: &str) -> Result<Wire, TrustError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let wire = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // `?` stands for a place that is not known.
        let path = path.trim_end_matches('?').trim_end_matches('.');
        TrustError::new(path, TrustProblem::Json(plain(&error.inner().to_string())))
    })?;
    let end = json.end();
    end.map_err(|error| TrustError::new("", TrustProblem::Json(plain(&error.to_string()))))?;
    Ok(wire)
}

/// What a parser says holds parts of the text, which a terminal must not obey.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_deceptive(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Gathers what is left out.
#[derive(Default)]
struct Reader {
    filtered: Vec<String>,
}

impl Reader {
    fn parts(&mut self, wire: &Wire) -> Result<Parts, TrustError> {
        let mut parts = Parts::default();
        // Counted before anything is left out.
        for (field, count) in [
            ("certificateAuthorities", wire.certificate_authorities.len()),
            ("tlogs", wire.tlogs.len()),
            ("ctlogs", wire.ctlogs.len()),
            ("timestampAuthorities", wire.timestamp_authorities.len()),
        ] {
            check::count(field, count)?;
        }
        for (index, ca) in wire.certificate_authorities.iter().enumerate() {
            let path = format!("certificateAuthorities[{index}]");
            let (kind, uri) = (Kind::Certificates, &ca.uri);
            let authority = self.authority(&path, kind, uri, &ca.cert_chain, ca.valid_for)?;
            parts.certificate_authorities.extend(authority);
        }
        for (index, tsa) in wire.timestamp_authorities.iter().enumerate() {
            let path = format!("timestampAuthorities[{index}]");
            let (kind, uri) = (Kind::Timestamps, tsa.uri.as_deref().unwrap_or_default());
            let authority = self.authority(&path, kind, uri, &tsa.cert_chain, tsa.valid_for)?;
            parts.timestamp_authorities.extend(authority);
        }
        let tlogs = wire.tlogs.iter().map(|log| {
            (
                &log.base_url,
                log.hash_algorithm.to_string(),
                &log.public_key,
                log.log_id.key_id.as_bytes(),
            )
        });
        parts.transparency_logs = self.logs("tlogs", tlogs)?;
        let ctlogs = wire.ctlogs.iter().map(|log| {
            (
                &log.base_url,
                log.hash_algorithm.to_string(),
                &log.public_key,
                log.log_id.key_id.as_bytes(),
            )
        });
        parts.ct_logs = self.logs("ctlogs", ctlogs)?;
        Ok(parts)
    }

    fn authority(
        &mut self,
        path: &str,
        kind: Kind,
        uri: &str,
        chain: &CertChain,
        valid_for: Option<TimeRange>,
    ) -> Result<Option<Authority>, TrustError> {
        let place = |index: usize| check::certificate(path, index);
        let certificate = |(index, der): (usize, &[u8])| {
            Certificate::from_der(der).map_err(|error| {
                TrustError::new(place(index), TrustProblem::Certificate(error.to_string()))
            })
        };
        let bytes = chain
            .certificates
            .iter()
            .map(|entry| entry.raw_bytes.as_bytes());
        let authority = Authority {
            uri: uri.to_owned(),
            chain: bytes
                .enumerate()
                .map(certificate)
                .collect::<Result<_, _>>()?,
            valid_for: valid_for.map(window),
        };
        match check::authority(path, &place, &authority, kind) {
            Ok(()) => Ok(Some(authority)),
            Err(
                error @ TrustError {
                    problem: TrustProblem::CertificateKey { .. },
                    ..
                },
            ) => {
                self.filtered.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn logs<'a>(
        &mut self,
        field: &str,
        entries: impl Iterator<Item = (&'a String, String, &'a WireKey, &'a [u8])>,
    ) -> Result<Vec<LogKey>, TrustError> {
        let mut logs: Vec<LogKey> = Vec::new();
        for (index, (base_url, hash, key, id)) in entries.enumerate() {
            let path = format!("{field}[{index}]");
            if hash != "SHA2_256" {
                self.filtered.push(format!(
                    "{path}: logs with the hash {hash} are not verified by this version"
                ));
                continue;
            }
            let wrong = |place: &str, problem| TrustError::new(format!("{path}.{place}"), problem);
            let public = match keys::parse(key.raw_bytes.as_bytes(), key.key_details.as_str()) {
                Ok(public) => public,
                Err(Refusal::Unsupported(why)) => {
                    self.filtered.push(format!("{path}.publicKey: {why}"));
                    continue;
                }
                Err(Refusal::Wrong(problem)) => return Err(wrong("publicKey", problem)),
            };
            let key_id = LogId::from_slice(id).map_err(|problem| wrong("logId", problem))?;
            keys::check_id(key_id, &public).map_err(|problem| wrong("logId", problem))?;
            let log = LogKey {
                key_id,
                base_url: base_url.clone(),
                key: public,
                valid_for: key.valid_for.map(window),
            };
            if logs.iter().any(|other| other.key_id == key_id) {
                return Err(wrong(
                    "logId",
                    TrustProblem::DuplicateLog(key_id.to_string()),
                ));
            }
            check::log(&path, &log)?;
            logs.push(log);
        }
        Ok(logs)
    }
}

fn window(range: TimeRange) -> Window {
    Window {
        start: range.start,
        end: range.end,
    }
}
