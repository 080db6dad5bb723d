//! What is valid and may still surprise, about every policy that is in force.

use std::collections::{BTreeMap, BTreeSet};

use crds::advice::{self, Advice, Around};
use policy::advice::Input;
use policy::bundle::Settings;
use policy::model::PolicyId;
use policy::scope::Scope;

use super::forms::Forms;
use super::objects::PolicyObject;

/// What there is to know, and what it was made of.
#[derive(Debug, Default)]
pub(crate) struct Advices {
    /// By policy what its spec alone shows, with the uid and generation of that.
    alone: BTreeMap<PolicyId, Alone>,
    /// The policies that were looked at together last, with their uids and generations.
    seen: Vec<(PolicyId, String, i64)>,
    around: Around,
    /// Everything, by policy.
    all: BTreeMap<PolicyId, Vec<Advice>>,
}

#[derive(Debug)]
struct Alone {
    seen: (String, i64),
    input: Input,
    said: Vec<Advice>,
}

impl Advices {
    /// Looks at what has changed. True where there is something else to know than before.
    pub(crate) fn update<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a PolicyObject>,
        forms: &Forms,
        settings: &Settings,
        own: &BTreeSet<Scope>,
    ) -> bool {
        let in_force = policies.filter(|object| {
            let entry = forms.get(&object.id);
            let form = entry.and_then(|entry| entry.form.as_ref());
            form.is_some_and(|form| form.current)
        });
        let mut seen = Vec::new();
        for object in in_force {
            let Ok(spec) = &object.spec else { continue };
            let (uid, generation) = (object.meta.uid.clone(), object.meta.generation);
            let now = (uid.clone(), generation);
            seen.push((object.id.clone(), uid, generation));
            if self
                .alone
                .get(&object.id)
                .is_none_or(|known| known.seen != now)
            {
                let selector = spec.node_selector.as_ref();
                let input = advice::input(object.id.clone(), &spec.policy, selector);
                let alone = Alone {
                    seen: now,
                    said: advice::alone(&input),
                    input,
                };
                self.alone.insert(object.id.clone(), alone);
            }
        }
        let around = Around {
            exempt: settings.exempt_images.clone(),
            own: own.clone(),
            default_action: settings.default_action,
        };
        if seen == self.seen && around == self.around {
            return false;
        }
        let there: BTreeSet<&PolicyId> = seen.iter().map(|(id, ..)| id).collect();
        self.alone.retain(|id, _| there.contains(id));
        let inputs: Vec<Input> = self.alone.values().map(|one| one.input.clone()).collect();
        let mut all = advice::together(&inputs, &around);
        for (id, alone) in self
            .alone
            .iter()
            .filter(|(_, alone)| !alone.said.is_empty())
        {
            let said = all.entry(id.clone()).or_default();
            said.extend(alone.said.iter().cloned());
            said.sort();
        }
        (self.seen, self.around) = (seen, around);
        let changed = all != self.all;
        self.all = all;
        changed
    }

    /// What there is to know about a policy.
    pub(crate) fn of(&self, id: &PolicyId) -> &[Advice] {
        self.all.get(id).map_or(&[], Vec::as_slice)
    }

    /// Every policy with something to know about it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PolicyId, &[Advice])> {
        self.all.iter().map(|(id, all)| (id, all.as_slice()))
    }
}
