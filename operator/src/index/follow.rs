//! A trust root that follows a TUF repository: what is known of it, and when to ask again.

use std::borrow::Cow;
use std::sync::Arc;

use crds::convert::Tuf;
use crds::types::TrustRootStatus;
use jiff::{SignedDuration, Timestamp};
use policy::aggregate::{Finding, Truth};
use policy::digest::Digest;
use policy::problem::Reason;
use policy::trust::{PUBLIC_GOOD, TrustRoot};

use super::roots::Made;
use crate::tuf::{Answer, Content, Failure, Job, Origin, State};

/// The reason of `Refreshed` while all is well.
const REFRESHED: &str = "Refreshed";
/// The same before the first answer.
const PENDING: &str = "Pending";
/// The pause after a refresh that failed; it doubles with each.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// Whoever does not answer for so long never will; a refresh ends itself much earlier.
const LOST: SignedDuration = SignedDuration::from_mins(10);

/// How the last refresh of this process ended.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    /// There was none: the status says how that of another process did.
    Unknown,
    Good,
    Failed(Failure),
}

/// One trust root that follows a repository.
#[derive(Debug)]
pub(crate) struct Follow {
    origin: Arc<Origin>,
    interval: SignedDuration,
    /// The generation of the spec, and the one that was asked for last.
    generation: i64,
    asked_for: i64,
    /// What the status says of the last refresh, if it failed.
    told: Option<Told>,
    state: Option<Arc<State>>,
    /// The digest of `state` as it is kept.
    digest: Option<Digest>,
    content: Option<Content>,
    outcome: Outcome,
    /// How often in a row it failed.
    failures: u32,
    /// When the last refresh of this process began.
    tried: Option<Timestamp>,
    /// Since when one is under way.
    asked: Option<Timestamp>,
    /// What is kept in the cluster; nothing before that was looked at.
    kept: Option<Kept>,
    /// How often what is kept has changed.
    seen: u64,
}

/// A failure that another process told of.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    failure: Finding,
    /// What it said besides, if that was [`NO_CONTENT`].
    meanwhile: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
enum Kept {
    /// Nothing that could be a state.
    Nothing,
    /// A text of this digest.
    Text(Digest),
}

impl Follow {
    /// Follows it from now on. `status` is that of the object.
    pub(crate) fn new(
        origin: Origin,
        tuf: &Tuf,
        generation: i64,
        status: &TrustRootStatus,
    ) -> Self {
        Self {
            origin: Arc::new(origin),
            interval: tuf.interval,
            generation,
            asked_for: status.observed_generation.unwrap_or_default(),
            told: None,
            state: None,
            digest: None,
            content: None,
            outcome: Outcome::Unknown,
            failures: 0,
            tried: None,
            asked: None,
            kept: None,
            seen: 0,
        }
    }

    /// The spec changed, and means the same repository if this is true.
    pub(crate) fn goes_on(&mut self, origin: &Origin, tuf: &Tuf, generation: i64) -> bool {
        let same = *self.origin == *origin;
        if same {
            self.interval = tuf.interval;
            self.generation = generation;
        }
        same
    }

    /// What the object's status says.
    pub(crate) fn status(&mut self, status: &TrustRootStatus) {
        let mut conditions = status.conditions.iter();
        let told = conditions.find(|condition| condition.type_ == "Refreshed");
        let told = told.filter(|told| {
            told.status == "False" && told.observed_generation == Some(self.generation)
        });
        self.told = told.map(|told| {
            let bare = told.message.strip_suffix(NO_CONTENT);
            Told {
                failure: Finding::new(told.reason.clone(), bare.unwrap_or(&told.message)),
                meanwhile: bare.map_or("", |_| NO_CONTENT),
            }
        });
    }

