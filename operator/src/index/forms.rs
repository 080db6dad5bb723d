//! The form of each policy that nodes are given: the spec as it is now, or the last valid one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::convert::Configuration;
use policy::aggregate::{Finding, InForce, Resolution, Spec};
use policy::bundle::Bundle;
use policy::digest::Digest;
use policy::model::{Policy, PolicyId};
use policy::trust::TrustRoot;

use super::budget::Budget;
use super::compile::{Compiled, compile};
use super::config::Config;
use super::limits::{Limits, no_room};
use super::objects::PolicyObject;
use super::roots::Roots;
use super::sources::{Source, Sources, of_spec, roots_of};

/// A valid form of a policy.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) policy: Arc<Policy>,
    pub(crate) digest: Digest,
    /// Of its canonical JSON.
    pub(crate) bytes: usize,
    /// Whether it is the spec as it is now.
    pub(crate) current: bool,
}

impl Form {
    fn new(policy: Arc<Policy>, current: bool) -> Self {
        let digest = policy.digest();
        // A policy has nothing that JSON cannot say; what cannot be weighed does not fit.
        let json = serde_json::to_vec(&*policy);
        Self {
            bytes: json.map_or(usize::MAX, |json| json.len()),
            policy,
            digest,
            current,
        }
    }
}

/// Contents of trust roots by name and digest: one name may stand for several, where a policy is
/// kept in a form from before its trust root changed.
pub(crate) type InUse<'a> = BTreeMap<&'a str, BTreeMap<&'a Digest, &'a Arc<TrustRoot>>>;

/// What is known of one policy besides its object.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The uid and generation that `compiled` is about.
    seen: (String, i64),
    /// Nothing while it has to be compiled, a reference was not looked at yet, or it is refused.
    compiled: Option<Compiled>,
    /// Why the configuration does not permit it.
    refused: Option<Finding>,
    /// Of how many bytes it is, where its namespace has no room for it.
    no_room: Option<usize>,
    /// What nodes are given.
    pub(crate) form: Option<Form>,
}

impl Entry {
    /// The policy by itself; nothing before it is settled.
    pub(crate) fn spec(&self, config: &Config, too_large: Option<&Finding>) -> Option<Spec> {
        let in_force = match &self.form {
            None => InForce::Nothing,
            Some(form) if form.current => InForce::Current(form.digest.clone()),
            Some(form) => InForce::Kept(form.digest.clone()),
        };
        let (invalid, resolution, inexpressible) = match (&self.refused, &self.compiled) {
            (Some(refused), _) => {
                let message = "not looked up before the policy is permitted";
                let unknown = Finding::new(refused.reason.clone(), message);
                (Some(refused.clone()), Resolution::Unknown(unknown), None)
            }
            (None, Some(compiled)) => (
                compiled.invalid.clone().or(self.no_room.map(no_room)),
                compiled.resolution.clone(),
                compiled.inexpressible.clone(),
            ),
            (None, None) => return None,
        };
        Some(Spec {
            invalid,
            resolution,
            inexpressible,
            in_force,
            halted: config.halted(),
            holds: None,
            stalled: too_large.cloned().or_else(|| config.stalled()),
        })
    }
}

/// Bundles from before this process began, newest first.
pub(crate) struct Last<'a> {
    /// Those that nodes were given.
    pub(crate) given: &'a [&'a Bundle],
    /// All.
    pub(crate) every: &'a [&'a Bundle],
    /// Whether all that nodes were given could be read.
    pub(crate) whole: bool,
}

impl<'a> Last<'a> {
    /// The form that the policy's status says is in force, or else the one that nodes have.
    fn find(&self, object: &PolicyObject) -> Option<&'a Policy> {
        let digest = object.status.digest.as_deref();
        let mut every = self.every.iter().filter_map(|b| b.policy(&object.id));
        let said = every.find(|policy| Some(policy.digest().as_str()) == digest);
        said.or_else(|| self.given.iter().find_map(|b| b.policy(&object.id)))
    }

    /// Whether nodes may have the policy in a form that cannot be read: it must not be missing from
    /// what they are given next.
    fn lost(&self, object: &PolicyObject) -> bool {
        !self.whole && object.status.digest.is_some() && self.find(object).is_none()
    }
}

/// All policies.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    entries: BTreeMap<PolicyId, Entry>,
    /// Whether something is left to compile in the next round.
    pub(crate) behind: bool,
    /// The namespace that it begins with.
    turn: String,
}

impl Forms {
    pub(crate) fn get(&self, id: &PolicyId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// What refers to a changed source or trust root is compiled again.
    pub(crate) fn forget_users<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a PolicyObject>,
        changed: &BTreeSet<Source>,
        roots: &BTreeSet<String>,
    ) {
        for object in policies {
            let Ok(spec) = &object.spec else { continue };
            let uses =
                of_spec(&object.id, &spec.policy).any(|(source, _)| changed.contains(&source));
            let trusts = || roots_of(&spec.policy).any(|name| roots.contains(name));
            if (uses || trusts())
                && let Some(entry) = self.entries.get_mut(&object.id)
            {
                entry.compiled = None;
            }
        }
    }

