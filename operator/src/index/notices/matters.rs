//! What is the case, by topic, from the statuses of all nodes.

use std::collections::{BTreeMap, BTreeSet};

use crds::types::RefusedImage;
use jiff::Timestamp;
use policy::bundle::DefaultAction;
use policy::flatten::{Flat, NodeFacts, Outcome, flatten};
use policy::reference::Reference;

use super::words::{on, plain};
use super::{NoticeKind, Subject, Topic};
use crate::index::Index;
use crate::index::objects::NodePolicyObject;
use crate::index::root_status::{EXPIRING_ADVICE, Expiring, SOON};

/// The most things that are told apart in one topic: whoever can have pods refused must not fill the
/// operator's memory.
pub(crate) const MOST_ITEMS: usize = 200;

const REFUSED_ADVICE: &str = "`nodeseal verify IMAGE` shows what was found and what is missing: sign \
                              the image, or mend what covers it";
const UNVERIFIED_ADVICE: &str = "They were there before the verifier, were imported, or were pulled past \
                                 it: pull them again on the node, `crictl pull IMAGE`";

const HALTED_ADVICE: &str = "No other node is given it; the conditions of the EnforcementConfig and of the \
                             policies say how to go on";
const VANISHED_ADVICE: &str = "Nodes keep what they have; the condition Stalled of the EnforcementConfig says \
                               how to go on";

/// What is the case about one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Matter {
    /// What, in general.
    pub(crate) head: String,
    /// What, one by one; at most [`MOST_ITEMS`]. The key changes when it happens anew.
    pub(crate) items: BTreeMap<String, Item>,
    /// How many there are.
    pub(crate) count: usize,
    /// What to do.
    pub(crate) advice: &'static str,
}

/// One thing that is the case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) words: String,
    /// Since when, where that is known.
    pub(crate) since: Option<Timestamp>,
}

pub(super) type Matters = BTreeMap<Topic, Matter>;
/// Nodes by what was said about an image.
type Said<'a> = BTreeMap<(&'a str, &'a str), BTreeSet<&'a str>>;

impl Index {
    /// Everything that is worth telling. `tables` are those of bundles, as far as they were needed.
    pub(super) fn matters(&self, tables: &mut BTreeMap<String, Flat>) -> Matters {
        let told = || {
            let nodes = self.nodes.iter();
            let own = nodes.filter_map(|node| self.node_policies.get(&node.name));
            own.filter(|own| own.has_news())
        };
        self.make_tables(tables, told());
        let mut matters = self.advised();
        self.of_rollouts(&mut matters);
        let mut refused: BTreeMap<(&str, &RefusedImage), BTreeSet<&str>> = BTreeMap::new();
        let mut unverified: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for own in told() {
            of_node(&mut matters, own);
            let Some(bundle) = own.applied.as_deref() else {
                continue;
            };
            for pair in &own.news.refused {
                let nodes = refused.entry((bundle, pair)).or_default();
                nodes.insert(&own.name);
            }
            for image in own.news.unverified.iter().flat_map(|all| &all.first) {
                let nodes = unverified.entry((bundle, image)).or_default();
                nodes.insert(&own.name);
            }
        }
        let mut said: BTreeMap<Topic, Said<'_>> = BTreeMap::new();
        for ((bundle, pair), nodes) in &refused {
            let kind = NoticeKind::ImagesRefused;
            for subject in tables.get(*bundle).into_iter().flat_map(|table| {
                // A policy in audit mode refuses nothing.
                covering(table, &pair.image, false)
            }) {
                let all = said.entry(Topic { subject, kind }).or_default();
                let nodes_of = all.entry((&pair.image, &pair.reason)).or_default();
                nodes_of.extend(nodes);
            }
        }
        for ((bundle, image), nodes) in &unverified {
            let kind = NoticeKind::UnverifiedImages;
            for subject in tables
                .get(*bundle)
                .into_iter()
                .flat_map(|table| covering(table, image, true))
            {
                let all = said.entry(Topic { subject, kind }).or_default();
                all.entry((image, "")).or_default().extend(nodes);
            }
        }
        let made = said.into_iter();
        matters.extend(made.map(|(topic, said)| {
            let matter = self.of_images(topic.kind, &said);
            (topic, matter)
        }));
        matters.extend(self.of_roots());
        matters
    }