    /// This is kept in the cluster. It is taken over where it is at least as new as what is known:
    /// only who leads refreshes.
    pub(crate) fn keep(&mut self, text: Option<&str>) {
        let kept = text.map_or(Kept::Nothing, |text| {
            Kept::Text(Digest::of(text.as_bytes()))
        });
        if self.kept.as_ref() == Some(&kept) {
            return;
        }
        self.kept = Some(kept);
        self.seen += 1;
        let Some(state) = text.and_then(|text| State::read(text, &self.origin)) else {
            return;
        };
        let known = self.state.as_ref().map(|state| state.revision());
        if known.is_some_and(|known| state.revision() < known) {
            return;
        }
        match state.verified(&self.origin) {
            Ok(content) => {
                self.content = Some(content);
                self.set(state);
            }
            // One without a success has no content, and still remembers what was verified. One that
            // does not verify is no state.
            Err(_) if state.refreshed().is_none() => self.set(state),
            Err(_) => {}
        }
    }

    fn set(&mut self, state: State) {
        self.digest = Some(Digest::of(state.to_text().as_bytes()));
        self.state = Some(Arc::new(state));
    }

    /// What came of a refresh.
    pub(crate) fn answered(&mut self, origin: &Origin, answer: &Answer) {
        if *self.origin != *origin {
            return;
        }
        self.asked = None;
        self.tried = Some(answer.at);
        let next = State::after(self.state.as_deref(), &self.origin, answer);
        let good = answer
            .result
            .clone()
            .and_then(|()| next.verified(&self.origin));
        match good {
            Ok(content) => {
                self.content = Some(content);
                self.outcome = Outcome::Good;
                self.failures = 0;
                self.set(next);
            }
            Err(failure) => {
                self.outcome = Outcome::Failed(failure);
                self.failures = self.failures.saturating_add(1);
                if answer.result.is_err() && self.state.as_deref() != Some(&next) {
                    self.set(next);
                }
            }
        }
    }

    /// Somebody else leads now.
    pub(crate) fn resign(&mut self) {
        self.outcome = Outcome::Unknown;
        self.asked = None;
        self.tried = None;
        self.failures = 0;
    }

    /// When to ask the repository; nothing while what is kept was not looked at.
    ///
    /// All trust roots of all clusters must not ask at the same time: each is up to a tenth of its
    /// interval early, by its name.
    pub(crate) fn due(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        self.kept.as_ref()?;
        let at_once = Some(Timestamp::MIN);
        // The clock may have gone back.
        let after = |then: Timestamp, pause: SignedDuration| {
            let due = then.checked_add(pause).unwrap_or(Timestamp::MAX);
            Some(if then > now { Timestamp::MIN } else { due })
        };
        if let Some(asked) = self.asked {
            return after(asked, LOST);
        }
        if self.generation != self.asked_for {
            return at_once;
        }
        if let (Outcome::Failed(_), Some(tried)) = (&self.outcome, self.tried) {
            let doubled = 1 << self.failures.saturating_sub(1).min(6);
            return after(tried, (PAUSE * doubled).min(LONGEST_PAUSE));
        }
        if self.outcome == Outcome::Unknown && self.told.is_some() {
            return at_once;
        }
        let refreshed = self.state.as_ref().and_then(|state| state.refreshed());
        refreshed.map_or(at_once, |refreshed| {
            after(refreshed, self.interval - self.jitter(name))
        })
    }

    fn jitter(&self, name: &str) -> SignedDuration {
        let hex = Digest::of(format!("{} {name}", self.origin.mirror).as_bytes());
        let share = hex
            .hex()
            .get(..4)
            .and_then(|hex| i32::from_str_radix(hex, 16).ok());
        self.interval / 10 * share.unwrap_or_default() / 0x1_0000
    }

    /// Asks the repository, if it is due.
    pub(crate) fn ask(&mut self, name: &str, now: Timestamp) -> Option<Job> {
        self.due(name, now).filter(|due| *due <= now)?;
        self.asked = Some(now);
        self.asked_for = self.generation;
        Some(Job {
            name: name.to_owned(),
            origin: Arc::clone(&self.origin),
            state: self.state.clone(),
        })
    }

