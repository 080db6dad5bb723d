//! The `ConfigMaps` and Secrets that policies take keys from, and trust roots their material.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crds::convert::{Holder, KeyReference, Keys, RootUnavailable, Unavailable};
use crds::types::{KeyRef, PolicySpec, TrustRootSpec};
use policy::model::PolicyId;
use policy::trust::TrustRoot;

use super::roots::{Known, Made, Roots};

/// One `ConfigMap` or Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Which of the two.
    pub holder: Holder,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.holder, self.namespace, self.name)
    }
}

/// What a source was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is there.
    Found(Found),
    /// It is not there.
    Missing,
    /// The API server does not let the operator read it.
    Forbidden,
    /// It could not be read, for this reason. That says nothing about what it holds.
    Unreadable(String),
}

/// What was taken from a source. Never more than was asked for: a Secret may hold a private key
/// beside the public one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Of each key that was asked for the value: nothing where there is none, and an error where
    /// it is no text.
    pub values: BTreeMap<String, Option<Result<String, String>>>,
    /// The keys that there are, for messages; none of a Secret, whose names are as much its own as what
    /// they hold.
    pub known: Vec<String>,
}

/// All sources that policies refer to.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    fetched: BTreeMap<Source, Fetched>,
}

impl Sources {
    /// Takes in what was found, and says whether that is news. A read that failed changes nothing
    /// where one succeeded before.
    pub(crate) fn apply(&mut self, source: Source, fetched: Fetched) -> bool {
        let known = self.fetched.get(&source);
        let failed = matches!(fetched, Fetched::Unreadable(_));
        if known == Some(&fetched) || (failed && known.is_some()) {
            return false;
        }
        self.fetched.insert(source, fetched);
        true
    }

    /// Forgets what no policy refers to any more.
    pub(crate) fn retain(&mut self, wanted: &BTreeMap<Source, BTreeSet<String>>) {
        self.fetched.retain(|source, _| wanted.contains_key(source));
    }

    /// Whether every one of these was looked at.
    pub(crate) fn settled(&self, wanted: &BTreeMap<Source, BTreeSet<String>>) -> bool {
        let looked_at = |(source, keys): (&Source, &BTreeSet<String>)| {
            keys.iter().all(|key| self.get(source, key).is_some())
        };
        wanted.iter().all(looked_at)
    }

    /// What is known of one source; nothing while it was not asked for this key yet.
    pub(crate) fn get(&self, source: &Source, key: &str) -> Option<&Fetched> {
        self.fetched.get(source).filter(|fetched| match fetched {
            Fetched::Found(found) => found.values.contains_key(key),
            _ => true,
        })
    }
}

/// The sources of a policy, each with the key of its data. What the rules of the API refuse, such
/// as a namespace in a namespaced policy, is no source: nothing is read for it.
pub(crate) fn of_spec<'a>(
    id: &'a PolicyId,
    spec: &'a PolicySpec,
) -> impl Iterator<Item = (Source, &'a str)> {
    let keys = spec.authorities.iter().filter_map(|a| a.key.as_ref());
    keys.flat_map(move |key| {
        let map = key.config_map_key_ref.as_ref();
        let secret = key.secret_key_ref.as_ref();
        let both = [(Holder::ConfigMap, map), (Holder::Secret, secret)];
        both.into_iter()
            .filter_map(move |(holder, key_ref)| source(id, holder, key_ref?))
    })
}

fn source<'a>(id: &PolicyId, holder: Holder, key_ref: &'a KeyRef) -> Option<(Source, &'a str)> {
    let namespace = match (id.namespace(), &key_ref.namespace) {
        (Some(own), None) => own.to_owned(),
        (None, Some(named)) => named.clone(),
        _ => return None,
    };
    let name = key_ref.name.clone();
    let source = Source {
        holder,
        namespace,
        name,
    };
    Some((source, key_ref.key.as_str()))
}

/// The source of a trust root, with the key of its data. One without a namespace is refused.
pub(crate) fn of_root(spec: &TrustRootSpec) -> Option<(Source, &str)> {
    let key_ref = spec.trusted_root.as_ref()?.config_map_key_ref.as_ref()?;
    let source = Source {
        holder: Holder::ConfigMap,
        namespace: key_ref.namespace.clone()?,
        name: key_ref.name.clone(),
    };
    Some((source, key_ref.key.as_str()))
}

/// The names of the trust roots that a policy uses.
pub(crate) fn roots_of(spec: &PolicySpec) -> impl Iterator<Item = &str> {
    spec.authorities.iter().flat_map(|authority| {
        let keyless = authority.keyless.as_ref().map(|k| k.trust_root.as_str());
        let log = authority.transparency_log.as_ref();
        keyless
            .into_iter()
            .chain(log.map(|l| l.trust_root.as_str()))
    })
}

/// Looks up what one policy or trust root refers to, and remembers what stood in the way.
pub(crate) struct Lookup<'a> {
    sources: &'a Sources,
    roots: &'a Roots,
    /// Something was not looked at yet.
    pub(crate) unsettled: Cell<bool>,
    /// Something could not be read, and why.
    pub(crate) unreadable: RefCell<Option<String>>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(sources: &'a Sources, roots: &'a Roots) -> Self {
        Self {
            sources,
            roots,
            unsettled: Cell::new(false),
            unreadable: RefCell::new(None),
        }
    }

    fn could_not_read(&self, message: String) {
        self.unreadable.borrow_mut().get_or_insert(message);
    }
}

impl Keys for Lookup<'_> {
    fn get(&self, reference: &KeyReference) -> Result<String, Unavailable> {
        let source = Source {
            holder: reference.holder,
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
        };
        match self.sources.get(&source, &reference.key) {
            None => {
                self.unsettled.set(true);
                Err(Unavailable::NoObject)
            }
            Some(Fetched::Unreadable(why)) => {
                let message = format!("{source} could not be read, and is tried again: {why}");
                self.could_not_read(message);
                Err(Unavailable::NoObject)
            }
            Some(Fetched::Missing) => Err(Unavailable::NoObject),
            Some(Fetched::Forbidden) => Err(Unavailable::NotPermitted),
            Some(Fetched::Found(found)) => match found.values.get(&reference.key) {
                Some(Some(Ok(text))) => Ok(text.clone()),
                Some(Some(Err(why))) => Err(Unavailable::NotText(why.clone())),
                Some(None) | None => Err(Unavailable::NoKey {
                    known: found.known.clone(),
                }),
            },
        }
    }

    fn trust_root(&self, name: &str) -> Result<Arc<TrustRoot>, RootUnavailable> {
        match self.roots.get(name) {
            Known::Missing => Err(RootUnavailable::NoObject),
            Known::NotYet => {
                self.unsettled.set(true);
                Err(RootUnavailable::NoObject)
            }
            Known::Made(Made::Good { root, .. }) => Ok(Arc::clone(root)),
            Known::Made(Made::Bad(why) | Made::Waiting(why)) => {
                Err(RootUnavailable::NotReady(why.message.clone()))
            }
            Known::Made(Made::NotRead(why)) => {
                self.could_not_read(format!("the TrustRoot `{name}`: {}", why.message));
                Err(RootUnavailable::NoObject)
            }
        }
    }
}
