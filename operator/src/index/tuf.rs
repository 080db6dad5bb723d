//! Trust roots over TUF: what to ask, what to keep, and where.

use std::sync::Arc;

use crds::convert::Holder;
use jiff::Timestamp;
use policy::digest::Digest;

use super::Index;
use super::objects::TrustRootObject;
use super::sources::Source;
use super::write::Write;
use crate::tuf::{Answer, Job, Origin};

/// The key of what is kept.
pub(crate) const STATE_KEY: &str = "state";
/// What names of `ConfigMaps` begin with.
pub(crate) const STATE_PREFIX: &str = "nodeseal-tuf-";
/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// What came of a refresh of a `TrustRoot`.
#[derive(Debug, Clone, PartialEq)]
pub struct TufAnswer {
    /// Its name.
    pub name: String,
    /// What was asked.
    pub origin: Arc<Origin>,
    /// What came of it.
    pub answer: Answer,
}

/// Where what is known of the repository of a `TrustRoot` is kept. No name of one is too long.
pub(crate) fn kept_in(namespace: &str, name: &str) -> Source {
    let short = STATE_PREFIX.len() + name.len() <= LONGEST_NAME;
    let name = if short {
        format!("{STATE_PREFIX}{name}")
    } else {
        format!("{STATE_PREFIX}{}", Digest::of(name.as_bytes()).hex())
    };
    Source {
        holder: Holder::ConfigMap,
        namespace: namespace.to_owned(),
        name,
    }
}

/// The same, for those that follow a repository.
pub(crate) fn source_of(namespace: &str, object: &TrustRootObject) -> Option<Source> {
    let spec = object.spec.as_ref().ok()?;
    spec.tuf.as_ref().map(|_| kept_in(namespace, &object.name))
}

impl Index {
    /// The repositories that have to be asked now. Each is handed out once, and answered with
    /// [`Event::Tuf`](super::Event::Tuf). Nothing before [`Index::is_synced`].
    pub fn refreshes(&mut self, now: Timestamp) -> Vec<Job> {
        if !self.started {
            return Vec::new();
        }
        self.roots.ask(now)
    }

    /// What is known of repositories and not kept yet.
    pub(super) fn tuf_writes(&mut self, now: Timestamp) -> Vec<Write> {
        let mut writes = Vec::new();
        for object in self.trust_roots.iter() {
            let follow = self.roots.follow(&object.name);
            let Some((state, seen)) = follow.and_then(super::follow::Follow::unkept) else {
                continue;
            };
            let source = kept_in(&self.options.namespace, &object.name);
            let write = Write::TufState {
                name: object.name.clone(),
                uid: object.meta.uid.clone(),
                namespace: source.namespace,
                config_map: source.name,
                state,
            };
            // The answer to the write comes before the watch says so.
            if self.outbox.offer(&write, seen, now) {
                writes.push(write);
            }
        }
        writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_name_of_its_own_that_is_never_too_long() {
        assert_eq!(kept_in("ns", "sigstore").name, "nodeseal-tuf-sigstore");
        let long = |last: &str| kept_in("ns", &format!("{}{last}", "a".repeat(252))).name;
        assert!(long("a").len() <= LONGEST_NAME);
        assert_ne!(long("a"), long("b"));
    }
}
