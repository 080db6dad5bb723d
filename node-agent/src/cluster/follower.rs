//! What to do about what is heard from the cluster: events in, work out, no IO and no clock.

use std::sync::Arc;

use crds::NodeImagePolicy;
use crds::types::NodeImagePolicyStatus;
use policy::bundle::Bundle;

use super::calls::FetchError;
use super::{Order, Said, status};
use crate::status::Failure;

/// Something that happened to the node's object.
#[derive(Debug)]
pub(super) enum Event {
    /// It is there, like this.
    Object(Box<NodeImagePolicy>),
    /// It is not there, which says nothing about policies.
    Gone,
}

/// The object as it was last heard of.
#[derive(Debug)]
struct Asked {
    bundle: String,
    generation: Option<i64>,
    status: Option<NodeImagePolicyStatus>,
}

/// Why a bundle is not there.
#[derive(Debug)]
struct Trouble {
    bundle: String,
    failure: Failure,
    message: String,
    /// It was read as a whole, and reading it again would say the same.
    lasting: bool,
}

/// Everything that is known of the cluster.
#[derive(Debug)]
pub(super) struct Follower {
    node: String,
    /// The bundle on disk.
    stored: Option<String>,
    asked: Option<Asked>,
    /// The object was listed and is not there.
    gone: bool,
    /// The last bundle that was fetched and is whole.
    fetched: Option<(String, Arc<Bundle>)>,
    /// Why the bundle that is asked for is not that one.
    trouble: Option<Trouble>,
    said: Option<NodeImagePolicyStatus>,
}

impl Follower {
    pub(super) fn new(node: &str, stored: Option<String>) -> Self {
        Self {
            node: node.to_owned(),
            stored,
            asked: None,
            gone: false,
            fetched: None,
            trouble: None,
            said: None,
        }
    }

    /// Takes in an event.
    pub(super) fn heard(&mut self, event: Event) {
        self.gone = matches!(event, Event::Gone);
        self.asked = match event {
            Event::Gone => None,
            Event::Object(object) => Some(Asked {
                bundle: object.spec.bundle,
                generation: object.metadata.generation,
                status: object.status,
            }),
        };
        let asked = self.asked.as_ref().map(|asked| &asked.bundle);
        self.trouble
            .take_if(|trouble| Some(&trouble.bundle) != asked);
    }

    /// Takes in what came of fetching a bundle.
    pub(super) fn fetched(&mut self, name: &str, result: Result<Arc<Bundle>, FetchError>) {
        match result {
            Ok(bundle) => {
                self.fetched = Some((name.to_owned(), bundle));
                self.trouble = None;
            }
            Err(error) => {
                let failure = match &error {
                    FetchError::Unusable { source, .. } if source.is_newer() => {
                        Failure::BundleTooNew
                    }
                    FetchError::Unusable { .. } => Failure::RenderFailed,
                    FetchError::Missing(_) | FetchError::Failed { .. } => Failure::Pending,
                };
                self.trouble = Some(Trouble {
                    bundle: name.to_owned(),
                    failure,
                    message: format!("{error}; what is on the node stays in force"),
                    lasting: matches!(error, FetchError::Unusable { .. }),
                });
            }
        }
    }

    /// Takes in what the last look said.
    pub(super) fn said(&mut self, said: Option<&Said>) {
        self.said = said.map(|said| status::of(&said.status, said.generation));
    }

    /// Takes in that a status was written.
    pub(super) fn patched(&mut self, status: NodeImagePolicyStatus) {
        if let Some(asked) = &mut self.asked {
            asked.status = Some(status);
        }
    }

    /// What the agent shall run.
    pub(super) fn order(&self) -> Order {
        let generation = self
            .asked
            .as_ref()
            .filter(|asked| self.has(&asked.bundle) || self.trouble.is_some())
            .and_then(|asked| asked.generation);
        let warning = self.gone.then(|| {
            format!(
                "the cluster has no NodeImagePolicy `{}` any more, or not yet: what is on the node \
                 stays in force",
                self.node
            )
        });
        // What was fetched stays what to run until another one was: only this is known to be whole.
        let bundle = self.fetched.as_ref().map(|(_, bundle)| bundle.clone());
        Order {
            bundle,
            generation,
            trouble: self
                .trouble
                .as_ref()
                .map(|trouble| (trouble.failure, trouble.message.clone())),
            warning,
        }
    }

    /// The bundle to fetch, if one is asked for that is not there yet and may be usable.
    pub(super) fn to_fetch(&self) -> Option<String> {
        let asked = self.asked.as_ref()?;
        let is_useless = self.trouble.as_ref().is_some_and(|trouble| trouble.lasting);
        (!self.has(&asked.bundle) && !is_useless).then(|| asked.bundle.clone())
    }

    /// The status to write, if the object's own says something else.
    pub(super) fn to_patch(&self) -> Option<NodeImagePolicyStatus> {
        let (asked, said) = (self.asked.as_ref()?, self.said.as_ref()?);
        // A look from before the order as it is now: another one is on its way.
        if said.observed_generation != self.order().generation {
            return None;
        }
        let there = asked.status.as_ref();
        let differs = there.is_none_or(|there| !status::is_same(there, said));
        differs.then(|| said.clone())
    }

    fn has(&self, name: &str) -> bool {
        match &self.fetched {
            Some((fetched, _)) => fetched == name,
            None => self.stored.as_deref() == Some(name),
        }
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