    /// What should be kept and is not, with how often what is kept has changed.
    pub(crate) fn unkept(&self) -> Option<(Arc<State>, u64)> {
        let (state, digest) = (self.state.clone()?, self.digest.as_ref()?);
        match self.kept.as_ref()? {
            Kept::Text(kept) if kept == digest => None,
            _ => Some((state, self.seen)),
        }
    }

    /// What policies can use.
    pub(crate) fn made(&self) -> Made {
        if let Some(content) = &self.content {
            return Made::Good {
                root: Arc::new(content.parsed.root.clone()),
                filtered: content.parsed.filtered.clone(),
            };
        }
        if self.origin.public_good
            && let Ok(parsed) = TrustRoot::from_trusted_root_json(PUBLIC_GOOD)
        {
            return Made::Good {
                root: Arc::new(parsed.root),
                filtered: parsed.filtered,
            };
        }
        let finding = |why: String| Finding::new(Reason::TrustRootNotReady.as_str(), why);
        let mirror = &self.origin.mirror;
        match self.failure() {
            Some(Finding { message, .. }) => Made::Bad(finding(format!(
                "spec.tuf: nothing of {mirror} could be verified so far: {message}"
            ))),
            None => Made::Waiting(finding(format!(
                "spec.tuf: {mirror} was not asked yet, which takes a moment"
            ))),
        }
    }

    /// Whether what policies can use was never fetched.
    pub(crate) fn is_embedded(&self) -> bool {
        self.content.is_none() && self.origin.public_good
    }

    /// When it was last refreshed.
    pub(crate) fn last_refresh(&self) -> Option<Timestamp> {
        self.state.as_ref().and_then(|state| state.refreshed())
    }

    /// When signatures of people in what is in force end, each with what it is.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (String, Timestamp)> + '_ {
        let ends = self.content.iter().flat_map(|content| &content.ends);
        ends.map(|(role, end)| (format!("the {role} of {}", self.origin.mirror), *end))
    }

    /// `Refreshed`.
    pub(crate) fn refreshed(&self) -> (Truth, Finding) {
        if let Some(failed) = self.failed() {
            return (Truth::False, failed);
        }
        let mirror = &self.origin.mirror;
        if let Some(content) = &self.content {
            let fresh = content.fresh_until;
            let message = format!("{mirror} was verified, its signatures end {fresh}");
            return (Truth::True, Finding::new(REFRESHED, message));
        }
        let message = format!("{mirror} was not asked yet");
        (Truth::Unknown, Finding::new(PENDING, message))
    }

    /// Why the last refresh failed, in this process or before.
    fn failure(&self) -> Option<Finding> {
        match &self.outcome {
            Outcome::Unknown => self.told.as_ref().map(|told| told.failure.clone()),
            Outcome::Good => None,
            Outcome::Failed(failure) => {
                let message = format!("{}: {}", failure.message, failure.why.advice());
                Some(Finding::new(failure.why.as_str(), message))
            }
        }
    }

    /// The same, with what is in force meanwhile. The words are the same as long as it is the same, so
    /// that a mirror that stays away writes nothing.
    fn failed(&self) -> Option<Finding> {
        let mut failed = self.failure()?;
        failed.message += &self.meanwhile();
        Some(failed)
    }

    fn meanwhile(&self) -> Cow<'static, str> {
        match (&self.outcome, &self.told, &self.content) {
            (Outcome::Unknown, Some(told), _) => told.meanwhile.into(),
            (_, _, Some(content)) => {
                let fresh = content.fresh_until;
                format!("; what was refreshed last stays in force, its signatures end {fresh}")
                    .into()
            }
            _ if self.origin.public_good => BUILT_IN.into(),
            _ => NO_CONTENT.into(),
        }
    }
}

const BUILT_IN: &str = "; what the operator was built with is in force";
const NO_CONTENT: &str = "; there is no content yet";
