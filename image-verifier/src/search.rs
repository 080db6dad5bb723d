//! Looks for signatures at the hosts of an image, one after the other.
//!
//! A mirror that lacks the signatures must not hide those of the origin, nor must one that fails or
//! stalls: the next host is asked when the one before it has nothing more to say, or has taken its
//! time. A failure is a finding like any other, so it never looks like "there is no signature".

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{LocalBoxStream, SelectAll, StreamExt as _, unfold};
use policy::digest::Digest;
use policy::verifier::Limits;
use tokio::time::{Instant, sleep_until};

use crate::candidate::{Finding, Found};
use crate::discover::Discovery;
use crate::reason::Reason;
use crate::registry::{Registries, Registry};

/// How long a host is waited for before the next one is asked as well.
const PATIENCE: Duration = Duration::from_secs(2);

/// A search at all hosts of an image.
pub struct Search<'a> {
    waiting: VecDeque<&'a Registry<'a>>,
    running: SelectAll<LocalBoxStream<'a, Found>>,
    next_at: Instant,
    digest: &'a Digest,
    limits: &'a Limits,
    /// Whether findings say where they are from.
    labelled: bool,
    notes: &'a [String],
}

impl<'a> Search<'a> {
    /// Prepares a search for signatures of `digest`. Nothing is sent before the first
    /// [`Search::next`].
    #[must_use]
    pub fn new(registries: &'a Registries<'a>, digest: &'a Digest, limits: &'a Limits) -> Self {
        let waiting: VecDeque<_> = registries.as_slice().iter().collect();
        Self {
            labelled: waiting.len() > 1,
            waiting,
            running: SelectAll::new(),
            next_at: Instant::now(),
            digest,
            limits,
            notes: registries.notes(),
        }
    }

    /// The next thing that was found; nothing when the search is over at every host.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            if self.running.is_empty() && !self.ask_next() {
                return None;
            }
            tokio::select! {
                biased;
                found = self.running.next() => if found.is_some() {
                    return found;
                },
                () = sleep_until(self.next_at), if !self.waiting.is_empty() => {
                    self.ask_next();
                }
            }
        }
    }

    /// Starts to ask the next host; says whether there is one.
    fn ask_next(&mut self) -> bool {
        let Some(registry) = self.waiting.pop_front() else {
            return false;
        };
        self.next_at = Instant::now() + PATIENCE;
        let label = self.labelled.then(|| registry.authority());
        let notes = self.notes;
        let discovery = Discovery::new(registry, self.digest, self.limits);
        let found = unfold(discovery, |mut discovery| async move {
            let found = discovery.next().await?;
            Some((found, discovery))
        });
        let found = found.map(move |found| match found {
            Found::Finding(finding) => Found::Finding(explained(finding, label, notes)),
            candidate @ Found::Candidate(_) => candidate,
        });
        self.running.push(found.boxed_local());
        true
    }
}

/// A finding with where it is from, and for trouble with a registry what was wrong before that.
fn explained(mut finding: Finding, label: Option<&str>, notes: &[String]) -> Finding {
    if let Some(label) = label {
        finding.message = format!("{label}: {}", finding.message);
    }
    if matches!(
        finding.reason,
        Reason::RegistryDenied | Reason::RegistryError
    ) {
        for note in notes {
            finding.message.push_str("; ");
            finding.message.push_str(note);
        }
    }
    finding
}