    /// Trust roots of which something ends soon.
    fn of_roots(&self) -> impl Iterator<Item = (Topic, Matter)> + '_ {
        self.expiring.iter().map(|(name, expiring)| {
            let item = |expiring: &Expiring| {
                let words = plain(&expiring.words());
                // It is news once, also to the next process.
                let since = expiring.end.checked_sub(SOON).ok();
                (words.clone(), Item { words, since })
            };
            let topic = Topic {
                subject: Subject::TrustRoot(name.clone()),
                kind: NoticeKind::TrustRootExpiring,
            };
            let matter = Matter {
                head: "something in it ends within 14 days".to_owned(),
                items: expiring.iter().take(MOST_ITEMS).map(item).collect(),
                count: expiring.len(),
                advice: EXPIRING_ADVICE,
            };
            (topic, matter)
        })
    }

    /// What stands still, on the configuration.
    fn of_rollouts(&self, matters: &mut Matters) {
        let mut say = |kind, head, items: BTreeMap<String, Item>, advice| {
            let subject = Subject::Config;
            let matter = Matter {
                head,
                count: items.len(),
                items: items.into_iter().take(MOST_ITEMS).collect(),
                advice,
            };
            matters.insert(Topic { subject, kind }, matter);
        };
        let item = |words| Item { words, since: None };
        let failed = self.moves.failed.iter().flat_map(|(target, nodes)| {
            let of_target = move |(node, why): (&String, &String)| {
                let words = plain(&format!("{node} ({why})"));
                (format!("{target} {node}"), item(words))
            };
            nodes.iter().map(of_target)
        });
        let failed: BTreeMap<String, Item> = failed.collect();
        if !failed.is_empty() {
            let head = "a rollout stands still because nodes failed".to_owned();
            say(NoticeKind::RolloutHalted, head, failed, HALTED_ADVICE);
        }
        if let Some(vanished) = &self.moves.vanished {
            let (count, of) = (vanished.names.len(), vanished.of);
            let head = format!(
                "{count} of {of} enforcing cluster policies that nodes have do not exist any more"
            );
            let names = vanished.names.iter();
            let items = names.map(|name| (name.clone(), item(plain(name))));
            say(
                NoticeKind::PoliciesVanished,
                head,
                items.collect(),
                VANISHED_ADVICE,
            );
        }
    }

    fn of_images(&self, kind: NoticeKind, said: &Said<'_>) -> Matter {
        let refused = kind == NoticeKind::ImagesRefused;
        let images: BTreeSet<&str> = said.keys().map(|(image, _)| *image).collect();
        let nodes: BTreeSet<&str> = said.values().flatten().copied().collect();
        let names_all = |node: &&str| {
            let own = self.node_policies.get(&(*node).to_owned());
            own.is_none_or(|own| own.news.names_all(refused))
        };
        let at_least = if nodes.iter().all(names_all) {
            ""
        } else {
            "at least "
        };
        let (count, plural) = (images.len(), if images.len() == 1 { "" } else { "s" });
        let on_nodes = on(&nodes);
        let (head, advice) = if refused {
            let head =
                format!("{at_least}{count} image{plural} refused {on_nodes} in the last hour");
            (head, REFUSED_ADVICE)
        } else {
            let head =
                format!("{at_least}{count} covered image{plural} without a verdict {on_nodes}");
            (head, UNVERIFIED_ADVICE)
        };
        let items = said.iter().take(MOST_ITEMS);
        let items = items.map(|((image, reason), nodes)| {
            let on = on(nodes);
            let words = match *reason {
                "" => format!("{} ({on})", plain(image)),
                reason => format!("{} ({}, {on})", plain(image), plain(reason)),
            };
            let item = Item { words, since: None };
            (format!("{image}\n{reason}"), item)
        });
        Matter {
            head,
            items: items.collect(),
            count: said.len(),
            advice,
        }
    }

    /// The tables of the bundles that these nodes run, and no others.
    fn make_tables<'a>(
        &self,
        tables: &mut BTreeMap<String, Flat>,
        nodes: impl Iterator<Item = &'a NodePolicyObject>,
    ) {
        let names: BTreeSet<&String> = nodes
            .filter(|own| own.news.names_images())
            .filter_map(|own| own.applied.as_ref())
            .collect();
        tables.retain(|name, _| names.contains(name));
        for name in names {
            let bundle = self.bundles.get(name);
            if !tables.contains_key(name)
                && let Some(Ok(bundle)) = bundle.map(|object| &object.content)
            {
                tables.insert(name.clone(), flatten(bundle, &NodeFacts::default()));
            }
        }
    }
}

