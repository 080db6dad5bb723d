//! The images that passed a policy on this node.
//!
//! The log is bounded and says nothing of what was pulled long ago, so what passed is kept apart: a
//! short digest of repository and digest for each image. An image counts when an enforcing policy let
//! it in, or one in audit mode had nothing against it. It does not when it passed because no policy
//! covered it, or because it is exempt: should a policy cover it later, nobody has looked yet.

use std::collections::{BTreeMap, BTreeSet};

use policy::digest::Digest;
use policy::reference::Reference;
use policy::verdicts::{Kind, Record};
use serde::{Deserialize, Serialize};

/// The most images that are kept: those that were neither pulled nor on the node for longest make
/// room.
pub const MOST_SEEN: usize = 4096;
/// The most bytes of the file: 35 for each.
pub(super) const MAX_BYTES: u64 = 256 * 1024;
/// How many hexadecimal digits of the digest are kept: 128 bits.
const SHORT: usize = 32;
/// The version of the file's format.
const VERSION: u32 = 1;

/// The images that passed a policy.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// When each was last pulled or found on the node, in turns.
    turns: BTreeMap<Key, u64>,
    /// The same the other way round.
    order: BTreeMap<u64, Key>,
    next: u64,
}

/// An image by repository and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
struct Key(Box<str>);

impl Key {
    fn new(repository: &str, digest: &str) -> Self {
        let whole = Digest::of(format!("{repository}@{digest}").as_bytes());
        Self(whole.hex()[..SHORT].into())
    }

    fn is_sound(&self) -> bool {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        self.0.len() == SHORT && self.0.bytes().all(is_hex)
    }
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    /// The one that was seen longest ago first.
    images: Vec<Key>,
}

impl Seen {
    /// Takes one line of the log, and says whether there is an image more.
    pub fn take(&mut self, record: &Record) -> bool {
        let passed = match record.verdict {
            Kind::Allowed => !record.policies.is_empty(),
            Kind::Audit => record.reason.is_none(),
            Kind::Refused => false,
        };
        if !passed || Digest::parse(&record.digest).is_err() {
            return false;
        }
        let Ok(image) = Reference::parse(&record.image) else {
            return false;
        };
        self.touch(Key::new(&image.repository(), &record.digest))
    }

    /// Whether the image passed; if so it is kept for longer.
    pub(super) fn has(&mut self, repository: &str, digest: &str) -> bool {
        let key = Key::new(repository, digest);
        let has = self.turns.contains_key(&key);
        if has {
            self.touch(key);
        }
        has
    }

