//! What differs between what should be and what is, as writes.

use std::collections::{BTreeMap, BTreeSet};

use crds::types::PolicyStatus;
use jiff::Timestamp;
use policy::model::PolicyId;

use super::Index;
use super::moves::Given;
use super::objects::PolicyObject;
use super::plan::Plan;
use super::root_status::{Said, root_status};
use super::roots::Known;
use super::status::only_counts_differ;
use super::write::Write;

impl Index {
    /// Bundles, and the nodes that are pointed at them.
    pub(super) fn bundle_writes(
        &mut self,
        plan: &Plan,
        given: &BTreeMap<String, Given>,
        now: Timestamp,
    ) -> Vec<Write> {
        let mut writes = Vec::new();
        for (name, spec) in &plan.wanted {
            if let Some(spec) = spec {
                let (name, spec) = (name.clone(), spec.clone());
                self.offer(&mut writes, Write::CreateBundle { name, spec }, 0, now);
            }
        }
        writes.extend(self.set_writes(given, now));
        self.collect(&mut writes, plan, now);
        writes
    }

    /// Deletes bundles that no node shall run, runs, had before or may go back to, once they have been
    /// so for a while.
    fn collect(&mut self, writes: &mut Vec<Write>, plan: &Plan, now: Timestamp) {
        let own = || self.node_policies.iter();
        // An object that cannot be read may refer to any bundle. While nothing is enforced, and
        // where no node is left, bundles are where the last valid forms live.
        let keep_all = own().any(|own| own.bundle.is_none())
            || self.config.disabled
            || self.nodes.is_empty()
            || !plan.too_large.is_empty();
        let used: BTreeSet<&String> = own()
            .flat_map(|own| {
                let from = own.record.as_ref().and_then(|record| record.from.as_ref());
                let has = [&own.bundle, &own.applied, &own.previous];
                has.into_iter().flatten().chain(from)
            })
            .chain(self.moves.used())
            .chain(plan.wanted.keys())
            .collect();
        let useless: Vec<(String, String, u64)> = self
            .bundles
            .iter()
            .filter(|object| !keep_all && !used.contains(&object.name))
            .map(|object| {
                let meta = &object.meta;
                (object.name.clone(), meta.uid.clone(), meta.version)
            })
            .collect();
        let names: BTreeSet<&String> = useless.iter().map(|(name, ..)| name).collect();
        self.unused.retain(|name, _| names.contains(name));
        drop(names);
        for (name, uid, version) in useless {
            let since = *self.unused.entry(name.clone()).or_insert(now);
            if now.duration_since(since) >= self.options.unused {
                let write = Write::DeleteBundle {
                    name: name.clone(),
                    uid: uid.clone(),
                };
                if self.outbox.offer(&write, version, now) {
                    self.doomed.insert(name, uid);
                    writes.push(write);
                }
            }
        }
    }

    /// What is to be said about policies, trust roots and the configuration.
    pub(super) fn status_writes(
        &mut self,
        statuses: Vec<(PolicyId, PolicyStatus)>,
        now: Timestamp,
    ) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some(object) = self.configs.get(&()) {
            let status = self.config.status(object, &self.moves, now);
            if status != object.status {
                let version = object.meta.version;
                self.offer(&mut writes, Write::ConfigStatus { status }, version, now);
            }
        }
        writes.extend(self.root_writes(now));
        let mut counts = Vec::new();
        let mut due = Vec::new();
        for (id, status) in statuses {
            let Some(object) = self.policy(&id) else {
                continue;
            };
            if status == object.status {
                continue;
            }
            let counts_only = only_counts_differ(&status, &object.status);
            let version = object.meta.version;
            let write = Write::PolicyStatus {
                id,
                status,
                counts_only,
            };
            if counts_only {
                counts.push((write, version));
            } else {
                due.push((write, version));
            }
        }
        if counts.is_empty() {
            self.counts_due = None;
        } else {
            let until = *self.counts_due.get_or_insert(now + self.counts_window());
            if now >= until {
                due.extend(counts);
                self.counts_due = None;
            }
        }
        for (write, version) in due {
            self.offer(&mut writes, write, version, now);
        }
        writes
    }

    fn root_writes(&mut self, now: Timestamp) -> Vec<Write> {
        let in_use = self.forms.trust_roots();
        let mut due = Vec::new();
        let mut expiries = Vec::new();
        let mut all_expiring = BTreeMap::new();
        for object in self.trust_roots.iter() {
            let Known::Made(made) = self.roots.get(&object.name) else {
                continue;
            };
            let follow = self.roots.follow(&object.name);
            let Said {
                status,
                expiring,
                next,
            } = root_status(object, made, follow, &in_use, now);
            expiries.extend(next);
            if !expiring.is_empty() {
                all_expiring.insert(object.name.clone(), expiring);
            }
            if status != object.status {
                let name = object.name.clone();
                let write = Write::TrustRootStatus { name, status };
                due.push((write, object.meta.version));
            }
        }
        self.next_expiry = expiries.into_iter().min();
        self.expiring = all_expiring;
        let mut writes = Vec::new();
        for (write, version) in due {
            self.offer(&mut writes, write, version, now);
        }
        writes
    }

    pub(super) fn policy(&self, id: &PolicyId) -> Option<&PolicyObject> {
        match id {
            PolicyId::Cluster { .. } => self.cluster_policies.get(id),
            PolicyId::Namespaced { .. } => self.namespaced_policies.get(id),
        }
    }

    fn offer(&mut self, writes: &mut Vec<Write>, write: Write, version: u64, now: Timestamp) {
        if self.outbox.offer(&write, version, now) {
            writes.push(write);
        }
    }
}
