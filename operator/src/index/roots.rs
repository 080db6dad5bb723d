//! Trust roots: what each comes to by itself, before any policy uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::convert;
use policy::aggregate::{Finding, reason};
use policy::problem::Reason;
use policy::trust::TrustRoot;

use super::compile::{unreadable, words};
use super::objects::TrustRootObject;
use super::sources::{Lookup, Source, Sources, of_root};

/// What an object comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Made {
    /// Policies can use it.
    Good {
        /// What is trusted.
        root: Arc<TrustRoot>,
        /// What was left out of it, and why.
        filtered: Vec<String>,
    },
    /// It cannot be used, and why.
    Bad(Finding),
    /// Its source could not be read just now, which says nothing about what it holds.
    NotRead(Finding),
}

/// What is known of a `TrustRoot` by its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Known<'a> {
    /// There is no such object.
    Missing,
    /// There is one, and it was not looked at yet.
    NotYet,
    /// It was looked at.
    Made(&'a Made),
}

/// All trust roots.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// The uid and generation that were looked at last.
    seen: (String, i64),
    /// What it comes to; while it is `due`, what it came to before.
    made: Option<Made>,
    /// It has to be looked at, or what it refers to was not looked at yet.
    due: bool,
}

impl Roots {
    /// What is known of the `TrustRoot` of that name.
    pub(crate) fn get(&self, name: &str) -> Known<'_> {
        match self.entries.get(name) {
            None => Known::Missing,
            Some(Entry {
                due: false,
                made: Some(made),
                ..
            }) => Known::Made(made),
            Some(_) => Known::NotYet,
        }
    }

    /// Looks at what has changed, and says the names of those that come to something else now:
    /// policies that use them have to be compiled again.
    pub(crate) fn update<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a TrustRootObject> + Clone,
        sources: &Sources,
        changed: &BTreeSet<Source>,
    ) -> BTreeSet<String> {
        let there: BTreeSet<&String> = objects.clone().map(|object| &object.name).collect();
        let gone = self.entries.keys().filter(|name| !there.contains(name));
        let mut others: BTreeSet<String> = gone.cloned().collect();
        self.entries.retain(|name, _| there.contains(name));
        for object in objects {
            let entry = self.entries.entry(object.name.clone()).or_default();
            let seen = (object.meta.uid.clone(), object.meta.generation);
            let mut from = object.spec.iter().filter_map(of_root);
            entry.due |= entry.seen != seen || from.any(|(source, _)| changed.contains(&source));
            entry.seen = seen;
            if entry.due
                && let Some(made) = make(object, sources)
            {
                if entry.made.as_ref() != Some(&made) {
                    others.insert(object.name.clone());
                }
                entry.made = Some(made);
                entry.due = false;
            }
        }
        others
    }
}

/// Nothing while what the object refers to was not looked at yet.
fn make(object: &TrustRootObject, sources: &Sources) -> Option<Made> {
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(why) => return Some(Made::Bad(unreadable(why))),
    };
    // A trust root refers to no other.
    let none = Roots::default();
    let lookup = Lookup::new(sources, &none);
    let made = convert::trust_root(spec, &lookup);
    if lookup.unsettled.get() {
        return None;
    }
    if let Some(why) = lookup.unreadable.take() {
        return Some(Made::NotRead(Finding::new(reason::NOT_READ, why)));
    }
    Some(match made {
        Ok(parsed) => Made::Good {
            root: Arc::new(parsed.root),
            filtered: parsed.filtered,
        },
        Err(problems) => {
            let first = problems.first();
            let reason = first.map_or(Reason::Invalid, |first| first.reason);
            Made::Bad(Finding::from((reason, words(&problems))))
        }
    })
}
