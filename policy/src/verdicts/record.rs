//! One line of the log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::MAX_RECORD;

/// The codes of `docs/reasons.md`, as [`Record::reason`] has them.
pub const REASONS: [&str; 20] = [
    "InvalidRequest",
    "InvalidReference",
    "PolicyError",
    "NotAllowed",
    "NoSignature",
    "NoMatchingSignature",
    "CertificateExpired",
    "LogEntryMissing",
    "LogEntryInvalid",
    "TrustRootUnusable",
    "WrongDigest",
    "WrongIdentity",
    "MalformedSignature",
    "DigestMismatch",
    "UnsupportedFormat",
    "LimitExceeded",
    "RegistryDenied",
    "RegistryError",
    "TimedOut",
    "Internal",
];

/// The most bytes of a text of a line that had to be shortened: four of them and the rest fit,
/// whatever has to be escaped.
const MAX_SHORT: usize = 128;

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// It may be pulled.
    Allowed,
    /// It may not be pulled.
    Refused,
    /// What one policy in audit mode makes of it, without consequence: with a reason if it would
    /// have refused.
    Audit,
}

/// One line of the log.
///
/// The verifier escapes control characters and bounds each text to some hundred bytes; none of them
/// comes from where secrets are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When the answer was given.
    pub time: Timestamp,
    /// The normalised name; as it was given where it does not parse.
    pub image: String,
    /// The digest of the image's manifest or index.
    pub digest: String,
    /// What became of it.
    pub verdict: Kind,
    /// The code of `docs/reasons.md`, where something speaks against the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that decided; in an audit the one that it is about. Empty where none covers the
    /// image, or nothing got that far.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The authorities that have signed, by name.
    #[serde(default)]
    pub authorities: Vec<String>,
    /// From the start of the process to its answer, in milliseconds.
    pub duration_ms: u64,
    /// Whether the verdict was kept from an earlier pull.
    #[serde(default)]
    pub cached: bool,
    /// The line that the runtime shows; in an audit what the policy would have said.
    pub line: String,
}

impl Record {
    /// Reads a line without its end; nothing where it is none of this format. Fields that are not
    /// known are a later version's and left aside.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        if line.len() >= MAX_RECORD {
            return None;
        }
        serde_json::from_slice(line).ok()
    }

    /// The line as it is written, with its end: at most [`MAX_RECORD`] bytes. Where it would be
    /// longer, what the runtime shows is left out, then names, and texts are cut.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let fits = |line: &Vec<u8>| line.len() < MAX_RECORD;
        let mut line = self.to_json();
        if !fits(&line) {
            // Quotes and backslashes, which are written as two characters, and nothing else.
            let mut short = Self {
                line: String::new(),
                image: cut(&self.image),
                ..self.clone()
            };
            line = short.to_json();
            if !fits(&line) {
                short.digest = cut(&short.digest);
                short.reason = short.reason.as_deref().map(cut);
                short.policies.clear();
                short.authorities.clear();
                line = short.to_json();
            }
        }
        line.push(b'\n');
        line
    }

    fn to_json(&self) -> Vec<u8> {
        // Strings and numbers cannot fail; a reader skips an empty line.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The beginning of a text, with a mark where it was cut.
fn cut(text: &str) -> String {
    if text.len() <= MAX_SHORT {
        return text.to_owned();
    }
    let mut end = MAX_SHORT - 3;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record {
            time: Timestamp::UNIX_EPOCH,
            image: "docker.io/library/nginx:latest".to_owned(),
            digest: "sha256:0".to_owned(),
            verdict: Kind::Refused,
            reason: Some("NoSignature".to_owned()),
            policies: vec!["p".to_owned()],
            authorities: Vec::new(),
            duration_ms: 7,
            cached: false,
            line: "SignatureValidationFailed: NoSignature (fatal): nothing".to_owned(),
        }
    }

    #[test]
    fn a_line_has_the_documented_fields_and_reads_back() {
        let line = sample().to_line();
        let text = String::from_utf8(line.clone()).unwrap();
        assert_eq!(
            text,
            "{\"time\":\"1970-01-01T00:00:00Z\",\"image\":\"docker.io/library/nginx:latest\",\
             \"digest\":\"sha256:0\",\"verdict\":\"refused\",\"reason\":\"NoSignature\",\
             \"policies\":[\"p\"],\"authorities\":[],\"durationMs\":7,\"cached\":false,\
             \"line\":\"SignatureValidationFailed: NoSignature (fatal): nothing\"}\n"
        );
        assert_eq!(Record::parse(&line[..line.len() - 1]), Some(sample()));
    }

    #[test]
    fn fields_of_a_later_version_are_left_aside_and_its_verdicts_are_not_guessed() {
        let text = String::from_utf8(sample().to_line()).unwrap();
        let more = text.replacen('{', r#"{"pod":"x","time2":{"a":1},"#, 1);
        assert_eq!(Record::parse(more.trim_end().as_bytes()), Some(sample()));
        let other = text.replacen("refused", "postponed", 1);
        assert_eq!(Record::parse(other.trim_end().as_bytes()), None);
    }

    #[test]
    fn what_is_no_line_of_the_format_does_not_parse() {
        let long = Record {
            line: "x".repeat(MAX_RECORD),
            ..sample()
        };
        let long = serde_json::to_vec(&long).unwrap();
        for bad in [b"".as_slice(), b"\0", b"null", b"{\"time\":", b"[]", &long] {
            assert_eq!(Record::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_line_stays_within_its_limit_whatever_is_in_it() {
        for nasty in ["\n", "\"", "\u{1}", "\u{202e}", "é", "x"] {
            let long = nasty.repeat(5000);
            let record = Record {
                image: long.clone(),
                digest: long.clone(),
                reason: Some(long.clone()),
                policies: vec![long.clone(); 9],
                authorities: vec![long.clone(); 9],
                line: long.clone(),
                ..sample()
            };
            let line = record.to_line();
            assert!(line.len() <= MAX_RECORD, "{nasty:?}: {}", line.len());
            let (end, text) = line.split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert!(!text.contains(&b'\n'));
            let read = Record::parse(text).unwrap();
            assert_eq!(read.verdict, Kind::Refused);
            assert!(read.image.ends_with("..."), "{}", read.image);
        }
    }

    #[test]
    fn the_reasons_are_those_of_the_documentation() {
        let text = include_str!("../../../docs/reasons.md");
        let mut documented: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let mut known = REASONS.to_vec();
        documented.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, documented);
    }
}