    /// Puts an image last, and says whether it is new.
    fn touch(&mut self, key: Key) -> bool {
        let turn = self.next;
        self.next += 1;
        let before = self.turns.insert(key.clone(), turn);
        if let Some(before) = before {
            self.order.remove(&before);
        }
        self.order.insert(turn, key);
        if self.turns.len() > MOST_SEEN
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.turns.remove(&oldest);
        }
        before.is_none()
    }

    /// Reads the file.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error as _;
        let kept: Kept = serde_json::from_slice(bytes)?;
        if kept.version != VERSION {
            let version = kept.version;
            let message =
                format!("it has format version {version}, and this agent knows {VERSION}");
            return Err(serde_json::Error::custom(message));
        }
        let distinct: BTreeSet<&Key> = kept.images.iter().collect();
        if distinct.len() != kept.images.len() || !kept.images.iter().all(Key::is_sound) {
            return Err(serde_json::Error::custom("it was changed by others"));
        }
        let mut seen = Self::default();
        for key in kept.images {
            seen.touch(key);
        }
        Ok(seen)
    }

    /// The same bytes for the same images in the same order; nothing where there is none.
    pub(super) fn to_json(&self) -> Result<Option<Vec<u8>>, serde_json::Error> {
        if self.order.is_empty() {
            return Ok(None);
        }
        let kept = Kept {
            version: VERSION,
            images: self.order.values().cloned().collect(),
        };
        serde_json::to_vec(&kept).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdicts::tests::record;

    fn digest(number: usize) -> String {
        Digest::of(&number.to_le_bytes()).to_string()
    }

    fn pulled(image: &str, number: usize) -> Record {
        Record {
            digest: digest(number),
            ..record(image)
        }
    }

    #[test]
    fn what_passed_a_policy_is_known_by_repository_and_digest() {
        let mut seen = Seen::default();
        assert!(seen.take(&pulled("example.com/a:v1", 1)));
        assert!(!seen.take(&pulled("example.com/a:v2", 1)), "no news");
        assert!(seen.has("example.com/a", &digest(1)));
        assert!(!seen.has("example.com/b", &digest(1)));
        assert!(!seen.has("example.com/a", &digest(2)));
    }

    #[test]
    fn an_audit_without_objection_counts_and_one_with_does_not() {
        let mut seen = Seen::default();
        let audit = |number, reason: Option<&str>| Record {
            verdict: Kind::Audit,
            reason: reason.map(str::to_owned),
            ..pulled("example.com/a", number)
        };
        assert!(seen.take(&audit(1, None)));
        assert!(!seen.take(&audit(2, Some("NoSignature"))));
        assert!(!seen.has("example.com/a", &digest(2)));
    }

    #[test]
    fn what_nobody_looked_at_does_not_count() {
        let good = pulled("example.com/a", 1);
        let bad = [
            // Exempt, or covered by no policy.
            Record {
                policies: Vec::new(),
                ..good.clone()
            },
            Record {
                verdict: Kind::Refused,
                ..good.clone()
            },
            Record {
                digest: "sha256:1".to_owned(),
                ..good.clone()
            },
            Record {
                image: "Not A Name".to_owned(),
                ..good.clone()
            },
        ];
        let mut seen = Seen::default();
        for record in bad {
            assert!(!seen.take(&record), "{record:?}");
        }
        assert_eq!(seen.to_json().unwrap(), None);
        assert!(seen.take(&good));
    }

    #[test]
    fn thousands_are_bounded_and_what_is_on_the_node_stays() {
        let mut seen = Seen::default();
        for number in 0..MOST_SEEN + 100 {
            seen.take(&pulled("example.com/a", number));
            assert!(seen.has("example.com/a", &digest(0)), "still on the node");
        }
        assert_eq!((seen.turns.len(), seen.order.len()), (MOST_SEEN, MOST_SEEN));
        assert!(!seen.has("example.com/a", &digest(1)), "made room");
        assert!(seen.has("example.com/a", &digest(MOST_SEEN)));
        let bytes = seen.to_json().unwrap().unwrap();
        assert!((bytes.len() as u64) < MAX_BYTES, "{}", bytes.len());
    }

    #[test]
    fn the_file_reads_back_in_the_same_order() {
        let mut seen = Seen::default();
        for number in [3, 1, 2, 3] {
            seen.take(&pulled("example.com/a", number));
        }
        let bytes = seen.to_json().unwrap().unwrap();
        let mut again = Seen::from_json(&bytes).unwrap();
        assert_eq!(again.to_json().unwrap().unwrap(), bytes);
        assert!(again.has("example.com/a", &digest(2)));
    }

    #[test]
    fn a_damaged_or_newer_file_is_refused() {
        let twice = format!(r#"{{"version":1,"images":["{0}","{0}"]}}"#, "a".repeat(32));
        let long = format!(r#"{{"version":1,"images":["{}"]}}"#, "a".repeat(33));
        let capital = format!(r#"{{"version":1,"images":["{}"]}}"#, "A".repeat(32));
        let newer = r#"{"version":2,"images":[]}"#.to_owned();
        let more = r#"{"version":1,"images":[],"more":1}"#.to_owned();
        for bad in [twice, long, capital, newer, more, "{".to_owned()] {
            assert!(Seen::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