/// Whose affair the image is: of the policies that cover it, or of the configuration, where its default
/// action or nothing at all decides. containerd tells its verifier no namespace, so policies of
/// namespaces have no part in it.
fn covering(table: &Flat, image: &str, audit: bool) -> Vec<Subject> {
    let Ok(reference) = Reference::parse(image) else {
        // Refused whatever the policies say.
        return vec![Subject::Config];
    };
    let decision = table.decide(&reference);
    let audit = decision.audit.into_iter().filter(|_| audit);
    let (enforcing, config) = match decision.outcome {
        Outcome::Exempt | Outcome::Refused => return Vec::new(),
        Outcome::Verify(policies) => (policies, None),
        Outcome::Default(DefaultAction::Reject) => (Vec::new(), Some(Subject::Config)),
        Outcome::Default(DefaultAction::Allow) => (Vec::new(), None),
    };
    let policies = enforcing.into_iter().chain(audit);
    let policies = policies.map(|(id, _)| Subject::Policy(id.clone()));
    policies.chain(config).collect()
}

/// What a node tells about itself.
fn of_node(matters: &mut Matters, own: &NodePolicyObject) {
    let mut say = |kind, head: String, key: String, words: &str, since, advice| {
        let words = plain(words);
        let matter = Matter {
            head,
            items: BTreeMap::from([(key, Item { words, since })]),
            count: 1,
            advice,
        };
        let subject = Subject::Node(own.name.clone());
        matters.insert(Topic { subject, kind }, matter);
    };
    if let Some(drift) = &own.news.drift {
        let time = drift.last_time.as_ref().map(|time| time.0);
        let count = drift.count;
        let times = if count == 1 { "time" } else { "times" };
        say(
            NoticeKind::FilesPutBack,
            format!("files were put back {count} {times} since the agent started, at last"),
            format!("{count} {time:?}"),
            drift.message.as_deref().unwrap_or("it does not say what"),
            time,
            "Something else on the node writes them: find it and have it leave them alone",
        );
    }
    let Some(report) = &own.report else { return };
    if own.rolled_back() {
        let finding = &report.applied_finding;
        let since = own.news.applied_since;
        say(
            NoticeKind::RolledBack,
            "the node went back to what it ran before".to_owned(),
            // A second failure leaves the condition as it was.
            format!("{since:?} {}", finding.message),
            &finding.message,
            since,
            "What failed is not tried again before it changes; `kubectl describe nodeimagepolicy` says more",
        );
    }
    if let Some(finding) = report.unenforced() {
        let since = own.news.enforcing_since;
        say(
            NoticeKind::NotEnforcing,
            format!("the node does not enforce its policies, {}", finding.reason),
            format!("{since:?} {}", finding.reason),
            &finding.message,
            since,
            "Until then keep pods that rely on it off the node",
        );
    }
}
