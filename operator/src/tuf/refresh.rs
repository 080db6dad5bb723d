//! One refresh.

use std::sync::Arc;

use jiff::Timestamp;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Metadata, Repository, Snapshot, TrustedMetadataSet, Updater, UpdaterConfig};

use super::state::{self, State};
use super::store::{Files, ROOTS, Store};
use super::{Failure, Origin, Why};

const KIB: u64 = 1024;

/// What came of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// When it began.
    pub at: Timestamp,
    /// Whether all of it was verified.
    pub result: Result<(), Failure>,
    /// What is known now, whatever the result.
    pub(crate) files: Files,
}

/// How much is read: many times what repositories of Sigstore have, and so little that all of it
/// can be kept.
pub(crate) fn limits() -> UpdaterConfig {
    let mut config = UpdaterConfig::default();
    config.root_max_length = 32 * KIB;
    config.timestamp_max_length = 16 * KIB;
    config.snapshot_max_length = 128 * KIB;
    config.targets_max_length = 256 * KIB;
    config.target_max_length = policy::trust::MAX_BYTES as u64;
    config.max_root_rotations = 64;
    config.max_delegations = 8;
    config
}

/// Follows the workflow of a TUF client (section 5 of the specification) from what is known of the
/// repository. `now` is what expiry is measured by; `deadline` ends it wherever it is.
pub async fn refresh(
    repository: impl Repository + 'static,
    origin: &Origin,
    before: Option<&State>,
    now: Timestamp,
    deadline: std::time::Duration,
) -> Answer {
    let store = Store::new(before.map(State::files).unwrap_or_default());
    let attempts = async {
        let repository = Arc::new(repository);
        let first = attempt(Shared(Arc::clone(&repository)), origin, store.clone(), now).await;
        match first {
            Err(failure) if failure.why == Why::TooLarge => {
                let again = with_roots_anew(Shared(repository), origin, &store, now).await;
                again.ok_or(failure)
            }
            other => other,
        }
    };
    let result = match tokio::time::timeout(deadline, attempts).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(
            Why::Unreachable,
            format!("{} took more than {} s", origin.mirror, deadline.as_secs()),
        )),
    };
    let (result, files) = match result {
        Ok(files) => (Ok(()), files),
        Err(failure) => (Err(failure), store.files()),
    };
    Answer {
        at: now,
        result,
        files,
    }
}

/// What a mirror may add to a root without a signature stays with what is kept, and may leave no room
/// for the rest: so the roots are fetched once more. Those that were known must be there again.
async fn with_roots_anew(
    repository: impl Repository + 'static,
    origin: &Origin,
    store: &Store,
    now: Timestamp,
) -> Option<Files> {
    let (roots, rest): (Files, Files) = store
        .files()
        .into_iter()
        .partition(|(name, _)| name.starts_with(ROOTS));
    let files = attempt(repository, origin, Store::new(rest), now).await;
    let all_there = |files: &Files| roots.keys().all(|name| files.contains_key(name));
    files.ok().filter(all_there)
}

/// A repository that is asked twice.
struct Shared<R>(Arc<R>);

impl<R: Repository> Repository for Shared<R> {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.0.fetch_metadata(name, max_length)
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.0.fetch_target(path, max_length)
    }
}

async fn attempt(
    repository: impl Repository + 'static,
    origin: &Origin,
    store: Store,
    now: Timestamp,
) -> Result<Files, Failure> {
    let failed = |error: sigstore_tuf::Error| Failure::from(&error);
    let before = store.files();
    let updater = Updater::new(repository, origin.root.as_bytes()).map_err(failed)?;
    let mut updater = updater.with_config(limits()).with_store(store.clone());
    let refreshed = updater.refresh(now).await;
    if let Some(text) = before.get("snapshot.json")
        && let Err(failure) = no_older(text, updater.trusted())
    {
        // It stays what others are measured by.
        store.put_back(&before, &["snapshot.json", "targets.json"]);
        return Err(failure);
    }
    refreshed.map_err(failed)?;
    let target = updater.get_target(&origin.target, now).await;
    let json = target.map_err(failed)?;
    state::trusted_root(&json, &origin.target)?;
    let mut files = store.used();
    let text = String::from_utf8(json).unwrap_or_default();
    files.insert(state::target_name(&origin.target), text);
    if !state::fits(&files) {
        let message = "all its metadata together take more than 900 KiB";
        return Err(Failure::new(Why::TooLarge, message));
    }
    Ok(files)
}

/// Of the last snapshot that was verified nothing may be gone or have become older (5.5.5 of the
/// specification). The workflow compares with what fits the last timestamp only, which is nothing
/// after a refresh that got no further than the timestamp. A snapshot of keys that the root does not
/// name any more is nothing to measure by (5.3.11).
fn no_older(before: &str, trusted: &TrustedMetadataSet) -> Result<(), Failure> {
    let root = trusted.root();
    let (Ok(before), Some(role), Some(now)) = (
        Metadata::<Snapshot>::from_slice(before.as_bytes()),
        root.role("snapshot"),
        trusted.snapshot(),
    ) else {
        return Ok(());
    };
    let signed = before.verify_threshold(&root.keys, role, "snapshot");
    if signed.is_err() {
        return Ok(());
    }
    for (name, meta) in &before.signed().meta {
        let (then, now) = (meta.version, now.meta.get(name).map(|meta| meta.version));
        if now.is_none_or(|now| now < then) {
            return Err(Failure::new(Why::Rollback, super::older(name, then, now)));
        }
    }
    Ok(())
}
