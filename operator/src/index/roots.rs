//! Trust roots: what each comes to by itself, before any policy uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::convert;
use jiff::Timestamp;
use policy::aggregate::{Finding, reason};
use policy::problem::Reason;
use policy::trust::TrustRoot;

use super::compile::{unreadable, words};
use super::follow::Follow;
use super::objects::TrustRootObject;
use super::sources::{Fetched, Lookup, Source, Sources, of_root};
use super::tuf::{self, STATE_KEY, TufAnswer};
use crate::tuf::{Job, Origin};

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
    /// It cannot be used before something has happened that is under way.
    Waiting(Finding),
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
    /// The repository that it follows.
    follow: Option<Follow>,
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
        namespace: &str,
    ) -> BTreeSet<String> {
        let there: BTreeSet<&String> = objects.clone().map(|object| &object.name).collect();
        let gone = self.entries.keys().filter(|name| !there.contains(name));
        let mut others: BTreeSet<String> = gone.cloned().collect();
        self.entries.retain(|name, _| there.contains(name));
        for object in objects {
            let entry = self.entries.entry(object.name.clone()).or_default();
            let seen = (object.meta.uid.clone(), object.meta.generation);
            let from = object.spec.iter().filter_map(of_root);
            let from = from.map(|(source, _)| source);
            let mut from = from.chain(tuf::source_of(namespace, object));
            entry.due |= entry.seen != seen || from.any(|source| changed.contains(&source));
            if entry.seen != seen {
                entry.follow = follow(object, entry.follow.take());
            }
            entry.seen = seen;
            if let Some(follow) = &mut entry.follow {
                follow.status(&object.status);
            }
            let made = match &mut entry.follow {
                _ if !entry.due => None,
                Some(follow) => made_of(follow, &tuf::kept_in(namespace, &object.name), sources),
                None => make(object, sources),
            };
            if let Some(made) = made {
                if entry.made.as_ref() != Some(&made) {
                    others.insert(object.name.clone());
                }
                entry.made = Some(made);
                entry.due = false;
            }
        }
        others
    }

    /// The repository that a trust root follows.
    pub(crate) fn follow(&self, name: &str) -> Option<&Follow> {
        self.entries.get(name)?.follow.as_ref()
    }

    /// What came of a refresh.
    pub(crate) fn answered(&mut self, answer: &TufAnswer) {
        if let Some(entry) = self.entries.get_mut(&answer.name)
            && let Some(follow) = &mut entry.follow
        {
            follow.answered(&answer.origin, &answer.answer);
            entry.due = true;
        }
    }

    /// The repositories to ask now.
    pub(crate) fn ask(&mut self, now: Timestamp) -> Vec<Job> {
        let all = self.entries.iter_mut();
        all.filter_map(|(name, entry)| entry.follow.as_mut()?.ask(name, now))
            .collect()
    }

    /// When the next one is to be asked.
    pub(crate) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let all = self.entries.iter();
        all.filter_map(|(name, entry)| entry.follow.as_ref()?.due(name, now))
            .min()
    }

    /// Somebody else leads now.
    pub(crate) fn resign(&mut self) {
        for entry in self.entries.values_mut() {
            if let Some(follow) = &mut entry.follow {
                follow.resign();
                entry.due = true;
            }
        }
    }
}

/// The repository that the spec names; what is known of it lives on while it is the same.
fn follow(object: &TrustRootObject, before: Option<Follow>) -> Option<Follow> {
    let spec = object.spec.as_ref().ok()?;
    let (Some(source), None, None) = (&spec.tuf, &spec.trusted_root, &spec.keys) else {
        return None;
    };
    let tuf = convert::tuf(source).ok()?;
    let origin = Origin::of(&tuf).ok()?;
    let generation = object.meta.generation;
    if let Some(mut before) = before
        && before.goes_on(&origin, &tuf, generation)
    {
        return Some(before);
    }
    Some(Follow::new(origin, &tuf, generation, &object.status))
}

/// Nothing while what is kept was not looked at yet.
fn made_of(follow: &mut Follow, source: &Source, sources: &Sources) -> Option<Made> {
    let why = match sources.get(source, STATE_KEY)? {
        Fetched::Found(found) => {
            match found.values.get(STATE_KEY).and_then(Option::as_ref) {
                // It is there, and nobody knows what it says.
                Some(Err(why)) => why,
                text => {
                    let text = text.and_then(|text| text.as_deref().ok());
                    follow.keep(text);
                    return Some(follow.made());
                }
            }
        }
        Fetched::Missing => {
            follow.keep(None);
            return Some(follow.made());
        }
        Fetched::Forbidden => "the operator may not read it: restore its role",
        Fetched::Unreadable(why) => why,
    };
    // Without what is kept an older state of the repository would pass.
    let message = format!(
        "{source}, where what is known of the repository is kept, could not be read, and is tried again: {why}"
    );
    Some(Made::NotRead(Finding::new(reason::NOT_READ, message)))
}

/// Nothing while what the object refers to was not looked at yet.
fn make(object: &TrustRootObject, sources: &Sources) -> Option<Made> {
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(why) => return Some(Made::Bad(unreadable(why))),
    };
    // Followed are those whose root.json is good.
    if let (Some(source), None, None) = (&spec.tuf, &spec.trusted_root, &spec.keys)
        && let Ok(tuf) = convert::tuf(source)
        && let Err(failure) = Origin::of(&tuf)
    {
        let message = format!(
            "spec.tuf.{}: copy the whole file that the repository's owner gives out",
            failure.message
        );
        let reason = Reason::Invalid.as_str();
        return Some(Made::Bad(Finding::new(reason, message)));
    }
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
