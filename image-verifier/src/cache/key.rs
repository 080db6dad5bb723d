//! The question that a verdict answers.

use policy::digest::Digest;
use policy::flatten::{Decision, Outcome};
use policy::model::{PolicyId, Requirement};
use serde::Serialize;

use super::BUCKETS;
use crate::run::Subject;

/// The form of keys and entries. Another form is another question.
pub(super) const FORMAT: u32 = 2;
/// How many hexadecimal digits of its repository's digest an entry's name begins with: enough that no
/// two repositories of a node share them by chance.
const REPOSITORY: usize = 16;

/// Everything that a verdict on an image depends on, in one digest. There is no clock in it, and
/// nothing of policies that do not cover the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Of the whole question.
    question: Digest,
    /// The entry's: a part of the repository's digest, and the question.
    name: String,
    pub(super) image: String,
    pub(super) digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    format: u32,
    verifier: &'a str,
    image: &'a str,
    digest: &'a Digest,
    enforced: &'a [(&'a PolicyId, &'a Requirement)],
    audited: &'a [(&'a PolicyId, &'a Requirement)],
    /// They stand in the requirements as well, by the same digests: what a verdict rests on is said
    /// here, whatever becomes of the form of those.
    trust_roots: Vec<&'a Digest>,
}

impl Key {
    /// The key for an image and what is demanded of it. None where no signature decides: there is
    /// nothing to save.
    #[must_use]
    pub fn of(subject: &Subject, decision: &Decision<'_>) -> Option<Self> {
        Self::by_version(subject, decision, env!("CARGO_PKG_VERSION"))
    }

    pub(super) fn by_version(
        subject: &Subject,
        decision: &Decision<'_>,
        verifier: &str,
    ) -> Option<Self> {
        let Outcome::Verify(enforced) = &decision.outcome else {
            return None;
        };
        let all = enforced.iter().chain(&decision.audit);
        let roots = all.flat_map(|(_, requirement)| requirement.trust_roots());
        let mut trust_roots: Vec<&Digest> = roots.map(|root| &root.reference().digest).collect();
        trust_roots.sort();
        trust_roots.dedup();
        let image = subject.image.to_string();
        let question = Question {
            format: FORMAT,
            verifier,
            image: &image,
            digest: &subject.digest,
            enforced,
            audited: &decision.audit,
            trust_roots,
        };
        let question = Digest::of(&serde_json::to_vec(&question).ok()?);
        let repository = Digest::of(subject.image.repository().as_bytes());
        let repository = repository.hex().get(..REPOSITORY)?;
        Some(Self {
            name: format!("{repository}-{}", question.hex()),
            question,
            image,
            digest: subject.digest.clone(),
        })
    }

    /// The name of its entry: 16 hexadecimal digits for the repository, a dash, and 64 for the question.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The folder of its entry, and its lock.
    pub(super) fn bucket(&self) -> String {
        let first = u8::from_str_radix(&self.question.hex()[..2], 16).unwrap_or(0);
        format!("{:02x}", first % BUCKETS)
    }
}

/// Which repository an entry is of, by its name; nothing of the kind in the name of any other file.
pub(super) fn repository(name: &[u8]) -> &[u8] {
    let dash = name.get(REPOSITORY) == Some(&b'-');
    name.get(..REPOSITORY).filter(|_| dash).unwrap_or_default()
}
