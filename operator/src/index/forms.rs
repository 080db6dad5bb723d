//! The form of each policy that nodes are given: the spec as it is now, or the last valid one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::convert::Configuration;
use policy::aggregate::{Finding, InForce, Spec};
use policy::bundle::Bundle;
use policy::digest::Digest;
use policy::model::{Policy, PolicyId};
use policy::trust::TrustRoot;

use super::compile::{Compiled, compile, words};
use super::config::Config;
use super::objects::PolicyObject;
use super::roots::Roots;
use super::sources::{Source, Sources, of_spec, roots_of};

/// A valid form of a policy.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) policy: Policy,
    pub(crate) digest: Digest,
    /// Whether it is the spec as it is now.
    pub(crate) current: bool,
}

impl Form {
    fn new(policy: Policy, current: bool) -> Self {
        let digest = policy.digest();
        Self {
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
    /// Nothing while it has to be compiled, or a reference was not looked at yet.
    compiled: Option<Compiled>,
    /// Why the configuration does not permit it.
    refused: Option<Finding>,
    /// What nodes are given.
    pub(crate) form: Option<Form>,
}

impl Entry {
    /// The policy by itself; nothing before it is settled.
    pub(crate) fn spec(&self, config: &Config, too_large: Option<&Finding>) -> Option<Spec> {
        let compiled = self.compiled.as_ref()?;
        let in_force = match &self.form {
            None => InForce::Nothing,
            Some(form) if form.current => InForce::Current(form.digest.clone()),
            Some(form) => InForce::Kept(form.digest.clone()),
        };
        Some(Spec {
            invalid: compiled.invalid.clone().or_else(|| self.refused.clone()),
            resolution: compiled.resolution.clone(),
            inexpressible: compiled.inexpressible.clone(),
            in_force,
            halted: config.halted(),
            stalled: too_large.cloned().or_else(|| config.stalled()),
        })
    }
}

/// All policies.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    entries: BTreeMap<PolicyId, Entry>,
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

    /// Compiles what has changed, and takes up the form that follows.
    pub(crate) fn update<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a PolicyObject> + Clone,
        sources: &Sources,
        roots: &Roots,
        configuration: &Configuration,
    ) {
        let there: BTreeSet<&PolicyId> = policies.clone().map(|object| &object.id).collect();
        self.entries.retain(|id, _| there.contains(id));
        for object in policies.clone() {
            self.compile(object, sources, roots);
        }
        self.refuse(policies, configuration);
        for entry in self.entries.values_mut() {
            entry.take_form();
        }
    }

    fn compile(&mut self, object: &PolicyObject, sources: &Sources, roots: &Roots) {
        let seen = (object.meta.uid.clone(), object.meta.generation);
        let entry = self.entries.entry(object.id.clone()).or_default();
        if entry.seen.0 != seen.0 {
            // Another object of the same name: what the one before it said is void.
            *entry = Entry::default();
        }
        if entry.seen != seen {
            entry.seen = seen;
            entry.compiled = None;
        }
        if entry.compiled.is_none() {
            entry.compiled = compile(object, sources, roots);
        }
    }

    /// Finds the namespaced policies that the configuration does not permit.
    fn refuse<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a PolicyObject>,
        configuration: &Configuration,
    ) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for object in policies {
            let (Some(namespace), Ok(spec)) = (object.id.namespace(), &object.spec) else {
                continue;
            };
            let Some(entry) = self.entries.get_mut(&object.id) else {
                continue;
            };
            if entry.compiled.as_ref().is_none_or(|c| c.policy.is_none()) {
                entry.refused = None;
                continue;
            }
            let count = counts.entry(namespace).or_default();
            *count += 1;
            let mut problems = configuration.permits(&spec.policy.scopes);
            if *count > configuration.max_per_namespace {
                problems.insert(0, configuration.too_many());
            }
            entry.refused = problems
                .first()
                .map(|first| Finding::new(first.reason.as_str(), words(&problems)));
        }
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

    /// Takes the last valid forms from what nodes were last given, newest first, where the spec as
    /// it is now cannot be used.
    pub(crate) fn recover(&mut self, bundles: &[&Bundle]) {
        for (id, entry) in &mut self.entries {
            if entry.form.is_none() {
                let last = bundles.iter().find_map(|bundle| bundle.policy(id));
                entry.form = last.map(|policy| Form::new(policy.clone(), false));
            }
        }
    }
}

impl Entry {
    fn take_form(&mut self) {
        let Some(compiled) = &self.compiled else {
            return;
        };
        // What the administrator does not permit is no mistake whose last valid form is to be kept:
        // it would be a way around every limit.
        if self.refused.is_some() && compiled.policy.is_some() {
            self.form = None;
            return;
        }
        let policy = compiled.policy.as_ref().filter(|_| self.refused.is_none());
        match (policy, &mut self.form) {
            (Some(policy), Some(form)) if form.policy == *policy => form.current = true,
            (Some(policy), form) => *form = Some(Form::new(policy.clone(), true)),
            (None, Some(form)) => form.current = false,
            (None, None) => {}
        }
    }
}
