//! What the API server makes of writes.

use super::*;

impl World {
    /// Does what a write asks for, and answers.
    pub(crate) fn perform(&mut self, write: &Write) {
        let answer = match write.clone() {
            Write::CreateBundle { name, spec } => {
                let content = crds::bundle::decode(&name, &spec).map_err(|e| e.to_string());
                let object = BundleObject {
                    name: name.clone(),
                    meta: self.meta(None, true),
                    content,
                };
                assert!(self.bundles.insert(name, object.clone()).is_none());
                Some(Event::Bundle(Change::Apply(object)))
            }
            Write::SetBundle { .. } => {
                let Some(event) = self.point(write) else {
                    self.index.failed(write, self.now);
                    return;
                };
                Some(event)
            }
            Write::Taint { node, uid, taints } => {
                let mut object = self.nodes[&node].clone();
                assert_eq!(object.meta.uid, uid);
                object.taints = taints;
                self.change_node(object.clone());
                Some(Event::Node(Change::Apply(object)))
            }
            Write::PolicyStatus { id, status, .. } => {
                let mut object = self.policies[&id].clone();
                object.meta = self.meta(Some(&object.meta), false);
                object.status = status;
                Some(self.tell_policy(object))
            }
            Write::TrustRootStatus { name, status } => {
                let mut object = self.trust_roots[&name].clone();
                object.meta = self.meta(Some(&object.meta), false);
                object.status = status;
                Some(self.tell_root(object))
            }
            Write::ConfigStatus { status } => {
                let mut object = self.config.clone().unwrap();
                object.meta = self.meta(Some(&object.meta), false);
                object.status = status;
                self.config = Some(object.clone());
                Some(Event::Config(Change::Apply(object)))
            }
            Write::DeleteBundle { name, uid } => {
                let object = self.bundles.remove(&name).unwrap();
                assert_eq!(object.meta.uid, uid);
                self.index.apply(Event::Bundle(Change::Delete(object)));
                None
            }
            Write::TufState {
                namespace,
                config_map,
                state,
                ..
            } => {
                let source = Source {
                    holder: crds::convert::Holder::ConfigMap,
                    namespace,
                    name: config_map,
                };
                self.source(&source, kept(&state.to_text()));
                None
            }
            Write::Notice(notice) => {
                let name = (notice.namespace().to_owned(), notice.name.clone());
                // Whoever tells it again finds it told.
                self.events.entry(name).or_insert(*notice);
                None
            }
        };
        self.index.done(write, answer);
    }

    /// Points a node at a bundle, unless its object is another version by now.
    fn point(&mut self, write: &Write) -> Option<Event> {
        let Write::SetBundle {
            node,
            uid,
            bundle,
            record,
            version,
        } = write.clone()
        else {
            return None;
        };
        assert!(self.bundles.contains_key(&bundle), "{bundle} is missing");
        let before = self.node_policies.get(&node).cloned();
        if version > 0 && before.as_ref().map(|own| own.meta.version) != Some(version) {
            return None;
        }
        let changes = before.as_ref().and_then(|own| own.bundle.as_ref()) != Some(&bundle);
        let meta = self.meta(before.as_ref().map(|own| &own.meta), changes);
        let mut own = before.unwrap_or(NodePolicyObject {
            name: node.clone(),
            meta: Meta::default(),
            owner: None,
            bundle: None,
            record: None,
            observed: None,
            broke: None,
            applied: None,
            previous: None,
            runtime: None,
            not_enforcing: None,
            unsupported: BTreeMap::new(),
            report: None,
            news: News::default(),
        });
        own.meta = meta;
        own.owner = Some(uid);
        // It is read back from its text.
        own.record = record
            .and_then(|record| Record::parse(&record.to_text(), &bundle))
            .map(Box::new);
        own.bundle = Some(bundle);
        self.node_policies.insert(node, own.clone());
        Some(Event::NodePolicy(Change::Apply(own)))
    }
}