    /// Compiles what has changed and is permitted, and takes up the form that follows. `last` is
    /// given the first time: where the last valid forms are of specs that cannot be used as they are
    /// now.
    pub(crate) fn update<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a PolicyObject> + Clone,
        sources: &Sources,
        roots: &Roots,
        configuration: &Configuration,
        last: Option<&Last<'_>>,
    ) {
        let there: BTreeSet<&PolicyId> = policies.clone().map(|object| &object.id).collect();
        self.entries.retain(|id, _| there.contains(id));
        let mut limits = Limits::default();
        let mut budget = Budget::from(std::mem::take(&mut self.turn));
        self.behind = false;
        for object in policies {
            let entry = self.entries.entry(object.id.clone()).or_default();
            entry.see(object);
            entry.refused = limits.refuse(object, configuration);
            if entry.refused.is_some() {
                // What the administrator does not permit is no mistake whose last valid form is to
                // be kept: it would be a way around every limit.
                entry.compiled = None;
                entry.no_room = None;
                entry.form = None;
                continue;
            }
            if entry.still_no_room(&object.id, &limits) {
                continue;
            }
            if entry.compiled.is_none() {
                let is_lost = last.is_some_and(|last| last.lost(object));
                if budget.admits(object) || is_lost {
                    entry.compiled = compile(object, sources, roots);
                } else {
                    self.behind = true;
                }
            }
            entry.take_form();
            if entry.form.is_none() {
                let found = last.and_then(|last| last.find(object));
                let form = |policy: &Policy| Form::new(Arc::new(policy.clone()), false);
                entry.form = found.map(form);
            }
            if let Some(namespace) = object.id.namespace() {
                entry.limit(namespace, &mut limits, configuration);
            }
        }
        self.turn = budget.next();
    }

    /// All forms that are in force, by id.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (&PolicyId, &Form)> {
        let entries = self.entries.iter();
        entries.filter_map(|(id, entry)| Some((id, entry.form.as_ref()?)))
    }

    /// The contents of trust roots that are in force, by the name that policies call them by.
    pub(crate) fn trust_roots(&self) -> InUse<'_> {
        let forms = self.entries.values().filter_map(|e| e.form.as_ref());
        let mut in_use = InUse::new();
        for trusted in forms.flat_map(|form| form.policy.trust_roots()) {
            let digest = &trusted.reference().digest;
            let contents = in_use.entry(trusted.name()).or_default();
            contents.insert(digest, trusted.root());
        }
        in_use
    }
}

impl Entry {
    /// Forgets what is about another object, or about the object as it was.
    fn see(&mut self, object: &PolicyObject) {
        let seen = (object.meta.uid.clone(), object.meta.generation);
        if self.seen.0 != seen.0 {
            // Another object of the same name: what the one before it said is void.
            *self = Self::default();
        }
        if self.seen != seen {
            self.seen = seen;
            self.compiled = None;
        }
    }

    /// Whether nothing has changed about its being too large. Otherwise it is compiled again.
    fn still_no_room(&mut self, id: &PolicyId, limits: &Limits<'_>) -> bool {
        let (Some(bytes), Some(namespace)) = (self.no_room, id.namespace()) else {
            return false;
        };
        let still = self.compiled.is_some() && !limits.fits(namespace, bytes);
        if !still {
            self.no_room = None;
            self.compiled = None;
        }
        still
    }

    fn take_form(&mut self) {
        let Some(compiled) = &self.compiled else {
            return;
        };
        match (&compiled.policy, &mut self.form) {
            (Some(policy), Some(form)) if form.policy == *policy => form.current = true,
            (Some(policy), form) => *form = Some(Form::new(Arc::clone(policy), true)),
            (None, Some(form)) => form.current = false,
            (None, None) => {}
        }
    }

    /// Drops the form of a namespaced policy where there is no room for it, and the last valid one
    /// where it is not permitted any more.
    fn limit<'a>(
        &mut self,
        namespace: &'a str,
        limits: &mut Limits<'a>,
        configuration: &Configuration,
    ) {
        let Some(form) = &self.form else { return };
        if limits.fits(namespace, form.bytes) {
            let scopes: Vec<String> = form
                .policy
                .scopes()
                .iter()
                .map(ToString::to_string)
                .collect();
            if form.current || configuration.permits(&scopes).is_empty() {
                limits.take(namespace, form.bytes);
            } else {
                self.form = None;
            }
            return;
        }
        self.no_room = Some(form.bytes);
        self.form = None;
        if let Some(compiled) = &mut self.compiled {
            compiled.policy = None;
        }
    }
}
