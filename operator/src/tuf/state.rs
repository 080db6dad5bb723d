//! What is known of a repository, as it is kept over restarts and changes of the leader.

use futures::FutureExt as _;
use jiff::Timestamp;
use policy::trust::{Parsed, TrustRoot};
use serde::{Deserialize, Serialize};
use sigstore_tuf::{Role as _, TrustedMetadataSet, Updater};

use super::refresh::{Answer, limits};
use super::store::{Files, Kept, ROOTS, Store, TARGETS};
use super::{Failure, Origin, Why};

/// The most bytes of a state as JSON, 900 KiB: a `ConfigMap` holds a megabyte.
pub const MAX_STATE: usize = 900 * 1024;
/// The version of the format.
const FORMAT: u32 = 1;
/// The most roots that are walked over in what is kept.
const MOST_ROOTS: u32 = 1024;

/// What is known of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    format: u32,
    /// [`Origin::digest`]: what is known of another repository is of no use.
    origin: String,
    /// Grows with every change, so that of two states the newer one is known.
    revision: u64,
    /// When a refresh last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refreshed: Option<Timestamp>,
    /// All files of the last refresh that succeeded.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    good: Files,
    /// What refreshes that failed since have verified on their way: nothing older is accepted.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    ahead: Files,
}

/// What of a state is good.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The trust root.
    pub parsed: Parsed,
    /// When the signatures of the root and the targets end, which people make: each with its role.
    pub ends: Vec<(&'static str, Timestamp)>,
    /// When the first signature of all ends, those included that machines renew every few days.
    pub fresh_until: Timestamp,
}

impl State {
    /// Reads what was kept for this origin; nothing where it is of another one, or damaged.
    #[must_use]
    pub fn read(text: &str, origin: &Origin) -> Option<Self> {
        let state: Self = serde_json::from_str(text)
            .ok()
            .filter(|_| text.len() <= MAX_STATE)?;
        let same = state.format == FORMAT && state.origin == origin.digest().to_string();
        same.then_some(state)
    }

    /// As it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Maps of texts have a form as JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Grows with every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When a refresh last succeeded.
    #[must_use]
    pub fn refreshed(&self) -> Option<Timestamp> {
        self.refreshed
    }

    /// All that the next refresh has to know.
    pub(crate) fn files(&self) -> Files {
        let mut files = self.good.clone();
        files.extend(self.ahead.clone());
        files
    }

    /// What is known after a refresh. It is equal to `before` where nothing was learnt.
    #[must_use]
    pub fn after(before: Option<&Self>, origin: &Origin, answer: &Answer) -> Self {
        let mut next = before.cloned().unwrap_or(Self {
            format: FORMAT,
            origin: origin.digest().to_string(),
            revision: 0,
            refreshed: None,
            good: Files::new(),
            ahead: Files::new(),
        });
        if answer.result.is_ok() {
            next.refreshed = Some(answer.at);
            next.good = answer.files.clone();
            next.ahead = Files::new();
        } else {
            let new = answer.files.iter();
            let new = new.filter(|(name, text)| next.good.get(*name) != Some(*text));
            next.ahead = new
                .map(|(name, text)| (name.clone(), text.clone()))
                .collect();
            next.bound();
        }
        if before != Some(&next) {
            next.revision = next.revision.saturating_add(1);
        }
        next
    }

    /// Leaves the largest files of a refresh that failed out until the rest can be kept, roots first:
    /// those are fetched again, and what the others remember would be lost.
    fn bound(&mut self) {
        while self.to_text().len() > MAX_STATE {
            let largest = self
                .ahead
                .iter()
                .max_by_key(|(name, text)| (name.starts_with(ROOTS), text.len()));
            let Some(name) = largest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.ahead.remove(&name);
        }
    }

    /// The content of the last refresh that succeeded, verified from the pinned root again. It may
    /// have expired since: what is in force stays so.
    pub fn verified(&self, origin: &Origin) -> Result<Content, Failure> {
        if self.good.is_empty() {
            return Err(Failure::new(Why::Missing, "no refresh has succeeded yet"));
        }
        let mut config = limits();
        config.max_root_rotations = MOST_ROOTS;
        let failed = |error: sigstore_tuf::Error| Failure::from(&error);
        let kept = Kept(self.good.clone());
        let updater = Updater::new(kept, origin.root.as_bytes()).map_err(failed)?;
        let roots = self.good.iter().filter(|(name, _)| name.starts_with(ROOTS));
        let roots = roots
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect();
        let mut updater = updater.with_config(config).with_store(Store::new(roots));
        let read = async {
            // Before everything expires.
            updater.refresh(Timestamp::MIN).await?;
            updater.get_target(&origin.target, Timestamp::MIN).await
        };
        // Nothing in there waits.
        let json = read
            .now_or_never()
            .unwrap_or(Err(sigstore_tuf::Error::NotRefreshed));
        let parsed = trusted_root(&json.map_err(failed)?, &origin.target)?;
        content(parsed, updater.trusted())
    }
}

/// Whether a state with these files can be kept.
pub(crate) fn fits(files: &Files) -> bool {
    let text = serde_json::to_string(files).unwrap_or_default();
    // For what else is in a state.
    text.len() + 1024 <= MAX_STATE
}

/// The name that a target is kept by.
pub(crate) fn target_name(target: &str) -> String {
    format!("{TARGETS}{target}")
}

/// Reads the target.
pub(crate) fn trusted_root(json: &[u8], target: &str) -> Result<Parsed, Failure> {
    let invalid = |what: String| Failure::new(Why::Invalid, format!("the target {target}: {what}"));
    let text = std::str::from_utf8(json).map_err(|_| invalid("it is no text".to_owned()))?;
    TrustRoot::from_trusted_root_json(text).map_err(|error| invalid(error.to_string()))
}

fn content(parsed: Parsed, trusted: &TrustedMetadataSet) -> Result<Content, Failure> {
    let all = (
        trusted.timestamp(),
        trusted.snapshot(),
        trusted.targets_role("targets"),
    );
    let (Some(timestamp), Some(snapshot), Some(targets)) = all else {
        return Err(Failure::from(&sigstore_tuf::Error::NotRefreshed));
    };
    let ends = vec![
        ("root", trusted.root().expires()),
        ("targets", targets.expires()),
    ];
    let machines = [timestamp.expires(), snapshot.expires()];
    let all = ends.iter().map(|(_, end)| *end).chain(machines);
    Ok(Content {
        parsed,
        fresh_until: all.min().unwrap_or_default(),
        ends,
    })
}
